"""Frames of the simulation for the tests of artefacts: a cell, a detector that may do wrong, and what
reduces them as if nothing were. The geometry is written as it is, so that no calibration is in between."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer
from battbeam.sim.artefacts import Panel, moved, moved_at
from battbeam.sim.beam import Instants
from battbeam.sim.frame import ExpectedFrame, Exposure, FrameModel
from battbeam.sim.history import HiddenState
from battbeam.sim.scenario import Cell, Detector, DetectorFaults, Layer, Motion, Scenario
from battbeam.sim.scenario_layer import coin_cell_stack
from tests.reduction.pattern_generator import Bench as Geometry

EXPOSURE, CONTENT = 10.0, 0.5
# Where each layer lies, mm, how much of the cell's absorption is behind it, and whether it moves.
LAYERS = {
    "NMC811": (0.0, 0.7, True),
    "Al": (0.04, 0.43, True),
    "Li": (-0.27, 0.98, True),
    "steel": (1.45, 0.2, False),
}
EVEN = Cell(
    chemistry="nmc811",
    gradient_x=0,
    gradient_depth=0,
    dead_spot=None,
    inactive_fraction=0,
    motion=Motion(),
)


def phases(*references: str) -> tuple[ScatteringPhase, ...]:
    return tuple(
        ScatteringPhase(name, depth, behind, reference=name in references, moves=moves)
        for name, (depth, behind, moves) in LAYERS.items()
    )


def stack(*more: Layer, **changes: dict) -> tuple[Layer, ...]:
    """The coin cell's, with fields of layers changed by material, and more layers."""
    layers = [
        layer.model_copy(update=changes.get(layer.material, {})) for layer in coin_cell_stack()
    ]
    return (*layers, *more)


@dataclass
class Bench:
    """A detector upright before the cell, in so many mm of pixels."""

    directory: Path
    n: int = 160
    pixel: float = 0.5
    centre: tuple[float, float] = (79.3, 81.8)
    peak_width: float = 0.2
    dark_rate: float = 0.002
    flux: float = 5e8
    _models: dict = field(default_factory=dict)

    @property
    def geometry(self) -> Geometry:
        return Geometry(
            shape=(self.n, self.n),
            pixel=(self.pixel, self.pixel),
            centre=self.centre,
            rotation=(0.0, 0.0),
            width=(self.peak_width, 0.05),
        )

    def reducer(self, *references: str, **options: object) -> XrdReducer:
        self.directory.mkdir(exist_ok=True)
        files = self.geometry.save(self.directory)
        chosen = XrdOptions(cache_directory=self.directory, **options)
        return XrdReducer(*files, phases(*references), shape=(self.n, self.n), options=chosen)

    def pixels(self) -> PixelGeometry:
        return PixelGeometry.read(self.geometry.save(self.directory)[0], (self.n, self.n))

    def scenario(self, layers: tuple[Layer, ...] = (), **detector: object) -> Scenario:
        settings = Detector(
            n_rows=self.n,
            n_columns=self.n,
            pixel_size=self.pixel,
            centre_row=self.centre[0],
            centre_column=self.centre[1],
            tilt=0.0,
            peak_width=self.peak_width,
            dark_rate=self.dark_rate,
            saturation=10**9,
        ).model_copy(update=detector)
        return Scenario(cells=(EVEN,), stack=layers or stack(), detector=settings)

    def faulty(self, **faults: object) -> Scenario:
        return self.scenario(faults=DetectorFaults.model_validate(faults))

    def expected(
        self,
        hidden: Scenario,
        *,
        moved_by: float = 0.0,
        energy: float = 22163.0,
        after: float = 0.0,
        x: float = 0.0,
    ) -> ExpectedFrame:
        """Before chance, ``after`` s from the start: the cell stands ``moved_by`` mm downstream, and the
        beam meets it ``x`` mm from its middle.
        """
        seen = moved(hidden) if moved_at(hidden, hidden.start + after) else hidden
        key = seen.model_copy(update={"detector": _drawn(seen.detector)}).model_dump_json()
        model = self._models.setdefault(key, FrameModel(seen))
        times = np.linspace(0, EXPOSURE, 3)
        photons = Instants(times, np.full(3, self.flux * EXPOSURE / 3))
        exposure = Exposure(0.0, EXPOSURE, x, 0.0, energy, photons)
        return model.expected(
            exposure, lambda at: np.full(len(at), CONTENT), hidden=_standing(moved_by)
        )

    def frame(
        self, hidden: Scenario, seed: int, *, panel: Panel | None = None, **how: float
    ) -> np.ndarray:
        after = hidden.start + how.get("after", 0.0)
        return (panel or Panel(hidden)).counts(
            self.expected(hidden, **how).photons,
            start=after,
            end=after + EXPOSURE,
            number=seed,
            rng=np.random.default_rng([5, seed]),
        )

    def dark(self, hidden: Scenario, seed: int, *, panel: Panel, after: float) -> np.ndarray:
        start = hidden.start + after
        return panel.counts(
            np.zeros((self.n, self.n)),
            start=start,
            end=start + EXPOSURE,
            number=seed,
            rng=np.random.default_rng([6, seed]),
        )

    def reduced(self, reducer: XrdReducer, frame: np.ndarray, **more: object):
        seen = self.expected(self.scenario())
        return reducer.reduce(
            frame, monitor=self.flux * EXPOSURE, transmission=seen.transmission, **more
        )


def _drawn(detector: Detector) -> Detector:
    """What of a detector the expected light depends on."""
    return detector.model_copy(update={"faults": DetectorFaults(), "dark_rate": 0.0})


def _standing(moved_by: float):
    names = list(HiddenState.__dataclass_fields__)[1:]
    known = {"lithium_content": CONTENT, "counter_content": 0.5, "displacement": moved_by}
    return lambda times: HiddenState(
        times, *(np.full(len(times), known.get(name, 0.0)) for name in names)
    )
