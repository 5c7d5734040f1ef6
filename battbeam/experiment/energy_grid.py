"""This file is where it is said at which energies a spectrum is measured, and how long at each.

Regions are in eV relative to the edge or in 1/angstrom of the photoelectron. Both ends of a region
are measured; a step that does not divide it is made smaller, so that all of its steps are equal.
Where a region begins at the end of the one before, that energy is measured once, for the longer of
the two dwells.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from battbeam.experiment.absorption_edge import (
    AbsorptionEdge,
    energy_from_wavenumber,
    wavenumber_from_energy,
)
from battbeam.units import FloatArray

#: Energies closer than this are one, eV: far below what a crystal resolves.
SAME_ENERGY = 1e-4
#: Steps across an edge that look well in a table, eV; the largest that is at most half the
#: core-hole width is taken: two points in the narrowest line that there can be. Chosen here.
EDGE_STEPS = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0)
#: Step where no width is known, eV: that of the 3d metals.
EDGE_STEP = 0.5
#: Where the presets change their step, eV from the edge. The pre-edge line and the polynomial
#: behind the edge need some 100 eV each; the pre-edge peaks of 3d metals lie above -10 eV.
FIRST, BEFORE, AT, BEHIND = -150.0, -20.0, -10.0, 30.0

Preset = Literal["xanes", "xas"]


@dataclass(frozen=True)
class Region:
    """Equal steps.

    Attributes:
        start: eV relative to the edge, or 1/angstrom.
        stop: Above it.
        step: At most.
        dwell: s at each energy; in k at the first.
        axis: ``energy`` in eV or ``k`` in 1/angstrom.
        k_weight: In k the dwell grows with (k / start) to this power.
    """

    start: float
    stop: float
    step: float
    dwell: float
    axis: Literal["energy", "k"] = "energy"
    k_weight: float = 0.0

    @property
    def places(self) -> FloatArray:
        """On its axis, both ends included, shape (n,)."""
        n = max(math.ceil((self.stop - self.start) / self.step - 1e-6), 1)
        return np.linspace(self.start, self.stop, n + 1)

    @property
    def energies(self) -> FloatArray:
        """eV relative to the edge, shape (n,)."""
        places = self.places
        return places if self.axis == "energy" else np.asarray(energy_from_wavenumber(places))

    @property
    def dwells(self) -> FloatArray:
        """s, shape (n,)."""
        if self.axis == "energy" or self.k_weight == 0:
            return np.full(len(self.places), self.dwell)
        return np.asarray(self.dwell * (self.places / self.start) ** self.k_weight)

    def faults(self) -> list[str]:
        """What is wrong with it, one sentence each."""
        unit = "eV" if self.axis == "energy" else "1/angstrom"
        numbers = (self.start, self.stop, self.step, self.dwell, self.k_weight)
        if not all(math.isfinite(number) for number in numbers):
            return [f"every number must be finite, got {numbers}"]
        weighted = self.axis == "k" and self.k_weight > 0
        checks = (
            (self.axis in ("energy", "k"), f"axis must be energy or k, got {self.axis!r}"),
            (
                self.stop > self.start,
                f"energies must ascend: stop {self.stop:g} {unit} is not above start "
                f"{self.start:g} {unit}",
            ),
            (self.step > 0, f"step must be greater than 0 {unit}, got {self.step:g} {unit}"),
            (self.dwell > 0, f"dwell must be greater than 0 s, got {self.dwell:g} s"),
            (
                self.axis != "k" or self.start >= 0,
                f"k must not be negative, got a start of {self.start:g} 1/angstrom",
            ),
            (
                not weighted or self.start > 0,
                "a k-weighted dwell needs a start above 0 1/angstrom",
            ),
            (self.k_weight >= 0, f"k_weight must not be negative, got {self.k_weight:g}"),
            (self.axis == "k" or self.k_weight == 0, "k_weight is for a region in k"),
        )
        return [why for holds, why in checks if not holds]


@dataclass(frozen=True)
class EnergyGrid:
    """The energies of a spectrum.

    Attributes:
        edge: That regions are relative to.
        regions: In ascending order.

    >>> grid = EnergyGrid.of("Ni K", [Region(-50, 0, 25, 1.0), Region(0, 2, 0.5, 2.0)])
    >>> grid.energies.tolist()
    [8283.0, 8308.0, 8333.0, 8333.5, 8334.0, 8334.5, 8335.0]
    >>> grid.duration
    12.0
    """

    edge: AbsorptionEdge
    regions: tuple[Region, ...]

    @classmethod
    def of(
        cls,
        edge: AbsorptionEdge | str | float,
        regions: Sequence[Region] | Preset = "xanes",
        *,
        dwell: float = 1.0,
        k_max: float = 12.0,
        k_weight: float = 1.0,
    ) -> "EnergyGrid":
        """A grid about an edge.

        Args:
            edge: As ``Ni K``, or eV.
            regions: Or the name of a preset: ``xanes`` to 250 eV behind the edge, ``xas`` in k.
            dwell: Of a preset, s; in k at its beginning.
            k_max: Of ``xas``, 1/angstrom.
            k_weight: Of ``xas``.

        Raises:
            ValueError: If there is no such edge or preset.
        """
        where = AbsorptionEdge.of(edge)
        if not isinstance(regions, str):
            return cls(where, tuple(regions))
        across = edge_step(where.core_hole_width)
        shared = (
            Region(FIRST, BEFORE, 10.0, dwell),
            Region(BEFORE, AT, 1.0, dwell),
            Region(AT, BEHIND, across, dwell),
        )
        if regions == "xanes":
            wide = (Region(BEHIND, 60, 1.0, dwell), Region(60, 150, 5.0, dwell))
            return cls(where, (*shared, *wide, Region(150, 250, 20.0, dwell)))
        if regions == "xas":
            begin = float(wavenumber_from_energy(BEHIND))
            return cls(where, (*shared, Region(begin, k_max, 0.05, dwell, "k", k_weight)))
        raise ValueError(f"preset {regions!r} is none of xanes, xas")

    def faults(self, limits: tuple[float, float] | None = None) -> list[str]:
        """Everything that is wrong with it, one sentence each.

        Args:
            limits: Lowest and highest energy that the monochromator reaches, eV.
        """
        own = [
            f"region {number}: {fault}"
            for number, region in enumerate(self.regions, start=1)
            for fault in region.faults()
        ]
        if not self.regions:
            own = ["no region"]
        elif not own:
            own = self._order_faults() + self._limit_faults(limits)
        return [f"grid at {self.edge.label}: {fault}" for fault in own]

    def _order_faults(self) -> list[str]:
        return [
            f"energies must ascend: region {number} ends at {here.energies[-1]:g} eV, region "
            f"{number + 1} begins at {there.energies[0]:g} eV from the edge"
            for number, (here, there) in enumerate(itertools.pairwise(self.regions), start=1)
            if there.energies[0] < here.energies[-1] - SAME_ENERGY
        ]

    def _limit_faults(self, limits: tuple[float, float] | None) -> list[str]:
        low, high = (0.0, math.inf) if limits is None else limits
        first = self.edge.energy + float(self.regions[0].energies[0])
        last = self.edge.energy + float(self.regions[-1].energies[-1])
        return [
            f"{energy:g} eV is outside the monochromator's limits, {low:g} to {high:g} eV"
            for energy in (first, last)
            if not low <= energy <= high
        ]

    @functools.cached_property
    def _points(self) -> tuple[FloatArray, FloatArray]:
        """Energies and dwells.

        Raises:
            ValueError: If the grid is faulty, with every fault.
        """
        if faults := self.faults():
            raise ValueError("; ".join(faults))
        energies, dwells = np.empty(0), np.empty(0)
        for region in self.regions:
            more, longer = region.energies, region.dwells
            if len(energies) and abs(more[0] - energies[-1]) < SAME_ENERGY:
                dwells[-1] = max(dwells[-1], longer[0])
                more, longer = more[1:], longer[1:]
            energies, dwells = np.append(energies, more), np.append(dwells, longer)
        return self.edge.energy + energies, dwells

    @property
    def energies(self) -> FloatArray:
        """eV, ascending, shape (n,)."""
        return self._points[0]

    @property
    def dwells(self) -> FloatArray:
        """s, shape (n,)."""
        return self._points[1]

    @property
    def duration(self) -> float:
        """s of counting; moves come on top."""
        return float(self.dwells.sum())

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def sentence(self) -> str:
        """For people.

        >>> EnergyGrid.of("Ni K").sentence
        'Ni K: 157 energies from 8183 to 8583 eV, 157 s of counting'
        """
        return (
            f"{self.edge.label}: {len(self)} energies from {self.energies[0]:g} to "
            f"{self.energies[-1]:g} eV, {self.duration:g} s of counting"
        )

    def document(self) -> dict[str, Any]:
        """For a start document; `read` takes it back."""
        return {
            "edge": self.edge.document(),
            "regions": [asdict(region) for region in self.regions],
            "n_points": len(self),
            "duration": self.duration,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "EnergyGrid":
        """The grid of a start document."""
        regions = tuple(Region(**each) for each in document["regions"])
        return cls(AbsorptionEdge.read(document["edge"]), regions)


def edge_step(core_hole_width: float) -> float:
    """Step across an edge in eV, from the full width of its core hole in eV.

    >>> edge_step(1.44)
    0.5
    """
    if math.isnan(core_hole_width):
        return EDGE_STEP
    return max((step for step in EDGE_STEPS if step <= core_hole_width / 2), default=EDGE_STEPS[0])
