"""This file is where the words of the plans are: wait, expose a point, write down.

All waiting is in small slices with a checkpoint each, so that a pause is taken at once and a resume
repeats little.
"""

import json
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
from bluesky.protocols import Readable
from bluesky.utils import FailedStatus, Msg

from battbeam.devices.beam import CLOSED, OPEN, Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import Notes, PointNotes
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.status import TimedStatus
from battbeam.errors import DeviceError, DoseError, GuardError
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import Decision, DoseBudget
from battbeam.plans.by_result import ByResult

Plan = Generator[Msg, Any, Any]

#: Wall seconds of one slice of waiting.
SLICE = 0.1
#: How often a point is taken again when frames of it are missing or its shutter was closed, before
#: it stays so.
RETAKES = 1


def wait_until(clock: Clock, time: float) -> Plan:
    """Wait until the session clock shows ``time`` (s since the Unix epoch)."""
    while (remaining := time - clock.now()) > 0:
        yield from bps.checkpoint()
        rate = clock.rate
        yield from bps.sleep(min(SLICE, remaining / rate) if rate > 0 else SLICE)


def finished(status: TimedStatus) -> Plan:
    """Wait for an action outside the RunEngine's knowledge; it is not repeated by a rewind.

    Raises:
        BattbeamError: What the action failed with.
    """
    while not status.done:
        yield from bps.checkpoint()
        yield from bps.sleep(SLICE / 5)
    error = status.exception(timeout=0)
    if error is not None:
        raise error


def in_thread(work: Callable[[], Any]) -> Plan:
    """Do something long beside the RunEngine, which stays free to pause; what it returned.

    Raises:
        Exception: What the work raised.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="plan") as pool:
        future = pool.submit(work)
        while not future.done():
            yield from bps.checkpoint()
            yield from bps.sleep(SLICE)
        return future.result()


def mounted(potentiostat: Potentiostat, passport: Mapping[str, Any]) -> Plan:
    """Tell the guard which cell this is, unless one is mounted already.

    Raises:
        GuardError: If another cell is mounted; says which.
    """
    there = json.loads(str(potentiostat.passport.value_now()) or "null")
    if there is None:
        yield from finished(potentiostat.mount(passport))
        return
    if there.get("cell") != passport.get("cell"):
        raise GuardError(
            f"guard {potentiostat.name}: cell {there.get('cell')} is mounted, not "
            f"{passport.get('cell')}; dismount it first: {potentiostat.name}.dismount()"
        )


def write_down(notes: Notes, stream: str, **values: Any) -> Plan:
    """One event of notes; a checkpoint after it keeps a rewind from repeating it."""
    notes.write(**values)
    yield from bps.create(name=stream)
    yield from bps.read(notes)
    yield from bps.save()
    yield from bps.checkpoint()


def prepared(detectors: Sequence[AreaDetector], train: FrameTrain) -> Plan:
    """Set staged detectors up for a train of exposures."""
    group = f"prepare-{uuid.uuid4().hex[:8]}"
    for detector in detectors:
        yield from bps.prepare(detector, train, group=group)
    yield from bps.wait(group)


def staged_again(detectors: Sequence[AreaDetector], train: FrameTrain) -> Plan:
    """Close the files and open new ones."""
    for detector in detectors:
        yield from bps.unstage(detector, wait=True)
    for detector in detectors:
        yield from bps.stage(detector, wait=True)
    yield from prepared(detectors, train)


@dataclass(frozen=True)
class Exposure:
    """How each point of a run is exposed.

    Attributes:
        detectors: Triggered together.
        beam: Its shutter is open only while they expose.
        train: Of frames.
        readables: What else stands in the event.
        with_beam: Whether the shutter opens; not for darks.
        budget: Limit of light on each spot, and what is done at it; None is no limit.
        by_result: Exposes until the result is good enough; None exposes once.
        before_event: What is done between an exposure and its event.
    """

    detectors: tuple[AreaDetector, ...]
    beam: Beam
    train: FrameTrain
    readables: tuple[Readable, ...] = ()
    with_beam: bool = True
    budget: DoseBudget | None = None
    by_result: ByResult | None = None
    before_event: Callable[[], Plan] | None = None


def expose_point(
    exposure: Exposure, notes: PointNotes, point: int, *, retakes: int = RETAKES
) -> Plan:
    """Expose one point and write its event; take it again when frames are missing.

    So is one whose shutter was closed by somebody else meanwhile, which has an event each time. A
    point that stays incomplete, or that the dose budget skips, has an event that says why and
    refers to no frames.

    Returns:
        Why the beam was away at some time of the exposure; empty if it was not.

    Raises:
        DoseError: If the budget says to stop.
    """
    fault = ""
    for attempt in range(retakes + 1):
        if fault:
            yield from staged_again(exposure.detectors, exposure.train)
        yield from bps.checkpoint()
        decision = yield from within_budget(exposure)
        if not decision.is_made:
            fault = f"not exposed: {decision.reason}"
            break
        lost, shutter, fault = yield from exposed(exposure)
        if not fault:
            if exposure.before_event is not None:
                yield from exposure.before_event()
            yield from _event(exposure, notes, point, lost=lost, shutter=shutter, fault="")
            is_dark = exposure.with_beam and exposure.beam.shutter.was_closed
            if lost or not is_dark or attempt == retakes:
                return lost
    if not decision.is_made:
        _without_exposure(exposure)
    yield from _event(exposure, notes, point, lost="", shutter=-1, fault=fault)
    yield from staged_again(exposure.detectors, exposure.train)
    return ""


def _without_exposure(exposure: Exposure) -> None:
    """Let the next event say that nothing was exposed."""
    if exposure.beam.dose_meter is not None:
        exposure.beam.dose_meter.dark()
    for detector in exposure.detectors:
        detector.without_frames()


def within_budget(exposure: Exposure) -> Plan:
    """Ask the dose budget, and do what it says: move to a fresh spot, or attenuate.

    Returns:
        What it decided; whoever asks leaves out what is not made.

    Raises:
        DoseError: If it says to stop.
    """
    meter, budget = exposure.beam.dose_meter, exposure.budget
    if meter is None or budget is None or not exposure.with_beam:
        return Decision("expose", (0.0, 0.0), 1.0)
    decision = meter.decide(budget, exposure.train.duration)
    meter.decision.put(
        "" if decision.action == "expose" else f"{decision.action}: {decision.reason}"
    )
    if decision.action == "stop":
        raise DoseError(decision.reason)
    if decision.action == "move":
        x, y = meter.places.position_of(decision.spot)
        stage = meter.places.stage
        yield from bps.mv(stage.x, x, stage.y, y)
    elif decision.action == "attenuate":
        yield from bps.mv(exposure.beam.attenuator, decision.transmission)
    return decision


def clear_of_top_up(beam: Beam, duration: float) -> Plan:
    """Wait until no injection of the ring falls into the next ``duration`` s; the delay is noted."""
    top_up = beam.top_up
    if top_up is None:
        return
    begin = top_up.clear_from(duration + SLICE * top_up.clock.rate)
    start, delay = top_up.clock.now(), 0.0
    if begin > start:
        yield from wait_until(top_up.clock, begin)
        delay = top_up.clock.now() - start
    top_up.delay.put(delay)


def exposed(exposure: Exposure) -> Plan:
    """Expose behind the open shutter.

    Returns:
        Why the beam was away meanwhile, what the shutter said, and why frames are missing.
    """
    beam, train, fault = exposure.beam, exposure.train, ""
    meter = beam.dose_meter
    if not exposure.with_beam:
        if meter is not None:
            meter.dark()
        fault = yield from _triggered(exposure.detectors)
        return "", beam.shutter.position, fault
    yield from clear_of_top_up(beam, train.duration)
    if meter is not None:
        meter.expect(train.duration, budget=exposure.budget)
    try:
        yield from bps.mv(beam.shutter, OPEN)
        fault = yield from _triggered((beam, *exposure.detectors))
        shutter, lost = beam.shutter.position, beam.lost_since_trigger()
    finally:
        # Without a message: the RunEngine may be closing this generator.
        beam.shutter.close()
    yield from bps.mv(beam.shutter, CLOSED)
    if meter is not None:
        # Behind a shutter that was closed meanwhile I0 has not counted all that came.
        is_counted = not fault and not beam.shutter.was_closed
        meter.settle(counted=train.exposure if is_counted else 0.0)
    return lost, shutter, fault


def _triggered(detectors: Sequence[Beam | AreaDetector]) -> Plan:
    """Expose one train on each detector; why frames are missing, or nothing.

    Those that follow another come first: they must wait for it when it begins.
    """
    group = f"expose-{uuid.uuid4().hex[:8]}"
    try:
        for detector in sorted(detectors, key=lambda each: not getattr(each, "follows", None)):
            yield from bps.trigger(detector, group=group)
        yield from bps.wait(group)
    except FailedStatus as error:
        if not isinstance(error.__cause__, DeviceError):
            raise
        return str(error.__cause__)
    return ""


def _event(
    exposure: Exposure, notes: PointNotes, point: int, *, lost: str, shutter: int, fault: str
) -> Plan:
    notes.write(
        point=point,
        exposure=float(exposure.train.exposure),
        n_frames_asked=int(exposure.train.n_frames),
        shutter=int(shutter),
        beam_lost=lost,
        fault=fault,
    )
    yield from bps.create(name="primary")
    beam = exposure.beam
    also = [each for each in (beam.dose_meter, beam.top_up) if each is not None]
    for readable in (notes, *exposure.detectors, beam, *also, *exposure.readables):
        yield from bps.read(readable)
    yield from bps.save()
    yield from bps.checkpoint()


def wait_for_beam(beam: Beam, clock: Clock, *, patience: float) -> Plan:
    """Wait until there is beam, at most ``patience`` s of session clock; whether there is."""
    limit = clock.now() + patience
    while beam.why_down():
        if clock.now() > limit:
            return False
        yield from bps.checkpoint()
        yield from bps.sleep(SLICE)
    return True


def also_read(readables: Sequence[Any], motors: Sequence[Any]) -> tuple[Any, ...]:
    """Readables, and the motors that are not read with the stage that they belong to."""
    others = [
        motor
        for motor in motors
        if not any(motor is readable or motor.parent is readable for readable in readables)
    ]
    return (*readables, *others)


def names(devices: Iterable[Any]) -> list[str]:
    """What devices are called, for the start document."""
    return [str(device.name) for device in devices]
