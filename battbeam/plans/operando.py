"""This file is where measurements are kept in step with a cycling cell.

One outer run for the experiment, a series run a rule, and a run of its own for each map. The cell
is the guard's: this plan starts it or joins it, watches it, and tells the guard how it ended. It
never stops it.
"""

import logging
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import RunEngineControlException

from battbeam.devices.beam import Beam
from battbeam.devices.notes import ScheduleNotes
from battbeam.devices.potentiostat import UNDER_WAY, GuardState, Potentiostat
from battbeam.errors import GuardError
from battbeam.experiment.clock import Clock
from battbeam.experiment.schedule import Agenda, Schedule
from battbeam.experiment.watchers import CellReading
from battbeam.plans.measurements import Measurement, OwnRun, Pattern
from battbeam.plans.preflight import (
    cell_faults,
    connection_faults,
    mounted_cell,
    position_faults,
    reduction_faults,
    refuse,
)
from battbeam.plans.preprocessors import contained, positions_put_back, run, shutter_closed_after
from battbeam.plans.service import Service
from battbeam.plans.stubs import SLICE, Plan, finished, write_down
from battbeam.plans.watch import Watch

_log = logging.getLogger(__name__)

#: Run key of the outer run.
RUN_KEY = "operando"
#: Wall seconds without a word from the guard after which the experiment ends: nobody knows the
#: cell.
GUARD_PATIENCE = 300.0
#: s of session clock that measurements which are due wait for the beam once the protocol has ended.
BEAM_PATIENCE = 3600.0


def operando(
    schedule: Schedule,
    measurements: Mapping[str, Measurement],
    *,
    potentiostat: Potentiostat,
    beam: Beam,
    clock: Clock,
    protocol: Mapping[str, Any] | None = None,
    policies: Mapping[str, str] | None = None,
    resumes: str | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Measure whenever a rule on the cell says so, until its protocol has ended.

    Parameters
    ----------
    schedule : Schedule
        Rules, the most important first; each names a measurement.
    measurements : dict of Measurement
        By that name: a `Pattern` of a series, or a plan with a run of its own.
    potentiostat : Potentiostat
        The cell's; this session must own it.
    beam : Beam
        Its shutter is closed at the end.
    clock : Clock
        The session's.
    protocol : dict, optional
        To load and start; None joins a cell that is cycling.
    policies : dict, optional
        What the guard does on ``pause``, ``beam_loss``, ``plan_end``, ``failure`` and
        ``client_loss``.
    resumes : str, optional
        Uid of the operando run that this one goes on with; the gap between them is recorded.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the operando run.
    """
    refuse(
        "operando",
        connection_faults([potentiostat, beam]),
        measurement_faults(schedule, measurements),
        cell_faults(potentiostat, protocol),
    )
    passport = mounted_cell(potentiostat)
    capacity = None if passport is None else passport.nominal_capacity
    motors = moved(measurements.values())
    said = {
        "kind": "operando",
        "plan_name": "operando",
        "technique": "XRD",
        "schedule": schedule.model_dump(mode="json"),
        "policies": dict(policies or {}),
        "protocol": dict(protocol) if protocol else {},
        "joined": protocol is None,
        "resumes": resumes or "",
        "experiment": str(uuid.uuid4()),
        **identity(potentiostat),
        **(md or {}),
    }

    def experiment(uid: str) -> Plan:
        if policies:
            yield from finished(potentiostat.declare(policies))
        if protocol is not None:
            yield from finished(potentiostat.load(protocol))
            yield from finished(potentiostat.start())
        anchored = schedule.anchored(clock.now())
        yield from write_down(
            ScheduleNotes("", name="schedule"),
            "schedule",
            revision=0,
            json=anchored.model_dump_json(),
            sentence=str(anchored),
        )
        agenda = Agenda(anchored.evaluator(capacity=capacity))
        shared: dict[str, Any] = {
            key: said[key] for key in ("cell", "guard", "simulated") if key in said
        }
        service = Service(uid, measurements, clock, shared)
        watch = Watch(potentiostat, beam, clock)
        body = _follow(agenda, service, watch, has_protocol=protocol is not None)
        safe = positions_put_back(shutter_closed_after(body, beam), motors)
        yield from _told(bpp.finalize_wrapper(safe, service.close), potentiostat)

    return (yield from bpp.set_run_key_wrapper(run(experiment, said), RUN_KEY))


def _follow(agenda: Agenda, service: Service, watch: Watch, *, has_protocol: bool) -> Plan:
    """Watch the cell and measure, until the protocol has ended and nothing is due."""
    clock, ended_at = watch.clock, math.inf
    while True:
        yield from bps.checkpoint()
        yield from watch.look()
        now = clock.now()
        reading = watch.reading(now)
        agenda.feed(reading, now=now)
        has_beam = not watch.is_dark
        due = agenda.take(now) if has_beam else None
        for missed in agenda.missed():
            yield from service.missed(missed, watch.excuse(missed))
        if due is not None:
            yield from service.serve(due)
            continue
        if over(reading):
            ended_at = min(ended_at, now)
            if not agenda.waiting or now > ended_at + BEAM_PATIENCE:
                return
        elif has_protocol or reading.state:
            _check(reading, watch)
        yield from bps.sleep(_pause(agenda.next_time() - now, clock))


def _pause(remaining: float, clock: Clock) -> float:
    """Wall seconds to sleep when the clock alone makes something due in ``remaining`` s."""
    if clock.rate <= 0 or remaining <= 0:
        return SLICE
    return min(SLICE, max(remaining / clock.rate, SLICE / 100))


def over(reading: CellReading) -> bool:
    """Whether the protocol has run to its end."""
    return reading.state == GuardState.FINISHED


def _check(reading: CellReading, watch: Watch) -> None:
    """Refuse to go on with a cell that does not cycle any more.

    Raises:
        GuardError: If it tripped, if its circuit was opened, or if its guard is silent.
    """
    if watch.silence > GUARD_PATIENCE:
        raise GuardError(
            f"guard {watch.potentiostat.name}: silent for {watch.silence:.0f} s; the cycler "
            "goes on with its own list, look at the cell"
        )
    if not reading.state or reading.state in (*UNDER_WAY, GuardState.UNREACHABLE):
        return
    reason = str(watch.potentiostat.trip_reason.value_now())
    raise GuardError(
        f"guard {watch.potentiostat.name}: the cell is {reading.state} before its protocol ended"
        + (f": {reason}" if reading.state == GuardState.TRIPPED else "")
    )


def _told(plan: Plan, potentiostat: Potentiostat) -> Plan:
    """Tell the guard how the plan ended; what follows for the cell is the guard's to decide."""

    def failed(error: Exception) -> Plan:
        is_asked = isinstance(error, RunEngineControlException)
        yield from _put(potentiostat, "plan_end" if is_asked else "failure")

    def ended() -> Plan:
        yield from _put(potentiostat, "plan_end")

    return (yield from bpp.contingency_wrapper(plan, except_plan=failed, else_plan=ended))


def _put(potentiostat: Potentiostat, occasion: str) -> Plan:
    def unheard(error: Exception) -> Plan:
        _log.error("the guard was not told %r: %s", occasion, error)
        yield from bps.null()

    if potentiostat.is_owned:
        yield from contained(_tell(potentiostat, occasion), unheard)


def _tell(potentiostat: Potentiostat, occasion: str) -> Plan:
    yield from finished(potentiostat.occasion(occasion))


def measurement_faults(schedule: Schedule, measurements: Mapping[str, Measurement]) -> list[str]:
    """What is wrong with rules and measurements, one sentence each."""
    faults = [
        f"rule {rule.name!r} measures {rule.measure!r}, which is none of {', '.join(measurements)}"
        for rule in schedule.rules
        if rule.measure not in measurements
    ]
    for name, measurement in measurements.items():
        if isinstance(measurement, OwnRun):
            found = connection_faults(measurement.motors)
        else:
            found = pattern_faults(measurement)
        faults += [f"measurement {name!r}: {fault}" for fault in found]
    return faults


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
    return faults + reduction_faults(pattern.reduction)


def moved(measurements: Sequence[Measurement] | Any) -> list[Any]:
    """The motors that measurements move, each once."""
    motors: list[Any] = []
    for measurement in measurements:
        if isinstance(measurement, OwnRun):
            motors += measurement.motors
        else:
            motors += [motor for motor, _ in measurement.positions]
    return list(dict.fromkeys(motors))


def identity(potentiostat: Potentiostat) -> dict[str, Any]:
    """Which cell this is and who guards it, for start documents."""
    passport = mounted_cell(potentiostat)
    return {
        "cell": {} if passport is None else passport.model_dump(mode="json"),
        "guard": {
            "name": str(potentiostat.identity.value_now()),
            "prefix": potentiostat.prefix,
            "cell_run": str(potentiostat.cell_run.value_now()),
            "log": str(potentiostat.log_path.value_now()),
        },
    }
