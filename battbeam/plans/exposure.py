"""This file is where exposures are found by their result: how long, behind which absorber.

Every frame that is kept is a point of the run, with what the measurement has come to beside it; a
reader adds the points of one ``measurement`` up from its last ``repeat`` 0 on. Probe frames lie in
files of their own that no event refers to; their light is in the ledger.
"""

from dataclasses import dataclass, replace

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.experiment.dose import DoseBudget
from battbeam.plans.by_result import ENOUGH, ByResult, counting_error
from battbeam.plans.stubs import (
    SLICE,
    Exposure,
    Plan,
    expose_point,
    exposed,
    prepared,
    staged_again,
    within_budget,
)

#: Wall seconds in which the statistics of a frame must have followed it.
STATISTICS_TIMEOUT = 5.0


@dataclass(frozen=True)
class Taken:
    """What came of a measurement.

    Attributes:
        n_points: That it took in the run.
        lost: Why the beam was away at some time of it; empty if it was not.
        stopped: Why it ended.
    """

    n_points: int
    lost: str = ""
    stopped: str = ""


def exposure_faults(beam: Beam, budget: DoseBudget | None, by_result: ByResult | None) -> list[str]:
    """What is wrong with a dose budget and with what is decided by the result."""
    faults = []
    if budget is not None and beam.dose_meter is None:
        faults.append("a dose budget needs a dose meter, and the beamline declares none")
    return faults if by_result is None else faults + by_result.faults()


def take_point(exposure: Exposure, notes: PointNotes, point: int) -> Plan:
    """Measure one point, as often as its result wants it.

    Returns:
        `Taken`.
    """
    if exposure.by_result is None:
        lost = yield from expose_point(exposure, notes, point)
        return Taken(1, lost)
    return (yield from _until_good(exposure, exposure.by_result, notes, point))


def _until_good(exposure: Exposure, result: ByResult, notes: PointNotes, point: int) -> Plan:
    """Freeze the transmission, then repeat until the result is good enough."""
    attenuator = exposure.beam.attenuator
    if result.transmission is None:
        why = yield from _frozen(exposure, result)
        if why:
            return Taken(0, stopped=why)
    elif abs(attenuator.position / result.transmission - 1) > attenuator.tolerance:
        yield from bps.mv(attenuator, result.transmission)
    course = _Course(exposure, result)
    kept = replace(
        exposure,
        readables=(*exposure.readables, result.notes, result.statistics),
        before_event=course.judge,
    )
    n_points, lost = 0, ""
    while not course.stopped:
        course.begin()
        lost = (yield from expose_point(kept, notes, point + n_points)) or lost
        n_points += 1
        if notes.fault.get():
            course.stopped = str(notes.fault.get())
        elif course.is_overloaded:
            yield from course.start_afresh()
    result.n_measured += 1
    return Taken(n_points, lost, course.stopped)


class _Course:
    """How far one measurement has come."""

    def __init__(self, exposure: Exposure, result: ByResult) -> None:
        self.exposure, self.result = exposure, result
        self.stopped, self.is_overloaded = "", False
        self._repeat, self._n, self._total, self._spent = -1, 0, 0.0, 0.0
        self._counter = 0

    def begin(self) -> None:
        """One more frame is about to be taken."""
        self._repeat += 1
        self._n += 1
        self.is_overloaded = False
        self._counter = int(self.result.statistics.counter.value_now())
        # A point without frames has these in its event.
        self.result.notes.write(measurement=self.result.n_measured, repeat=self._repeat)

    def judge(self) -> Plan:
        """Between an exposure and its event: is it good enough?"""
        train, result = self.exposure.train, self.result
        self._counter += train.n_frames
        yield from _followed(result, self._counter)
        self.is_overloaded = result.statistics.is_overloaded()
        if not self.exposure.beam.shutter.was_closed:
            self._total += train.n_frames * float(result.statistics.total.value_now())
        self._spent += train.duration
        error = counting_error(self._total)
        if self.is_overloaded and not self._lower():
            self.stopped = "a pixel is full at the lowest transmission there is"
        elif self._n >= result.n_max:
            self.stopped = f"count cap of {result.n_max} points"
        elif self.is_overloaded:
            self.stopped = ""
        elif error <= result.noise:
            self.stopped = f"relative counting error {error:.2g} met {result.noise:g}"
        elif self._spent + train.duration > result.longest:
            self.stopped = f"another point would pass {result.longest:g} s"
        result.notes.write(
            measurement=result.n_measured,
            repeat=self._repeat,
            counting_error=float("nan") if self.is_overloaded else error,
            overloaded=int(self.is_overloaded),
            stopped=self.stopped,
        )

    def _lower(self) -> list[float]:
        attenuator = self.exposure.beam.attenuator
        return [each for each in attenuator.transmissions if each < 0.99 * attenuator.position]

    def start_afresh(self) -> Plan:
        """Attenuate and forget what was counted."""
        lower = self._lower()
        if self.stopped or not lower:
            return
        yield from bps.mv(self.exposure.beam.attenuator, max(lower))
        self.result.transmission = max(lower)
        self._repeat, self._total, self._spent = -1, 0.0, 0.0


def _frozen(exposure: Exposure, result: ByResult) -> Plan:
    """Find the transmission with probe frames, from the lowest up; why it could not be found."""
    attenuator = exposure.beam.attenuator
    ladder = sorted(attenuator.transmissions) or [attenuator.position]
    probe = replace(exposure, train=FrameTrain(result.probe), by_result=None)
    yield from prepared(exposure.detectors, probe.train)
    why = ""
    for transmission in ladder:
        yield from bps.mv(attenuator, transmission)
        brightest, why = yield from _probed(probe, result)
        if why:
            break
        best = result.best(
            ladder,
            brightest=brightest,
            at=transmission,
            exposures=exposure.train.exposure / result.probe,
        )
        result.transmission = ladder[0] if best is None else best
        if brightest >= ENOUGH or result.transmission <= transmission:
            break
    yield from staged_again(exposure.detectors, exposure.train)
    if not why and result.transmission is not None:
        yield from bps.mv(attenuator, result.transmission)
    return why


def _probed(probe: Exposure, result: ByResult) -> Plan:
    """Counts of the brightest pixel of a probe frame, and why there are none."""
    decision = yield from within_budget(probe)
    if not decision.is_made:
        return 0.0, f"not probed: {decision.reason}"
    before = int(result.statistics.counter.value_now())
    lost, _, fault = yield from exposed(probe)
    if lost or fault:
        return 0.0, f"not probed: {lost or fault}"
    yield from _followed(result, before + 1)
    return float(result.statistics.brightest.value_now()), ""


def _followed(result: ByResult, counter: int) -> Plan:
    """Wait until the statistics have followed the frames."""
    waited = 0.0
    while int(result.statistics.counter.value_now()) < counter and waited < STATISTICS_TIMEOUT:
        yield from bps.sleep(SLICE / 5)
        waited += SLICE / 5


def described(exposure: Exposure) -> dict[str, object]:
    """Budget and result of an exposure, for the start document."""
    said: dict[str, object] = {}
    if exposure.budget is not None:
        said["dose_budget"] = exposure.budget.model_dump(mode="json")
    if exposure.by_result is not None:
        said["by_result"] = exposure.by_result.said()
    return said
