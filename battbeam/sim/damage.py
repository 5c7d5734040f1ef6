"""This file is where the beam's photons on each spot of a cell add up, and what they spoil.

A footprint is a rectangle of the beam's size in the cell's frame; a point's fluence is the sum over
all footprints that cover it. Material ceases to take part as exp(-beam_damage x fluence) and keeps
the lithium content at which it ceased. A spot is too small for the cell to notice.

What it does not imitate: damage that spreads or heals; where footprints overlap, what ceased when is
shared out by fluence.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from battbeam.sim.scenario import Beam
from battbeam.units import FloatArray

#: Share of the beam's size below which two footprints are the same.
SAME_PLACE = 0.01
#: Lithium contents in which ceased material is kept; between them linear, so means are kept.
N_CONTENTS = 101
_CONTENTS = np.linspace(0.0, 1.0, N_CONTENTS)
#: Most edges of other footprints between which a footprint's largest fluence is looked for exactly;
#: beyond, at so many points evenly along either side.
_MOST_EDGES = 60
#: Share of a footprint's half width that two edges may differ by and still be one.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Damage:
    """What of the material under some points takes no part any more.

    Attributes:
        alive: Share that takes part, shape (n_points,).
        contents: Mean lithium content of the cell when material ceased, shape (n_contents,).
        ceased: Share that ceased then, shape (n_points, n_contents); with ``alive`` it sums to 1.
    """

    alive: FloatArray
    contents: FloatArray
    ceased: FloatArray


@dataclass
class _Footprint:
    x: float
    y: float
    fluence: float = 0.0
    ceased: FloatArray = field(default_factory=lambda: np.zeros(N_CONTENTS))


class FluenceMap:
    """The spots of one cell, in its frame, mm."""

    def __init__(self, beam: Beam, *, beam_damage: float) -> None:
        self._half = (beam.size_x / 2, beam.size_y / 2)
        self._area = beam.size_x * beam.size_y
        self._rate = beam_damage
        self._footprints: dict[tuple[int, int], _Footprint] = {}
        self._tiles: dict[tuple[int, int], list[_Footprint]] = {}

    def add(self, x: float, y: float, photons: float, *, lithium_content: float) -> None:
        """Count photons on the footprint centred at (x, y).

        Args:
            x: mm.
            y: mm.
            photons: On the footprint.
            lithium_content: Mean of the cell meanwhile: what ceases now keeps it.
        """
        spot, fluence = self._at(x, y), photons / self._area
        if self._rate > 0:
            alive = math.exp(-self._rate * spot.fluence)
            gone = alive * -math.expm1(-self._rate * fluence)
            place = min(max(lithium_content, 0.0), 1.0) * (N_CONTENTS - 1)
            index = min(int(place), N_CONTENTS - 2)
            spot.ceased[index] += gone * (index + 1 - place)
            spot.ceased[index + 1] += gone * (place - index)
        spot.fluence += fluence

    def fluence(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Photons per mm2 so far at points, shape (n,)."""
        x, y = np.asarray(x), np.asarray(y)
        total = np.zeros(len(x))
        for spot in self._near(x, y):
            total[self._covers(spot, x, y)] += spot.fluence
        return total

    def largest(self, x: float, y: float) -> float:
        """The largest fluence within the footprint centred at (x, y), photons per mm2."""
        near = self._near(np.array([x]), np.array([y]))
        columns = _between_edges(x, self._half[0], [spot.x for spot in near])
        rows = _between_edges(y, self._half[1], [spot.y for spot in near])
        grid_x, grid_y = np.meshgrid(columns, rows)
        return float(self.fluence(grid_x.ravel(), grid_y.ravel()).max())

    def damage(self, x: FloatArray, y: FloatArray) -> Damage | None:
        """At points, shape (n,); None where nothing is damaged."""
        if self._rate == 0:
            return None
        x, y = np.asarray(x), np.asarray(y)
        fluence = self.fluence(x, y)
        if not fluence.any():
            return None
        ceased = np.zeros((len(x), N_CONTENTS))
        for spot in self._near(x, y):
            total = spot.ceased.sum()
            if total > 0:
                ceased[self._covers(spot, x, y)] += spot.fluence / total * spot.ceased
        alive = np.exp(-self._rate * fluence)
        weight = ceased.sum(axis=1)
        scale = np.divide(1 - alive, weight, out=np.zeros_like(weight), where=weight > 0)
        used = ceased.any(axis=0)
        return Damage(alive, _CONTENTS[used], (ceased * scale[:, None])[:, used])

    def _at(self, x: float, y: float) -> _Footprint:
        step_x, step_y = (2 * half * SAME_PLACE for half in self._half)
        key = (round(x / step_x), round(y / step_y))
        if key not in self._footprints:
            spot = self._footprints[key] = _Footprint(x, y)
            self._tiles.setdefault(self._tile(x, y), []).append(spot)
        return self._footprints[key]

    def _tile(self, x: float, y: float) -> tuple[int, int]:
        return math.floor(x / (2 * self._half[0])), math.floor(y / (2 * self._half[1]))

    def _covers(self, spot: _Footprint, x: FloatArray, y: FloatArray) -> npt.NDArray[np.bool_]:
        inside = np.abs(x - spot.x) <= self._half[0]
        return np.asarray(inside & (np.abs(y - spot.y) <= self._half[1]))

    def _near(self, x: FloatArray, y: FloatArray) -> list[_Footprint]:
        """Every footprint that may cover one of the points, or meet a footprint centred there."""
        reach_x, reach_y = 2 * self._half[0], 2 * self._half[1]
        first = self._tile(float(x.min()) - reach_x, float(y.min()) - reach_y)
        last = self._tile(float(x.max()) + reach_x, float(y.max()) + reach_y)
        return [
            spot
            for column in range(first[0], last[0] + 1)
            for row in range(first[1], last[1] + 1)
            for spot in self._tiles.get((column, row), ())
        ]


def _between_edges(middle: float, half: float, others: list[float]) -> FloatArray:
    """Points along a side of a footprint, one in each piece that the others' edges cut it into."""
    low, high = middle - half, middle + half
    edges = {low, high, *(other + sign * half for other in others for sign in (-1, 1))}
    inside = sorted(edge for edge in edges if low <= edge <= high)
    if len(inside) > _MOST_EDGES:
        inside = np.linspace(low, high, _MOST_EDGES + 1).tolist()
    # Footprints side by side share an edge but for rounding; nothing lies between.
    pieces = [pair for pair in itertools.pairwise(inside) if pair[1] - pair[0] > _ROUNDING * half]
    return np.array([(first + last) / 2 for first, last in pieces])
