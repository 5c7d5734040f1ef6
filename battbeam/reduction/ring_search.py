"""This file is where the rings of a standard are found on a frame before they are fitted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from battbeam.reduction.pixels import PixelGeometry, angle_of
from battbeam.reduction.reflections import free_edges_of, reflections_of
from battbeam.units import AnyArray, FloatArray

#: From distance, poni1, poni2, rot1, rot2 (mm, radian) to a geometry.
GeometryOf = Callable[[FloatArray], PixelGeometry]

_MAX_TWO_THETA = 60.0
# Frames of about this many blocks, with lines blurred to these widths (degree).
_BLOCKS = 128
_SEARCH_WIDTHS = (0.5, 0.3, 0.18)
# Blurred lines are looked up in steps of this share of a width.
_FINE = 64


@dataclass(frozen=True)
class Rings:
    """What a standard should show: angles in degree and relative strengths, shape (n,)."""

    two_theta: FloatArray
    strength: FloatArray


def rings_of(calibrant: str, energy: float) -> Rings:
    """Rings of a standard; families with one spacing are one ring."""
    lines = reflections_of(calibrant, energy=energy, two_theta_max=_MAX_TWO_THETA)
    edges = free_edges_of(lines.structure)
    angles, strengths = np.degrees(lines.two_theta(edges)[0]), lines.strength(edges, None)[0]
    keys = np.round(angles, 6)
    unique = np.unique(keys)
    together = np.array([strengths[keys == key].sum() for key in unique])
    keep = together > 2e-3 * together.max()
    return Rings(unique[keep], together[keep])


def best_guess(
    signal: FloatArray, used: AnyArray, rings: Rings, pixels: GeometryOf, first: FloatArray
) -> FloatArray:
    """The guess, moved to where blurred rings lie best on the frame."""
    size = max(1, int(np.ceil(max(signal.shape) / _BLOCKS)))
    coarse, counted, rows, columns = _blocks(signal, used, size)
    rows, columns, coarse = (values[counted] for values in (rows, columns, coarse))
    geometry = pixels(first)
    degree = np.degrees(max(geometry.pixel_size) / geometry.distance)
    curves = {width: _lines(rings, width) for width in _SEARCH_WIDTHS}

    def score(parameters: FloatArray, width: float) -> float:
        angles = angle_of(pixels(parameters).positions(rows, columns))
        drawn = np.take(curves[width], (angles / (width / _FINE)).astype(int), mode="clip")
        drawn = drawn - drawn.mean()
        norm = np.sqrt(drawn @ drawn)
        return -float(coarse @ drawn / norm) if norm > 0 else 0.0

    step = 0.4 / degree * max(geometry.pixel_size)
    reach = 15 * max(geometry.pixel_size)
    offsets = np.arange(-np.ceil(reach / step), np.ceil(reach / step) + 1) * step
    offsets = offsets[np.abs(offsets) <= reach + step / 2]
    trials = [
        first + np.array([first[0] * stretch, up, across, 0, 0])
        for stretch in np.arange(-0.06, 0.061, 0.015)
        for up in offsets
        for across in offsets
    ]
    best: FloatArray = trials[int(np.argmin([score(trial, _SEARCH_WIDTHS[0]) for trial in trials]))]
    pixel = max(geometry.pixel_size)
    scale = np.array([0.01 * first[0], 3 * pixel, 3 * pixel, 0.02, 0.02])
    for width, n_free in zip(_SEARCH_WIDTHS, (3, 5, 5), strict=True):
        best = _polished(score, best, scale[:n_free], width)
        scale = scale / 2
    return best


def _lines(rings: Rings, width: float) -> FloatArray:
    """Blurred rings, at the middles of steps of width / _FINE degree."""
    top = rings.two_theta.max() + 2 * width
    at = (np.arange(np.ceil(top / width * _FINE) + 1) + 0.5) * width / _FINE
    relative = np.sqrt(rings.strength * np.sin(np.radians(rings.two_theta)))
    lines = np.exp(-4 * np.log(2) * ((at[:, None] - rings.two_theta) / width) ** 2)
    return np.asarray(lines @ relative)


def _polished(
    score: Callable[[FloatArray, float], float], start: FloatArray, scale: FloatArray, width: float
) -> FloatArray:
    """The best of the first few parameters near a start, at one width of lines."""

    def at(moved: FloatArray) -> FloatArray:
        parameters: FloatArray = start.copy()
        parameters[: len(scale)] += scale * moved
        return parameters

    def cost(moved: FloatArray) -> float:
        return score(at(moved), width)

    found = optimize.fmin(
        cost,
        np.zeros(len(scale)),
        xtol=1e-3,
        ftol=1e-6,
        maxfun=400,
        disp=False,
    )
    return at(np.asarray(found, dtype=float))


def _blocks(
    signal: FloatArray, used: AnyArray, size: int
) -> tuple[FloatArray, AnyArray, FloatArray, FloatArray]:
    """Frame in blocks with slow changes taken off, in standard deviations; which of them count;
    positions in pixels.
    """
    n_rows, n_columns = (n // size * size for n in signal.shape)

    def summed(values: FloatArray) -> FloatArray:
        cut = values[:n_rows, :n_columns].reshape(n_rows // size, size, n_columns // size, size)
        return np.asarray(cut.sum(axis=(1, 3)), dtype=float)

    counts, n_used = summed(np.where(used, signal, 0.0)), summed(used.astype(float))
    mean = counts / np.maximum(n_used, 1)
    wide = 25
    there = (n_used > 0).astype(float)
    around = np.asarray(ndimage.uniform_filter(there, wide), dtype=float)
    smooth = np.asarray(ndimage.uniform_filter(mean * there, wide), dtype=float)
    smooth = smooth / np.maximum(around, 1e-6)
    # Square roots keep a few strong rings from deciding alone.
    apart = np.sqrt(np.maximum(mean, 0) + 0.1) - np.sqrt(np.maximum(smooth, 0) + 0.1)
    weight = n_used > size**2 / 2
    rows, columns = np.indices(counts.shape)
    at = (rows.ravel() + 0.5) * size, (columns.ravel() + 0.5) * size
    flat = np.asarray(apart, dtype=float).ravel()
    return flat, np.asarray(weight).ravel(), np.asarray(at[0]), np.asarray(at[1])
