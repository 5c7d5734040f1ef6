"""This file is where a frame is taken: the clock, the cell's history, the frame model and chance
come together.

It knows no Channel Access. Everything here may take a while and runs in one worker thread.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from battbeam.sim.beam import BeamLog
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.frame import ExpectedFrame, Exposure, FrameModel, counts
from battbeam.sim.history import History
from battbeam.sim.scenario import Scenario
from battbeam.sim.truth import TruthWriter, frame_truth

#: Counts of both counters without beam, per s.
DARK_RATE = 5.0


class SessionClock(Protocol):
    """What a frame needs of the simulated clock (`battbeam.sim.clock.ClockClient`)."""

    def now(self) -> float:
        """s since the Unix epoch."""
        ...

    def frozen(self, token: str) -> contextlib.AbstractContextManager[None]:
        """The clock stands inside the block."""
        ...


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        start: Of the exposure, session clock, s.
        end: Session clock, s.
        x: Of the stage at its start, mm.
        y: mm.
        energy: True photon energy, eV.
        number: Unique id of the frame.
    """

    start: float
    end: float
    x: float
    y: float
    energy: float
    number: int


@dataclass(frozen=True)
class Shot:
    """A frame and what was counted beside it.

    Attributes:
        request: What was asked for.
        frame: Counts, shape (rows, columns).
        i0: Counts before the sample in the exposure.
        transmitted: Counts behind it.
        ring_current: mA at the end.
        is_open: Whether the shutter was open at the end.
        truth: For the truth file, without the frame's place in a file.
    """

    request: Request
    frame: npt.NDArray[np.uint32]
    i0: float
    transmitted: float
    ring_current: float
    is_open: bool
    truth: dict[str, Any]


class Camera:
    """Takes frames of a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        ledger: FluenceLedger,
        beam_log: BeamLog,
        truth: TruthWriter,
    ) -> None:
        """A camera; ``histories`` are those of the cells, the first one's first."""
        self.scenario, self.clock, self.beam_log, self.truth = scenario, clock, beam_log, truth
        self.model = FrameModel(scenario)
        self.ledger = ledger
        self._histories = histories

    def prepare(self, x: float, y: float, energy: float) -> None:
        """Work out what frames at a place and an energy share; seconds, once, in its own thread."""
        self.model.prepare(x, y, energy)

    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        """Have that worked out, if it is not yet, while the clock stands: no detector takes so long."""
        if self.model.is_prepared(x, y, energy):
            return
        freezes = self.scenario.detector.compute_freezes_clock
        with self.clock.frozen("detector") if freezes else contextlib.nullcontext():
            preparer.submit(self.prepare, x, y, energy).result()

    def take(self, request: Request, keep: Callable[[Shot], tuple[str, int]]) -> Shot:
        """Take the frame of an exposure that is over, and have it kept while the clock stands.

        Args:
            request: What to expose.
            keep: Writes the shot to a file; answers the file and the index in it.

        Raises:
            ProcessError: If the cell's history does not come to the end of the exposure.
        """
        if cell := self.model.place(request.x, request.y).cell:
            self._histories[cell - 1].wait(request.end)
        if not self.scenario.detector.compute_freezes_clock:
            return self._take(request, keep)
        with self.clock.frozen("detector"):
            return self._take(request, keep)

    def _take(self, request: Request, keep: Callable[[Shot], tuple[str, int]]) -> Shot:
        shot = self.expose(request)
        file, index = keep(shot)
        place = {"file": file, "index": index, "unique_id": request.number}
        self.truth.add(place | shot.truth)
        return shot

    def expose(self, request: Request) -> Shot:
        """The frame of an exposure; the same request gives the same counts."""
        exposure = Exposure(
            request.start,
            request.end,
            request.x,
            request.y,
            request.energy,
            self.beam_log.instants(request.start, request.end),
        )
        place = self.model.place(request.x, request.y)
        self.ledger.advance(request.start, request.x, request.y)
        expected = self.model.expected(
            exposure,
            lambda times: self._histories[place.cell - 1].at(times).lithium_content,
            damage=self.ledger.damage(place),
        )
        self.ledger.advance(request.end, request.x, request.y)
        rng = np.random.default_rng([self.scenario.seed, request.number])
        detector = self.scenario.detector
        frame = counts(expected.photons, duration=exposure.duration, detector=detector, rng=rng)
        i0, transmitted = self._counters(exposure, expected, rng)
        truth = self._truth(exposure, expected) | {
            "counts": int(frame.sum(dtype=np.int64)),
            "saturated": int(np.count_nonzero(frame >= detector.saturation)),
        }
        ring, state = self.beam_log.ring_current(request.end), self.beam_log.state_at(request.end)
        return Shot(request, frame, i0, transmitted, ring, state.is_open, truth)

    def _counters(
        self, exposure: Exposure, expected: ExpectedFrame, rng: np.random.Generator
    ) -> tuple[float, float]:
        beam, photons = self.scenario.beam, exposure.instants.total
        dark = DARK_RATE * exposure.duration
        i0 = rng.poisson(photons * beam.i0_efficiency + dark)
        behind = photons * expected.transmission * beam.transmission_efficiency
        return float(i0), float(rng.poisson(behind + dark))

    def _truth(self, exposure: Exposure, expected: ExpectedFrame) -> dict[str, Any]:
        state, cell = None, expected.place.cell
        if expected.in_beam == "cell":
            middle = (exposure.start + exposure.end) / 2
            times = np.array([exposure.start, middle, exposure.end])
            state = self._histories[cell - 1].at(times)
        line = frame_truth(exposure, expected, self.scenario, state)
        return line | {"fluence": self.ledger.largest(expected.place)}

    def transmission(self, x: float, y: float, energy: float) -> float:
        """Of the direct beam with the stage at (x, y), with the electrode half full."""
        return self.model.transmission(x, y, energy)
