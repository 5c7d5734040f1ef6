"""This file is where the fluorescence of a thick sample becomes what it absorbs: strong absorption is
seen from a thinner part of it, which flattens white lines and wiggles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xraydb

from battbeam.errors import ReductionError
from battbeam.materials import atomic_mass, mass_attenuation
from battbeam.reduction.absorbance import Absorbance
from battbeam.units import FloatArray

_BISECTIONS = 60
# The strongest line of each edge.
_LINES = {"K": "Ka1", "L3": "La1", "L2": "Lb1"}


def _attenuation(element: str, energy: float) -> float:
    """cm2/g at an energy in eV.

    Raises:
        ReductionError: If there is no such element.
    """
    try:
        return mass_attenuation(element, energy)
    except ValueError as error:
        raise ReductionError(f"self-absorption: there is no element {element!r}") from error


@dataclass(frozen=True)
class SelfAbsorption:
    """How much of the fluorescence of a sample is damped by the sample itself.

    Attributes:
        other: Absorption of everything but the edge on the way in, and of everything on the way
            out, over that of the edge on the way in; 1.
        depth: Absorbance of the edge alone along the way in; infinite for a thick sample.
    """

    other: float
    depth: float = np.inf

    @classmethod
    def of(
        cls,
        element: str,
        areal_mass: Mapping[str, float],
        *,
        edge_energy: float,
        line_energy: float,
        angle_in: float = 45.0,
        angle_out: float = 45.0,
    ) -> "SelfAbsorption":
        """Of a sample by its composition.

        Args:
            element: Absorbing.
            areal_mass: Of each element in the layer that fluoresces, g/cm2; what lies before it
                damps all energies alike.
            edge_energy: eV.
            line_energy: Of the fluorescence, eV.
            angle_in: Between the beam and the surface, degree.
            angle_out: Between the surface and the detector, degree.

        Raises:
            ReductionError: If the element is not in the sample, or an angle is not between 0 and 90.

        Source:
            Attenuation from Elam's tables through xraydb; 15 eV to either side of the edge.
        """
        if not areal_mass.get(element, 0.0) > 0:
            raise ReductionError(f"self-absorption: the sample has no {element}, areal_mass says")
        if not (0 < angle_in <= 90 and 0 < angle_out <= 90):
            raise ReductionError(
                f"self-absorption: angles are 0 to 90 degree, got {angle_in:g} and {angle_out:g}"
            )
        below, above = edge_energy - 15, edge_energy + 15
        edge = areal_mass[element] * (_attenuation(element, above) - _attenuation(element, below))
        total = sum(mass * _attenuation(name, below) for name, mass in areal_mass.items())
        out = sum(mass * _attenuation(name, line_energy) for name, mass in areal_mass.items())
        ratio = np.sin(np.radians(angle_in)) / np.sin(np.radians(angle_out))
        return cls((total + out * ratio) / edge, edge / float(np.sin(np.radians(angle_in))))

    @classmethod
    def read(
        cls, document: Mapping[str, Any], *, element: str, edge: str, edge_energy: float
    ) -> "SelfAbsorption":
        """From a start document: ``areal_mass``, and where they are not 45 degree ``angle_in`` and
        ``angle_out``, see `of`. The line is the edge's strongest.

        Raises:
            ReductionError: If something is missing or not known.
        """
        asked = dict(document)
        masses, angles = asked.pop("areal_mass", None), ("angle_in", "angle_out")
        if not masses or set(asked) - {*angles}:
            raise ReductionError(
                "self-absorption needs areal_mass (g/cm2 by element) and may have "
                f"{' and '.join(angles)}, got {', '.join(document) or 'nothing'}"
            )
        if edge not in _LINES:
            raise ReductionError(f"self-absorption: no line is known of the edge {edge}")
        return cls.of(
            element,
            {name: float(mass) for name, mass in masses.items()},
            edge_energy=edge_energy,
            line_energy=float(xraydb.xray_lines(element)[_LINES[edge]].energy),
            **{name: float(angle) for name, angle in asked.items()},
        )

    def damped(self, normalized: FloatArray) -> FloatArray:
        """What is measured, normalized, of a normalized absorption, shape (n,)."""
        return self._emitted(normalized) / self._emitted(np.ones(1))

    def corrected(self, normalized: FloatArray) -> FloatArray:
        """The normalized absorption of which ``normalized`` is measured, shape (n,).

        Source:
            Booth and Bridges, Phys. Scr. T115 (2005) 202, eq. 4, without its expansion: the
            monotonous relation is inverted by bisection. Below 0 it is continued linearly.
        """
        wanted = np.asarray(normalized, dtype=float)
        slope = float(self.damped(np.array([1e-6]))[0]) / 1e-6
        low, high = np.zeros_like(wanted), np.full_like(wanted, 1e3)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            above = self.damped(middle) > wanted
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        found = np.where(wanted < 0, wanted / slope, (low + high) / 2)
        return np.where(np.isfinite(wanted) & (found < 0.999e3), found, np.nan)

    def undone(self, normalized: Absorbance) -> Absorbance:
        """`corrected`, with errors; where the curve is flattened most they grow most."""
        values = self.corrected(normalized.values)
        at = np.maximum(np.nan_to_num(values), 0.0)
        total = at + self.other
        # Of what is emitted, by the absorption: of the share absorbed, and of the depth it comes from.
        seen, left = -np.expm1(-total * self.depth), np.exp(-total * self.depth)
        reach = np.where(left > 0, self.depth, 0.0)
        slope = self.other / total**2 * seen + at / total * reach * left
        return Absorbance(values, normalized.errors * self._emitted(np.ones(1)) / slope)

    def _emitted(self, normalized: FloatArray) -> FloatArray:
        total = normalized + self.other
        return normalized / total * -np.expm1(-total * self.depth)


def formula_masses(formula: dict[str, float], areal_amount: float) -> dict[str, float]:
    """g/cm2 of each element of an areal amount, mol/cm2, of formula units."""
    return {name: areal_amount * n * atomic_mass(name) for name, n in formula.items()}
