"""What a comparison reads: opened, encoded and checked before the first weight is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass

from instructgpt.data.records import Prompt
from instructgpt.errors import UserError, placed
from instructgpt.evaluation.config import CompareConfig
from instructgpt.models.facts import ModelFacts
from instructgpt.models.outlook import Looked, Outlook, described, open_outlook
from instructgpt.models.prompts import Room, prompts_described, prompts_to_answer, room_behind
from instructgpt.run.outline import Row, counted


@dataclass(frozen=True)
class Inputs(Looked):
    """All that a comparison reads.

    Attributes:
        policies: every policy by its path.
        judge: the reward model that judges; None where somebody else does.
        prompts: what the policies answer.
        prose: what their language-model loss is measured on.
        config: the settings.
    """

    policies: dict[str, ModelFacts]
    judge: ModelFacts | None
    prompts: list[Prompt]
    prose: list[str]
    config: CompareConfig

    def outline(self) -> Iterator[Row]:
        """What there is to do, for a dry run."""
        config = self.config
        a = self.policies[config.a]
        yield "a", described(a)
        yield "b", described(self.policies[config.b])
        if further := len(self.policies) - len({config.a, config.b}):
            yield "further", counted(further, "model")
        yield "data", prompts_described(self.prompts, a.text(config.template))
        yield "judge", described(self.judge) if self.judge else config.judge or "given in Python"
        if self.prose:
            text = a.text(config.template)
            tokens = sum(len(text.document(document)) for document in self.prose)
            yield "prose", f"{counted(self.prose, 'document')}, {tokens:,} tokens"
        # Everybody answers `samples` times, and b once more, greedily.
        answers = len(self.prompts) * (config.samples * (2 + len(config.further)) + 1)
        yield "answers", f"{answers:,} of at most {counted(config.response_length, 'token')}"
        yield "tokens", f"{answers * config.response_length:,} sampled at most"


def look(
    config: CompareConfig, outlook: Outlook | None = None, *, judge_is_model: bool = True
) -> Inputs:
    """Read and check everything.

    Args:
        config: the settings.
        outlook: where things are.
        judge_is_model: whether `config.judge` is the path of a reward model.

    Raises:
        UserError: something cannot be used; the sentence names its key.
    """
    if judge_is_model and not config.judge:
        raise UserError("judge: nobody judges; give --judge REWARD_MODEL")
    outlook = open_outlook(config, outlook)
    keys = {config.a: "a", config.b: "b"}
    keys |= {path: "base" if path == config.base else "others" for path in config.further}
    policies = {path: outlook.model(key, path, "policy") for path, key in keys.items()}
    judge = outlook.model("judge", config.judge, "scorer") if judge_is_model else None
    longest = config.response_length
    rooms = [
        Room(keys[path], facts.text(config.template), facts.context, longest)
        for path, facts in policies.items()
    ]
    if judge:
        rooms.append(room_behind("judge", judge, policies[config.a], config.template, longest))
    return Inputs(
        policies,
        judge,
        prompts_to_answer("data", config.data, config, rooms, outlook),
        _prose(config, policies, outlook),
        config,
    )


def _prose(config: CompareConfig, policies: dict[str, ModelFacts], outlook: Outlook) -> list[str]:
    documents = outlook.documents("prose", config.prose, config.on_error)
    with placed("prose"):
        for facts in policies.values():
            text = facts.text(config.template)
            if documents and not any(map(text.document, documents)):
                raise UserError("no text in it; give documents to measure the loss on")
    return documents
