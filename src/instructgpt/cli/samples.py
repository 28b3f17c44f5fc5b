"""`eval samples`: figures of texts that stand in files."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from instructgpt.cli.groups import HARDWARE, READS
from instructgpt.cli.use import Json, print_json
from instructgpt.errors import UserError
from instructgpt.run.progress import show

if TYPE_CHECKING:
    from instructgpt.evaluation.tasks.task import TextJudge


def _judge(kind: str, what: str) -> Any:
    return Parameter(
        name=[f"--{kind}_judge", f"--{kind}-judge"],
        metavar="MODEL",
        group=READS,
        help=f"who also says of each text whether it {what}",
    )


@Parameter(name="*")
@dataclass(frozen=True)
class JudgeFlags:
    """Who reads the texts anew, and where."""

    truth_judge: Annotated[str | None, _judge("truth", "is true")] = None
    info_judge: Annotated[str | None, _judge("info", "informs")] = None
    toxicity_judge: Annotated[str | None, _judge("toxicity", "is toxic")] = None
    device: Annotated[
        str,
        Parameter(metavar="TEXT", group=HARDWARE, help="of the judges: cpu, cuda, cuda:N, or auto"),
    ] = "auto"

    def opened(self) -> "dict[str, Callable[[], TextJudge]]":
        """What opens each, by kind; all of them are looked at first."""
        if not (self.truth_judge or self.info_judge or self.toxicity_judge):
            return {}
        from instructgpt.evaluation.judges import check_judges, open_judge, places_of

        check_judges(self)
        return {
            kind: partial(open_judge, place, kind, device=self.device)
            for kind, place in places_of(self).items()
        }


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
    judges: JudgeFlags | None = None,
    json: Json = False,
) -> None:
    """Score texts that any system wrote, as `eval` scores those of our models."""
    from instructgpt.evaluation.benchmark import samples as core
    from instructgpt.evaluation.benchmark.tell import side_by_side

    if not files:
        raise UserError("eval samples needs a file: give a csv, or JSON Lines with task and output")
    opened = judges.opened() if judges else {}
    found = core.read_samples(files, data_dir or "")
    results: dict[str, Any] = core.as_json(core.results_of(found))
    text = side_by_side(results)
    if opened:
        anew = core.judged_anew(found, opened)
        results["judged"] = core.as_json(core.results_of(anew))
        agreement = core.agreement(found, anew)
        results["agreement"] = core.agreement_json(agreement)
        text += "\n\nRead by the judges that were given:\n\n" + side_by_side(results["judged"])
        for task, own in agreement.items():
            for name, one in own.items():
                text += f"\n{task}: as the file's {name} at 0.5: {one.same}"
                text += f"\n{task}: AUC against it: {one.auc}" if one.auc else ""
    print_json(results) if json else show(text)
