"""Every task from its file to its figures, with a tiny model, on invented rows."""

import json
import math
from importlib.util import find_spec

import pytest

from instructgpt.evaluation.benchmark.stage import run_tasks
from instructgpt.evaluation.tasks import TASKS, task_of
from instructgpt.rollout.policy import SFTModel
from tests.evaluation.tasks.rows import ROWS
from tests.tiny import byte_tokenizer, tiny_model


class LengthJudge:
    """Says yes the more surely the more there is to read."""

    quality = None

    def score(self, texts):
        lengths = [sum(map(len, text.values())) for text in texts]
        return [length / (length + 100) for length in lengths]


JUDGES = {name: LengthJudge() for name in ("truth", "info", "toxicity")}


@pytest.fixture(scope="module")
def policy():
    model = tiny_model(width=16, layers=1, context=4096)
    return SFTModel(model, byte_tokenizer(), template="plain")


def test_every_task_has_invented_rows():
    assert set(ROWS) == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_from_its_file_to_its_figures(name, policy, tmp_path):
    task = task_of(name)
    for package in task.needs:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    ROWS[name](tmp_path)
    for shots in (0, 2) if task.takes_shots else (0,):
        (result,) = run_tasks(
            policy, [name], data_dir=tmp_path, shots=shots, limit=4, judges=JUDGES
        ).values()
        assert result.status == "measured", result.reason
        assert (result.task, result.shots) == (name, shots)
        assert len(result.data) == 64
        assert {figure.metric for figure in result.figures} == {m.name for m in task.metrics}
        for figure in result.figures:
            assert (figure.status == "measured") is (figure.n > 0), figure
            if figure.status == "measured":
                assert math.isfinite(figure.estimate)
                assert not figure.estimate < figure.low  # of a single cluster there are no bounds
                assert not figure.estimate > figure.high
        json.dumps(result.to_json(), allow_nan=False)
