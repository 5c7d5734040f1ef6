"""This file is where a protocol's steps reach the instrument, segment by segment, and come back.

Whatever interrupts a running segment opens the circuit at once; what is to follow waits until the
segment's last record is in, so that no record is lost and what is left of its step is known.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from battbeam.errors import GuardError
from battbeam.experiment.cell import Window
from battbeam.experiment.protocol import CompiledProtocol, Step
from battbeam.guard.driver import Driver, Segment
from battbeam.guard.samples import Samples


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
    """

    window: Window
    record_interval: float = 10.0
    record_voltage: float | None = None
    record_current: float | None = None

    @classmethod
    def of(cls, protocol: CompiledProtocol) -> "Terms":
        """Those that a protocol asks for."""
        return cls(
            protocol.window,
            protocol.record_interval,
            protocol.record_voltage,
            protocol.record_current,
        )


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
        self, driver: Driver, samples: Samples, write: Callable[[dict[str, Any]], None]
    ) -> None:
        self.driver = driver
        self.samples = samples
        self._write = write
        self.segment: Segment | None = None
        self.waiting: list[Segment] = []
        self.remainder: tuple[Step, ...] = ()
        self.first_step_count = 1
        self.step_count = 0
        self.is_active = False
        self.is_interrupted = False
        self._then: Callable[[], None] | None = None
        self._is_loaded = False

    @property
    def step(self) -> Step | None:
        """The step that runs, or ran last."""
        if self.segment is None:
            return None
        return self.segment.steps[min(max(self.samples.step, 0), len(self.segment.steps) - 1)]

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
        position = 0
        for length in self.driver.lengths(steps):
            part = tuple(steps[position : position + length])
            self.waiting.append(
                Segment(
                    name=uuid.uuid4().hex[:12],
                    steps=part,
                    record_interval=terms.record_interval,
                    window=terms.window,
                    record_voltage=terms.record_voltage,
                    record_current=terms.record_current,
                )
            )
            position += length

    def load(self) -> None:
        """Put the next waiting segment on the instrument."""
        self.driver.load(self.waiting[0])
        self._is_loaded = True

    def run_next(self) -> None:
        """Start the next waiting segment; it is written down before current flows."""
        if not self.waiting:
            raise GuardError("nothing waits to be run")
        if not self._is_loaded:
            self.load()
        self.segment, self._is_loaded = self.waiting.pop(0), False
        self.first_step_count = self.step_count + 1
        self.step_count = self.first_step_count
        self.samples.begin_segment()
        self._write(self.to_document())
        self.is_active, self.is_interrupted = True, False
        self.driver.start()
        if not self.is_hold:
            self.remainder = ()

    def interrupt(self, then: Callable[[], None] | None = None) -> None:
        """Open the circuit now; ``then`` follows the last record, at once if nothing runs."""
        self._then = None
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
        ending, then = self._ending(), self._then
        if keeps_remainder and ending in (Ending.INTERRUPTED, Ending.CUT_SHORT):
            self.remainder = self._left_over()
        self.is_active, self.is_interrupted, self._then = False, False, None
        return ending, then

    def _ending(self) -> Ending:
        if self.is_interrupted:
            return Ending.INTERRUPTED
        n_steps = len(self.segment.steps) if self.segment else 0
        if 0 <= self.samples.step < n_steps - 1:
            return Ending.CUT_SHORT
        return Ending.MORE if self.waiting else Ending.COMPLETE

    def _left_over(self) -> tuple[Step, ...]:
        """What is left of the present step, and all behind it."""
        if (step := self.step) is None:
            return ()
        left = step.after(self.samples.step_elapsed)
        return self.steps_ahead if left is None else (left, *self.steps_ahead)

    def to_document(self) -> dict[str, Any]:
        """What a guard started again must know, as plain values."""
        return {
            "segment": self.segment.to_document() if self.segment else None,
            "first_step_count": self.first_step_count,
            "waiting": [segment.to_document() for segment in self.waiting],
            "remainder": [step.to_document() for step in self.remainder],
        }
