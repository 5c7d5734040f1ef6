"""This file is where it is said what an experiment will cost before it runs, and whether it may.

The experiment runs ahead of itself (`battbeam.experiment.discrete_event`) on what is believed of the
cells: the passport's curve and a resistance. What breaks a hard budget is refused, with the number
and what would fit.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from battbeam.experiment.cost import Cost
from battbeam.experiment.description import Description
from battbeam.experiment.discrete_event import DiscreteEvent, Row
from battbeam.experiment.discrete_event_cell import ModelCell
from battbeam.experiment.dispatch import Lateness
from battbeam.experiment.fluence import FluenceMap, Light
from battbeam.experiment.forecast_light import active_material, brightest_pixel, transmission
from battbeam.experiment.forecast_result import CellForecast, Forecast, SpotForecast, hard_faults
from battbeam.experiment.forecast_spectrum import SpectrumForecast, spectrum_forecast
from battbeam.experiment.forecast_subject import (
    LONGEST_FORECAST,
    faults_of,
    first_time,
    reading_interval_of,
    remarks_of,
    strangers,
    subject_of,
)
from battbeam.experiment.forecast_tally import Tally, smear_fault
from battbeam.experiment.schedule import Due, Schedule


def _untold(row: Row) -> None:
    """Nobody wants to know."""


def forecast(
    description: Description | Sequence[Description],
    *,
    start: float | None = None,
    light: FluenceMap | None = None,
    duration: Callable[[Due, float], float] = lambda due, declared: declared,
    sink: Callable[[Row], None] = _untold,
) -> Forecast:
    """What will come of an experiment on one cell or on several that share a beamline.

    Args:
        description: Of each cell.
        start: When it begins, s since the Unix epoch; None is the first absolute time of the
            schedules, or 0 where there is none.
        light: What fell on the samples before.
        duration: How long a measurement takes, from what is due and its declared length.
        sink: Given every row as it comes.
    """
    descriptions = [description] if isinstance(description, Description) else list(description)
    faults = [fault for each in descriptions for fault in faults_of(each)]
    faults += strangers(descriptions)
    if faults or not descriptions:
        return Forecast(faults=tuple(faults or ["nothing is described"]))
    fallen = FluenceMap() if light is None else light
    begin = first_time(descriptions) if start is None else start
    if len(descriptions) == 1 and descriptions[0].sequence:
        return _sequence(descriptions[0], fallen.copy())

    def ran(cells: Sequence[Description], told: Callable[[Row], None] = _untold) -> "_Ran":
        return _run(cells, start=begin, light=fallen.copy(), duration=duration, sink=told)

    ahead = ran(descriptions, sink)
    found = _result(ahead)
    broken = [
        *_smear_faults(ahead, ran),
        *(
            f"{name}: {_ended(subject.cell, begin)}"
            for name, subject in ahead.event.subjects.items()
            if subject.cell.trip and name not in ahead.event.dispatcher.parked
        ),
        *hard_faults(found),
        *(
            [f"the experiment would be stopped: {ahead.event.stopped}"]
            if ahead.event.stopped
            else []
        ),
    ]
    return replace(found, faults=tuple(broken))


@dataclass(frozen=True)
class _Ran:
    """An experiment that ran ahead of itself."""

    descriptions: Sequence[Description]
    event: DiscreteEvent
    tallies: Mapping[str, Tally]


def _run(
    descriptions: Sequence[Description],
    *,
    start: float,
    light: FluenceMap,
    duration: Callable[[Due, float], float],
    sink: Callable[[Row], None],
) -> _Ran:
    tallies = {each.cell: Tally(each.costs) for each in descriptions}

    def keep(row: Row) -> None:
        tallies[row.due.cell].add(row)
        sink(row)

    event = DiscreteEvent(
        {each.cell: subject_of(each, start) for each in descriptions},
        descriptions[0].site,
        start=start,
        reading_interval=reading_interval_of(descriptions),
        sink=keep,
        duration=duration,
        light=light,
    )
    event.run(until=start + LONGEST_FORECAST)
    return _Ran(descriptions, event, tallies)


def _result(ran: _Ran) -> Forecast:
    event, tallies = ran.event, ran.tallies.values()
    length = event.clock.now() - event.start
    return Forecast(
        duration=event.site.set_up + length,
        cells=tuple(_cell(each, ran.tallies[each.cell], event) for each in ran.descriptions),
        n_frames=sum(tally.n_frames for tally in tallies),
        n_bytes=sum(tally.n_bytes for tally in tallies),
        busy=sum(tally.busy for tally in tallies) / max(length, 1e-9),
        remarks=tuple(remark for each in ran.descriptions for remark in remarks_of(each)),
        site=event.site,
    )


def _smear_faults(ran: _Ran, again: Callable[[Sequence[Description]], _Ran]) -> list[str]:
    """Rules that break their smear budget; what holding the cell would do is tried out."""
    broken = {
        each.cell: ran.tallies[each.cell].smear_breaks(each)
        for each in ran.descriptions
        if ran.tallies[each.cell].smear_breaks(each)
    }
    if not broken:
        return []
    names = {(cell, rule.name) for cell, found in broken.items() for rule, _ in found}
    held = again([_holding(each, names) for each in ran.descriptions])
    return [
        smear_fault(cell, rule, row, held.tallies[cell].worst_smear(rule.name))
        for cell, found in broken.items()
        for rule, row in found
    ]


def _holding(description: Description, names: Collection[tuple[str, str]]) -> Description:
    """The same with rules that hold the cell, those of these (cell, name)."""
    schedule = description.own_schedule
    if schedule is None:
        return description
    rules = tuple(
        rule.model_copy(update={"coupling": "hold_potential"})
        if (description.cell, rule.name) in names
        else rule
        for rule in schedule.rules
    )
    return replace(description, schedule=Schedule(rules=rules))


# After it ran.


def _cell(description: Description, tally: Tally, run: DiscreteEvent) -> CellForecast:
    cell = run.subjects[description.cell].cell
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
        spectra=_spectra(description),
    )


def _spectra(description: Description) -> tuple[SpectrumForecast, ...]:
    passport = description.passport
    if passport is None:
        return ()
    return tuple(
        spectrum_forecast(passport, each, description.site) for each in description.spectra
    )


def _ended(cell: ModelCell, start: float) -> str:
    if cell.trip:
        return f"the guard would trip after {cell.ended_at - start:.0f} s: {cell.trip}"
    return "to its end" if cell.is_over else "it never ends"


def _spots(description: Description, light: FluenceMap) -> tuple[SpotForecast, ...]:
    material = description.material
    if material is None and description.budget is not None:
        material = description.budget.material
    if material is None and description.passport is not None:
        material = active_material(description.passport)
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
        spectra=_spectra(description),
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
