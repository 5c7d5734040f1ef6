"""This file is where round particles, their cores and their cracks are measured in a volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares
from scipy.special import erf

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

# Particles of fewer voxels are noise.
_LEAST_VOXELS = 100
# Radii of a known particle within which what it has become lies.
_FARTHEST = 2.0
# Voxels beyond a particle that its profile takes in, and the width of the profile's bins, voxels.
_BEYOND, _BIN = 5, 0.5
# Voxels that a crack may be wide for its two sides to be one particle.
_CLOSED = 2
# Part by which the resolution may differ from that of an earlier tomogram.
_SAME = 0.1
# A core is there if it leaves this share of the squares of a particle without one, at most.
_IMPROVED = 0.6
# Voxels that lack so many standard deviations are a crack; those this far around them, where the
# resolution has spread it, count with what they lack, be it much or little.
_DEEP, _SPREAD = 4.0, 2


@dataclass(frozen=True)
class Particle:
    """One round particle.

    Attributes:
        centre: Voxels along each axis.
        radius: Of its outer surface, mm.
        volume: That the outer surface encloses, cracks included, mm3.
        core_radius: Of the surface between core and rim, mm; NaN where no core is seen.
        core_attenuation: 1/mm.
        rim_attenuation: 1/mm; the core's where none is seen.
        crack_volume: Of what is missing inside of the outer surface, mm3.
        crack_error: Standard deviation of it from the noise of the voxels, mm3.
        blur: Of its surfaces, standard deviation, mm.
    """

    centre: tuple[float, float, float]
    radius: float
    volume: float
    core_radius: float
    core_attenuation: float
    rim_attenuation: float
    crack_volume: float
    crack_error: float
    blur: float


@dataclass(frozen=True)
class _Ball:
    """A blurred ball with a core; radii and blur in voxels, levels in 1/mm."""

    radius: float
    core_radius: float
    core: float
    rim: float
    outside: float
    blur: float

    def at(self, distance: FloatArray) -> FloatArray:
        """Attenuation at distances from the centre."""
        rim = (self.rim - self.outside) * _blurred(distance, self.radius, self.blur)
        if np.isnan(self.core_radius):
            return np.asarray(self.outside + rim)
        core = (self.core - self.rim) * _blurred(distance, self.core_radius, self.blur)
        return np.asarray(self.outside + rim + core)

    def solid(self, distance: FloatArray) -> FloatArray:
        """What is missing where a crack is, 1/mm."""
        inner = distance < np.nan_to_num(self.core_radius)
        return np.asarray(np.where(inner, self.core, self.rim) - self.outside)


def _blurred(distance: FloatArray, radius: float, blur: float) -> FloatArray:
    """A ball of 1 under a Gaussian in three dimensions, closed form."""
    r = np.maximum(distance, 1e-3)
    inner, outer = (radius - r) / (np.sqrt(2) * blur), (radius + r) / (np.sqrt(2) * blur)
    edge = blur / (np.sqrt(2 * np.pi) * r) * (np.exp(-(outer**2)) - np.exp(-(inner**2)))
    return np.asarray((erf(inner) + erf(outer)) / 2 + edge)


def find_particles(
    volume: AnyArray,
    *,
    threshold: float,
    voxel_size: float,
    region: AnyArray | None = None,
    known: Sequence[Particle] = (),
) -> tuple[Particle, ...]:
    """Particles that do not touch, the largest first; or those that are known, in their order.

    Known particles, of an earlier tomogram, may have grown until they touch: what lies between
    two of them belongs to the one whose radius it is away from fewer times. The resolution is
    theirs too, so that a rim of a voxel or two is seen beside it.

    A ball with or without a core, blurred by the resolution, is fitted to the median attenuation at
    each distance from the centre, which a crack hardly moves; what voxels lack of it is the crack.

    Args:
        volume: 1/mm, three axes.
        threshold: Between the particles and what they lie in, 1/mm: half way is a good choice.
        voxel_size: mm.
        region: True where to look.
        known: Of an earlier tomogram of the same sample.

    Raises:
        ReductionError: If there are none, or a known one is not there.
    """
    above = np.asarray(volume) >= threshold
    if region is not None:
        above &= region
    whole = ndimage.binary_closing(above, iterations=_CLOSED) | above
    # Noise makes bridges of single voxels: opening breaks them.
    opened = ndimage.binary_opening(whole)
    labels, n = _labelled(opened, known, voxel_size) if known else ndimage.label(opened)
    blur = np.median([each.blur for each in known]) / voxel_size if known else np.nan
    blurs = (0.3, 3.0) if np.isnan(blur) else ((1 - _SAME) * blur, (1 + _SAME) * blur)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels, n), start=1):
        if box is None:
            raise ReductionError(f"known particle {number - 1} is nowhere above {threshold:g} 1/mm")
        reach = tuple(slice(max(side.start - _BEYOND, 0), side.stop + _BEYOND) for side in box)
        own = labels[reach] == number
        if own.sum() < _LEAST_VOXELS and not known:
            continue
        others = ndimage.binary_dilation((labels[reach] > 0) & ~own, iterations=2)
        corner = np.array([side.start for side in reach])
        found.append(
            _measured(
                np.asarray(volume[reach], dtype=float), own, others, corner, voxel_size, blurs
            )
        )
    if not found:
        raise ReductionError(
            f"no particle of {_LEAST_VOXELS} voxels or more above {threshold:g} 1/mm"
        )
    return tuple(found if known else sorted(found, key=lambda each: -each.volume))


def _labelled(
    inside: AnyArray, known: Sequence[Particle], voxel_size: float
) -> tuple[AnyArray, int]:
    """Number of the known particle that each voxel belongs to, from 1; 0 outside of all."""
    labels = np.zeros(inside.shape, dtype=np.int32)
    where = np.argwhere(inside)
    away = [
        np.sqrt(((where - each.centre) ** 2).sum(axis=1)) * voxel_size / each.radius
        for each in known
    ]
    nearest = np.argmin(away, axis=0)
    labels[tuple(where.T)] = np.where(np.min(away, axis=0) < _FARTHEST, nearest + 1, 0)
    return labels, len(known)


def _measured(
    volume: FloatArray,
    own: AnyArray,
    others: AnyArray,
    corner: AnyArray,
    voxel_size: float,
    blurs: tuple[float, float],
) -> Particle:
    filled = ndimage.binary_fill_holes(own)
    centre = np.array(ndimage.center_of_mass(filled))
    place = np.moveaxis(np.indices(own.shape), 0, -1) - centre
    distance = np.sqrt((place**2).sum(axis=-1))
    rough = float(np.cbrt(3 * filled.sum() / (4 * np.pi)))
    near = ~others & (distance < rough + _BEYOND)
    ball = _fitted(volume[near], distance[near], rough, blurs)
    missing, error = _missing(volume, ball, distance, near)
    middle = centre + corner
    return Particle(
        centre=(float(middle[0]), float(middle[1]), float(middle[2])),
        radius=ball.radius * voxel_size,
        volume=4 / 3 * np.pi * (ball.radius * voxel_size) ** 3,
        core_radius=ball.core_radius * voxel_size,
        core_attenuation=ball.core,
        rim_attenuation=ball.rim,
        crack_volume=missing * voxel_size**3,
        crack_error=error * voxel_size**3,
        blur=ball.blur * voxel_size,
    )


def _fitted(
    values: FloatArray, distance: FloatArray, rough: float, blurs: tuple[float, float]
) -> _Ball:
    shell = (distance / _BIN).astype(np.intp)
    shells = np.unique(shell)
    radii = np.array([distance[shell == each].mean() for each in shells])
    profile = np.array([np.median(values[shell == each]) for each in shells])
    weight = np.sqrt([np.count_nonzero(shell == each) for each in shells])
    inside = float(np.median(profile[radii < 0.5 * rough]))
    outside = float(np.median(profile[radii > rough + 3]))

    def left(p: FloatArray) -> FloatArray:
        ball = _Ball(p[0], p[0] * p[1], p[2], p[3], p[4], p[5])
        return np.asarray(weight * (ball.at(radii) - profile) / scale)

    def left_of_plain(p: FloatArray) -> FloatArray:
        ball = _Ball(p[0], np.nan, p[1], p[1], p[2], p[3])
        return np.asarray(weight * (ball.at(radii) - profile) / scale)

    scale = max(abs(inside - outside), 1e-9)
    free = np.inf
    least_blur, most_blur = blurs
    blur = min(max(1.0, 1.01 * least_blur), 0.99 * most_blur)
    bounds = ([0.5 * rough, -free, -free, least_blur], [1.5 * rough, free, free, most_blur])
    plain = least_squares(left_of_plain, [rough, inside, outside, blur], bounds=bounds)
    best = _Ball(plain.x[0], np.nan, plain.x[1], plain.x[1], plain.x[2], plain.x[3])
    least = _IMPROVED * plain.cost
    rims = profile[(radii > 0.7 * rough) & (radii < rough - 1)]
    rim = float(np.median(rims)) if rims.size else inside
    bounds = (
        [0.5 * rough, 0.1, -free, -free, -free, least_blur],
        [1.5 * rough, 0.97, free, free, free, most_blur],
    )
    for share in (0.35, 0.6, 0.8):
        fit = least_squares(left, [rough, share, inside, rim, outside, blur], bounds=bounds)
        if fit.cost < least:
            p, least = fit.x, fit.cost
            best = _Ball(p[0], p[0] * p[1], p[2], p[3], p[4], p[5])
    return best


def _missing(
    volume: FloatArray, ball: _Ball, distance: FloatArray, near: AnyArray
) -> tuple[float, float]:
    """Voxels that a crack takes, and the standard deviation of their number."""
    inside = near & (distance < ball.radius)
    lacking = ball.at(distance) - volume
    # Half of the voxels lack less than nothing: they tell the noise, whatever cracks there are.
    excess = lacking[inside & (lacking < 0)]
    noise = float(np.sqrt(np.mean(excess**2))) if excess.size else 0.0
    deep = inside & (lacking > _DEEP * noise)
    # A crack is more than one voxel that noise has hit.
    labels, n = ndimage.label(deep, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    deep &= sizes[labels] >= 3
    around = ndimage.binary_dilation(deep, iterations=_SPREAD) & inside
    share = lacking[around] / ball.solid(distance[around])
    error = noise / abs(ball.rim - ball.outside) * np.sqrt(around.sum())
    return float(share.sum()), float(error)


def volume_between(
    volume: AnyArray, *, empty: float, full: float, voxel_size: float, region: AnyArray
) -> float:
    """How much of a region a material fills, mm3, voxels at its surface counting in parts.

    Sub-surface and protruding lithium are two regions, on either side of the original surface.

    Args:
        volume: 1/mm.
        empty: Attenuation of what else is there, 1/mm.
        full: Attenuation of the material, 1/mm.
        voxel_size: mm.
        region: True where to look.

    Raises:
        ReductionError: If the two attenuations are the same.
    """
    if empty == full:
        raise ReductionError(f"material and surroundings both attenuate {full:g} 1/mm")
    return float(((volume[region] - empty) / (full - empty)).sum(dtype=float) * voxel_size**3)
