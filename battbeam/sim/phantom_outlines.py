"""This file is where the outlines of a phantom's prisms are: shapes in the horizontal plane.

Rays are horizontal and parallel. In a sample turned by omega the ray at u from the axis holds the
points with x cos(omega) + z sin(omega) = u.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from battbeam.units import FloatArray

Mask = npt.NDArray[np.bool_]


class Outline(Protocol):
    """A shape in the horizontal plane."""

    def area_left(self, u: FloatArray, omega: float) -> FloatArray:
        """Of it, what lies left of each u when turned by omega (rad), mm2, less a constant."""
        ...

    def holds(self, x: FloatArray, z: FloatArray) -> Mask:
        """Whether points lie in it, at omega 0."""
        ...

    @property
    def reach(self) -> float:
        """Largest distance of its points from the axis, mm."""
        ...


def _half_segment(u: FloatArray, radius: float) -> FloatArray:
    """Integral of sqrt(radius^2 - u^2) from 0 to u."""
    inside = np.clip(u, -radius, radius)
    # As a product: the difference of two squares may be rounded below 0 at the ends.
    root = np.sqrt((radius - inside) * (radius + inside))
    return np.asarray((inside * root + radius**2 * np.arcsin(inside / radius)) / 2)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle, lengths in mm.

    Attributes:
        x: Of its middle.
        z: Of its middle.
        length: Along its first edge.
        width: Along its second edge.
        angle: From x to the first edge, towards z, rad.
    """

    x: float
    z: float
    length: float
    width: float
    angle: float = 0.0

    def area_left(self, u: FloatArray, omega: float) -> FloatArray:
        """See `Outline`: its shadow is a trapezium, that of two edges one after the other."""
        middle = self.x * math.cos(omega) + self.z * math.sin(omega)
        first = abs(self.length / 2 * math.cos(self.angle - omega))
        second = abs(self.width / 2 * math.sin(self.angle - omega))
        long, short = max(first, second), max(min(first, second), 1e-12)
        top = self.length * self.width / (2 * long)
        rise = np.clip(u - middle + long + short, 0, 2 * short)
        flat = np.clip(u - middle + long - short, 0, 2 * (long - short))
        fall = np.clip(u - middle - long + short, 0, 2 * short)
        return np.asarray(top * (rise**2 / (4 * short) + flat + fall - fall**2 / (4 * short)))

    def holds(self, x: FloatArray, z: FloatArray) -> Mask:
        """See `Outline`."""
        along, across = math.cos(self.angle), math.sin(self.angle)
        first = (x - self.x) * along + (z - self.z) * across
        second = (z - self.z) * along - (x - self.x) * across
        return np.asarray((np.abs(first) <= self.length / 2) & (np.abs(second) <= self.width / 2))

    @property
    def reach(self) -> float:
        """See `Outline`."""
        return math.hypot(self.x, self.z) + math.hypot(self.length, self.width) / 2


@dataclass(frozen=True)
class Disc:
    """A disc: middle and radius in mm."""

    x: float
    z: float
    radius: float

    def area_left(self, u: FloatArray, omega: float) -> FloatArray:
        """See `Outline`."""
        return 2 * _half_segment(
            u - self.x * math.cos(omega) - self.z * math.sin(omega), self.radius
        )

    def holds(self, x: FloatArray, z: FloatArray) -> Mask:
        """See `Outline`."""
        return np.asarray(np.hypot(x - self.x, z - self.z) <= self.radius)

    @property
    def reach(self) -> float:
        """See `Outline`."""
        return math.hypot(self.x, self.z) + self.radius


@dataclass(frozen=True)
class HalfDisc:
    """Half a disc.

    Attributes:
        x: Of the disc's middle, mm.
        z: mm.
        radius: mm.
        angle: From x, towards z, to the direction in which the half lies, rad.
    """

    x: float
    z: float
    radius: float
    angle: float

    def area_left(self, u: FloatArray, omega: float) -> FloatArray:
        """See `Outline`: where a ray crosses the straight edge, it runs from there to the circle."""
        offset = u - self.x * math.cos(omega) - self.z * math.sin(omega)
        lean, steep = math.cos(self.angle - omega), abs(math.sin(self.angle - omega))
        crossed = np.clip(offset, -self.radius * steep, self.radius * steep)
        # chord = sqrt(r^2 - u^2) + u lean / steep between, 2 sqrt(r^2 - u^2) on the one side
        area = _half_segment(crossed, self.radius)
        area += crossed**2 * (lean / (2 * max(steep, 1e-12)))
        beyond = 2 * (_half_segment(offset, self.radius) - _half_segment(crossed, self.radius))
        return np.asarray(area + np.where(offset * lean > 0, beyond, 0.0))

    def holds(self, x: FloatArray, z: FloatArray) -> Mask:
        """See `Outline`."""
        dx, dz = x - self.x, z - self.z
        ahead = dx * math.cos(self.angle) + dz * math.sin(self.angle)
        return np.asarray((np.hypot(dx, dz) <= self.radius) & (ahead >= 0))

    @property
    def reach(self) -> float:
        """See `Outline`."""
        return math.hypot(self.x, self.z) + self.radius
