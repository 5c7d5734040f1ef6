"""This file is where a protocol's steps reach the instrument, segment by segment, and come back.

Whatever interrupts a running segment opens the circuit at once; what is to follow waits until the
segment's last record is in, so that no record is lost and what is left of its step is known. A step
that the guard ends is the last of its segment; a load, which follows the cell's voltage, is a
segment of its own, and may take several.
"""

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from battbeam.errors import GuardError
from battbeam.experiment.cell import Window
from battbeam.experiment.protocol import CompiledProtocol, Step, StepType
from battbeam.guard.driver import Driver, Segment
from battbeam.guard.endings import is_watched, prepared
from battbeam.guard.samples import Samples

#: How much above the cell's voltage a load begins, relative: what the cell may recover while its
#: list is loaded. Too much costs some rungs, of milliseconds each; too little cannot be made up.
HEADROOM = 0.02
#: s that a list of a load must have lasted for the next to begin at the cell's rest again; one that
#: was shorter has not come down to the voltage under load yet, and the next goes on from there.
COME_DOWN = 1.0


class Ending(StrEnum):
    """How a segment came to its end."""

    INTERRUPTED = "interrupted"
    CUT_SHORT = "cut short"
    MORE = "more to come"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Terms:
    """What all segments of a protocol share.

    Attributes:
        window: Limits that the instrument shall keep by itself where it can.
        record_interval: s of cell time.
        record_voltage: V, or none.
        record_current: A, or none.
        charge_max: Largest magnitude of charge in one direction, mAh, or none.
        delay: s of cell time for which the window may be left before the cell trips.
    """

    window: Window
    record_interval: float = 10.0
    record_voltage: float | None = None
    record_current: float | None = None
    charge_max: float | None = None
    delay: float = 0.0

    @classmethod
    def of(cls, protocol: CompiledProtocol) -> "Terms":
        """Those that a protocol asks for."""
        return cls(
            protocol.window,
            protocol.record_interval,
            protocol.record_voltage,
            protocol.record_current,
            protocol.charge_max,
            protocol.delay,
        )

    def segment(self, steps: tuple[Step, ...], *, is_continuation: bool = False) -> Segment:
        """Steps that the instrument is to run alone, under a new name."""
        return Segment(
            name=uuid.uuid4().hex[:12],
            steps=steps,
            record_interval=self.record_interval,
            window=self.window,
            record_voltage=self.record_voltage,
            record_current=self.record_current,
            is_continuation=is_continuation,
        )


def follows_voltage(step: Step) -> bool:
    """Whether what the instrument is told depends on the cell's voltage at that moment."""
    return step.type is StepType.CONSTANT_RESISTANCE


def stands_alone(step: Step) -> bool:
    """Whether something has to be done, or known, just before it begins."""
    return step.type in (StepType.CONSTANT_RESISTANCE, StepType.TEMPERATURE)


def lengths(driver: Driver, steps: Sequence[Step]) -> list[int]:
    """Into how many steps each they are divided: by the guard, and then by the instrument."""
    found: list[int] = []
    together: list[Step] = []
    for step in steps:
        if stands_alone(step):
            found += [*driver.lengths(together), 1]
            together = []
        elif is_watched(step):
            found += driver.lengths([*together, step])
            together = []
        else:
            together.append(step)
    return found + driver.lengths(together)


class Runner:
    """Runs steps on one instrument.

    Attributes:
        segment: The one that runs, or ran last.
        waiting: Those that follow it.
        remainder: What was left of a protocol when it was interrupted.
        step_count: Steps begun since the guard's log began; never repeats.
        is_active: From the start of a segment until its last record is in.
        is_interrupted: Whether the circuit was opened before the segment's end.
    """

    def __init__(
        self,
        driver: Driver,
        samples: Samples,
        write: Callable[[dict[str, Any]], None],
        voltage: Callable[[], float | None] = lambda: None,
    ) -> None:
        """A runner.

        Args:
            driver: Of the instrument.
            samples: Where its records are counted.
            write: Keeps what a guard started again must know.
            voltage: The cell's now, V.
        """
        self.driver = driver
        self.samples = samples
        self._write = write
        self._voltage = voltage
        self.segment: Segment | None = None
        self.waiting: list[Segment] = []
        self.remainder: tuple[Step, ...] = ()
        self.first_step_count = 1
        self.step_count = 0
        self.is_active = False
        self.is_interrupted = False
        self._then: Callable[[], None] | None = None
        self._is_loaded = False
        self._is_step_over = self._goes_on = False
        self._terms = Terms(Window(-math.inf, math.inf, math.inf))

    @property
    def step(self) -> Step | None:
        """The step that runs, or ran last."""
        if self.segment is None:
            return None
        return self.segment.steps[min(max(self.samples.step, 0), len(self.segment.steps) - 1)]

    def step_at(self, position: int) -> tuple[Step | None, int]:
        """The step at a place in the segment that runs, or ran last, and its step count."""
        step = self.segment.steps[position] if self.segment else None
        return step, self.first_step_count + position

    @property
    def steps_ahead(self) -> tuple[Step, ...]:
        """Steps behind the present one."""
        here = self.segment.steps[max(self.samples.step, 0) + 1 :] if self.segment else ()
        return here + self.steps_waiting

    @property
    def steps_waiting(self) -> tuple[Step, ...]:
        """Steps of segments that were not started yet."""
        return tuple(step for segment in self.waiting for step in segment.steps)

    @property
    def is_hold(self) -> bool:
        """Whether what runs, or ran last, is a hold that no protocol asked for."""
        return self.segment is not None and self.segment.steps[0].index < 0

    @property
    def is_changing(self) -> bool:
        """Whether something is to follow once an interrupted segment's last record is in."""
        return self._then is not None

    def clear(self) -> None:
        """Forget what was to run."""
        self.waiting, self.remainder, self._is_loaded = [], (), False

    def queue(self, steps: Sequence[Step], terms: Terms) -> None:
        """Divide steps into segments that wait for their turn."""
        self.waiting, self._is_loaded = [], False
        self._terms = terms
        position, whole = 0, tuple(prepared(step) for step in steps)
        for length in lengths(self.driver, whole):
            self.waiting.append(terms.segment(whole[position : position + length]))
            position += length

    def load(self) -> None:
        """Put the next waiting segment on the instrument, for the cell as it is now."""
        self.waiting[0] = replace(self.waiting[0], voltage=self._present_voltage())
        self.driver.load(self.waiting[0])
        self._is_loaded = True

    def _present_voltage(self) -> float | None:
        """Where a load begins, V."""
        voltage, under_load = self._voltage(), self.samples.recent_voltage
        if voltage is None or not math.isfinite(voltage):
            return None
        following = self.waiting[0]
        has_come_down = (self.samples.committed.elapsed or 0.0) >= COME_DOWN
        if following.is_continuation and under_load is not None and not has_come_down:
            voltage = min(voltage, under_load)
        return min(voltage * (1 + HEADROOM), max(voltage, following.window.voltage_max))

    def run_next(self) -> None:
        """Start the next waiting segment; it is written down before current flows."""
        if not self.waiting:
            raise GuardError("nothing waits to be run")
        if not self._is_loaded or follows_voltage(self.waiting[0].steps[0]):
            self.load()
        self.segment, self._is_loaded = self.waiting.pop(0), False
        is_continuation = self.segment.is_continuation
        self.first_step_count = self.step_count + (0 if is_continuation else 1)
        self.step_count = self.first_step_count
        self.samples.begin_segment(is_continuation=is_continuation)
        self._write(self.to_document())
        self.is_active, self.is_interrupted = True, False
        self._is_step_over = self._goes_on = False
        self.driver.start()
        if not self.is_hold:
            self.remainder = ()

    def end_step(self) -> None:
        """The segment's last step is over: open the circuit, and let the next segment follow."""
        self._is_step_over = self._goes_on = self.is_interrupted = True
        self.driver.stop()

    def take_up(self) -> None:
        """Open the circuit, and let the segment's one step be loaded again, for the cell as it
        is."""
        if self.segment is not None:
            self.waiting.insert(0, self._continuation(self.segment))
        self._goes_on = self.is_interrupted = True
        self.driver.stop()

    def _continuation(self, segment: Segment) -> Segment:
        return replace(segment, name=uuid.uuid4().hex[:12], voltage=None, is_continuation=True)

    def interrupt(self, then: Callable[[], None] | None = None) -> None:
        """Open the circuit now; ``then`` follows the last record, at once if nothing runs."""
        self._then = None
        if self._goes_on and self.waiting and self.waiting[0].is_continuation:
            self.waiting.pop(0)
        self._goes_on = False
        if self.is_active:
            self._then, self.is_interrupted = then, True
            self.driver.stop()
        elif then is not None:
            then()

    def put_back(self) -> None:
        """What waits could not be started: keep it for a later attempt."""
        if not self.remainder and not any(step.index < 0 for step in self.steps_waiting):
            self.remainder = self.steps_waiting
        self.waiting, self._is_loaded = [], False

    def interrupt_again(self, then: Callable[[], None] | None) -> None:
        """After a restart: the segment that runs was to be interrupted; the circuit is opened as
        soon as the cycler answers.
        """
        self._then, self.is_interrupted = then, True

    def notice(self, position: int) -> bool:
        """Count a record's step in the segment; whether it is a new one."""
        is_new = self.first_step_count + position > self.step_count
        self.step_count = max(self.step_count, self.first_step_count + position)
        return is_new

    def end(self, *, keeps_remainder: bool) -> tuple[Ending, Callable[[], None] | None]:
        """The last record is in and the circuit open: how it ended, and what was to follow."""
        if self.segment is not None and not self.is_interrupted and not self._is_over():
            self.waiting.insert(0, self._continuation(self.segment))
        ending, then = self._ending(), self._then
        if keeps_remainder and ending in (Ending.INTERRUPTED, Ending.CUT_SHORT):
            self.remainder = self._left_over()
        self.is_active, self.is_interrupted, self._then = False, False, None
        self._goes_on = False
        return ending, then

    def _is_over(self) -> bool:
        """Whether the instrument, having ended by itself, has done all of the segment."""
        return self.segment is None or not self.driver.is_partial(self.segment)

    def _ending(self) -> Ending:
        if self.is_interrupted and not self._goes_on:
            return Ending.INTERRUPTED
        n_steps = len(self.segment.steps) if self.segment else 0
        if not self._goes_on and 0 <= self.samples.step < n_steps - 1:
            return Ending.CUT_SHORT
        return Ending.MORE if self.waiting else Ending.COMPLETE

    def _left_over(self) -> tuple[Step, ...]:
        """What is left of the present step, and all behind it."""
        if (step := self.step) is None:
            return ()
        if self._is_step_over:
            return self.steps_ahead
        left = step.after(self.samples.step_elapsed, self.samples.step_charge)
        return self.steps_ahead if left is None else (left, *self.steps_ahead)

    def to_document(self) -> dict[str, Any]:
        """What a guard started again must know, as plain values."""
        return {
            "segment": self.segment.to_document() if self.segment else None,
            "first_step_count": self.first_step_count,
            "elapsed_before": self.samples.elapsed_before,
            "charge_before": self.samples.charge_before,
            "waiting": [segment.to_document() for segment in self.waiting],
            "remainder": [step.to_document() for step in self.remainder],
            "charge_max": self._terms.charge_max,
            "delay": self._terms.delay,
        }
