"""This file is where it is said what an experiment will cost before it runs, and whether it may.

The experiment runs ahead of itself (`battbeam.experiment.discrete_event`) on what is believed of the
cells: the passport's curve and a resistance. What breaks a hard budget is refused, with the number
and what would fit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from battbeam.errors import PreflightError
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import AREA_RESISTANCE, Description
from battbeam.experiment.discrete_event import DiscreteEvent, Row, Subject
from battbeam.experiment.discrete_event_cell import ModelCell
from battbeam.experiment.discrete_event_model import CellModel
from battbeam.experiment.dispatch import Lateness
from battbeam.experiment.fluence import FluenceMap, Light
from battbeam.experiment.forecast_curve import curve_of
from battbeam.experiment.forecast_light import brightest_pixel, transmission
from battbeam.experiment.forecast_result import CellForecast, Forecast, SpotForecast, hard_faults
from battbeam.experiment.forecast_tally import Tally
from battbeam.experiment.protocol import CompiledProtocol, Protocol
from battbeam.experiment.schedule import Due

#: Simulated days after which an experiment without an end is broken off.
LONGEST_FORECAST = 400 * 86400.0


def forecast(
    description: Description | Sequence[Description],
    *,
    start: float = 0.0,
    light: FluenceMap | None = None,
    duration: Callable[[Due, float], float] = lambda due, declared: declared,
    sink: Callable[[Row], None] = lambda row: None,
) -> Forecast:
    """What will come of an experiment on one cell or on several that share a beamline.

    Args:
        description: Of each cell.
        start: When it begins, s since the Unix epoch; absolute times of the schedules count.
        light: What fell on the samples before.
        duration: How long a measurement takes, from what is due and its declared length.
        sink: Given every row as it comes.
    """
    descriptions = [description] if isinstance(description, Description) else list(description)
    faults = [fault for each in descriptions for fault in _faults(each)]
    if faults or not descriptions:
        return Forecast(faults=tuple(faults or ["nothing is described"]))
    site = descriptions[0].site
    fallen = FluenceMap() if light is None else light.copy()
    if len(descriptions) == 1 and descriptions[0].sequence:
        return _sequence(descriptions[0], fallen)
    subjects = {each.cell: _subject(each, start) for each in descriptions}
    tallies = {each.cell: Tally(each.costs) for each in descriptions}

    def keep(row: Row) -> None:
        tallies[row.due.cell].add(row)
        sink(row)

    run = DiscreteEvent(subjects, site, start=start, sink=keep, duration=duration, light=fallen)
    run.run(until=start + LONGEST_FORECAST)
    cells = tuple(
        _cell(each, subjects[each.cell].cell, tallies[each.cell], run) for each in descriptions
    )
    found = Forecast(
        duration=site.set_up + run.clock.now() - start,
        cells=cells,
        n_frames=sum(tally.n_frames for tally in tallies.values()),
        n_bytes=sum(tally.n_bytes for tally in tallies.values()),
        busy=sum(tally.busy for tally in tallies.values()) / max(run.clock.now() - start, 1e-9),
        remarks=tuple(remark for each in descriptions for remark in _remarks(each)),
        site=site,
    )
    broken = [
        *(fault for each in descriptions for fault in tallies[each.cell].faults(each)),
        *(f"{cell.cell}: {cell.ended}" for cell in cells if subjects[cell.cell].cell.trip),
        *hard_faults(found),
        *([f"the experiment would be stopped: {run.stopped}"] if run.stopped else []),
    ]
    return replace(found, faults=tuple(broken))


# Before it runs.


def _faults(description: Description) -> list[str]:
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


def _subject(description: Description, start: float) -> Subject:
    model, protocol = believed(description), compiled(description)
    passport, schedule = description.passport, description.own_schedule
    if passport is None or schedule is None:
        raise PreflightError("forecast", _faults(description))
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


def _remarks(description: Description) -> list[str]:
    passport = description.passport
    if passport is None:
        return []
    model = believed(description)
    given = "given" if description.resistance is not None else f"{AREA_RESISTANCE:g} ohm cm2"
    return [
        f"{description.cell}: open-circuit curve {model.curve.source}, {model.resistance:.3g} ohm "
        f"({given}), surface follows in {model.relaxation:g} s. Ends of steps and state of charge "
        "hang on these: a resistance wrong by 10 ohm shifts a steep end of charge by seconds, a "
        f"flat one by minutes; a relaxation wrong by {model.relaxation:g} s shifts each end of a "
        "current by about as long."
    ]


# After it ran.


def _cell(
    description: Description, cell: ModelCell, tally: Tally, run: DiscreteEvent
) -> CellForecast:
    passport = run.subjects[description.cell].passport
    low, high = tally.states_of_charge
    first, last = passport.initial_state_of_charge, cell.state_of_charge
    contents = tuple(
        passport.lithium_content_from_charge(charge) for charge in (0.0, cell.state.charge)
    )
    site, longest = description.site, tally.longest_exposure
    through = [transmission(passport, content, site.beam.energy) for content in contents]
    brightest = brightest_pixel(passport, site.beam, site.detector, exposure=longest)
    parked = run.dispatcher.parked.get(description.cell)
    limits = [*tally.limits(description)]
    if parked is not None:
        limits.append(f"parked after {parked.time - run.start:.0f} s: {parked.reason}")
    return CellForecast(
        cell=description.cell,
        duration=min(cell.ended_at, run.clock.now()) - run.start,
        state_of_charge=(first, min(low, first, last), max(high, first, last), last),
        charge=cell.state.charge,
        throughput=cell.state.throughput,
        lithium_content=(contents[0], contents[1]),
        ended=_ended(cell, run.start),
        measurements=tally.measurements,
        spots=_spots(description, run.light),
        transmission=(through[0], through[1]),
        brightest_pixel=brightest,
        lateness=run.dispatcher.lateness[description.cell],
        missed=tally.missed,
        limits=tuple(limits),
    )


def _ended(cell: ModelCell, start: float) -> str:
    if cell.trip:
        return f"the guard would trip after {cell.ended_at - start:.0f} s: {cell.trip}"
    return "to its end" if cell.is_over else "it never ends"


def _spots(description: Description, light: FluenceMap) -> tuple[SpotForecast, ...]:
    material = description.material
    if material is None and description.budget is not None:
        material = description.budget.material
    uid, found = description.sample_uid, []
    for each in light.footprints(uid):
        place = (each.x, each.y)
        dose = math.nan if material is None else light.dose(uid, *place, each.size, material)
        fluence = light.fluence(uid, *place, each.size)
        found.append(SpotForecast(*place, each.photons, fluence, dose))
    return tuple(found)


# Without a schedule.


def _sequence(description: Description, light: FluenceMap) -> Forecast:
    """Measurements one after the other on a cell that is left alone."""
    site, tally, time = description.site, Tally(description.costs), 0.0
    for index, name in enumerate(description.sequence):
        cost = description.costs[name]
        due = Due(name, index, name, time, time, cell=description.cell)
        photons = _lit(description, cost, light, time)
        end = time + cost.duration
        tally.add(Row(due, time, end, smear=0.0, state_of_charge=math.nan, photons=photons))
        time = end
    cell = CellForecast(
        cell=description.cell,
        duration=time,
        measurements=tally.measurements,
        spots=_spots(description, light),
        lateness=Lateness(n_served=len(description.sequence)),
    )
    found = Forecast(
        duration=site.set_up + time,
        cells=(cell,),
        n_frames=tally.n_frames,
        n_bytes=tally.n_bytes,
        busy=1.0,
        site=site,
    )
    return replace(found, faults=tuple(hard_faults(found)))


def _lit(description: Description, cost: Cost, light: FluenceMap, time: float) -> float:
    beam, total = description.site.beam, 0.0
    for spot in cost.spots:
        photons = beam.photons(time, time + spot.exposure)
        lit = Light(spot.x, spot.y, beam.size, photons, beam.energy)
        light.add(description.sample_uid, lit)
        total, time = total + photons, time + spot.exposure
    return total
