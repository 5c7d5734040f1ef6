"""The demo of the schedule: two cells, one beam, judged by the hidden cells."""

import json
import subprocess
import sys

import numpy as np
import pytest

from battbeam.demo import two_cells_verdict as verdict
from battbeam.demo.two_cells import ScheduleOptions, hidden_truth, passports, protocols
from battbeam.demo.two_cells_experiment import ADDED, SCHEDULE, edit
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import Cadence
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.schedule import Schedule


def test_every_fault_of_the_options_is_said_at_once():
    with pytest.raises(PreflightError, match=r"speed must lie in 1 to 120, got 600") as refusal:
        ScheduleOptions(seed=-1, speed=600).check()
    assert len(refusal.value.faults) == 2


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_protocols_are_right_for_their_cells(seed):
    believed = passports(hidden_truth(ScheduleOptions(seed=seed)))
    for name, protocol in protocols().items():
        assert Protocol.read(protocol).faults(CellPassport.read(believed[name])) == []


def test_the_verdict_asks_for_what_the_schedule_says():
    schedule = Schedule.parse(SCHEDULE + ADDED)
    rules = {rule.name: rule for rule in schedule.rules}
    cadence = rules["top of charge"].when
    assert isinstance(cadence, Cadence)
    assert (cadence.rates[0].period, cadence.otherwise) == (verdict.DENSE, verdict.SPARSE)
    assert cadence.grace == verdict.LATEST
    assert rules["relaxed"].when.lead == verdict.LEAD
    assert rules["survey"].smear_max == verdict.SMEAR_MAX


def test_an_edit_adds_its_line_whole(tmp_path):
    path = tmp_path / "schedule.txt"
    path.write_text(SCHEDULE)
    edit(path, ADDED)
    assert path.read_text() == SCHEDULE + ADDED
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.ioc
@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2])
def test_every_check_holds(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "battbeam", "demo", "schedule", "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=420, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("relaxations", "slots above", "missed", "refused", "revisions"):
        assert wanted in names
    assert np.isfinite([check["recovered"] for check in result["checks"]]).all()
    assert (out / "operando_cells.png").stat().st_size > 50_000
