"""This file is where it is told whether the grains of a powder lie in every direction alike.

Where they do not, lines are too strong or too weak. If the axis about which they lie is tilted
against the beam, rings are uneven around it; if it is the beam, as of flakes pressed onto a foil, they
are even, and only the intensities of several lines of one phase tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import gemmi
import numpy as np

from battbeam.errors import ReductionError
from battbeam.materials import Structure
from battbeam.reduction.curve_fit import fit_curve
from battbeam.reduction.pixels import PixelGeometry
from battbeam.units import AnyArray, FloatArray

# Sectors around the beam, and the fewest that a modulation is told from.
_N_SECTORS, _LEAST_SECTORS = 24, 8
# Directions around an axis over which grains are averaged.
_N_AROUND = 72
# Rings are cut by square pixels and have neighbours: by so much they are never even.
_LEAST_UNEVEN = 0.03
# Logarithms of r that a fit begins from: of a cubic phase intensities are flat about a powder's.
_STARTS = (0.0, -0.4, 0.4)
# A texture is there at this many errors.
_SURE = 3.0


@dataclass(frozen=True)
class Ring:
    """One line around the beam, above what lies on either side of it.

    Attributes:
        azimuth: Of the sectors, 0 along columns' index, 90 along rows' index, degree, shape (n,).
        intensity: Counts per steradian and polarization factor, shape (n,).
        error: One standard deviation, shape (n,).
    """

    azimuth: FloatArray = field(repr=False)
    intensity: FloatArray = field(repr=False)
    error: FloatArray = field(repr=False)


@dataclass(frozen=True)
class Modulation:
    """How uneven a ring is: 1 + cosine cos(2 azimuth) + sine sin(2 azimuth).

    Attributes:
        cosine: See above.
        cosine_error: One standard deviation.
        sine: See above.
        sine_error: One standard deviation.
        flags: What to know of it.
    """

    cosine: float
    cosine_error: float
    sine: float
    sine_error: float
    flags: tuple[str, ...] = ()

    @property
    def amplitude(self) -> float:
        """Relative, 0 of an even ring."""
        return float(np.hypot(self.cosine, self.sine))

    @property
    def direction(self) -> float:
        """Azimuth where the ring is strongest, degree, -90 to 90."""
        return float(np.degrees(np.arctan2(self.sine, self.cosine)) / 2)


@dataclass(frozen=True)
class Texture:
    """How far grains lie alike, after March and Dollase.

    Attributes:
        r: 1 of a powder; below 1 the planes lie across the axis, as of flakes, above 1 along it.
        r_error: One standard deviation.
        scale: Intensity of a powder of the same amount, in the unit of what was given.
        scale_error: One standard deviation.
        residual: Reduced chi squared; NaN with two lines.
        flags: What to know of it.
    """

    r: float
    r_error: float
    scale: float
    scale_error: float
    residual: float
    flags: tuple[str, ...] = ()


def ring_of(
    frame: AnyArray,
    geometry: PixelGeometry,
    *,
    two_theta: float,
    width: float,
    polarization: float | None = None,
    mask: AnyArray | None = None,
    dark: FloatArray | None = None,
) -> Ring:
    """A line by azimuth: what is within half of a width, above what is within a half beyond it.

    Args:
        frame: Counts, shape (n_rows, n_columns).
        geometry: Of the detector.
        two_theta: Of the line, degree.
        width: Degree, some full widths of the line.
        polarization: Horizontal degree of linear polarization; None leaves it out.
        mask: True where a pixel is not used.
        dark: Expected counts without beam, shape of the frame.

    Raises:
        ReductionError: If too little of the ring is on the detector.
    """
    away = np.abs(geometry.two_theta - two_theta)
    used = np.ones(away.shape, bool) if mask is None else ~np.asarray(mask, bool).ravel()
    near = np.flatnonzero(used & (away <= width))
    centres = geometry.centres()[:, near]
    azimuth = np.degrees(np.arctan2(centres[0], centres[1])) % 360
    sector = np.minimum((azimuth / 360 * _N_SECTORS).astype(np.int64), _N_SECTORS - 1)
    counts = np.asarray(frame, dtype=float).ravel()[near]
    below = np.zeros(len(near)) if dark is None else dark.ravel()[near]
    correction = geometry.correction(centres, polarization=polarization)
    on = away[near] <= width / 2

    def summed(values: FloatArray, chosen: AnyArray) -> FloatArray:
        return np.asarray(np.bincount(sector[chosen], values[chosen], _N_SECTORS), dtype=float)

    norm, norm_beside = summed(correction, on), summed(correction, ~on)
    whole = float(np.median(norm[norm > 0])) if (norm > 0).any() else 0.0
    full = (norm > whole / 2) & (norm_beside > 0)
    if np.count_nonzero(full) < _LEAST_SECTORS:
        raise ReductionError(
            f"{np.count_nonzero(full)} of {_N_SECTORS} sectors of the ring at {two_theta:.2f} degree "
            f"are on the detector, {_LEAST_SECTORS} needed"
        )
    line = summed(counts - below, on)[full] / norm[full]
    beside = summed(counts - below, ~on)[full] / norm_beside[full]
    variance = np.maximum(summed(counts, on)[full], 1.0) / norm[full] ** 2
    variance = variance + np.maximum(summed(counts, ~on)[full], 1.0) / norm_beside[full] ** 2
    middle = (np.flatnonzero(full) + 0.5) * 360 / _N_SECTORS
    return Ring(middle, line - beside, np.sqrt(variance))


def modulation(ring: Ring) -> Modulation:
    """How uneven a ring is around the beam: twice around, as a tilted axis makes it."""
    angle = np.radians(2 * ring.azimuth)
    columns = np.column_stack([np.ones_like(angle), np.cos(angle), np.sin(angle)])
    weighted = columns / ring.error[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    mean, cosine, sine = covariance @ (weighted.T @ (ring.intensity / ring.error))
    if mean <= _SURE * np.sqrt(covariance[0, 0]):
        raise ReductionError("there is no line to be seen in the ring")
    by_part = [np.array([-cosine / mean, 1, 0]), np.array([-sine / mean, 0, 1])]
    errors = [float(np.sqrt(each @ covariance @ each) / mean) for each in by_part]
    parts = float(cosine / mean), float(sine / mean)
    worst = max(abs(part) / error for part, error in zip(parts, errors, strict=True))
    flags: tuple[str, ...] = ()
    # The larger of two normal numbers.
    if worst > _SURE + 0.3 and np.hypot(*parts) > _LEAST_UNEVEN:
        flags = (f"textured: ring uneven by {100 * np.hypot(*parts):.0f} %",)
    return Modulation(parts[0], errors[0], parts[1], errors[1], flags)


def march_dollase(r: float, cosine: FloatArray) -> FloatArray:
    """Density of planes whose normal has this cosine with the axis, over that of a powder.

    Source:
        Dollase, J. Appl. Cryst. 19 (1986) 267.

    >>> march_dollase(1.0, np.array([0.0, 0.5, 1.0])).tolist()
    [1.0, 1.0, 1.0]
    """
    square = np.asarray(cosine, dtype=float) ** 2
    return np.asarray((r**2 * square + (1 - square) / r) ** -1.5)


def pole_angles(
    structure: Structure, hkl: tuple[int, int, int], axis: tuple[int, int, int]
) -> FloatArray:
    """Angles between all planes of a family and the plane that lies alike, degree, shape (n,).

    Args:
        structure: Of the phase.
        hkl: Of the family.
        axis: Plane whose normals gather about the axis, such as (0, 0, 1) of flakes of graphite.
    """
    cell = structure.lattice
    to_fractional = gemmi.UnitCell(
        cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma
    ).frac.mat
    reciprocal = np.array(to_fractional.tolist()).T
    operations = gemmi.SpaceGroup(structure.space_group).operations()
    family = {tuple(operation.apply_to_hkl(list(hkl))) for operation in operations.sym_ops}
    normals = np.array(sorted(family), dtype=float) @ reciprocal.T
    along = reciprocal @ np.array(axis, dtype=float)
    cosine = normals @ along / np.linalg.norm(normals, axis=1) / np.linalg.norm(along)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1, 1))), dtype=float)


def texture_factor(r: float, *, poles: FloatArray, tilt: float) -> float:
    """Intensity of a line over that of a powder.

    Args:
        r: Of March and Dollase.
        poles: Of its family, see `pole_angles`, degree.
        tilt: Between the axis and the scattering vector, degree: 90 less theta where the axis is the
            beam.
    """
    around = (np.arange(_N_AROUND) + 0.5) * 2 * np.pi / _N_AROUND
    own, tilted = np.radians(np.asarray(poles, dtype=float))[:, None], np.radians(tilt)
    cosine = np.cos(own) * np.cos(tilted) + np.sin(own) * np.sin(tilted) * np.cos(around)
    return float(march_dollase(r, cosine).mean())


def texture_of(
    intensity: FloatArray, error: FloatArray, *, poles: Sequence[FloatArray], tilt: FloatArray
) -> Texture:
    """Texture, and the intensity of a powder, from several lines of one phase.

    Args:
        intensity: Of each line over what a powder of unit amount has, shape (n,), n at least 2.
        error: One standard deviation of each, shape (n,).
        poles: Of each line, see `pole_angles`.
        tilt: Of each line, see `texture_factor`, degree, shape (n,).

    Raises:
        ReductionError: If there are fewer than two lines, or none of them is seen.
    """
    if len(intensity) < 2:
        raise ReductionError(f"{len(intensity)} line cannot tell texture from amount, 2 needed")
    strength = float(np.average(intensity, weights=1 / error**2))
    if strength <= _SURE / np.sqrt((1 / error**2).sum()):
        raise ReductionError("no line of the phase is seen")

    def model(parameters: FloatArray) -> FloatArray:
        r, scale = np.exp(parameters[0]), parameters[1]
        lines = zip(poles, tilt, strict=True)
        return np.array([scale * texture_factor(r, poles=p, tilt=float(t)) for p, t in lines])

    fits = [
        fit_curve(model, np.array([start, strength]), np.asarray(intensity, float), error)
        for start in _STARTS
    ]
    fit = min(fits, key=lambda each: each.chi_squared)
    r, error_of_logarithm = float(np.exp(fit.parameters[0])), float(fit.errors[0])
    flags: tuple[str, ...] = ()
    if abs(fit.parameters[0]) > _SURE * error_of_logarithm:
        flags = (f"textured: March-Dollase r {r:.2f} +- {r * error_of_logarithm:.2f}",)
    free = fit.degrees_of_freedom
    return Texture(
        r=r,
        r_error=r * error_of_logarithm,
        scale=float(fit.parameters[1]),
        scale_error=float(fit.errors[1]),
        residual=fit.chi_squared / free if free else float("nan"),
        flags=flags,
    )
