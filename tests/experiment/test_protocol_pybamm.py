"""A protocol written once runs on the simulated cell and, exported, in PyBaMM on the same cell."""

import importlib.util

import numpy as np
import pytest

from battbeam.experiment.protocol import Protocol, StepType
from battbeam.sim.scenario import Cell
from tests.experiment.round_trip import passport_of, run_here, run_in_pybamm

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 600},
        {
            "step": "gitt",
            "rate_C": "C/5",
            "pulse_charge_fraction": 0.1,
            "rest_time_s": 900,
            "count": 3,
        },
        {"step": "current_ramp", "start_rate_C": 0, "end_rate_C": 0.5, "until_time_s": 600},
        {"step": "tag", "tag": "cycle"},
        {"step": "constant_current", "rate_C": "C/2", "until_voltage_V": 3.7},
        {"step": "constant_voltage", "voltage_V": 3.7, "until_rate_C": "C/20"},
        {"step": "open_circuit_voltage", "until_time_s": 600},
        {"step": "constant_current", "rate_C": "D/2", "until_voltage_V": 2.8},
        {"step": "loop", "loop_to": "cycle", "cycle_count": 2},
    ],
}


@pytest.fixture
def truth():
    return Cell(voltage_noise=0.0)


@pytest.fixture
def passport(truth):
    return passport_of(truth)[1]


def test_the_runner_passes_the_charge_that_a_step_asks_for(truth, passport):
    pulses = Protocol.read({**PROTOCOL, "method": PROTOCOL["method"][:2]}).compile(passport).steps
    charges = run_here(truth, pulses)[:, 1]
    assert charges == pytest.approx([0, *[0.1 * passport.nominal_capacity, 0] * 3], rel=1e-6)


@pytest.mark.acceptance
@pytest.mark.skipif(
    importlib.util.find_spec("pybamm") is None,
    reason="PyBaMM is not installed: pip install battbeam[pybamm]; ./run acceptance does",
)
def test_a_protocol_runs_in_pybamm_as_on_the_simulated_cell(truth, passport):
    protocol = Protocol.read(PROTOCOL)
    compiled = protocol.compile(passport).steps
    here = run_here(truth, compiled)
    _, there = run_in_pybamm(protocol, passport, truth)
    assert len(there) == len(compiled)
    (seconds, charges), (wanted_seconds, wanted) = there.T, here.T
    for step, charge, other in zip(compiled, charges, wanted, strict=True):
        assert charge == pytest.approx(other, rel=0.02, abs=1e-6), step
    assert np.sum(np.abs(charges)) == pytest.approx(np.sum(np.abs(wanted)), rel=0.005)
    rests = [step.type is StepType.REST for step in compiled]
    assert seconds[rests] == pytest.approx(wanted_seconds[rests])
