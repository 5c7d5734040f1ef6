"""This file is where small-angle scattering is written down: spheres of many sizes, and what of them
has a closed form.

Sizes are log-normal in number: ``radius`` is the median, ``width`` the standard deviation of ln(radius).
Larger ones scatter with the square of their volume, so what is seen is centred on
radius exp(6 width^2).
"""

import numpy as np

from battbeam.units import FloatArray

# A normal distribution of ln(radius), in standard deviations: even steps keep what oscillates with
# up to 30 radian a standard deviation.
_NODES = np.linspace(-4.8, 4.8, 97)
_WEIGHTS = np.exp(-(_NODES**2) / 2)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
# Below this q times radius the form is its own series: differences of like numbers are noise.
_SMALL = 0.05


def sphere_form(argument: FloatArray) -> FloatArray:
    """Scattering of a sphere over that at q = 0, at q times its radius.

    Source:
        Rayleigh (1911): (3 (sin u - u cos u) / u^3)^2.

    >>> sphere_form(np.array([0.0, 4.493409458])).round(6).tolist()
    [1.0, 0.0]
    """
    u = np.asarray(argument, dtype=float)
    safe = np.where(u < _SMALL, 1.0, u)
    amplitude = 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3
    return np.asarray(np.where(u < _SMALL, 1 - u**2 / 10 + u**4 / 280, amplitude) ** 2)


def spheres(q: FloatArray, *, radius: float, width: float) -> FloatArray:
    """Scattering of dilute spheres over that at q = 0, shape of q.

    Args:
        q: 1/angstrom.
        radius: Median, angstrom.
        width: Standard deviation of ln(radius).
    """
    seen = radius * np.exp(6 * width**2 + width * _NODES)
    return np.asarray(sphere_form(np.multiply.outer(q, seen)) @ _WEIGHTS)


def mean_power(power: int, *, radius: float, width: float) -> float:
    """Mean of radius^power over the number of spheres, angstrom^power."""
    return float(radius**power * np.exp(power**2 * width**2 / 2))


def guinier_radius_of(*, radius: float, width: float) -> float:
    """Radius of gyration that the slope at q = 0 shows, angstrom: Rg^2 = 3/5 <R^8> / <R^6>."""
    eighth, sixth = (mean_power(p, radius=radius, width=width) for p in (8, 6))
    return float(np.sqrt(0.6 * eighth / sixth))


def forward_volume(*, radius: float, width: float) -> float:
    """Mean volume that the intensity at q = 0 shows, cubic angstrom: <V^2> / <V>."""
    sixth, third = (mean_power(p, radius=radius, width=width) for p in (6, 3))
    return float(4 / 3 * np.pi * sixth / third)
