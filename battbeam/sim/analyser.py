"""This file is where spectra of the white beam are counted: the clock, the cell's history, the gauge, dead
time and chance come together.

It knows no Channel Access; everything here may take a while and runs in the worker that frames are made
in.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from battbeam import materials
from battbeam.sim.beam import BeamLog
from battbeam.sim.changer import Place, place_of
from battbeam.sim.energy_dispersive import WhiteBeam
from battbeam.sim.gauge import Gauge, Plane, standard_planes
from battbeam.sim.history import HiddenState, History
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import SessionClock
from battbeam.sim.truth import TruthWriter
from battbeam.units import FloatArray

#: Tells the random numbers of spectra from those of frames, counts and sweeps.
_STREAM = 11
#: Instants of an exposure and their shares, Gauss-Legendre: the cell changes while it is counted.
_NODES, _SHARES = np.polynomial.legendre.leggauss(3)


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        number: Of the spectrum.
        start: Of the exposure, session clock, s.
        end: Session clock, s.
        x: Of the sample stage, mm.
        y: mm.
        z: Of the stage across the layers, mm.
    """

    number: int
    start: float
    end: float
    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Counted:
    """A spectrum.

    Attributes:
        counts: Of each channel, shape (n_channels,).
        real_time: s.
        live_time: s in which the analyser was free.
    """

    counts: npt.NDArray[np.int64]
    real_time: float
    live_time: float


class Analyser:
    """Counts spectra of a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        white: BeamLog,
        truth: TruthWriter,
    ) -> None:
        """An analyser; ``white`` is the log of the white beam, whose photons count as shares of the
        full ring.
        """
        self.scenario, self._clock = scenario, clock
        self._histories, self.white, self._truth = histories, white, truth
        self.beam = WhiteBeam(scenario.energy_dispersive)
        height = scenario.energy_dispersive.gauge_height
        self._gauges = [
            Gauge(cell, scenario.stack_of(number), height)
            for number, cell in enumerate(scenario.cells, start=1)
        ]

    def take(self, request: Request) -> Counted:
        """The spectrum of an exposure that is over; the clock stands meanwhile.

        Raises:
            ProcessError: If the cell's history does not come to its end.
        """
        freezes = self.scenario.detector.compute_freezes_clock
        with self._clock.frozen("mca") if freezes else contextlib.nullcontext():
            place = place_of(self.scenario, request.x, request.y)
            state = None
            if place.cell:
                self._histories[place.cell - 1].wait(request.end)
                middle, half = (
                    (request.start + request.end) / 2,
                    (request.end - request.start) / 2,
                )
                state = self._histories[place.cell - 1].at(middle + half * _NODES)
            planes = self._planes(request, place, state)
            # s for which a full ring would have given as much light.
            light = self.white.instants(request.start, request.end).total / self.white.beam.flux
            counted = self._counted(request, self.beam.spectrum(planes) * light)
            self._truth.add(self._line(request, place, planes, light, counted))
        return counted

    def _planes(self, request: Request, place: Place, state: HiddenState | None) -> list[Plane]:
        if state is not None:
            gauge = self._gauges[place.cell - 1]
            return gauge.planes(request.z, x=place.x, y=place.y, state=state, light=_SHARES / 2)
        if place.in_beam == "standard":
            return standard_planes(self.scenario.standard, self.beam.settings.path)
        return []

    def _counted(self, request: Request, offered: FloatArray) -> Counted:
        """Of the photons that are offered, those that find the analyser free."""
        rng = np.random.default_rng([self.scenario.seed, _STREAM, request.number])
        real, dead = request.end - request.start, self.beam.settings.dead_time
        free = 1 / (1 + offered.sum() / real * dead)
        counts = rng.poisson(offered * free)
        return Counted(counts, real, max(real - float(counts.sum()) * dead, 0.0))

    def _line(
        self,
        request: Request,
        place: Place,
        planes: Sequence[Plane],
        light: float,
        counted: Counted,
    ) -> dict[str, Any]:
        """For the truth file."""
        return {
            "mca": request.number,
            "start": request.start,
            "end": request.end,
            "x": request.x,
            "y": request.y,
            "z": request.z,
            "in_beam": place.in_beam if light > 0 else "dark",
            "cell": place.cell or None,
            "light": light,
            "counts": int(counted.counts.sum()),
            "live_time": counted.live_time,
            **gauge_truth(planes),
        }


def gauge_truth(planes: Sequence[Plane]) -> dict[str, Any]:
    """Means over a gauge volume, by moles.

    Returns:
        ``layers``, the share of its height that each layer of the stack has; ``d``, the spacing of the
        layers of each phase that has some, angstrom; ``lithium_content`` of the working electrode,
        ``lithium_content_counter`` and ``phase_fraction_counter`` of graphite, where they are in it.
    """
    layers: dict[str, float] = {}
    moles: dict[str, dict[str, float]] = {}
    sums: dict[str, tuple[float, float]] = {}
    for plane in planes:
        for host in dict.fromkeys(each.host for each in plane.portions):
            layers[host] = layers.get(host, 0.0) + plane.weight
        for each in plane.portions:
            weight = plane.weight * each.concentration
            of_host = moles.setdefault(each.host, {})
            of_host[each.material] = of_host.get(each.material, 0.0) + weight
            held, spacing = sums.get(f"x {each.host}", (0.0, 0.0))
            sums[f"x {each.host}"] = (held + weight, spacing + weight * each.content)
            d = _layer_spacing(each.material, each.content)
            if d is not None:
                held, spacing = sums.get(each.material, (0.0, 0.0))
                sums[each.material] = (held + weight, spacing + weight * d)
    mean = {name: total / weight for name, (weight, total) in sums.items()}
    line: dict[str, Any] = {
        "layers": layers,
        "d": {name: d for name, d in mean.items() if not name.startswith("x ")},
    }
    for host, column in (("active", "lithium_content"), ("counter", "lithium_content_counter")):
        if host in moles:
            line[column] = mean[f"x {host}"]
    if "counter" in moles:
        total = sum(moles["counter"].values())
        line["phase_fraction_counter"] = {
            phase: amount / total for phase, amount in moles["counter"].items()
        }
    return line


def _layer_spacing(phase: str, content: float) -> float | None:
    """Of what is built of layers: from one to the next, angstrom."""
    if phase in materials.LAYERED_PHASES:
        return materials.structure(phase, content).lattice.c / 3
    if phase in materials.COUNTER_PHASES:
        layers = 1 if phase == "LiC6" else 2
        return materials.structure(phase, content).lattice.c / layers
    return None
