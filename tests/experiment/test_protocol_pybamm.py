"""A protocol written once runs on the simulated cell and, exported, in PyBaMM on the same cell."""

import importlib.util
import json
import math
import os
from itertools import pairwise

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import Protocol, StepType
from battbeam.experiment.protocol_export import export_protocol
from battbeam.sim.cell import HYSTERESIS_WIDTH, LEAD_RESISTANCE, HalfCell, full_capacity
from battbeam.sim.kinetics import thermal_voltage
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.scenario import Cell

#: s between two looks of the runner at the cell.
TICK = 1.0
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
    mass = truth.active_loading * truth.electrode_area
    document = {
        **EXAMPLE,
        "active_mass": mass,
        "electrode_area": truth.electrode_area,
        "nominal_capacity": round(full_capacity(truth), 3),
    }
    return CellPassport.read(document)


def run_step(cell, step):
    """One step on the simulated cell, as a cycler would run it: s and mAh."""
    begun, seconds = cell.charge, 0.0
    longest = math.inf if step.duration is None else step.duration
    while seconds < longest - 1e-9:
        tick = min(TICK, longest - seconds)
        if step.type is StepType.CONSTANT_VOLTAGE:
            cell.step(tick, voltage=step.voltage)
        elif step.type is StepType.CURRENT_RAMP:
            part = (seconds + tick / 2) / step.duration
            cell.step(tick, current=step.current + part * (step.current_end - step.current))
        else:
            cell.step(tick, current=step.current or 0.0)
        seconds += tick
        charge = (cell.charge - begun) / 3.6
        if step.until_charge is not None and abs(charge) >= step.until_charge - 1e-12:
            break
        if step.until_current is not None and abs(cell.current) <= step.until_current:
            break
        until = step.until_voltage
        if until is not None and step.direction * (cell.voltage - until) >= 0:
            break
    return seconds, (cell.charge - begun) / 3.6


def run_here(truth, steps):
    cell = HalfCell(truth)
    return np.array([run_step(cell, step) for step in steps])


def test_the_runner_passes_the_charge_that_a_step_asks_for(truth, passport):
    pulses = Protocol.read({**PROTOCOL, "method": PROTOCOL["method"][:2]}).compile(passport).steps
    charges = run_here(truth, pulses)[:, 1]
    assert charges == pytest.approx([0, *[0.1 * passport.nominal_capacity, 0] * 3], rel=1e-6)


def pybamm_cell(pybamm, truth):
    """The simulated cell as a PyBaMM model; its current is positive on discharge."""
    model = pybamm.BaseModel(name="simulated cell")
    model.options, model.param, model.summary_variables = {}, pybamm.EcmParameters(), []
    model.param.Q, model.param.A_cc = pybamm.Scalar(1.0), pybamm.Scalar(1.0)
    content = pybamm.Variable("Lithium content")
    lag = pybamm.Variable("Lag")
    branch = pybamm.Variable("Branch")
    discharge = model.param.current_with_time
    current = -discharge
    capacity = full_capacity(truth) * 3.6
    stored = current * pybamm.minimum(1.0, 1 + (truth.coulombic_efficiency - 1) * (current > 0))
    sign = 2 * (current >= 0) - 1
    model.rhs = {
        content: -stored / capacity,
        lag: (stored / capacity * truth.diffusion_time - lag) / truth.diffusion_time,
        branch: (sign - branch) * pybamm.AbsoluteValue(current) / capacity / HYSTERESIS_WIDTH,
    }
    model.initial_conditions = {
        content: pybamm.Scalar(truth.initial_lithium_content),
        lag: pybamm.Scalar(0.0),
        branch: pybamm.Scalar(0.0),
    }
    voltage = cell_voltage(pybamm, truth, content - lag, branch, current)
    model.variables = {
        "Time [s]": pybamm.t,
        "Current [A]": discharge,
        "Current variable [A]": discharge,
        "Voltage [V]": voltage,
        "Battery voltage [V]": voltage,
        "Lithium content": content,
    }
    return model


def cell_voltage(pybamm, truth, surface, branch, current):
    """Open-circuit curve, hysteresis, resistance and kinetics of the simulated cell."""
    curve, thermal = open_circuit(truth.chemistry), thermal_voltage(truth.temperature)
    near = np.geomspace(1e-6, 1, 200)[:-1]
    contents = np.unique(
        np.concatenate(
            [
                curve.low + (curve.start - curve.low) * near,
                np.linspace(curve.start, curve.end, 3201),
                curve.high - (curve.high - curve.end) * near,
            ]
        )
    )
    voltages = np.array([curve.voltage(x) for x in contents])
    # A solver's step may look beyond both ends before an event is found.
    surface = pybamm.maximum(pybamm.minimum(surface, contents[-1]), contents[0])
    voltage = pybamm.Interpolant(contents, voltages, surface, interpolator="linear")
    voltage += truth.hysteresis * branch + current * (truth.resistance + LEAD_RESISTANCE)
    place = (surface - curve.low) / (curve.high - curve.low)
    exchange = thermal / truth.kinetic_resistance * 2 * pybamm.sqrt(place * (1 - place))
    voltage += 2 * thermal * pybamm.arcsinh(current / (2 * exchange))
    if truth.counter.kinetic_resistance > 0:
        counter = thermal / truth.counter.kinetic_resistance
        voltage += 2 * thermal * pybamm.arcsinh(current / (2 * counter))
    return voltage


@pytest.mark.acceptance
@pytest.mark.skipif(
    importlib.util.find_spec("pybamm") is None,
    reason="PyBaMM is not installed: pip install battbeam[pybamm]; ./run acceptance does",
)
def test_a_protocol_runs_in_pybamm_as_on_the_simulated_cell(truth, passport):
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    import pybamm

    protocol = Protocol.read(PROTOCOL)
    compiled = protocol.compile(passport).steps
    here = run_here(truth, compiled)
    exported = json.loads(export_protocol(protocol, passport, format="pybamm").text)
    simulation = pybamm.Simulation(
        pybamm_cell(pybamm, truth),
        parameter_values=pybamm.ParameterValues({"Current function [A]": 0.0}),
        experiment=pybamm.Experiment(exported, period="10 seconds"),
        solver=pybamm.IDAKLUSolver(rtol=1e-8, atol=1e-10, options={"dt_max": 60.0}),
    )
    there = [in_pybamm(step) for cycle in simulation.solve().cycles for step in cycle.steps]

    # The ramp is a staircase there: its stairs are one step again.
    ramp = [step.type for step in compiled].index(StepType.CURRENT_RAMP)
    stairs = len(exported) - len(compiled) + 1
    ends = [*range(ramp + 1), *range(ramp + stairs, len(there) + 1)]
    joined = np.array([np.sum(there[a:b], axis=0) for a, b in pairwise(ends)])
    assert len(joined) == len(compiled)
    (seconds, charges), (wanted_seconds, wanted) = joined.T, here.T
    for step, charge, other in zip(compiled, charges, wanted, strict=True):
        assert charge == pytest.approx(other, rel=0.02, abs=1e-6), step
    assert np.sum(np.abs(charges)) == pytest.approx(np.sum(np.abs(wanted)), rel=0.005)
    rests = [step.type is StepType.REST for step in compiled]
    assert seconds[rests] == pytest.approx(wanted_seconds[rests])


def in_pybamm(step):
    """s and mAh of one step of PyBaMM's solution."""
    time, current = step["Time [s]"].entries, -step["Current [A]"].entries
    return time[-1] - time[0], np.trapezoid(current, time) / 3.6
