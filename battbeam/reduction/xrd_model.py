"""This file is where geometry, instrument and a list of phases become the model of a pattern in bins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.interpolate import BSpline

from battbeam.errors import ReductionError
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import CountsInBins, PatternModel
from battbeam.reduction.pattern_model import Component, CompositionTable, LineShape, line_matrix
from battbeam.reduction.pixels import Bins, FineGrid, PixelGeometry, cached_response, response
from battbeam.reduction.reflections import Reflections, free_edges_of, reflections_of
from battbeam.reduction.xrd_result import ScatteringPhase, XrdOptions
from battbeam.units import AnyArray, FloatArray

# Fine grids: steps in a line's full width at half maximum.
_STEPS_PER_WIDTH = 10
# Bins are not narrower than this share of a line: nothing is gained.
_BIN_PER_WIDTH = 0.25
# Degree below the first line at which the pattern begins, and beyond its ends where lines still reach in.
_MARGIN_BELOW, _MARGIN_LINES = 1.2, 1.0
# Bins of fewer pixels are not fitted.
_LEAST_PIXELS = 3
# Priors of lattices: composition (centre, standard deviation) of the two phases inside the miscibility gap,
# what literature lattices differ by (angstrom), and inert ones (relative).
_TWO_PHASE = {"LiFePO4": (0.93, 0.06), "FePO4": (0.04, 0.05)}
_LITERATURE = 0.006
_INERT_RELATIVE = 0.002
# NMC811: middle and half span of everything known, angstrom.
_LAYERED = (np.array([2.843, 14.2]), np.array([0.03, 0.3]))
# Spread of composition among grains, as a variance: standard deviation of the prior about 0.
_SPREAD, _SPREAD_TWO_PHASE = 2e-3, 2e-4
# Lattice of an inert phase may move its lines by about this, degree.
_INERT_MOVE = 0.4
# Those among which grains that take no part keep the lithium content of the start. (FePO4 has none.)
# Their usual share of the material, mean and standard deviation: where they lie beside the others the data decide,
# where they lie among them this breaks the tie.
_WITH_INACTIVE = {"LiFePO4": (0.02, 0.04), "LixFePO4": (0.02, 0.1), "NMC811": (0.02, 0.1)}
_SOLID_SOLUTIONS = ("LixFePO4", "NMC811")
# A start without inactive grains is kept unless one with them is better by this in chi squared.
_BETTER_START = 25.0


@dataclass(frozen=True)
class XrdModel:
    """Everything about a series of frames that is the same for each of them.

    Attributes:
        geometry: Of the pixels.
        instrument: Widths of lines.
        polarization: Used in the correction factors, or None.
        bins: Of the pattern.
        grid: Fine angles.
        correction: Solid angle times polarization of each pixel, shape (n_pixels,).
        norm: Sum of it over each bin.
        used: Bins with enough pixels.
        shape: Lines at electrode depth.
        pattern: Components over their background.
        phases: As asked for.
    """

    geometry: PixelGeometry
    instrument: Instrument
    polarization: float | None
    bins: Bins
    grid: FineGrid
    correction: FloatArray = field(repr=False)
    norm: FloatArray = field(repr=False)
    used: AnyArray = field(repr=False)
    shape: LineShape = field(repr=False)
    pattern: PatternModel = field(repr=False)
    phases: tuple[ScatteringPhase, ...] = ()

    @property
    def pixels_per_width(self) -> float:
        """Largest pixel over the width of a line there."""
        middle = self.instrument.full_width(self.bins.centres).mean()
        return self.geometry.pixel_width[1] / float(middle)

    def start(self, counts: CountsInBins) -> list[FloatArray]:
        """First lattices: the priors', and for solid solutions the best composition of a grid."""
        parameters = [c.centre.copy() for c in self.pattern.components]
        for index, component in enumerate(self.pattern.components):
            if component.kind == "grains" and component.phase in _SOLID_SOLUTIONS:
                parameters[index] = self._best_composition(index, component, counts)
        return parameters

    def _best_composition(
        self, index: int, component: Component, counts: CountsInBins
    ) -> FloatArray:
        table = component.table
        low, high = table.range
        contents = np.linspace(low, high, 181)
        candidates = [np.append(table.edges(x)[0], 2e-4) for x in contents]
        sticks = np.vstack([component.sticks(p, counts.optical_depth)[:1] for p in candidates])
        drawn = component.shape.draw(sticks)
        alone, joint = (
            _improvement(drawn, self._others(index, counts, inactive), counts)
            for inactive in (False, True)
        )
        best = int(np.argmax(alone[0]))
        if joint[0].max() - joint[0][best] > _BETTER_START:
            best = int(np.argmax(joint[0]))
        return candidates[best]

    def _others(self, index: int, counts: CountsInBins, inactive: bool) -> FloatArray:
        columns = [self.pattern.background]
        for other, component in enumerate(self.pattern.components):
            if other != index and (inactive or component.kind != "inactive"):
                sticks = component.sticks(component.centre, counts.optical_depth)[:1]
                columns.append(component.shape.draw(sticks))
        return np.column_stack(columns)


def _improvement(
    candidates: FloatArray, others: FloatArray, counts: CountsInBins
) -> tuple[FloatArray, FloatArray]:
    """Gain in chi squared by each candidate over the other columns alone, and its amount."""
    variance = np.maximum(
        np.convolve(counts.signal + counts.dark, np.ones(5) / 5, mode="same"), 1.0
    )
    weight = np.where(counts.used, 1 / np.sqrt(variance), 0.0)
    basis, _ = np.linalg.qr(others * weight[:, None])
    left = counts.signal * weight
    left = left - basis @ (basis.T @ left)
    weighted = candidates * weight[:, None]
    weighted = weighted - basis @ (basis.T @ weighted)
    norm2 = (weighted**2).sum(axis=0)
    along = weighted.T @ left
    amount = along / np.maximum(norm2, 1e-300)
    return np.where(amount > 0, along * amount, -1.0) + float(0), amount


def build_model(
    geometry_path: Path,
    instrument: Instrument,
    phases: Sequence[ScatteringPhase],
    *,
    shape: tuple[int, int],
    options: XrdOptions,
    mask: AnyArray | None,
) -> XrdModel:
    """The model for frames of one geometry.

    Raises:
        ReductionError: If no phase is active, bins are wider than a pixel, or no line meets the detector.
    """
    if not any(phase.is_active for phase in phases):
        raise ReductionError(
            f"no active phase among {[p.phase for p in phases]}; name the electrode's material"
        )
    geometry = PixelGeometry.read(geometry_path, shape)
    polarization = (
        instrument.polarization if options.polarization == "instrument" else options.polarization
    )
    seen = (
        geometry.two_theta
        if mask is None
        else geometry.two_theta[~np.asarray(mask, dtype=bool).ravel()]
    )
    families = {
        p.phase: reflections_of(
            p.phase, energy=geometry.energy, two_theta_max=float(seen.max()) + _MARGIN_LINES
        )
        for p in phases
    }
    edges, width = _bin_edges(geometry, instrument, list(families.values()), seen, options)
    bins = Bins.of(geometry, edges, mask)
    centres = geometry.centres()
    correction = geometry.correction(centres, polarization=polarization)
    norm = bins.sum(correction)
    used = bins.sum(np.ones(correction.size)) >= _LEAST_PIXELS
    step = width / _STEPS_PER_WIDTH
    grid = _grid(
        edges[0] - geometry.pixel_width[1] - 4 * step,
        edges[-1] + geometry.pixel_width[1] + 4 * step,
        step,
    )
    sticks = _grid(edges[0] - _MARGIN_LINES, edges[-1] + _MARGIN_LINES, step)
    n_sub = int(np.clip(2 + np.ceil(2 * geometry.pixel_width[1] / width), 3, 8))
    mask_key = "" if mask is None else np.packbits(np.asarray(mask, dtype=bool)).tobytes().hex()
    shapes = {}
    for depth in sorted({p.depth for p in phases} | {0.0}):

        def compute(depth: float = depth) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
            return response(
                geometry, bins, grid, polarization=polarization, depth=depth, n_sub=n_sub
            )

        key = f"{geometry.fingerprint()} {edges.tolist()} {grid} {n_sub} {polarization} {depth} {mask_key}"
        matrix = cached_response(options.cache_directory, key, compute)
        shapes[depth] = LineShape(sticks, line_matrix(matrix, grid, sticks, instrument))
    components = _components(phases, families, shapes, options)
    background = (
        norm[:, None] * _splines(bins.centres, options.knot_spacing) * (instrument_scale(norm))
    )
    return XrdModel(
        geometry=geometry,
        instrument=instrument,
        polarization=polarization,
        bins=bins,
        grid=grid,
        correction=correction,
        norm=norm,
        used=used,
        shape=shapes[0.0],
        pattern=PatternModel(components, background),
        phases=tuple(phases),
    )


def instrument_scale(norm: FloatArray) -> float:
    """Brings backgrounds to about one count; only for the conditioning of the sums."""
    return 1.0 / float(norm.max())


def _grid(low: float, high: float, step: float) -> FineGrid:
    return FineGrid(start=float(low), step=float(step), size=int(np.ceil((high - low) / step)) + 1)


def _bin_edges(
    geometry: PixelGeometry,
    instrument: Instrument,
    families: Sequence[Reflections],
    seen: FloatArray,
    options: XrdOptions,
) -> tuple[FloatArray, float]:
    """Edges of the bins, and the smallest width of a line, degree."""
    pixel = geometry.pixel_width[0]
    low, high = float(seen.min()), float(seen.max())
    first = min(
        float(np.degrees(f.two_theta(free_edges_of(f.structure))[0].min())) for f in families
    )
    if options.two_theta_range is not None:
        low, high = max(low, options.two_theta_range[0]), min(high, options.two_theta_range[1])
    else:
        low = max(low, first - _MARGIN_BELOW, 1.0)
    if not low < high or first > high:
        raise ReductionError(
            f"no line meets the detector: it sees two theta up to {high:.2f} degree, the first line is at {first:.2f}"
        )
    width = float(instrument.full_width(np.array([low, high])).min())
    bin_width = options.bin_width or min(pixel, max(pixel / 2, _BIN_PER_WIDTH * width))
    if bin_width > pixel * 1.0001:
        raise ReductionError(
            f"bin_width {bin_width:.4f} degree is wider than a pixel ({pixel:.4f} degree)"
        )
    n_bins = int(np.ceil((high - low) / bin_width))
    return low + bin_width * np.arange(n_bins + 1), width


def _splines(two_theta: FloatArray, spacing: float) -> FloatArray:
    low, high = two_theta[0], two_theta[-1]
    n_spans = max(4, int(np.ceil((high - low) / spacing)))
    inner = np.linspace(low, high, n_spans + 1)
    knots = np.concatenate([[low] * 3, inner, [high] * 3])
    return np.asarray(BSpline.design_matrix(two_theta, knots, 3).toarray())


def _components(
    phases: Sequence[ScatteringPhase],
    families: dict[str, Reflections],
    shapes: dict[float, LineShape],
    options: XrdOptions,
) -> list[Component]:
    components: list[Component] = []
    for phase in phases:
        reflections, shape = families[phase.phase], shapes[phase.depth]
        if not phase.is_active:
            edges = free_edges_of(reflections.structure)
            angles = np.degrees(reflections.two_theta(edges)[0])
            near = shape.near(angles, _INERT_MOVE)
            components.append(
                Component(
                    phase.phase,
                    reflections,
                    near,
                    phase.downstream,
                    "inert",
                    edges,
                    _INERT_RELATIVE * edges,
                )
            )
            continue
        centre, sigma = _lattice_prior(phase.phase)
        grains = Component(
            phase.phase,
            reflections,
            shape,
            phase.downstream,
            "grains",
            np.append(centre, 0.0),
            np.append(sigma, _SPREAD if phase.phase in _SOLID_SOLUTIONS else _SPREAD_TWO_PHASE),
        )
        components.append(grains)
        if phase.phase in _WITH_INACTIVE:
            content, error = options.initial_lithium_content
            components.append(
                Component(
                    phase.phase,
                    reflections,
                    shape,
                    phase.downstream,
                    "inactive",
                    np.array([content]),
                    np.array([error]),
                    _WITH_INACTIVE[phase.phase],
                )
            )
    return components


def _lattice_prior(phase: str) -> tuple[FloatArray, FloatArray]:
    if phase == "NMC811":
        return _LAYERED
    content, error = _TWO_PHASE.get(phase, (0.5, 0.5))
    edges, slope = CompositionTable(phase).edges(content)
    return edges, np.hypot(slope * error, _LITERATURE)
