"""This file is where geometry, instrument and a list of phases become the model of a pattern."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import BSpline

from battbeam.errors import ReductionError
from battbeam.reduction.component import Component, MeasuredComponent
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import PatternModel
from battbeam.reduction.pattern_model import LineShape, line_profiles
from battbeam.reduction.pixels import Bins, FineGrid, PixelGeometry, cached_response, response
from battbeam.reduction.reflections import Reflections, free_edges_of, reflections_of
from battbeam.reduction.xrd_components import Lines, SharedParameters, components_of
from battbeam.reduction.xrd_model import XrdModel
from battbeam.reduction.xrd_references import MeasuredPattern
from battbeam.reduction.xrd_result import ScatteringPhase, XrdOptions
from battbeam.units import AnyArray, FloatArray

# Fine grids: steps in a line's full width at half maximum.
_STEPS_PER_WIDTH = 10
# Bins are not narrower than this share of a line: nothing is gained.
_BIN_PER_WIDTH = 0.25
# Degree below the first line at which the pattern begins; beyond its ends, lines still reach in.
_MARGIN_BELOW, _MARGIN_LINES = 1.2, 1.0
# Bins of fewer pixels are not fitted.
_LEAST_PIXELS = 3
# Half of depth / distance is the most an angle moves; a little more for tilted detectors.
_DEPTH_REACH = 0.6
# Lattice of an inert phase may move its lines by about this, degree.
_INERT_MOVE = 0.4


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
        ReductionError: If no phase is active and no end member given, bins are wider than a pixel,
            no line meets the detector, or a measured pattern is not of this detector.
    """
    if not any(phase.host for phase in phases) and not options.references:
        names = ", ".join(p.phase for p in phases)
        raise ReductionError(f"no active phase among: {names}; name the electrode's material")
    geometry = PixelGeometry.read(geometry_path, shape)
    given = options.polarization
    polarization = instrument.polarization if given == "instrument" else given
    hidden = np.zeros(shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    seen = geometry.two_theta[~hidden.ravel()]
    top = float(seen.max()) + _MARGIN_LINES
    families = {
        p.phase: reflections_of(p.phase, energy=geometry.energy, two_theta_max=top) for p in phases
    }
    edges, width = _bin_edges(geometry, instrument, list(families.values()), seen, options)
    bins = Bins.of(geometry, edges, hidden)
    correction = geometry.correction(geometry.centres(), polarization=polarization)
    norm = bins.sum(correction)
    layers = _Layers(geometry, bins, width, polarization, hidden, options.cache_directory)
    shapes = layers.line_shapes(phases, families, instrument)
    shared = SharedParameters.of(phases, options)
    ends = (float(bins.edges[0]), float(bins.edges[-1]))
    lines = Lines(families, shapes, instrument, geometry.distance, ends)
    end_members = {name: MeasuredPattern.read(path) for name, path in options.references.items()}
    components: list[Component | MeasuredComponent] = [
        *components_of(phases, lines, options, shared),
        *(MeasuredComponent(n, *m.in_bins(bins, shape)) for n, m in end_members.items()),
    ]
    blank = None if options.blank is None else MeasuredPattern.read(options.blank)
    smooth = _splines(bins, bins.middles(correction, geometry), options.knot_spacing)
    background = norm[:, None] / norm.max() * smooth
    return XrdModel(
        geometry=geometry,
        instrument=instrument,
        polarization=polarization,
        bins=bins,
        norm=norm,
        used=bins.sum(np.ones(correction.size)) >= _LEAST_PIXELS,
        shape=layers.all_lines(instrument),
        pattern=PatternModel(components, background, shared.priors),
        phases=tuple(phases),
        blank=None if blank is None else blank.in_bins(bins, shape),
        end_members=end_members,
    )


class _Layers:
    """Lines as the bins count them, from each layer's own depth."""

    def __init__(
        self,
        geometry: PixelGeometry,
        bins: Bins,
        width: float,
        polarization: float | None,
        hidden: AnyArray,
        cache_directory: Path | None,
    ) -> None:
        self._geometry, self._bins, self._polarization = geometry, bins, polarization
        self._directory = cache_directory
        self._step = width / _STEPS_PER_WIDTH
        self._n_sub = int(np.clip(2 + np.ceil(2 * geometry.pixel_width[1] / width), 3, 8))
        self._hidden = hashlib.sha256(np.packbits(hidden).tobytes()).hexdigest()
        self._sticks = _grid(
            bins.edges[0] - _MARGIN_LINES, bins.edges[-1] + _MARGIN_LINES, self._step
        )
        self._full: LineShape | None = None

    def _fine(self, depth: float) -> FineGrid:
        geometry, edges = self._geometry, self._bins.edges
        # Seen from a depth z, angles differ by up to z / distance / 2.
        moved = np.degrees(abs(depth) / geometry.distance) * _DEPTH_REACH
        reach = geometry.pixel_width[1] + moved + 4 * self._step
        low = max(edges[0] - reach, self._step)
        return _grid(low, edges[-1] + reach, self._step)

    def _response(self, depth: float) -> sp.csr_matrix:
        grid = self._fine(depth)
        key = " ".join(
            str(part)
            for part in (
                self._geometry.fingerprint(),
                self._bins.edges.tolist(),
                grid,
                self._n_sub,
                self._polarization,
                depth,
                self._hidden,
            )
        )
        return cached_response(
            self._directory,
            key,
            lambda: response(
                self._geometry,
                self._bins,
                grid,
                polarization=self._polarization,
                depth=depth,
                n_sub=self._n_sub,
            ),
        )

    def all_lines(self, instrument: Instrument) -> LineShape:
        """At electrode depth, wherever a line may be."""
        if self._full is None:
            profiles = line_profiles(self._fine(0.0), self._sticks, instrument)
            self._full = LineShape(self._sticks, np.asfortranarray(self._response(0.0) @ profiles))
        return self._full

    def line_shapes(
        self,
        phases: Sequence[ScatteringPhase],
        families: Mapping[str, Reflections],
        instrument: Instrument,
    ) -> dict[str, LineShape]:
        """Of every phase: an inert one's lines stay where they are, those of one that holds lithium
        may be anywhere.
        """
        shapes: dict[str, LineShape] = {}
        anywhere = {0.0: self.all_lines(instrument)} if _has(phases, 0.0) else {}
        for phase in phases:
            depth = phase.depth
            if phase.host and depth in anywhere:
                shapes[phase.phase] = anywhere[depth]
                continue
            columns = np.arange(self._sticks.size)
            if not phase.host:
                lines = families[phase.phase]
                angles = np.degrees(lines.two_theta(free_edges_of(lines.structure))[0])
                apart = np.abs(self._sticks.two_theta[:, None] - angles).min(axis=1)
                columns = np.nonzero(apart <= _INERT_MOVE)[0]
            profiles = line_profiles(self._fine(depth), self._sticks, instrument, columns)
            matrix = np.asfortranarray(self._response(depth) @ profiles)
            shapes[phase.phase] = LineShape(self._sticks, matrix, columns)
            if phase.host:
                anywhere[depth] = shapes[phase.phase]
        return shapes


def _has(phases: Sequence[ScatteringPhase], depth: float) -> bool:
    return any(phase.host and phase.depth == depth for phase in phases)


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
    lines = [np.degrees(f.two_theta(free_edges_of(f.structure))[0]) for f in families]
    first = min((float(angles.min(initial=180.0)) for angles in lines), default=low)
    if options.two_theta_range is not None:
        begin, end = options.two_theta_range
        if not (begin < end and begin < high and low < end):
            raise ReductionError(
                f"two_theta_range of {begin:g} to {end:g} degree must ascend and meet the detector, "
                f"which sees {low:.2f} to {high:.2f}"
            )
        low, high = max(low, begin), min(high, end)
    else:
        low = max(low, first - _MARGIN_BELOW, 1.0)
    if not low < high or first > high:
        raise ReductionError(
            f"no line meets the detector: it sees two theta up to {high:.2f} degree, "
            f"the first line is at {first:.2f}"
        )
    width = float(instrument.full_width(np.array([low, high])).min())
    bin_width = options.bin_width or min(pixel, max(pixel / 2, _BIN_PER_WIDTH * width))
    if bin_width > pixel * 1.0001:
        raise ReductionError(
            f"bin_width {bin_width:.4f} degree is wider than a pixel ({pixel:.4f} degree)"
        )
    n_bins = int(np.ceil((high - low) / bin_width))
    return np.asarray(low + bin_width * np.arange(n_bins + 1), dtype=float), width


def _splines(bins: Bins, two_theta: FloatArray, spacing: float) -> FloatArray:
    low, high = bins.edges[0], bins.edges[-1]
    n_spans = max(4, int(np.ceil((high - low) / spacing)))
    inner = np.linspace(low, high, n_spans + 1)
    knots = np.concatenate([[low] * 3, inner, [high] * 3])
    return np.asarray(BSpline.design_matrix(two_theta, knots, 3).toarray())
