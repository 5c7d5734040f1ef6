import json

import pytest

from battbeam.errors import PreflightError
from battbeam.guard.config import GuardConfig
from battbeam.guard.policy import Occasion, Policy

GOOD = {
    "prefix": "X:",
    "log": "log.jsonl",
    "hard_limits": {"voltage_min": 2.0, "voltage_max": 4.0, "current_max": 0.01},
    "driver": {"prefix": "E:", "file_prefix": "/data/cell1"},
    "policies": {"failure": "open_circuit"},
}


def test_a_configuration_is_read(tmp_path):
    path = tmp_path / "guard.json"
    path.write_text(json.dumps(GOOD))
    config = GuardConfig.read(path)
    assert config.hard_limits.window.voltage_max == 4.0
    assert config.policies[Occasion.FAILURE] is Policy.OPEN_CIRCUIT


def test_policies_that_are_left_out_keep_their_defaults(tmp_path):
    path = tmp_path / "guard.json"
    path.write_text(json.dumps(GOOD))
    assert set(GuardConfig.read(path).policies) == set(Occasion)


def test_every_fault_of_a_configuration_is_told(tmp_path):
    path = tmp_path / "guard.json"
    with pytest.raises(PreflightError, match="the file is missing"):
        GuardConfig.read(path)
    limits = {"voltage_min": 4.0, "voltage_max": 2.0, "current_max": 0.01}
    path.write_text(json.dumps({**GOOD, "hard_limits": limits, "log": None, "more": 1}))
    with pytest.raises(PreflightError, match="must be below voltage_max") as refusal:
        GuardConfig.read(path)
    assert len(refusal.value.faults) == 3
