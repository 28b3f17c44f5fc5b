"""The one list of stages leads to what is there."""

from inspect import signature

import pytest

from instructgpt.report.read import kinds
from instructgpt.run.config import Config
from instructgpt.run.stages import KINDS, _imported


@pytest.mark.parametrize("name", KINDS)
def test_a_stage_leads_to_its_parts(name):
    kind = KINDS[name]
    assert issubclass(kind.config, Config)
    assert list(signature(kind.look).parameters)[:2] == ["config", "outlook"]
    parameters = signature(_imported(kind.run_at)).parameters
    assert next(iter(parameters)) == "config"
    assert ("stage" in parameters) == kind.takes_name


def test_the_report_knows_every_stage():
    assert set(kinds.KINDS) == set(KINDS)
