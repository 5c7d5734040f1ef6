"""A protocol on the simulated cell without a guard, and in PyBaMM on a cell with the same parameters."""

import json
import math
import os
from itertools import pairwise

import numpy as np

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import StepType
from battbeam.experiment.protocol_export import export_protocol
from battbeam.sim.cell import HalfCell
from battbeam.sim.kinetics import LEAD_RESISTANCE, thermal_voltage
from battbeam.sim.lithium import full_capacity
from battbeam.sim.open_circuit import open_circuit
from battbeam.sim.working import HYSTERESIS_WIDTH

#: s between two looks of the runner at the cell.
TICK = 1.0


def passport_of(truth):
    """Of the simulated cell."""
    mass = truth.active_loading * truth.electrode_area
    document = {
        **EXAMPLE,
        "active_mass": mass,
        "electrode_area": truth.electrode_area,
        "nominal_capacity": round(full_capacity(truth), 3),
    }
    return document, CellPassport.read(document)


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


def run_in_pybamm(protocol, passport, truth):
    """What is exported for PyBaMM, run there: the sentences, and s and mAh of each step."""
    os.environ["PYBAMM_DISABLE_TELEMETRY"] = "true"
    import pybamm

    compiled = protocol.compile(passport).steps
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
    sentences = [exported[a] for a in ends[:-1]]
    return sentences, np.array([np.sum(there[a:b], axis=0) for a, b in pairwise(ends)])


def in_pybamm(step):
    """s and mAh of one step of PyBaMM's solution."""
    time, current = step["Time [s]"].entries, -step["Current [A]"].entries
    return time[-1] - time[0], np.trapezoid(current, time) / 3.6
