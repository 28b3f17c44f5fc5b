"""`chat`: a conversation with a policy, one line a turn."""

import sys
from typing import TYPE_CHECKING

from instructgpt.cli.opening import Model, SamplingFlags
from instructgpt.data.records import Message
from instructgpt.errors import UserError
from instructgpt.run.files import check_text
from instructgpt.run.progress import say, show

if TYPE_CHECKING:
    from instructgpt.rollout.policy import SFTModel

HELP = "/quit or Ctrl-D ends, /clear forgets the conversation, /help shows this"


def chat(model: Model, *, sampling: SamplingFlags | None = None) -> None:
    """Talk with a policy: one line a turn; /help says what else can be typed."""
    sampling = sampling or SamplingFlags()
    sampling.check(model)
    from instructgpt.models.fit import size_of
    from instructgpt.models.prompts import Room
    from instructgpt.rollout.policy import SFTModel

    device = sampling.place()
    policy = SFTModel(model, template=sampling.template, device=device)
    context = size_of(policy.model).context
    length = sampling.length(context)
    Room("model", policy.text, context, length).require_any()
    if sys.stdin.isatty():
        say(HELP)
    _converse(policy, length, sampling)


def _converse(policy: "SFTModel", length: int, sampling: SamplingFlags) -> None:
    turns: list[Message] = []
    told = False
    while line := _read_line():
        if line.startswith("/"):
            if line in ("/quit", "/exit"):
                return
            turns = [] if line == "/clear" else turns
            say("the conversation is forgotten" if line == "/clear" else HELP)
            continue
        turns.append(Message(role="user", content=line))
        try:
            check_text(line, "the line")
            recent = _recent(policy, turns, length)
            seed = sampling.seed + len(turns)
            answer = policy.generate(
                [recent], max_new_tokens=length, seed=seed, **sampling.settings
            )[0].text
        except ValueError as error:  # a line that cannot be answered does not end the conversation
            say(f"instructgpt: {error}")
            turns.pop()
            continue
        if len(recent) < len(turns) and not told:
            say("the conversation no longer fits into the model: its oldest turns are left out")
            told = True
        turns.append(Message(role="assistant", content=answer))
        show(answer)


def _recent(policy: "SFTModel", turns: list[Message], length: int) -> tuple[Message, ...]:
    """The latest turns that leave room for an answer; the oldest are forgotten.

    Raises:
        UserError: the last line alone leaves none.
    """
    from instructgpt.models.fit import size_of

    context, recent = size_of(policy.model).context, tuple(turns)
    while context and (found := len(policy.text.prompt(recent))) + length > context:
        if len(recent) == 1:
            raise UserError(
                f"the line has {found} tokens, which with an answer of {length} exceeds the "
                f"model's context of {context}; shorten it, or start with a lower --response_length"
            )
        recent = recent[2:]
    return recent


def _read_line() -> str:
    """What was typed; empty at the end, after Ctrl-D and after Ctrl-C."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        if sys.stdin.isatty():
            show()  # the cursor stands behind the question
        return ""
