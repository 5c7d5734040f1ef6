"""This file is where light is added up on a sample: photons per mm2, and gray with a declared mass.

The beam is a rectangle of uniform brightness, its footprint given in the cell's own frame. Where
footprints overlap their light adds; what counts for a spot is the brightest place in it.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from battbeam import materials
from battbeam.units import AnyArray, FloatArray

#: J per eV (exact since 2019).
ELEMENTARY_CHARGE = 1.602176634e-19
#: Cells along each side of a footprint when overlaps are looked for: an overlap narrower than half
#: of one, such as a stage's jitter makes between neighbours, is none.
_CELLS = 100
#: Columns of a table of light: edges of the footprint (mm) and photon energy (eV).
_X_LOW, _X_HIGH, _Y_LOW, _Y_HIGH, _ENERGY = range(5)


@dataclass(frozen=True)
class Light:
    """Photons that fell on one footprint.

    Attributes:
        x: Middle of the footprint in the cell's frame, mm.
        y: mm.
        size: Full width and height of the beam, mm.
        photons: On the sample.
        energy: Of one photon, eV.
    """

    x: float
    y: float
    size: tuple[float, float]
    photons: float
    energy: float

    @property
    def fluence(self) -> float:
        """Photons per mm2."""
        return self.photons / (self.size[0] * self.size[1])


class MassModel(BaseModel):
    """What is declared to take up the energy: a material, and what is left of the beam before it.

    Dose is energy absorbed by the photoelectric effect per mass, nothing escaping: an upper bound,
    within some percent below 40 keV; above, Compton recoil adds to it.

    Attributes:
        name: Of the material, as it stands in reports.
        formula: Atoms per formula unit; any scale.
        transmission: Share of the photons on the sample that reaches the material, 1.

    >>> lfp = MassModel(name="LiFePO4", formula={"Li": 1, "Fe": 1, "P": 1, "O": 4})
    >>> round(lfp.dose(fluence=1e13, energy=8000.0), -2)
    162800.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1)
    formula: Mapping[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    transmission: float = Field(default=1.0, gt=0, le=1)

    def gray_per_fluence(self, energy: float) -> float:
        """Gy for each photon per mm2 at an energy in eV.

        Source:
            D = fluence x (mu/rho) x E, with mu/rho the photoelectric part (Elam, xraydb).

        Raises:
            ValueError: If the energy is not positive.
        """
        if not energy > 0:
            raise ValueError(f"energy must be greater than 0 eV, got {energy}")
        # 100 mm2 a cm2, 1000 g a kg.
        absorption = _mass_absorption(tuple(sorted(self.formula.items())), energy)
        return self.transmission * absorption * energy * ELEMENTARY_CHARGE * 100 * 1000

    def dose(self, *, fluence: float, energy: float) -> float:
        """Gy of a fluence in photons per mm2 at an energy in eV."""
        return fluence * self.gray_per_fluence(energy)


@functools.lru_cache(maxsize=4096)
def _mass_absorption(formula: tuple[tuple[str, float], ...], energy: float) -> float:
    """cm2/g of a compound, photoelectric."""
    mass = materials.molar_mass(dict(formula))
    return (
        sum(
            count
            * materials.atomic_mass(element)
            * materials.photoelectric_absorption(element, energy)
            for element, count in formula
        )
        / mass
    )


class FluenceMap:
    """Light on samples, in memory; a plain sum, so the order in which it fell does not matter."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    @property
    def samples(self) -> tuple[str, ...]:
        """Every sample that light fell on."""
        return tuple(self._tables)

    def add(self, sample_uid: str, light: Light) -> None:
        """Add light; negative photons take some away that was counted too much."""
        self._tables.setdefault(sample_uid, _Table()).add(light)

    def copy(self) -> "FluenceMap":
        """Another one with the same light, to try out on it what is planned."""
        other = FluenceMap()
        other._tables = {uid: table.copy() for uid, table in self._tables.items()}
        return other

    def fluence(self, sample_uid: str, x: float, y: float, size: tuple[float, float]) -> float:
        """The largest fluence in a footprint, photons per mm2.

        Args:
            sample_uid: Of the passport.
            x: Middle of the footprint in the cell's frame, mm.
            y: mm.
            size: Its full width and height, mm.
        """
        table = self._tables.get(sample_uid)
        return 0.0 if table is None else table.largest(x, y, size, None)

    def dose(
        self, sample_uid: str, x: float, y: float, size: tuple[float, float], material: MassModel
    ) -> float:
        """The largest dose in a footprint, Gy."""
        table = self._tables.get(sample_uid)
        return 0.0 if table is None else table.largest(x, y, size, material)

    def footprints(self, sample_uid: str) -> tuple[Light, ...]:
        """Light on a sample by place and energy, in the order of the first on each."""
        table = self._tables.get(sample_uid)
        return () if table is None else table.lights()


class _Table:
    """Light on one sample; what fell on the same place at the same energy is one row."""

    def __init__(self) -> None:
        self._where = np.empty((16, 5))
        self._fluence = np.empty(16)
        self._row: dict[tuple[float, ...], int] = {}

    def copy(self) -> "_Table":
        other = _Table()
        other._where, other._fluence = self._where.copy(), self._fluence.copy()
        other._row = dict(self._row)
        return other

    def add(self, light: Light) -> None:
        width, height = light.size
        place = (
            light.x - width / 2,
            light.x + width / 2,
            light.y - height / 2,
            light.y + height / 2,
            light.energy,
        )
        # A thousandth of the beam and an electronvolt are the same place and energy.
        grain = (width / 1000, width / 1000, height / 1000, height / 1000, 1.0)
        key = tuple(round(value / unit) for value, unit in zip(place, grain, strict=True))
        row = self._row.get((width, height, *key))
        if row is None:
            row = len(self._row)
            self._row[(width, height, *key)] = row
            if row == len(self._fluence):
                self._where = np.concatenate([self._where, np.empty_like(self._where)])
                self._fluence = np.concatenate([self._fluence, np.empty_like(self._fluence)])
            self._where[row], self._fluence[row] = place, 0.0
        self._fluence[row] += light.fluence

    def lights(self) -> tuple[Light, ...]:
        n = len(self._row)
        return tuple(
            Light(
                float(where[_X_LOW] + where[_X_HIGH]) / 2,
                float(where[_Y_LOW] + where[_Y_HIGH]) / 2,
                (
                    float(where[_X_HIGH] - where[_X_LOW]),
                    float(where[_Y_HIGH] - where[_Y_LOW]),
                ),
                float(
                    fluence * (where[_X_HIGH] - where[_X_LOW]) * (where[_Y_HIGH] - where[_Y_LOW])
                ),
                float(where[_ENERGY]),
            )
            for where, fluence in zip(self._where[:n], self._fluence[:n], strict=True)
        )

    def largest(
        self, x: float, y: float, size: tuple[float, float], material: MassModel | None
    ) -> float:
        n = len(self._row)
        where = self._where[:n]
        x_low, x_high = _cells(where[:, _X_LOW], where[:, _X_HIGH], x, size[0])
        y_low, y_high = _cells(where[:, _Y_LOW], where[:, _Y_HIGH], y, size[1])
        inside = (x_low < x_high) & (y_low < y_high)
        if not inside.any():
            return 0.0
        weight = self._fluence[:n][inside]
        if material is not None:
            weight = weight * _gray(where[inside, _ENERGY], material)
        step = np.zeros((_CELLS + 1, _CELLS + 1))
        corners = (
            (x_low, y_low, 1.0),
            (x_high, y_low, -1.0),
            (x_low, y_high, -1.0),
            (x_high, y_high, 1.0),
        )
        for column, row, sign in corners:
            np.add.at(step, (column[inside], row[inside]), sign * weight)
        return max(float(step.cumsum(axis=0).cumsum(axis=1).max()), 0.0)


def _cells(
    low: FloatArray, high: FloatArray, middle: float, size: float
) -> tuple[AnyArray, AnyArray]:
    """First cell and the one behind the last that each interval covers in a footprint's side."""
    start = middle - size / 2

    def cell(edge: FloatArray) -> AnyArray:
        return np.clip(np.rint((edge - start) / size * _CELLS), 0, _CELLS).astype(int)

    return cell(low), cell(high)


def _gray(energies: FloatArray, material: MassModel) -> FloatArray:
    each, index = np.unique(energies, return_inverse=True)
    factors = np.array([material.gray_per_fluence(float(energy)) for energy in each])
    return np.asarray(factors[index])


def described(light: Light) -> dict[str, Any]:
    """Light as numbers for a line of JSON."""
    return {
        "x": light.x,
        "y": light.y,
        "width": light.size[0],
        "height": light.size[1],
        "photons": light.photons,
        "energy": light.energy,
    }
