"""This file is where an absorption edge gets its shape: rise, white line, pre-edge peak, EXAFS.

Shapes are normalized: 0 far below the edge, 1 far above. A rise is a logistic function and a peak a
Gaussian one, not the arctangent and the Lorentzian of theory, whose tails are 0.3 % of the jump at
100 eV and cannot be told from attenuation there. EXAFS follows the EXAFS equation (single
scattering, shells in Gaussian disorder) and sets in smoothly between `JOIN_BEGIN` and `JOIN_END`.

What it does not imitate: multiple scattering, asymmetric shells, self-absorption (that is
`battbeam.sim.absorption`'s), the extended tail of the core hole.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from battbeam.scattering_paths import AMPLITUDE_REDUCTION, scattering_path
from battbeam.units import FloatArray

#: k squared over photoelectron energy, 1/(angstrom^2 eV): 2 m / hbar^2 (CODATA).
K_SQUARED_PER_EV = 0.26246842
#: k from which EXAFS sets in, and where it is whole, 1/angstrom: 18 and 34 eV above the half step.
JOIN_BEGIN, JOIN_END = 2.2, 3.0
#: FWHM of a logistic function's derivative, and of a Gaussian, over their width parameters.
_LOGISTIC_FWHM, _GAUSSIAN_FWHM = 2 * math.log(3 + 2 * math.sqrt(2)), 2.3548200450309493
#: Area of a Gaussian peak over its height times its FWHM.
GAUSSIAN_AREA = math.sqrt(2 * math.pi) / _GAUSSIAN_FWHM


@dataclass(frozen=True)
class Rise:
    """Part of an edge's step.

    Attributes:
        share: Of the whole step.
        offset: Of its middle from the first rise's, eV.
        width: FWHM of its derivative, without core hole and resolution, eV.
    """

    share: float
    offset: float
    width: float


@dataclass(frozen=True)
class Peak:
    """A peak, or below 0 a dip, beside the step.

    Attributes:
        offset: From the middle of the first rise, eV.
        height: Over the step, without core hole and resolution, which keep its area.
        width: FWHM without them, eV.
    """

    offset: float
    height: float
    width: float

    @property
    def area(self) -> float:
        """eV times the step."""
        return self.height * self.width * GAUSSIAN_AREA


@dataclass(frozen=True)
class NearEdge:
    """The shape of an edge without EXAFS.

    Attributes:
        position: Where the shape is one half (``by_inflection``: rises fastest), eV.
        rises: Their shares sum to 1.
        peaks: All but the pre-edge's.
        pre_edge: Peak before the edge.
        by_inflection: Whether the position is the inflection, as it is given for metals.
    """

    position: float
    rises: tuple[Rise, ...]
    peaks: tuple[Peak, ...]
    pre_edge: Peak | None = None
    by_inflection: bool = False


@dataclass(frozen=True)
class Shell:
    """Neighbours at one distance.

    Attributes:
        neighbour: Chemical symbol.
        number: Of them.
        distance: angstrom.
        sigma2: Mean square disorder of the distance, angstrom squared.
    """

    neighbour: str
    number: float
    distance: float
    sigma2: float


def wavenumber(energy: FloatArray, *, edge_energy: float) -> FloatArray:
    """k of the photoelectron, 1/angstrom; 0 below the edge."""
    return np.sqrt(K_SQUARED_PER_EV * np.maximum(np.asarray(energy) - edge_energy, 0.0))


def exafs(k: FloatArray, shells: tuple[Shell, ...], *, absorber: str) -> FloatArray:
    """chi(k), shape (n,); 0 at k = 0 and beyond the paths' tables.

    Source:
        Sayers, Stern and Lytle, Phys. Rev. Lett. 27 (1971) 1204, with a mean free path.
    """
    chi = np.zeros_like(k)
    for shell in shells:
        path = scattering_path(absorber, shell.neighbour)
        inside = (k > 0) & (k <= path.k[-1])
        here = k[inside]
        amplitude = np.interp(here, path.k, path.amplitude)
        angle = 2 * here * shell.distance + np.interp(here, path.k, path.phase)
        free = np.interp(here, path.k, path.mean_free_path)
        damping = np.exp(-2 * here**2 * shell.sigma2 - 2 * shell.distance / free)
        strength = shell.number * AMPLITUDE_REDUCTION / (here * shell.distance**2)
        chi[inside] += strength * amplitude * damping * np.sin(angle)
    return chi


def normalized_absorption(
    energy: FloatArray,
    near_edge: NearEdge,
    shells: tuple[Shell, ...] = (),
    *,
    absorber: str,
    broadening: float,
) -> FloatArray:
    """The whole shape at energies in eV, shape (n,).

    Args:
        energy: eV.
        near_edge: Without EXAFS.
        shells: About the absorber; k counts from the edge's position.
        absorber: Chemical symbol.
        broadening: FWHM of core hole and resolution together, eV.
    """
    energy = np.asarray(energy, dtype=float)
    offset = energy - near_edge.position
    shape = _near_shape(offset + _anchor(near_edge, broadening), near_edge, broadening)
    k = wavenumber(energy, edge_energy=near_edge.position)
    t = np.clip((k - JOIN_BEGIN) / (JOIN_END - JOIN_BEGIN), 0.0, 1.0)
    return shape + t**2 * (3 - 2 * t) * exafs(k, shells, absorber=absorber)


def _near_shape(offset: FloatArray, near_edge: NearEdge, broadening: float) -> FloatArray:
    """At energies from the middle of the first rise, eV."""
    total = np.zeros_like(offset)
    for rise in near_edge.rises:
        scale = math.hypot(rise.width, broadening) / _LOGISTIC_FWHM
        total += rise.share * expit((offset - rise.offset) / scale)
    every = (*near_edge.peaks, near_edge.pre_edge) if near_edge.pre_edge else near_edge.peaks
    for peak in every:
        width = math.hypot(peak.width, broadening)
        height = peak.height * peak.width / width
        total += height * np.exp(-0.5 * ((offset - peak.offset) * _GAUSSIAN_FWHM / width) ** 2)
    return total


@functools.lru_cache(maxsize=4096)
def _anchor(near_edge: NearEdge, broadening: float) -> float:
    """Where the shape has its position, eV from the middle of the first rise."""

    def value(offset: float) -> float:
        return float(_near_shape(np.array([offset]), near_edge, broadening)[0])

    if not near_edge.by_inflection:
        return float(brentq(lambda offset: value(offset) - 0.5, -6.0, 15.0, xtol=1e-6))

    def curvature(offset: float) -> float:
        step = 0.05
        return value(offset + step) - 2 * value(offset) + value(offset - step)

    return float(brentq(curvature, -2.5, 2.5, xtol=1e-6))
