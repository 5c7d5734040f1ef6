"""This file is where a frame of the imaging camera is taken, and where the truth about it is told."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from battbeam.sim.beam import BeamLog
from battbeam.sim.history import History
from battbeam.sim.imaging import ImagingModel, View
from battbeam.sim.phantom import Inside, PhantomState, inside_of
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import Camera, Request, SessionClock, Shot
from battbeam.sim.truth import TruthWriter
from battbeam.units import FloatArray

#: Which random numbers of a frame are this camera's.
_STREAM = 2
#: s of session clock between two looks for the largest content of the past, and looks at once.
_LOOK_INTERVAL, _MOST_LOOKS = 5.0, 20_000


class ImagingCamera(Camera):
    """Takes the frames of the imaging camera."""

    name = "imaging camera"

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        beam_log: BeamLog,
        truth: TruthWriter,
    ) -> None:
        """A camera; ``histories`` are those of the cells, the first one's first."""
        super().__init__(
            scenario,
            clock=clock,
            histories=histories,
            beam_log=beam_log,
            truth=truth,
            freezes=scenario.imaging.compute_freezes_clock,
        )
        self.model = ImagingModel(scenario)
        self._largest: dict[int, tuple[float, float]] = {}

    def cell_in_beam(self, request: Request) -> int:
        """Number of the cell in the field; 0 without one, or without light to see it by."""
        if self.beam_log.instants(request.start, request.end).total <= 0:
            return 0
        return self.model.cell_in_field(request.x, request.y)

    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        """Nothing is worked out beforehand."""

    def expose(self, request: Request) -> Shot:
        """See `battbeam.sim.shots.Camera`."""
        scenario, middle = self.scenario, (request.start + request.end) / 2
        beam_photons = self.beam_log.instants(request.start, request.end).total
        seconds = beam_photons / scenario.beam.flux
        number = self.cell_in_beam(request)
        turn = request.turn
        view = View(
            request.x, request.y, turn.start, turn.end, request.energy, middle - scenario.start
        )
        state = self.state(number, middle) if number else None
        inside = inside_of(scenario, state, number=number) if state is not None else None
        photons = self.model.photons(view, seconds, inside, number)
        rng = np.random.default_rng([scenario.seed, request.number, _STREAM])
        frame = self.model.counts(photons, duration=request.end - request.start, rng=rng)
        open_beam = self.model.photons_of_open_beam(view, seconds)
        passed = float(photons.sum() / open_beam) if open_beam > 0 else 1.0
        i0, transmitted = self.counters(request, beam_photons, passed, rng)
        truth = self._truth(request, view, seconds, number, state, inside) | {
            "transmission": passed,
            "counts": int(frame.sum(dtype=np.int64)),
            "saturated": int(np.count_nonzero(frame >= scenario.imaging.saturation)),
        }
        ring, beam = self.beam_log.ring_current(request.end), self.beam_log.state_at(request.end)
        return Shot(request, frame, i0, transmitted, ring, beam.is_open, truth)

    def state(self, number: int, time: float) -> PhantomState:
        """Of a cell at a time that its history covers."""
        now = self.histories[number - 1].at(np.array([time]))
        return PhantomState.of(
            self.scenario.cells[number - 1],
            lithium_content=float(now.lithium_content[0]),
            charge=float(now.charge[0]),
            largest_content=self._largest_content(number, time),
        )

    def _largest_content(self, number: int, time: float) -> float:
        """Largest lithium content of a cell up to a time."""
        history = self.histories[number - 1]
        since, largest = self._largest.get(number, (history.oldest, -math.inf))
        if time > since or not math.isfinite(largest):
            n = min(max(math.ceil((time - since) / _LOOK_INTERVAL) + 1, 2), _MOST_LOOKS)
            times: FloatArray = np.linspace(min(since, time), time, n)
            largest = max(largest, float(history.at(times).lithium_content.max()))
            self._largest[number] = (max(since, time), largest)
        return largest

    def _truth(
        self,
        request: Request,
        view: View,
        seconds: float,
        number: int,
        state: PhantomState | None,
        inside: Inside | None,
    ) -> dict[str, Any]:
        line: dict[str, Any] = {
            "camera": self.name,
            "exposure_start": request.start,
            "exposure_end": request.end,
            "x": request.x,
            "y": request.y,
            "energy": request.energy,
            "in_beam": "dark" if seconds <= 0 else "cell" if number else "nothing",
            "beam": seconds > 0,
            "photons": seconds * self.scenario.imaging.photon_rate,
            "omega": view.omega,
            "omega_start": view.omega_start,
            "omega_end": view.omega_end,
            "cell": number or None,
        }
        if state is None or inside is None:
            return line
        move_x, move_y, move_z = (speed * view.age for speed in self.scenario.imaging.motion)
        return line | {
            "axis": self.model.axis(view, number),
            "moved": [move_x, move_y, move_z],
            "lithium_content": state.lithium_content,
            "state": state.place,
            "largest_state": state.largest_place,
            "areal_charge": state.areal_charge,
            "sizes": dict(inside.sizes),
        }
