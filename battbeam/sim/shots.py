"""This file is where a frame is taken: the clock, the cell's history, the frame model and chance
come together.

Two cameras take frames: that of diffraction here, that of imaging in `battbeam.sim.imaging_shots`.
Neither knows Channel Access. Everything here may take a while and runs in one worker thread.
"""

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from battbeam.sim.artefacts import Panel, moved, moved_at
from battbeam.sim.beam import BeamLog
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.frame import ExpectedFrame, Exposure, FrameModel
from battbeam.sim.heated_phases import COLD
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
class Pose:
    """How everything that moves stands when an exposure begins.

    Attributes:
        x: Of the sample stage, mm.
        y: mm.
        energy: True photon energy, eV.
        nominal_energy: What the monochromator says, eV.
        tilt: Of the sample's tilt axis, degree; None: there is none.
    """

    x: float
    y: float
    energy: float
    nominal_energy: float
    tilt: float | None = None


@dataclass(frozen=True)
class Turn:
    """How the sample stood and turned in an exposure, degree.

    Attributes:
        start: At its beginning.
        end: At its end.
        reading: Of the encoder in its middle.
    """

    start: float
    end: float
    reading: float


#: A sample of which nobody knows how it stands.
UNKNOWN_TURN = Turn(math.nan, math.nan, math.nan)


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
        nominal_energy: What the monochromator says, eV.
        turn: Of the sample.
        x_end: Of the stage at its end, mm; None: as at the start.
        y_end: mm.
        tilt: Of the sample's tilt axis, degree; None: there is none.
    """

    start: float
    end: float
    x: float
    y: float
    energy: float
    number: int
    nominal_energy: float = math.nan
    turn: Turn = UNKNOWN_TURN
    x_end: float | None = None
    y_end: float | None = None
    tilt: float | None = None

    @property
    def stage_end(self) -> tuple[float, float]:
        """(x, y) of the stage at the end, mm."""
        x, y = self.x_end, self.y_end
        return self.x if x is None else x, self.y if y is None else y


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


#: A shot that was written, the file and the index in it; no file and -1 where none was open.
Kept = tuple[Shot, str, int]
#: Has a shot written, at once or later; what was written now.
Keep = Callable[[Shot], Sequence[Kept]]


class Camera(ABC):
    """Takes frames of a scenario.

    Attributes:
        scenario: What is simulated.
        clock: The session's.
        beam_log: What the beam has been.
        truth: Where the truth about each frame that was written goes.
        histories: Of the cells, the first one's first.
        name: Of the camera: with it the clock is frozen.
        freezes: Whether the clock stands while a frame is worked out.
    """

    name: str

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        beam_log: BeamLog,
        truth: TruthWriter,
        freezes: bool,
    ) -> None:
        self.scenario, self.clock, self.beam_log, self.truth = scenario, clock, beam_log, truth
        self.histories, self.freezes = histories, freezes

    @abstractmethod
    def cell_in_beam(self, request: Request) -> int:
        """Number of the cell whose state a frame shows; 0 without one."""

    @abstractmethod
    def expose(self, request: Request) -> Shot:
        """The frame of an exposure; the same request gives the same counts."""

    @abstractmethod
    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        """Have worked out what frames at a place and an energy share."""

    def take(self, requests: Sequence[Request], keep: Keep) -> Shot:
        """Take the frames of exposures that are over, and have them kept while the clock stands.

        Args:
            requests: What to expose, one or more, in order.
            keep: Has a shot written.

        Returns:
            The last one.

        Raises:
            ProcessError: If the cell's history does not come to the end of an exposure.
        """
        for request in requests:
            if cell := self.cell_in_beam(request):
                self.histories[cell - 1].wait(request.end)
        with self.clock.frozen(self.name) if self.freezes else contextlib.nullcontext():
            for request in requests:
                shot = self.expose(request)
                for written, file, index in keep(shot):
                    place = {"file": file, "index": index, "unique_id": written.request.number}
                    self.truth.add(place | written.truth)
        return shot

    def counters(
        self, request: Request, photons: float, transmission: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Counts before and behind the sample in an exposure.

        Args:
            request: Of the exposure.
            photons: On the sample.
            transmission: Of what is in the beam.
            rng: Chance.
        """
        beam, dark = self.scenario.beam, DARK_RATE * (request.end - request.start)
        i0 = rng.poisson(photons * beam.i0_efficiency + dark)
        behind = photons * transmission * beam.transmission_efficiency
        return float(i0), float(rng.poisson(behind + dark))


class DiffractionCamera(Camera):
    """Takes the frames of diffraction."""

    name = "detector"

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        ledger: FluenceLedger,
        beam_log: BeamLog,
        truth: TruthWriter,
        heated_to: Callable[[float], float] = lambda time: COLD,
    ) -> None:
        """A camera; ``histories`` are those of the cells, the first one's first; ``heated_to`` is the
        highest temperature of the furnace until a time, degC.
        """
        super().__init__(
            scenario,
            clock=clock,
            histories=histories,
            beam_log=beam_log,
            truth=truth,
            freezes=scenario.detector.compute_freezes_clock,
        )
        self.model, self.panel = FrameModel(scenario), Panel(scenario)
        self._moved: FrameModel | None = None
        self.ledger, self.heated_to = ledger, heated_to

    def model_at(self, time: float) -> FrameModel:
        """The frame model of the detector where it is at a time of the session clock, s."""
        if not moved_at(self.scenario, time):
            return self.model
        if self._moved is None:
            self._moved = FrameModel(moved(self.scenario))
        return self._moved

    def prepare(self, x: float, y: float, energy: float) -> None:
        """Work out what frames at a place and an energy share; seconds, once, in its own thread."""
        self.model_at(self.clock.now()).prepare(x, y, energy)

    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        """Have that worked out, if it is not yet, while the clock stands: no detector takes so long."""
        if self.model_at(self.clock.now()).is_prepared(x, y, energy):
            return
        with self.clock.frozen(self.name) if self.freezes else contextlib.nullcontext():
            preparer.submit(self.prepare, x, y, energy).result()

    def cell_in_beam(self, request: Request) -> int:
        """Number of the cell that the beam meets; 0 without one."""
        return self.model.place(request.x, request.y).cell

    def expose(self, request: Request) -> Shot:
        """The frame of an exposure; the same request gives the same counts, but for lag of the one
        before.
        """
        exposure = Exposure(
            request.start,
            request.end,
            request.x,
            request.y,
            request.energy,
            self.beam_log.instants(request.start, request.end),
            *request.stage_end,
            request.tilt,
        )
        place = self.model.place_during(exposure)
        self.ledger.advance(request.start, request.x, request.y)
        expected = self.model_at(request.start).expected(
            exposure,
            lambda times: self.histories[place.cell - 1].at(times).lithium_content,
            damage=self.ledger.damage(place),
            hidden=self.histories[place.cell - 1].at,
            heated_to=self.heated_to((request.start + request.end) / 2),
        )
        self.ledger.advance(request.end, *request.stage_end)
        rng = np.random.default_rng([self.scenario.seed, request.number])
        detector = self.scenario.detector
        frame = self.panel.counts(
            expected.photons,
            start=exposure.start,
            end=exposure.end,
            number=request.number,
            rng=rng,
        )
        i0, transmitted = self.counters(
            request, exposure.instants.total, expected.transmission, rng
        )
        truth = self._truth(exposure, expected) | {
            "heated_to": self.heated_to((request.start + request.end) / 2),
            "counts": int(frame.sum(dtype=np.int64)),
            "saturated": int(np.count_nonzero(frame >= detector.saturation)),
        }
        truth |= self.panel.truth(exposure.start)
        ring, state = self.beam_log.ring_current(request.end), self.beam_log.state_at(request.end)
        return Shot(request, frame, i0, transmitted, ring, state.is_open, truth)

    def _truth(self, exposure: Exposure, expected: ExpectedFrame) -> dict[str, Any]:
        state, cell = None, expected.place.cell
        if expected.in_beam == "cell":
            middle = (exposure.start + exposure.end) / 2
            times = np.array([exposure.start, middle, exposure.end])
            state = self.histories[cell - 1].at(times)
        line = frame_truth(exposure, expected, self.scenario, state)
        return line | {"fluence": self.ledger.largest(expected.place)}

    def transmission(self, x: float, y: float, energy: float) -> float:
        """Of the direct beam with the stage at (x, y), with the electrode half full."""
        return self.model.transmission(x, y, energy)
