"""This file is where a description becomes a cell that can run ahead, or is refused."""

import math
from collections.abc import Sequence
from dataclasses import replace

from battbeam.errors import PreflightError
from battbeam.experiment.description import AREA_RESISTANCE, Description
from battbeam.experiment.discrete_event import Subject
from battbeam.experiment.discrete_event_cell import ModelCell
from battbeam.experiment.discrete_event_model import CellModel
from battbeam.experiment.forecast_curve import curve_of
from battbeam.experiment.protocol import CompiledProtocol, Protocol

#: s after which an experiment without an end is broken off in a forecast: a bit over a year.
LONGEST_FORECAST = 400 * 86400.0
#: Readings of all cells in one forecast, about; some 30 microseconds each. Between 1 s and this
#: interval, s, they are so far apart: a rule is seen that late, at the most.
MOST_READINGS, LONGEST_INTERVAL = 60_000, 10.0


def faults_of(description: Description) -> list[str]:
    """Why nothing can be said at all, one sentence each."""
    cell, costs = description.cell, description.costs
    wanted = [rule.measure for rule in getattr(description.own_schedule, "rules", ())]
    faults = [
        f"{cell}: nothing says what {name!r} costs; known are {', '.join(costs) or 'none'}"
        for name in dict.fromkeys([*wanted, *description.sequence])
        if name not in costs
    ]
    faults += [f"{cell}: {why}" for each in description.spectra for why in each.grid.faults()]
    if description.spectra and description.passport is None:
        faults.append(f"{cell}: spectra need a passport: what is in the beam is not known")
    if description.sequence:
        return faults
    if description.passport is None or description.own_schedule is None:
        return [*faults, f"{cell}: a forecast needs a passport and a schedule, or a sequence"]
    if description.protocol is None:
        faults.append(f"{cell}: a schedule needs a protocol: without one the experiment has no end")
    else:
        protocol = Protocol.read(description.protocol)
        faults += [f"{cell}: {fault}" for fault in protocol.faults(description.passport)]
    try:
        description.curve or curve_of(description.passport)
        description.own_schedule.anchored(0.0).evaluator(passport=description.passport)
    except ValueError as error:
        faults.append(f"{cell}: {error}")
    return faults


def strangers(descriptions: Sequence[Description]) -> list[str]:
    """Cells that rules are on and nobody describes, one sentence each."""
    known = [each.cell for each in descriptions]
    rules = [rule for each in descriptions for rule in getattr(each.schedule, "rules", ())]
    faults = {
        rule.cell: f"rule {rule.name!r} is on {rule.cell}; described are {', '.join(known)}"
        for rule in rules
        if rule.cell not in known
    }
    return list(faults.values())


def first_time(descriptions: Sequence[Description]) -> float:
    """The first absolute time of all schedules, s since the Unix epoch; 0 where there is none."""
    schedules = [each.schedule for each in descriptions if each.schedule is not None]
    found = [time for each in schedules for time in _starts(each.model_dump())]
    return min(found, default=0.0)


def _starts(document: object) -> list[float]:
    if isinstance(document, dict):
        start = document.get("start")
        own = [float(start)] if isinstance(start, int | float) else []
        return own + [time for value in document.values() for time in _starts(value)]
    if isinstance(document, list | tuple):
        return [time for value in document for time in _starts(value)]
    return []


def compiled(description: Description) -> CompiledProtocol | None:
    """The protocol as it would run; None without one."""
    if description.protocol is None or description.passport is None:
        return None
    return Protocol.read(description.protocol).compile(description.passport)


def believed(description: Description) -> CellModel:
    """What is believed of a described cell.

    Raises:
        PreflightError: If it has no passport.
    """
    passport = description.passport
    if passport is None:
        raise PreflightError(
            "forecast", [f"{description.cell}: no passport, no cell to believe in"]
        )
    resistance = description.resistance
    return CellModel.of(
        passport,
        description.curve or curve_of(passport),
        resistance=AREA_RESISTANCE / passport.electrode_area if resistance is None else resistance,
        relaxation=description.relaxation,
    )


def subject_of(description: Description, start: float) -> Subject:
    """A described cell, ready to run ahead.

    Raises:
        PreflightError: If it is not described well enough.
    """
    model, protocol = believed(description), compiled(description)
    passport, schedule = description.passport, description.own_schedule
    if passport is None or schedule is None:
        raise PreflightError("forecast", faults_of(description))
    window = passport.window if protocol is None else protocol.window
    steps = () if protocol is None else protocol.steps
    charge_max = math.inf if protocol is None else protocol.charge_max or math.inf
    return Subject(
        cell=ModelCell(model, steps, window=window, start=start, charge_max=charge_max),
        schedule=schedule.anchored(start),
        costs=description.costs,
        passport=passport,
        budget=description.budget,
        parking=description.parking,
    )


def reading_interval_of(descriptions: Sequence[Description]) -> float:
    """s between two looks at the cells: the site's, or as close together as is still quick."""
    asked = descriptions[0].site.reading_interval
    if asked is not None:
        return asked
    longest = max(_alone(each, 1.0)[0] for each in descriptions)
    return min(max(longest * len(descriptions) / MOST_READINGS, 1.0), LONGEST_INTERVAL)


def remarks_of(description: Description) -> list[str]:
    """What a forecast rests on, and how far it moves when that is wrong."""
    if description.passport is None:
        return []
    model = believed(description)
    given = "given" if description.resistance is not None else f"{AREA_RESISTANCE:g} ohm cm2"
    return [
        f"{description.cell}: open-circuit curve {model.curve.source}, {model.resistance:.3g} ohm "
        f"({given}), surface follows in {model.relaxation:g} s; {_spread(description)}"
    ]


def _spread(description: Description) -> str:
    """How long the protocol alone takes if resistance and relaxation are wrong by half."""
    if description.protocol is None:
        return "no protocol, nothing to be wrong about"
    times, states = zip(*(_alone(description, share) for share in (0.5, 1.5)), strict=True)
    return (
        f"with half and one and a half of both the protocol takes {min(times):.0f} to "
        f"{max(times):.0f} s and ends at a state of charge of {min(states):.3f} to "
        f"{max(states):.3f}"
    )


def _alone(description: Description, share: float) -> tuple[float, float]:
    """How long the protocol takes without any measurement and where it ends, with a share of
    resistance and relaxation.
    """
    protocol = compiled(description)
    if protocol is None:
        return 0.0, math.nan
    model = believed(description)
    wrong = replace(model, resistance=model.resistance * share, relaxation=model.relaxation * share)
    cell = ModelCell(wrong, protocol.steps, window=protocol.window, start=0.0)
    cell.advance(LONGEST_FORECAST)
    return cell.ended_at, cell.state_of_charge
