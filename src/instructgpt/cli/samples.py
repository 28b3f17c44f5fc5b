"""`eval samples`: figures of texts that stand in files."""

from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from instructgpt.cli.groups import HARDWARE, READS
from instructgpt.cli.use import Json, print_json
from instructgpt.errors import UserError
from instructgpt.run.progress import show


def _judge(kind: str, what: str) -> Any:
    return Parameter(
        name=[f"--{kind}_judge", f"--{kind}-judge"],
        metavar="MODEL",
        group=READS,
        help=f"who also says of each answer whether it {what}",
    )


def samples(
    *files: Annotated[str, Parameter(metavar="FILE", help="files of texts")],
    data_dir: Annotated[
        str | None,
        Parameter(
            name=["--data_dir", "--data-dir"],
            metavar="FOLDER",
            group=READS,
            help="folder of the benchmarks' own files, for texts that have no references",
        ),
    ] = None,
    truth_judge: Annotated[str | None, _judge("truth", "is true")] = None,
    info_judge: Annotated[str | None, _judge("info", "informs")] = None,
    toxicity_judge: Annotated[str | None, _judge("toxicity", "is toxic")] = None,
    device: Annotated[
        str,
        Parameter(metavar="TEXT", group=HARDWARE, help="of the judges: cpu, cuda, cuda:N, or auto"),
    ] = "auto",
    json: Json = False,
) -> None:
    """Score texts that any system wrote, as `eval` scores those of our models."""
    from instructgpt.evaluation.benchmark.samples import (
        agreement,
        as_json,
        judged_anew,
        read_samples,
        results_of,
    )
    from instructgpt.evaluation.benchmark.tell import side_by_side

    if not files:
        raise UserError("eval samples needs a file: give a csv, or JSON Lines with task and output")
    places = {"truth": truth_judge, "info": info_judge, "toxicity": toxicity_judge}
    found = read_samples(files, data_dir or "")
    results: dict[str, Any] = as_json(results_of(found))
    text = side_by_side(results)
    if judges := _opened({kind: place for kind, place in places.items() if place}, device):
        anew = judged_anew(found, judges)
        results["judged"] = as_json(results_of(anew))
        same = agreement(found, anew)
        results["agreement"] = {
            task: {name: asdict(one) for name, one in own.items()} for task, own in same.items()
        }
        text += "\n\nread by the judges that were given\n\n" + side_by_side(results["judged"])
        for task, own in same.items():
            for name, one in own.items():
                text += f"\n{task}: same {name} as the file's at 0.5: {one}"
    print_json(results) if json else show(text)


def _opened(places: dict[str, str], device: str) -> dict[str, Any]:
    if not places:
        return {}
    from instructgpt.evaluation.judges import open_judge

    return {kind: open_judge(place, kind, device=device) for kind, place in places.items()}
