"""This file is where round particles are followed from tomogram to tomogram."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from battbeam.reduction.particles import Particle, find_particles
from battbeam.reduction.segmentation import otsu_thresholds
from battbeam.units import AnyArray, FloatArray

# Materials that a volume is parted into: what the particles lie in, their rims, their cores.
_N_CLASSES = 3
# A crack is one that is so much of the particles, and so many standard deviations: chosen here.
_LEAST_CRACK, _SURE = 0.002, 4.0
# Voxels about a particle that are looked at, and that its rim must have to be one.
_MARGIN, _LEAST_RIM = 2, 1.0
# Share of the core's attenuation by which the rim's must differ from it.
_LEAST_CONTRAST = 0.1
#: Labels of `label_particles`.
OUTSIDE, RIM, CORE, CRACK = range(4)
LabelArray = npt.NDArray[np.int8]


@dataclass(frozen=True)
class ParticlesAt:
    """The particles of one tomogram beside what they were in the first.

    Attributes:
        particles: In the order of the first tomogram, the largest first.
        threshold: Between them and what they lie in, 1/mm.
        first_volumes: Solid volume of each in the first tomogram, mm3.
    """

    particles: tuple[Particle, ...]
    threshold: float
    first_volumes: FloatArray

    @property
    def solid_volumes(self) -> FloatArray:
        """Of core and rim of each, without its cracks, mm3."""
        return np.array([each.volume - each.crack_volume for each in self.particles])

    @property
    def factors(self) -> FloatArray:
        """Solid volume of each over that in the first tomogram."""
        return np.asarray(self.solid_volumes / self.first_volumes)

    @property
    def factor(self) -> float:
        """The same of all together."""
        return float(self.solid_volumes.sum() / self.first_volumes.sum())

    @property
    def factor_error(self) -> float:
        """Standard error of `factor`, from how much particles differ; NaN of a single one."""
        if len(self.particles) < 2:
            return float("nan")
        share = self.first_volumes / self.first_volumes.sum()
        off = self.factors - self.factor
        return float(np.sqrt(np.sum((share * off) ** 2) * len(off) / (len(off) - 1)))

    @property
    def core_radii(self) -> FloatArray:
        """mm; NaN where no core is seen apart from the rim."""
        return np.array([each.core_radius for each in self.particles])

    @property
    def crack_volume(self) -> float:
        """Of all cracks, mm3."""
        return sum(each.crack_volume for each in self.particles)

    @property
    def crack_error(self) -> float:
        """Standard deviation of it from the noise of the voxels, mm3."""
        return float(np.sqrt(sum(each.crack_error**2 for each in self.particles)))

    @property
    def is_cracked(self) -> bool:
        """Whether what is missing inside of the particles is more than noise."""
        least = max(_LEAST_CRACK * float(self.solid_volumes.sum()), _SURE * self.crack_error)
        return self.crack_volume > least


def follow_particles(volumes: Iterable[AnyArray], *, voxel_size: float) -> tuple[ParticlesAt, ...]:
    """Particles of every tomogram of a series; those of the first are looked for in all others.

    Args:
        volumes: 1/mm, three axes, in the order of time; the particles do not move.
        voxel_size: mm.

    Raises:
        ReductionError: If there are none, or one of the first is not there any more.
    """
    found: list[ParticlesAt] = []
    known: tuple[Particle, ...] = ()
    for volume in volumes:
        threshold = float(otsu_thresholds(volume, n_classes=_N_CLASSES)[0])
        particles = find_particles(volume, threshold=threshold, voxel_size=voxel_size, known=known)
        if not known:
            known = particles
            first = np.array([each.volume - each.crack_volume for each in particles])
        found.append(ParticlesAt(particles, threshold, first))
    return tuple(found)


def label_particles(volume: AnyArray, found: ParticlesAt, *, voxel_size: float) -> LabelArray:
    """What is where in a volume: see `OUTSIDE`, `RIM`, `CORE` and `CRACK`.

    Every voxel is told by its own attenuation, half way between materials; only whether a gap is
    a crack or the outside follows from the particle's outer surface. A rim that the resolution does
    not show is none.

    Args:
        volume: 1/mm, three axes.
        found: Its particles.
        voxel_size: mm.

    Returns:
        Shape of the volume.
    """
    labels = np.full(volume.shape, OUTSIDE, dtype=np.int8)
    nearest = np.full(volume.shape, np.inf, dtype=np.float32)
    outside = float(np.median(volume[volume < found.threshold]))
    for each in found.particles:
        radius = each.radius / voxel_size
        box = tuple(
            slice(max(int(middle - radius) - _MARGIN, 0), int(middle + radius) + _MARGIN + 1)
            for middle in each.centre
        )
        axes = [np.arange(n)[part] for n, part in zip(volume.shape, box, strict=True)]
        squares = [(axis - middle) ** 2 for axis, middle in zip(axes, each.centre, strict=True)]
        away = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
        own = away / radius < nearest[box]
        nearest[box][own] = (away / radius)[own]
        labels[box][own] = _labels_of(np.asarray(volume[box]), away, each, radius, outside)[own]
    return labels


def _labels_of(
    values: AnyArray, away: FloatArray, particle: Particle, radius: float, outside: float
) -> LabelArray:
    core_radius = particle.core_radius
    thickness = 0.0 if np.isnan(core_radius) else radius * (1 - core_radius / particle.radius)
    contrast = abs(particle.core_attenuation / particle.rim_attenuation - 1)
    has_rim = thickness > _LEAST_RIM and contrast > _LEAST_CONTRAST
    between = (particle.core_attenuation + particle.rim_attenuation) / 2
    solid = np.where(values > between, CORE, RIM) if has_rim else CORE
    # One voxel below the surface the resolution lowers what is seen.
    gap = np.where(away < radius - 1.0, CRACK, OUTSIDE)
    surface = particle.rim_attenuation if has_rim else particle.core_attenuation
    labels = np.where(values > (surface + outside) / 2, solid, gap)
    return np.where(away < radius + 1.0, labels, OUTSIDE).astype(np.int8)
