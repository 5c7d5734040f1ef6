"""This file is where a frame of the small-angle detector is taken, and where the truth about it is told.

I0 and IT beside its frames are those of a scaler of its own.
"""

import math
from concurrent.futures import Executor
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from battbeam.sim.beam import BeamLog, Instants
from battbeam.sim.changer import Place, place_of
from battbeam.sim.electrode import illuminated
from battbeam.sim.frame import mean_content, mean_opposite
from battbeam.sim.history import History
from battbeam.sim.scenario import STANDARD_RADIUS, Scenario
from battbeam.sim.scenario_small_angle import Nanostructure, SmallAngle
from battbeam.sim.shots import Camera, Request, SessionClock, Shot
from battbeam.sim.small_angle import BEHENATE_TRANSMISSION, SmallAngleModel, Structure, play
from battbeam.sim.stack import Absorption, cell_slabs, standard_slabs
from battbeam.sim.truth import TruthWriter
from battbeam.units import FloatArray

#: Which random numbers of a frame are this detector's.
_STREAM = 5
#: s of session clock between two looks at the content that a structure has followed.
_LOOK_INTERVAL, _MOST_LOOKS = 5.0, 20_000


class SmallAngleCamera(Camera):
    """Takes the frames of the small-angle detector.

    Args:
        scenario: With a small-angle detector.
        settings: Of that.
        clock: The session's.
        histories: Of the cells, the first one's first.
        beam_log: What the beam has been.
        truth: Where the truth goes.
    """

    name = "small-angle camera"

    def __init__(
        self,
        scenario: Scenario,
        settings: SmallAngle,
        *,
        clock: SessionClock,
        histories: list[History],
        beam_log: BeamLog,
        truth: TruthWriter,
    ) -> None:
        super().__init__(
            scenario,
            clock=clock,
            histories=histories,
            beam_log=beam_log,
            truth=truth,
            freezes=settings.compute_freezes_clock,
        )
        self.settings, self.model = settings, SmallAngleModel(settings)
        self._followed: dict[int, tuple[float, float]] = {}

    @classmethod
    def of(cls, scenario: Scenario, **settings: Any) -> "SmallAngleCamera | None":
        """Of a scenario; None where it has no small-angle detector."""
        small_angle = scenario.small_angle
        return None if small_angle is None else cls(scenario, small_angle, **settings)

    def cell_in_beam(self, request: Request) -> int:
        """Number of the cell that the beam meets; 0 without one."""
        return self._place(request).cell

    def _place(self, request: Request) -> Place:
        return place_of(self.scenario, request.x, request.y)

    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        """Nothing is worked out beforehand."""

    def expose(self, request: Request) -> Shot:
        """See `battbeam.sim.shots.Camera`."""
        instants = self.beam_log.instants(request.start, request.end)
        truth, structure, passed = self._met(request, instants)
        is_standard = truth["in_beam"] == "behenate"
        share = self.model.image(structure, request.energy, is_standard=is_standard)
        rng = np.random.default_rng([self.scenario.seed, request.number, _STREAM])
        duration = request.end - request.start
        frame = self._counts(share * instants.total * passed, duration, rng)
        i0, transmitted = self.counters(request, instants.total, passed, rng)
        ring, beam = self.beam_log.ring_current(request.end), self.beam_log.state_at(request.end)
        line = {
            "camera": self.name,
            "exposure_start": request.start,
            "exposure_end": request.end,
            "x": request.x,
            "y": request.y,
            "energy": request.energy,
            "beam": instants.total > 0,
            "photons": instants.total,
            "transmission": passed,
            "counts": int(frame.sum(dtype=np.int64)),
            **truth,
        }
        return Shot(request, frame, i0, transmitted, ring, beam.is_open, line)

    def _counts(
        self, photons: FloatArray, duration: float, rng: np.random.Generator
    ) -> npt.NDArray[np.uint32]:
        settings = self.settings
        counted = rng.poisson(photons) * settings.gain
        counted += rng.poisson(settings.dark_rate * duration, size=photons.shape)
        return np.asarray(np.minimum(counted, settings.saturation), dtype=np.uint32)

    def _met(
        self, request: Request, instants: Instants
    ) -> tuple[dict[str, Any], Structure | None, float]:
        """What the beam met, for the truth; the electrode's structure; what passes."""
        place = self._place(request)
        if instants.total <= 0:
            return {"in_beam": "dark", "cell": place.cell or None}, None, 1.0
        behenate = math.dist((request.x, request.y), self.settings.standard_position)
        if behenate <= STANDARD_RADIUS:
            return {"in_beam": "behenate", "cell": None}, None, BEHENATE_TRANSMISSION
        if place.in_beam == "cell":
            return self._cell(request, instants, place)
        if place.in_beam == "standard":
            through = self._through(1, 0.5, request.energy, is_standard=True)
            return {"in_beam": "standard", "cell": None}, None, through.transmission
        return {"in_beam": "nothing", "cell": None}, None, 1.0

    def _cell(
        self, request: Request, instants: Instants, place: Place
    ) -> tuple[dict[str, Any], Structure | None, float]:
        number, history = place.cell, self.histories[place.cell - 1]
        cell = self.scenario.cells[number - 1]
        seen = illuminated(
            place.x,
            place.y,
            instants=instants,
            mean_lithium_content=lambda times: history.at(times).lithium_content,
            beam=self.scenario.beam,
            cell=cell,
            hidden=history.at,
        )
        if seen.fraction == 0:
            return {"in_beam": "nothing", "cell": number}, None, 1.0
        content = mean_content(seen)
        through = Absorption.of(
            cell_slabs(self.scenario, number),
            cell=cell,
            lithium_content=content,
            energy=request.energy,
            opposite=mean_opposite(seen),
        ).transmission
        made = self._made(number)
        middle = float(instants.photons @ instants.times / instants.total)
        # Where the beam is, the structure has followed as it has in the mean of the cell.
        mean = float(history.at(np.array([middle])).lithium_content[0])
        followed = self._follow(number, middle, made.play) + content - mean
        structure = Structure.of(made, followed - cell.initial_lithium_content)
        line = {
            "in_beam": "cell",
            "cell": number,
            "lithium_content": content,
            "lithium_content_followed": followed,
            **asdict(structure),
            "guinier_radius": structure.guinier_radius,
        }
        if made.pores is not None:
            line["volume_change"] = (structure.spacing / made.pores.spacing) ** 3 - 1
        return line, structure, seen.fraction * through + 1 - seen.fraction

    def _through(
        self, number: int, content: float, energy: float, *, is_standard: bool
    ) -> Absorption:
        slabs = (
            standard_slabs(self.scenario.standard)
            if is_standard
            else cell_slabs(self.scenario, number)
        )
        cell = self.scenario.cells[number - 1]
        return Absorption.of(slabs, cell=cell, lithium_content=content, energy=energy)

    def _made(self, number: int) -> Nanostructure:
        made = self.settings.structures
        return made[number - 1] if number <= len(made) else Nanostructure()

    def _follow(self, number: int, time: float, width: float) -> float:
        """The content that a cell's structure has followed until a time, through its play."""
        history, initial = self.histories[number - 1], self.scenario.cells[number - 1]
        since, place = self._followed.get(
            number, (self.scenario.start, initial.initial_lithium_content)
        )
        if time < since:
            # Exposures come in their order; one that is asked for again begins anew.
            since, place = self.scenario.start, initial.initial_lithium_content
        begin = max(since, history.oldest)
        n = min(max(math.ceil((time - begin) / _LOOK_INTERVAL) + 1, 2), _MOST_LOOKS)
        times: FloatArray = np.linspace(min(begin, time), time, n)
        place = play(history.at(times).lithium_content, width=width, begin=place)
        self._followed[number] = (time, place)
        return place
