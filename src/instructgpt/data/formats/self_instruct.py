"""Self-Instruct's tasks: an instruction and its instances, of which each is a demonstration."""

from collections import Counter

from instructgpt.data.formats.fields import demonstration, joined, others, text
from instructgpt.data.formats.format import Converted, Format, Skip
from instructgpt.data.formats.reasons import Reason
from instructgpt.data.formats.turns import objects
from instructgpt.data.jsonl import Row
from instructgpt.data.records import Demonstration, Record

_USED = ("instruction", "instances")


def to_demonstrations(row: Row) -> Converted:
    """A demonstration of each instance; those without an output are left out.

    Raises:
        ValueError: a field is bad, or no instance has an output.
    """
    instruction, columns = text(row, "instruction"), others(row, _USED, Demonstration)
    records: list[Record] = []
    left_out: Counter[Reason] = Counter()
    for number, instance in enumerate(objects(row.get("instances"), "instances")):
        at = f"instances.{number}."
        prompt = joined(instruction, instance.get("input"), f"{at}input")
        output = text(instance, "output", at=at)
        if output.strip():
            own = {**columns, **others(instance, ("input", "output"), Demonstration)}
            records.append(demonstration(prompt, output, own))
        else:
            left_out[Reason.EMPTY_ANSWER] += 1
    if not records:
        raise Skip(Reason.EMPTY_ANSWER, "instances: every output is empty")
    return Converted(records, left_out)


def fits(row: Row) -> bool:
    """Whether the row has an instruction and instances."""
    return isinstance(row.get("instruction"), str) and isinstance(row.get("instances"), list)


FORMAT = Format(
    name="self-instruct",
    main=Demonstration,
    readers={Demonstration: to_demonstrations},
    fits=fits,
    example={
        "id": "seed_task_900",
        "name": "greet",
        "instruction": "Write a greeting.",
        "instances": [{"input": "", "output": "Good day."}],
        "is_classification": False,
    },
    says="Self-Instruct's seed tasks and user-oriented instructions",
)
