"""Every command, thin; heavy imports wait until a command runs."""

import io
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

from cyclopts import App, CycloptsError

from instructgpt.cli.words import explained, prepared
from instructgpt.errors import UserError
from instructgpt.run.stopping import stoppable
from instructgpt.version import __version__

app = App(
    name="instructgpt",
    help="InstructGPT: SFT, a reward model from rankings, PPO-ptx, and the loop around them.",
    version=__version__,
    help_flags=["-h", "--help"],
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says what a stopped command says
)


class Command(NamedTuple):
    """A command: where it is in `cli`, what it does, and the example at the end of its help."""

    target: str
    help: str
    example: str


GROUPS = {
    "data": "Import, export and keep prompts, demonstrations, rankings and ratings.",
    "label": "Labels for what was sampled.",
    "label user": "People who label.",
    "eval": "Compare policies, and measure them on public benchmarks.",
}
"""The commands that have others within; those within another follow it."""
DEFAULTS = {"eval": "tasks"}
"""What such a command does where the next word is none of those."""
COMMANDS = {
    "quickstart": Command(
        "stages:quickstart",
        "The whole loop on a real language model, in minutes, on a laptop CPU.",
        "instructgpt quickstart --tiny",
    ),
    "init": Command(
        "stages:init",
        "Make a GPT-3-architecture model from scratch.",
        "instructgpt init --preset gpt3-tiny --out runs/base",
    ),
    "sft": Command(
        "stages:sft",
        "Stage 1: fine-tune a model on demonstrations.",
        "instructgpt sft --model MODEL --data demonstrations.jsonl --out runs/sft",
    ),
    "reward": Command(
        "stages:reward",
        "Stage 2: train a reward model on rankings.",
        "instructgpt reward --model runs/sft/model --data rankings.jsonl \\\n"
        "      --out runs/reward",
    ),
    "ppo": Command(
        "stages:ppo",
        "Stage 3: optimize a policy against a reward model (PPO-ptx).",
        "instructgpt ppo --model runs/sft/model --reward_model runs/reward/model \\\n"
        "      --data prompts.jsonl --ptx_coef 0 --total_episodes 4096 --out runs/ppo",
    ),
    "sample": Command(
        "stages:sample",
        "Sample K answers per prompt for the labelers to rank.",
        "instructgpt sample --model runs/sft/model --data prompts.jsonl \\\n"
        "      --out runs/answers",
    ),
    "pipeline": Command(
        "stages:pipeline",
        "Run all stages, from a base model to a report.",
        "instructgpt pipeline --preset tiny --sft.epochs 2 --out runs/tiny",
    ),
    "generate": Command(
        "use:generate",
        "Answer prompts with a policy.",
        "instructgpt generate runs/ppo/model 'Name a color.'",
    ),
    "chat": Command(
        "chat:chat",
        "Talk with a policy.",
        "instructgpt chat runs/ppo/model",
    ),
    "score": Command(
        "use:score",
        "Score an answer with a reward model.",
        "instructgpt score runs/reward/model --prompt 'Name a color.' --response Blue.",
    ),
    "report": Command(
        "use:report",
        "Write report.html for a run or a pipeline, or compare runs.",
        "instructgpt report runs/ppo",
    ),
    "data import": Command(
        "data:import_records",
        "Read files of any tool into our records.",
        "instructgpt data import hh.jsonl.gz --out rankings.jsonl",
    ),
    "data export": Command(
        "data:export_records",
        "Write our records in another tool's format.",
        "instructgpt data export rankings.jsonl --kind ranking --out trl.jsonl",
    ),
    "data formats": Command(
        "data:list_formats",
        "Print the formats that can be read and written, with an example row each.",
        "instructgpt data formats",
    ),
    "data snapshot": Command(
        "store:snapshot",
        "Write what a store has for training as files.",
        "instructgpt data snapshot first --out data/first --db sqlite:///store.db",
    ),
    "data erase": Command(
        "store:erase",
        "Remove a person's texts from a store, and say where else they are.",
        "instructgpt data erase --user u42 --db sqlite:///store.db",
    ),
    "data intake": Command(
        "intake:intake",
        "Take prompts into a store: consent, duplicates, caps, splits, personal data.",
        "instructgpt data intake prompts.jsonl --db sqlite:///store.db",
    ),
    "data explain": Command(
        "intake:explain",
        "Tell what intake did to a prompt, and why.",
        "instructgpt data explain p0001 --db sqlite:///store.db",
    ),
    "data undo": Command(
        "intake:undo",
        "Take an intake back, as if its files had never come.",
        "instructgpt data undo 1 --db sqlite:///store.db",
    ),
    "data release": Command(
        "intake:release",
        "Let a prompt go that is held for the personal data in it.",
        "instructgpt data release p0001 --db sqlite:///store.db",
    ),
    "data stats": Command(
        "sheet:stats",
        "Count prompts as the paper's tables 1 and 6 to 11 do, and write a page.",
        "instructgpt data stats --db sqlite:///store.db --out sheet.html",
    ),
    "data upgrade": Command(
        "store:upgrade",
        "Bring a store to the tables of this version.",
        "instructgpt data upgrade --db sqlite:///store.db",
    ),
    "label rank": Command(
        "label:rank",
        "Rank sampled answers yourself, in this terminal.",
        "instructgpt label rank runs/answers/candidates.jsonl --out rankings.jsonl",
    ),
    "label simulate": Command(
        "label:simulate",
        "Let simulated labelers rank sampled answers.",
        "instructgpt label simulate runs/answers/candidates.jsonl \\\n      --out runs/labels",
    ),
    "label serve": Command(
        "serving:serve",
        "Serve the web app in which people rank and rate.",
        "instructgpt label serve --db sqlite:///store.db",
    ),
    "label user add": Command(
        "serving:add_user",
        "Invite somebody to the web app.",
        "instructgpt label user add ann --role labeler --db sqlite:///store.db",
    ),
    "eval tasks": Command(
        "stages:tasks",
        "Measure policies on public benchmarks; `tasks` may be left out.",
        "instructgpt eval runs/ppo/model runs/sft/model \\\n"
        "      --tasks hellaswag --data_dir data --out runs/benchmarks",
    ),
    "eval suite": Command(
        "stages:suite",
        "Table 14 of your models, the differences from the first beside each value.",
        "instructgpt eval suite GPT=MODEL SFT=runs/sft/model PPO=runs/ppo/model \\\n"
        "      --data_dir data --out runs/suite",
    ),
    "eval samples": Command(
        "samples:samples",
        "Score texts that any system wrote, with the same figures.",
        "instructgpt eval samples squadv2_samples.csv outputs.jsonl --json",
    ),
    "eval judge": Command(
        "use:judge",
        "How good a judge of truth, information or toxicity is.",
        "instructgpt eval judge runs/truth-judge/model heldout.jsonl",
    ),
    "eval compare": Command(
        "stages:compare",
        "How often policy A is preferred to policy B.",
        "instructgpt eval compare runs/ppo/model runs/sft/model \\\n"
        "      --data prompts.jsonl --judge runs/reward/model --out runs/compare",
    ),
}


def _add_commands() -> None:
    groups = {name: App(name=name.split()[-1], help=text) for name, text in GROUPS.items()}
    for name, command in COMMANDS.items():
        group, _, own = name.rpartition(" ")
        (groups[group] if group else app).command(
            f"instructgpt.cli.{command.target}",
            name=own,
            help=command.help,
            help_epilogue=f"Example:\n\n  {command.example}",
        )
    for name, group in groups.items():
        groups.get(name.rpartition(" ")[0], app).command(group)
    app.register_install_completion_command(
        help="Let the shell (bash, zsh or fish) complete commands and flags."
    )


_add_commands()


def main(arguments: Sequence[str] | None = None) -> None:
    """The `instructgpt` command: exit 0, 2 on a user's mistake (one sentence), 1 on a failure."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # OpenMP's threads wait for each other by spinning. Where another program keeps a core busy, a
    # step can take 50 times as long; with short spins 2 to 3 times, idle the same.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the terminal lacks are no failure
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):  # what is no UTF-8 is refused where it is read
        sys.stdin.reconfigure(errors="surrogateescape")
    try:
        with stoppable():
            words = prepared(sys.argv[1:] if arguments is None else arguments)
            app(_with_default(words), exit_on_error=False, print_error=False)
    except SystemExit as ended:  # cyclopts' way to return
        if not ended.code and (others := _others()):
            others.leave()
        raise
    except UserError as error:
        _leave(str(error), 2)
    except CycloptsError as error:
        _leave(explained(error), 2)
    except KeyboardInterrupt:
        _leave("stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _leave(f"{place}{error.strerror or error}; check the path and its permissions", 2)
    except Exception as error:
        if os.environ.get("INSTRUCTGPT_TRACEBACK"):
            raise
        what = str(error) if isinstance(error, RuntimeError) and str(error) else repr(error)
        _leave(f"failed: {what} (set INSTRUCTGPT_TRACEBACK=1 to see where)", 1)


def _with_default(words: list[str]) -> list[str]:
    """`eval MODEL` is `eval tasks MODEL`."""
    group, *rest = words or [""]
    if group not in DEFAULTS or not rest or rest[0] in ("-h", "--help", "--version"):
        return words
    known = rest[0] in {name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{group} ")}
    return words if known else [group, DEFAULTS[group], *rest]


def _leave(sentence: str, status: int) -> None:
    sentence, others = str(UserError(sentence)), _others()  # one line, and nothing but text
    if others is None or others.fail(sentence):
        print(f"instructgpt: {sentence}", file=sys.stderr, flush=True)
    if others:
        os._exit(status)  # not waiting for the others, who may wait for this one
    sys.exit(status)


def _others() -> ModuleType | None:
    """`distributed.world`, if this process has joined others there."""
    world = sys.modules.get("instructgpt.distributed.world")
    return world if world and world.is_joined() else None
