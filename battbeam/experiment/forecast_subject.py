"""This file is where a description becomes a cell that can run ahead, or is refused."""

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


def faults_of(description: Description) -> list[str]:
    """Why nothing can be said at all, one sentence each."""
    cell, costs = description.cell, description.costs
    wanted = [rule.measure for rule in getattr(description.own_schedule, "rules", ())]
    faults = [
        f"{cell}: nothing says what {name!r} costs; known are {', '.join(costs) or 'none'}"
        for name in dict.fromkeys([*wanted, *description.sequence])
        if name not in costs
    ]
    if description.sequence:
        return faults
    if description.passport is None or description.own_schedule is None:
        return [*faults, f"{cell}: a forecast needs a passport and a schedule, or a sequence"]
    if description.protocol is not None:
        protocol = Protocol.read(description.protocol)
        faults += [f"{cell}: {fault}" for fault in protocol.faults(description.passport)]
    try:
        description.curve or curve_of(description.passport)
        description.own_schedule.anchored(0.0).evaluator(passport=description.passport)
    except ValueError as error:
        faults.append(f"{cell}: {error}")
    return faults


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
    return Subject(
        cell=ModelCell(model, steps, window=window, start=start),
        schedule=schedule.anchored(start),
        costs=description.costs,
        passport=passport,
        budget=description.budget,
        parking=description.parking,
    )


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
    protocol, found = compiled(description), []
    if protocol is None or description.passport is None:
        return "no protocol, nothing to be wrong about"
    model = believed(description)
    for share in (0.5, 1.5):
        wrong = replace(
            model, resistance=model.resistance * share, relaxation=model.relaxation * share
        )
        cell = ModelCell(wrong, protocol.steps, window=protocol.window, start=0.0)
        cell.advance(LONGEST_FORECAST)
        found.append((cell.ended_at, cell.state_of_charge))
    times, states = zip(*sorted(found), strict=True)
    return (
        f"with half and one and a half of both the protocol takes {times[0]:.0f} to {times[1]:.0f} s "
        f"and ends at a state of charge of {min(states):.3f} to {max(states):.3f}"
    )
