"""This file is where measurements are kept in step with cycling cells.

One outer run for the experiment, a series run a rule, and a run of its own for each map. The cells
are their guards': this plan starts them or joins them, watches them, and tells the guards how it
ended. It never stops them.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import RunEngineControlException

from battbeam.devices.beam import Beam
from battbeam.devices.channel import Channel
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.clock import Clock
from battbeam.experiment.dispatch import Dispatcher, Parking
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.schedule import Agenda, Schedule
from battbeam.plans.edits import Revision, Revisions, ScheduleFile, file_faults
from battbeam.plans.experiment_faults import (
    dose_faults,
    measurement_faults,
    moved,
    place_faults,
    schedule_faults,
)
from battbeam.plans.following import Follower
from battbeam.plans.gap import Earlier, write_gap
from battbeam.plans.measurements import Measurement, cost_of, detectors_of
from battbeam.plans.preflight import (
    cell_faults,
    connection_faults,
    guard_faults,
    refuse,
)
from battbeam.plans.preprocessors import (
    contained,
    positions_put_back,
    recorded,
    run,
    shutter_closed_after,
)
from battbeam.plans.service import Service
from battbeam.plans.stubs import Plan, finished
from battbeam.plans.team import cells_of, identity, travel_between
from battbeam.plans.waking import Wake
from battbeam.plans.watch import CellWatch, Watch

__all__ = ["RUN_KEY", "identity", "operando"]

_log = logging.getLogger(__name__)

#: Run key of the outer run.
RUN_KEY = "operando"


def operando(
    schedule: Schedule,
    measurements: Mapping[str, Measurement],
    *,
    potentiostat: Potentiostat | Mapping[str, Potentiostat],
    beam: Beam,
    clock: Clock,
    protocol: Mapping[str, Any] | None = None,
    protocols: Mapping[str, Mapping[str, Any]] | None = None,
    policies: Mapping[str, str] | None = None,
    stage: SampleStage | None = None,
    cell_positions: Mapping[str, tuple[float, float]] | None = None,
    parking: Mapping[str, Parking] | None = None,
    dose: Mapping[str, DoseBudget] | None = None,
    schedule_file: Path | None = None,
    channels: Sequence[Channel] = (),
    resumes: str | Earlier | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Measure whenever a rule on a cell says so, until every protocol has ended.

    Parameters
    ----------
    schedule : Schedule
        Rules, the most important first; each names a measurement and the cell that it is on.
    measurements : dict of Measurement
        By that name: a `Pattern` of a series, or a plan with a run of its own.
    potentiostat : Potentiostat or dict of Potentiostat
        The cell's, or those of several by the cells' names; this session must own them.
    beam : Beam
        Its shutter is closed at the end.
    clock : Clock
        The session's.
    protocol : dict, optional
        To load and start, of a single cell; None joins a cell that is cycling, or that somebody
        else's software will start: where its guard only watches, it may be at rest at first.
    protocols : dict of dict, optional
        The same by cell; a cell without one is joined.
    policies : dict, optional
        What the guards do on ``pause``, ``beam_loss``, ``plan_end``, ``failure`` and
        ``client_loss``.
    stage : SampleStage, optional
        Moves the cells; positions of patterns on it are in the frame of the cell.
    cell_positions : dict, optional
        (x, y) of the stage with the middle of each cell in the beam, mm.
    parking : dict of Parking, optional
        By cell, when it is given up by the beamline and what then happens to it.
    dose : dict of DoseBudget, optional
        By cell, a limit of light and what is done at it.
    schedule_file : Path, optional
        The running schedule as text; whoever edits it changes the schedule.
    channels : list of Channel, optional
        What is recorded meanwhile at its own rate, in the outer run: the mass spectrometer.
    resumes : str or Earlier, optional
        The operando run that this one goes on with; the gap between them is recorded.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the operando run.
    """
    cells = cells_of(schedule, potentiostat, protocol, protocols or {}, cell_positions or {}, md)
    wanted = {name: _protocol_of(name, protocol, protocols) for name in cells}
    beside = [channel.signal.parent for channel in channels]
    asked: list[str] = []
    for name, one in wanted.items():
        asked += yield from guard_faults(cells[name].potentiostat, one)
    refuse(
        "operando",
        connection_faults([*(cell.potentiostat for cell in cells.values()), beam, *beside]),
        schedule_faults(schedule, measurements, cells),
        measurement_faults(measurements),
        place_faults(cells, measurements, stage),
        dose_faults(dose or {}, cells, measurements, beam, stage),
        *(cell_faults(cells[name].potentiostat, one) for name, one in wanted.items()),
        asked,
        file_faults(schedule_file),
    )
    earlier = resumes if isinstance(resumes, Earlier) else None
    motors = moved(measurements.values(), stage if cell_positions or dose else None)
    said = {
        "kind": "operando",
        "plan_name": "operando",
        "technique": "XRD",
        "schedule": schedule.model_dump(mode="json"),
        "policies": dict(policies or {}),
        "joined": not any(wanted.values()),
        "channels": [channel.name for channel in channels],
        "resumes": earlier.uid if earlier else resumes or "",
        "experiment": str(uuid.uuid4()),
        **_said_of(cells, wanted),
        **(md or {}),
    }

    wake = Wake()

    def followed(service: Service) -> Plan:
        # The first slot is the start: whatever takes long comes before it.
        yield from service.get_ready()
        yield from _started(cells, wanted, policies)
        now = clock.now()
        start = now if earlier is None else earlier.start
        if earlier is not None:
            yield from write_gap(earlier, now)
        watch = Watch(list(cells.values()), beam, clock, detectors_of(measurements.values()))
        agendas = {
            name: _agenda(schedule.for_cell(name), cells[name], start, now)
            for name in schedule.cells
        }
        dispatcher = _dispatcher(agendas, measurements, cells, stage, clock, parking)
        # So that it is known what holds when the first slots are due.
        for name in agendas:
            dispatcher.feed(name, cells[name].reading(now), now)

        def edit_faults(edited: Schedule) -> list[str]:
            without = [name for name in dispatcher.agendas if name not in edited.cells]
            return schedule_faults(edited, measurements, cells) + [
                f"cell {name!r} is left without a rule; leave one" for name in without
            ]

        file = ScheduleFile(schedule_file, edit_faults)
        file.write(schedule)
        revisions = Revisions(start)
        yield from revisions.write(Revision(schedule), now)
        wake.watch([cell.potentiostat for cell in cells.values()])
        yield from Follower(schedule, dispatcher, service, watch, file, revisions, wake).follow()

    def experiment(uid: str) -> Plan:
        service = Service(uid, measurements, cells, beam, clock, stage=stage, dose=dose)
        service.expect(schedule.rules)

        def closed() -> Plan:
            wake.forget()
            yield from service.close()

        safe = positions_put_back(shutter_closed_after(followed(service), beam), motors)
        told = _told(safe, [cell.potentiostat for cell in cells.values()])
        yield from bpp.finalize_wrapper(told, closed)

    outer = bpp.set_run_key_wrapper(run(experiment, said), RUN_KEY)
    return (yield from recorded(outer, channels))


def _protocol_of(
    name: str,
    protocol: Mapping[str, Any] | None,
    protocols: Mapping[str, Mapping[str, Any]] | None,
) -> Mapping[str, Any] | None:
    return protocol if protocols is None else protocols.get(name)


def _said_of(
    cells: Mapping[str, CellWatch], wanted: Mapping[str, Mapping[str, Any] | None]
) -> dict[str, Any]:
    """The cells in the outer run's start document; a single one stands there by itself too."""
    protocols = {name: dict(one) if one else {} for name, one in wanted.items()}
    told = {name: identity(cell.potentiostat) for name, cell in cells.items()}
    if len(cells) == 1:
        ((name, only),) = told.items()
        return {"protocol": protocols[name], **only, "cells": told}
    return {"protocols": protocols, "cells": told}


def _started(
    cells: Mapping[str, CellWatch],
    wanted: Mapping[str, Mapping[str, Any] | None],
    policies: Mapping[str, str] | None,
) -> Plan:
    """Declare the policies, load every protocol, and only then start them."""
    for name, cell in cells.items():
        if policies:
            yield from finished(cell.potentiostat.declare(policies))
        if (protocol := wanted[name]) is not None:
            yield from finished(cell.potentiostat.load(protocol))
    for name, cell in cells.items():
        if wanted[name] is not None:
            yield from finished(cell.potentiostat.start())


def _agenda(schedule: Schedule, cell: CellWatch, start: float, now: float) -> Agenda:
    """One that begins now; what was due before, of clocks that began earlier, is the gap's."""
    agenda = Agenda(schedule.evaluator(passport=cell.passport, start=start))
    if start < now:
        agenda.look(now)
        agenda.missed()
    return agenda


def _dispatcher(
    agendas: Mapping[str, Agenda],
    measurements: Mapping[str, Measurement],
    cells: Mapping[str, CellWatch],
    stage: SampleStage | None,
    clock: Clock,
    parking: Mapping[str, Parking] | None,
) -> Dispatcher:
    costs = {name: cost_of(measurement) for name, measurement in measurements.items()}
    return Dispatcher(
        agendas,
        durations={
            (cell, name): cost.duration
            for cell in cells
            for name, cost in costs.items()
            if cost is not None
        },
        travel=travel_between(cells, stage, clock),
        parking=parking,
    )


def _told(plan: Plan, potentiostats: list[Potentiostat]) -> Plan:
    """Tell the guards how the plan ended; what follows for a cell is its guard's to decide."""

    def told(occasion: str) -> Plan:
        for potentiostat in potentiostats:
            yield from _put(potentiostat, occasion)

    def failed(error: Exception) -> Plan:
        yield from told("plan_end" if isinstance(error, RunEngineControlException) else "failure")

    yield from bpp.contingency_wrapper(plan, except_plan=failed, else_plan=lambda: told("plan_end"))


def _put(potentiostat: Potentiostat, occasion: str) -> Plan:
    def unheard(error: Exception) -> Plan:
        _log.error("the guard was not told %r: %s", occasion, error)
        yield from bps.null()

    if potentiostat.is_owned:
        yield from contained(_tell(potentiostat, occasion), unheard)


def _tell(potentiostat: Potentiostat, occasion: str) -> Plan:
    yield from finished(potentiostat.occasion(occasion))
