"""This file is where the rings of a standard are fitted in azimuthal sectors."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp
from scipy.interpolate import BSpline

from battbeam.reduction.pixels import Bins, FineGrid, response
from battbeam.reduction.ring_search import GeometryOf, Rings
from battbeam.units import AnyArray, FloatArray

_N_SECTORS = 24
_KNOT_SPACING = 1.0
_MAX_ROUNDS = 14
# A round that moves no angle by more than this (degree) ends the fit; a tenth of what is asked of
# the rings.
_SETTLED = 5e-5
# Widths and shares: the same in standard deviations.
_SETTLED_SHAPE = 0.05
# Angles may move by this share of a line width a round, widths by this ratio.
_LONGEST_MOVE, _WIDEST_CHANGE = 0.5, 1.4
# Widths a line of a standard may have, degree.
_LINE_WIDTHS = (0.005, 2.0)
# A ring is there at this many standard deviations; with fewer rings than this there is no geometry.
_FOUND, _LEAST_FOUND = 5.0, 3
# Priors: tilt (radian) and the curvature of the width (degree); both wide.
_TILT, _CURVATURE = 0.2, 0.2
# Steps of numerical derivatives: mm and radian.
_STEPS = np.array([1e-3, 1e-3, 1e-3, 1e-5, 1e-5])
_LORENTZIAN_RANGE = (-0.2, 1.2)


@dataclass(frozen=True)
class RingModel:
    """Fitted rings.

    Attributes:
        geometry: distance, poni1, poni2, rot1, rot2; mm and radian.
        width: Coefficients in powers of tan(theta), degree.
        lorentzian: Share.
        polarization: Fitted or given.
        covariance: Of (geometry, width, lorentzian), and polarization where it was fitted.
        amount: Of each ring, arbitrary unit.
        amount_error: Of it.
        seen: Indices of the rings on the detector.
        ring_derivatives: Largest change of angle at each seen ring by the geometry, degree, shape
            (n_seen, 5).
        spacing_error: Relative, of lattice spacings, by the geometry: the worst of the rings.
        residual: Reduced chi squared.
    """

    geometry: FloatArray
    width: FloatArray
    lorentzian: float
    polarization: float | None
    covariance: FloatArray = field(repr=False)
    amount: FloatArray = field(repr=False)
    amount_error: FloatArray = field(repr=False)
    seen: AnyArray = field(repr=False)
    ring_derivatives: FloatArray = field(repr=False)
    spacing_error: float
    residual: float


@dataclass(frozen=True)
class _Sectors:
    """Counts of sectors and bins in rows, for one geometry."""

    grid: FineGrid
    response: sp.csr_matrix
    norm: FloatArray
    two_theta: FloatArray
    counts: FloatArray
    by_geometry: FloatArray
    by_polarization: FloatArray


def _sectors(
    signal: FloatArray,
    used: AnyArray,
    pixels: GeometryOf,
    parameters: FloatArray,
    low_high: tuple[float, float],
    width: float,
    polarization: float | None,
) -> _Sectors:
    geometry = pixels(parameters)
    centres = geometry.centres()
    step = width / 10
    bin_width = max(geometry.pixel_width[0] / 2, width / 4)
    edges = np.arange(low_high[0], low_high[1] + bin_width, bin_width)
    bins = Bins.of(geometry, edges, ~used)
    reach = geometry.pixel_width[1] + 4 * step
    grid = FineGrid(
        edges[0] - reach, step, int(np.ceil((edges[-1] - edges[0] + 2 * reach) / step)) + 1
    )
    n_sub = int(np.clip(2 + np.ceil(2 * geometry.pixel_width[1] / width), 3, 8))
    azimuth = np.arctan2(centres[0], centres[1])
    sector = np.minimum(((azimuth + np.pi) / (2 * np.pi) * _N_SECTORS).astype(int), _N_SECTORS - 1)
    correction = geometry.correction(centres, polarization=polarization)
    angle = geometry.two_theta
    moved = [
        (pixels(parameters + change).two_theta - angle) / change.sum() for change in np.diag(_STEPS)
    ]
    by_polarization = np.zeros_like(angle)
    if polarization is not None:
        more = geometry.correction(centres, polarization=polarization + 1e-3)
        by_polarization = (more / correction - 1) / 1e-3
    blocks = []
    for one in range(_N_SECTORS):
        chosen = np.nonzero((sector == one) & (bins.index < bins.n_bins))[0]
        part = Bins(edges, np.where(sector == one, bins.index, bins.n_bins).astype(np.int32))
        norm = part.sum(correction)
        keep = norm > 0
        safe = np.where(keep, norm, 1.0)
        matrix = response(
            geometry, part, grid, polarization=polarization, depth=0.0, n_sub=n_sub, pixels=chosen
        )
        means = [part.sum(values * correction) / safe for values in (*moved, by_polarization)]
        blocks.append(
            (
                matrix[keep],
                norm[keep],
                part.centres[keep],
                part.sum(signal)[keep],
                np.array(means)[:, keep],
            )
        )
    means_all = np.concatenate([b[4] for b in blocks], axis=1)
    return _Sectors(
        grid=grid,
        response=sp.csr_matrix(sp.vstack([b[0] for b in blocks])),
        norm=np.concatenate([b[1] for b in blocks]),
        two_theta=np.concatenate([b[2] for b in blocks]),
        counts=np.concatenate([b[3] for b in blocks]),
        by_geometry=means_all[:5].T,
        by_polarization=means_all[5],
    )


@dataclass
class _State:
    geometry: FloatArray
    width: FloatArray
    lorentzian: float
    polarization: float | None
    linear: FloatArray | None = None


def fit_rings(
    signal: FloatArray,
    used: AnyArray,
    rings: Rings,
    pixels: GeometryOf,
    first: FloatArray,
    *,
    polarization: float | Literal["fit"] | None,
) -> RingModel | None:
    """Geometry, line shape and amounts of all rings, by weighted least squares on counts.

    Returns:
        The rings, or None if there are none to be fitted.
    """
    free_polarization = polarization == "fit"
    factor = 0.95 if polarization == "fit" else polarization
    degree = np.degrees(max(pixels(first).pixel_size) / first[0])
    state = _State(first.copy(), np.array([max(0.12, degree), 0.0, 0.0]), 0.3, factor)
    move = np.inf
    for _ in range(_MAX_ROUNDS):
        angles = pixels(state.geometry).two_theta.reshape(used.shape)[used]
        low = max(rings.two_theta[0] - 1.2, float(angles.min()), 0.5)
        high = float(angles.max())
        seen = np.nonzero((rings.two_theta > low - 0.5) & (rings.two_theta < high + 0.3))[0]
        narrow, wide = _narrow_and_wide(state, low, high)
        if not _LINE_WIDTHS[0] < narrow <= wide < _LINE_WIDTHS[1]:
            return None
        sectors = _sectors(
            signal, used, pixels, state.geometry, (low, high), narrow, state.polarization
        )
        for _ in range(3):
            step, covariance, residual, amounts = _round(
                sectors, rings.two_theta[seen], state, free_polarization
            )
            _shape_moved(state, step, rings.two_theta[seen])
        if (amounts[0] > _FOUND * amounts[1]).sum() < _LEAST_FOUND:
            return None
        errors = np.sqrt(np.maximum(np.diag(covariance), 0))
        move = float(np.abs(sectors.by_geometry @ step[:5]).max())
        state.geometry = state.geometry + step[:5] * min(
            1.0, _LONGEST_MOVE * state.width[0] / max(move, 1e-12)
        )
        if free_polarization and state.polarization is not None:
            state.polarization = float(np.clip(state.polarization + step[9], -1.0, 1.0))
        if move < _SETTLED and np.all(np.abs(step[5:]) < _SETTLED_SHAPE * errors[5:]):
            break
    return _outcome(state, rings, seen, sectors, covariance, residual, amounts)


def _narrow_and_wide(state: _State, low: float, high: float) -> tuple[float, float]:
    """Smallest and largest width of a line between two angles, degree."""
    widths = np.polyval(state.width[::-1], np.tan(np.radians(np.linspace(low, high, 30)) / 2))
    return float(widths.min()), float(widths.max())


def _shape_moved(state: _State, step: FloatArray, rings: FloatArray) -> None:
    tangents = np.tan(np.radians(rings) / 2)
    now, change = np.polyval(state.width[::-1], tangents), np.polyval(step[7:4:-1], tangents)
    ratio = min(1.0, (_WIDEST_CHANGE - 1) / max(float(np.abs(change / now).max()), 1e-12))
    state.width = state.width + ratio * step[5:8]
    state.lorentzian = float(np.clip(state.lorentzian + step[8], *_LORENTZIAN_RANGE))


def _shapes(
    grid: FloatArray, rings: FloatArray, state: _State
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Unit lines, and their derivatives by angle, width and Lorentzian share, shape (n_grid,
    n_rings) each.
    """
    width = np.polyval(state.width[::-1], np.tan(np.radians(rings) / 2))
    u = (grid[:, None] - rings) / width
    log2 = 4 * np.log(2)
    # As in the reduction: the power of a cone is conserved.
    cone = np.sin(np.radians(rings)) / np.sin(np.radians(grid))[:, None] / width
    gauss = np.sqrt(log2 / np.pi) * np.exp(-log2 * u**2) * cone
    lorentz = 2 / np.pi / (1 + 4 * u**2) * cone
    eta = state.lorentzian
    line = eta * lorentz + (1 - eta) * gauss
    by_u = eta * lorentz * (-8 * u / (1 + 4 * u**2)) + (1 - eta) * gauss * (-2 * log2 * u)
    return line, by_u / width, -(line + u * by_u) / width, lorentz - gauss


def _linear_columns(sectors: _Sectors, line: FloatArray) -> FloatArray:
    """Counts of each ring and of each function of the background, in columns."""
    low, high = sectors.two_theta.min(), sectors.two_theta.max()
    n_spans = max(4, int(np.ceil((high - low) / _KNOT_SPACING)))
    knots = np.concatenate([[low] * 3, np.linspace(low, high, n_spans + 1), [high] * 3])
    splines = BSpline.design_matrix(sectors.two_theta, knots, 3).toarray()
    smooth = splines * (sectors.norm / sectors.norm.max())[:, None]
    return np.column_stack([sectors.response @ line, smooth])


def _round(
    sectors: _Sectors, rings: FloatArray, state: _State, free_polarization: bool
) -> tuple[FloatArray, FloatArray, float, FloatArray]:
    """One Gauss-Newton step of (geometry, widths, share, polarization), its covariance, chi
    squared, and amounts with their errors.
    """
    n_rings = len(rings)
    line, by_angle, by_width, by_share = _shapes(sectors.grid.two_theta, rings, state)
    columns = _linear_columns(sectors, line)
    if state.linear is None or len(state.linear) != columns.shape[1]:
        rough = np.maximum(sectors.counts, 0) + 5.0
        state.linear = _least_squares(columns, sectors.counts, rough)
    variance = np.maximum(columns @ state.linear, 0.5)
    state.linear = _least_squares(columns, sectors.counts, variance)
    amounts, model = state.linear[:n_rings], columns @ state.linear
    tangents = np.tan(np.radians(rings) / 2)[None, :] ** np.arange(3)[:, None]
    slope = sectors.response @ (by_angle @ amounts)
    shapes = np.column_stack([*(by_width @ (amounts * t) for t in tangents), by_share @ amounts])
    derivatives = [slope[:, None] * sectors.by_geometry, sectors.response @ shapes]
    if free_polarization:
        derivatives.append((model * sectors.by_polarization)[:, None])
    every = np.column_stack([columns, *derivatives])
    apart = sectors.counts - model
    normal = every.T @ (every / variance[:, None])
    right = every.T @ (apart / variance)
    n_linear = columns.shape[1]
    for index, value, sigma in (
        (n_linear + 3, state.geometry[3], _TILT),
        (n_linear + 4, state.geometry[4], _TILT),
        (n_linear + 7, state.width[2], _CURVATURE),
    ):
        normal[index, index] += 1 / sigma**2
        right[index] -= value / sigma**2
    inverse = _inverse(normal)
    residual = float((apart**2 / variance).sum() / (len(apart) - len(normal)))
    errors = np.sqrt(np.maximum(np.diag(inverse)[:n_rings], 0))
    keep = slice(n_linear, None)
    return (inverse @ right)[keep], inverse[keep, keep], residual, np.array([amounts, errors])


def _inverse(normal: FloatArray) -> FloatArray:
    diagonal = np.sqrt(np.diag(normal))
    scale = np.outer(diagonal, diagonal) + (diagonal == 0) * 1.0
    return np.asarray(sl.inv(normal / scale + 1e-11 * np.eye(len(normal))) / scale)


def _least_squares(columns: FloatArray, target: FloatArray, variance: FloatArray) -> FloatArray:
    normal = columns.T @ (columns / variance[:, None])
    diagonal = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scaled = normal / np.outer(diagonal, diagonal) + 1e-11 * np.eye(len(normal))
    return np.asarray(
        sl.solve(scaled, columns.T @ (target / variance) / diagonal, assume_a="pos") / diagonal
    )


def _outcome(
    state: _State,
    rings: Rings,
    seen: AnyArray,
    sectors: _Sectors,
    covariance: FloatArray,
    residual: float,
    amounts: FloatArray,
) -> RingModel:
    amount, amount_error = np.zeros(len(rings.two_theta)), np.full(len(rings.two_theta), np.inf)
    amount[seen], amount_error[seen] = amounts
    derivatives, spacing = [], []
    for angle in rings.two_theta[seen]:
        near = np.argsort(np.abs(sectors.two_theta - angle))[: 2 * _N_SECTORS]
        rows = sectors.by_geometry[near]
        spread = np.einsum("ri,ij,rj->r", rows, covariance[:5, :5], rows)
        derivatives.append(rows[int(np.argmax(spread))])
        mean = rows.mean(axis=0)
        error = np.radians(np.sqrt(mean @ covariance[:5, :5] @ mean))
        spacing.append(float(error / 2 / np.tan(np.radians(angle) / 2)))
    return RingModel(
        geometry=state.geometry,
        width=state.width,
        lorentzian=state.lorentzian,
        polarization=state.polarization,
        covariance=covariance,
        amount=amount,
        amount_error=amount_error,
        seen=seen,
        ring_derivatives=np.array(derivatives),
        spacing_error=max(spacing),
        residual=residual,
    )
