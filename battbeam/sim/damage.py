"""This file is where the beam's photons on each spot of a cell add up, and what they spoil.

A footprint is a rectangle of the beam's size in the cell's frame; a point's fluence is the sum over
all footprints that cover it. Material ceases to take part as exp(-beam_damage x fluence) and keeps
the lithium content at which it ceased. A spot is too small for the cell to notice.

What it does not imitate: damage that spreads or heals; where footprints overlap, what ceased when is
shared out by fluence.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from battbeam.sim.scenario import Beam
from battbeam.units import FloatArray

#: Share of the beam's size below which two footprints are the same.
SAME_PLACE = 0.01
#: Lithium contents in which ceased material is kept; between them linear, so means are kept.
N_CONTENTS = 101
_CONTENTS = np.linspace(0.0, 1.0, N_CONTENTS)
#: Points along each edge of a footprint at which its largest fluence is looked for.
_LOOKS = 15


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
        return self._sums(np.asarray(x), np.asarray(y))[0]

    def largest(self, x: float, y: float) -> float:
        """The largest fluence within the footprint centred at (x, y), photons per mm2."""
        inside = (np.arange(_LOOKS) + 0.5) / _LOOKS * 2 - 1
        grid = np.meshgrid(x + inside * self._half[0], y + inside * self._half[1])
        return float(self.fluence(grid[0].ravel(), grid[1].ravel()).max())

    def damage(self, x: FloatArray, y: FloatArray) -> Damage | None:
        """At points, shape (n,); None where nothing is damaged."""
        if self._rate == 0:
            return None
        fluence, ceased = self._sums(np.asarray(x), np.asarray(y))
        if not fluence.any():
            return None
        alive = np.exp(-self._rate * fluence)
        total = ceased.sum(axis=1)
        scale = np.divide(1 - alive, total, out=np.zeros_like(total), where=total > 0)
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

    def _sums(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fluence at points, shape (n,), and what ceased of them, weighted by fluence."""
        fluence, ceased = np.zeros(len(x)), np.zeros((len(x), N_CONTENTS))
        for spot in self._near(x, y):
            covers = (np.abs(x - spot.x) <= self._half[0]) & (np.abs(y - spot.y) <= self._half[1])
            fluence[covers] += spot.fluence
            total = spot.ceased.sum()
            if total > 0:
                ceased[covers] += spot.fluence / total * spot.ceased
        return fluence, ceased

    def _near(self, x: FloatArray, y: FloatArray) -> list[_Footprint]:
        """Every footprint that may cover one of the points."""
        first = self._tile(float(x.min()) - self._half[0], float(y.min()) - self._half[1])
        last = self._tile(float(x.max()) + self._half[0], float(y.max()) + self._half[1])
        return [
            spot
            for column in range(first[0], last[0] + 1)
            for row in range(first[1], last[1] + 1)
            for spot in self._tiles.get((column, row), ())
        ]
