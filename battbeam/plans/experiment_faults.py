"""This file is where an experiment is checked: rules, measurements, couplings, budgets, cells."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from battbeam.devices.beam import Beam
from battbeam.errors import PreflightError
from battbeam.experiment.conditions import EndOfRest
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.budgets import smear_fault
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.measurements import Measurement, OwnRun, Pattern, cost_of
from battbeam.plans.preflight import connection_faults, position_faults, reduction_faults
from battbeam.plans.watch import CellWatch


def schedule_faults(
    schedule: Schedule, measurements: Mapping[str, Measurement], cells: Mapping[str, CellWatch]
) -> list[str]:
    """What is wrong with the rules of an experiment, one sentence each."""
    faults = []
    for rule in schedule.rules:
        if rule.measure not in measurements:
            known = ", ".join(measurements)
            faults.append(f"rule {rule.name!r} measures {rule.measure!r}, which is none of {known}")
        if rule.cell not in cells:
            known = ", ".join(cells)
            faults.append(f"rule {rule.name!r} is on cell {rule.cell!r}, which is none of {known}")
        if rule.measure in measurements and rule.cell in cells:
            faults += _rule_faults(rule, measurements[rule.measure], cells[rule.cell])
    return faults


def _condition_faults(rule: Rule, cell: CellWatch) -> list[str]:
    """What a condition needs to know of the cell and does not, one sentence."""
    try:
        Schedule(rules=(rule,)).evaluator(passport=cell.passport, start=0.0)
    except ValueError as error:
        return [f"rule {rule.name!r}: {error}"]
    return []


def _coupling_faults(rule: Rule, cell: CellWatch) -> list[str]:
    """Whether the cell can be kept, and whether a rest could still be when its end is met."""
    when = rule.when
    if rule.coupling != "free_running" and not _is_commanded(cell):
        return [
            f"rule {rule.name!r}: {rule.coupling} needs a guard that commands the cycler, that of "
            f"cell {cell.name!r} only watches it; leave the coupling out"
        ]
    if rule.coupling != "step_then_measure" or not isinstance(when, EndOfRest) or when.lead > 0:
        return []
    return [
        f"rule {rule.name!r}: at the end of the rest nothing is left to be kept; give a lead, "
        "such as 'at the end of each rest, 30 s before'"
    ]


def _is_commanded(cell: CellWatch) -> bool:
    """Whether the guard commands the cycler; one that does not answer is told of elsewhere."""
    guard = cell.potentiostat
    return not guard.connected or int(guard.controls.value_now()) != 0


def _rule_faults(rule: Rule, measurement: Measurement, cell: CellWatch) -> list[str]:
    cost, faults = (
        cost_of(measurement),
        _condition_faults(rule, cell) + _coupling_faults(rule, cell),
    )
    what = f"rule {rule.name!r}: "
    if rule.smear_max is not None and cell.passport is None:
        faults.append(f"{what}a smear budget needs a cell passport")
    if rule.smear_max is not None and cost is None:
        faults.append(f"{what}a smear budget needs to know how long {rule.measure!r} takes (cost)")
    if cost is None:
        return faults
    longest = math.inf if rule.hold_maximum is None else rule.hold_maximum
    if rule.coupling != "free_running" and cost.duration > longest:
        faults.append(
            f"{what}the cell may be kept for {longest:g} s, {rule.measure!r} takes "
            f"{cost.duration:g} s; allow more or measure less"
        )
    if cell.passport is not None:
        refusal = smear_fault(rule, cell.passport, cell.steps, cost.smeared)
        faults += [what + refusal] if refusal else []
    return faults


def dose_faults(
    dose: Mapping[str, DoseBudget],
    cells: Mapping[str, CellWatch],
    measurements: Mapping[str, Measurement],
    beam: Beam,
    stage: Any,
) -> list[str]:
    """What is wrong with the budgets of light, one sentence each."""
    faults = [
        f"a dose budget is for cell {name!r}, which is none of {', '.join(cells)}"
        for name in dose
        if name not in cells
    ]
    if dose and beam.dose_meter is None:
        faults.append(f"a dose budget needs a dose meter, which {beam.name} has not")
    faults += [
        f"a dose budget of the experiment counts the light of {beam.name}, not that of "
        f"{one.unlimited}, in which {name!r} is measured: give that measurement a budget of its own"
        for name, one in measurements.items()
        if dose and isinstance(one, OwnRun) and one.unlimited
    ]
    for name, budget in dose.items():
        if budget.at_limit == "move" and stage is None:
            faults.append(f"dose budget of {name!r}: moving to a fresh spot needs the sample stage")
    return faults


def place_faults(
    cells: Mapping[str, CellWatch], measurements: Mapping[str, Measurement], stage: Any
) -> list[str]:
    """Places of cells and of spots on them that the sample stage does not reach."""
    placed = [cell for cell in cells.values() if cell.position is not None]
    if not placed:
        return []
    if stage is None:
        return ["cells have places on the sample stage: give the stage too"]
    if connection_faults([stage]):
        return []
    faults = []
    for cell in placed:
        x, y = cell.position or (0.0, 0.0)
        for name, measurement in measurements.items():
            if isinstance(measurement, Pattern):
                dx, dy = measurement.spot
                found = position_faults([(stage.x, x + dx), (stage.y, y + dy)])
                faults += [f"cell {cell.name!r}, measurement {name!r}: {each}" for each in found]
    return faults


def measurement_faults(measurements: Mapping[str, Measurement]) -> list[str]:
    """What is wrong with measurements, one sentence each."""
    faults = []
    for name, measurement in measurements.items():
        found = (
            own_run_faults(measurement)
            if isinstance(measurement, OwnRun)
            else pattern_faults(measurement)
        )
        faults += [f"measurement {name!r}: {fault}" for fault in found]
    return faults


def own_run_faults(measurement: OwnRun) -> list[str]:
    """What its plan refuses, one sentence each; only one that may be asked is."""
    faults = connection_faults(measurement.motors)
    if faults or not measurement.may_be_asked:
        return faults
    plan = measurement.plan({})
    try:
        next(plan, None)
    except PreflightError as error:
        return list(error.faults)
    finally:
        plan.close()
    return []


def pattern_faults(pattern: Pattern) -> list[str]:
    """What is wrong with a pattern, one sentence each."""
    how = pattern.exposure
    motors = [motor for motor, _ in pattern.positions]
    faults = connection_faults([*how.detectors, how.beam, *how.readables, *motors])
    for detector in how.detectors:
        faults += detector.train_faults(
            exposure=how.train.exposure, n_frames=how.train.n_frames, period=how.train.period
        )
    if not connection_faults(motors):
        faults += position_faults(pattern.positions)
    faults += exposure_faults(how.beam, how.budget, how.by_result)
    if pattern.sentinel is not None and not pattern.sentinel.which(pattern.spot):
        spots = pattern.sentinel
        faults.append(
            f"at {pattern.spot} mm it is neither at the exposed spot of its sentinel, "
            f"{spots.exposed}, nor at the control, {spots.control}"
        )
    return faults + reduction_faults(pattern.reduction)


def moved(measurements: Iterable[Measurement], stage: Any = None) -> list[Any]:
    """The motors that measurements move, each once, and those of a stage that changes cells."""
    motors: list[Any] = [] if stage is None else [stage.x, stage.y]
    for measurement in measurements:
        if isinstance(measurement, OwnRun):
            motors += measurement.motors
        else:
            motors += [motor for motor, _ in measurement.positions]
    return list(dict.fromkeys(motors))
