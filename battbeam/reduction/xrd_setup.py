"""This file is where geometry, instrument and a list of phases become the model of a pattern."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scipy.interpolate import BSpline

from battbeam.errors import ReductionError
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_fit import PatternModel
from battbeam.reduction.pattern_model import (
    Component,
    CompositionTable,
    LineShape,
    line_profiles,
)
from battbeam.reduction.pixels import Bins, FineGrid, PixelGeometry, cached_response, response
from battbeam.reduction.reflections import Reflections, free_edges_of, reflections_of
from battbeam.reduction.xrd_model import SOLID_SOLUTIONS, XrdModel
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
# Priors of lattices: composition (centre, standard deviation) of the two phases inside the
# miscibility gap, what literature lattices differ by (angstrom), and inert ones (relative).
_TWO_PHASE = {"LiFePO4": (0.93, 0.06), "FePO4": (0.04, 0.05)}
_LITERATURE = 0.006
_INERT_RELATIVE = 0.002
# NMC811: middle and half span of everything known, angstrom.
_LAYERED = (np.array([2.843, 14.2]), np.array([0.03, 0.3]))
# Spread of composition among grains, as a variance: standard deviation of the prior about 0.
# Inside a miscibility gap there is none.
_SPREAD, _SPREAD_TWO_PHASE = 2e-3, 2e-4
# Lattice of an inert phase may move its lines by about this, degree.
_INERT_MOVE = 0.4
# Phases among which grains that take no part keep the lithium content of the start (FePO4 has
# none), and their usual share, mean and standard deviation: where they lie beside the others the
# data decide, where they lie among them this breaks the tie.
_WITH_INACTIVE = {"LiFePO4": (0.02, 0.04), "LixFePO4": (0.02, 0.1), "NMC811": (0.02, 0.1)}


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
        ReductionError: If no phase is active, bins are wider than a pixel, or no line meets the
            detector.
    """
    if not any(phase.is_active for phase in phases):
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
    background = norm[:, None] / norm.max() * _splines(bins.centres, options.knot_spacing)
    return XrdModel(
        geometry=geometry,
        instrument=instrument,
        polarization=polarization,
        bins=bins,
        norm=norm,
        used=bins.sum(np.ones(correction.size)) >= _LEAST_PIXELS,
        shape=layers.all_lines(instrument),
        pattern=PatternModel(_components(phases, families, shapes, options), background),
        phases=tuple(phases),
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
            self._full = LineShape(self._sticks, np.asarray(self._response(0.0) @ profiles))
        return self._full

    def line_shapes(
        self,
        phases: Sequence[ScatteringPhase],
        families: Mapping[str, Reflections],
        instrument: Instrument,
    ) -> dict[str, LineShape]:
        """Of every phase: an inert one's lines stay where they are, an active one's may be
        anywhere.
        """
        shapes: dict[str, LineShape] = {}
        for phase in phases:
            if phase.is_active and phase.depth == 0:
                shapes[phase.phase] = self.all_lines(instrument)
                continue
            columns = np.arange(self._sticks.size)
            if not phase.is_active:
                lines = families[phase.phase]
                angles = np.degrees(lines.two_theta(free_edges_of(lines.structure))[0])
                apart = np.abs(self._sticks.two_theta[:, None] - angles).min(axis=1)
                columns = np.nonzero(apart <= _INERT_MOVE)[0]
            profiles = line_profiles(self._fine(phase.depth), self._sticks, instrument, columns)
            matrix = np.asarray(self._response(phase.depth) @ profiles)
            shapes[phase.phase] = LineShape(self._sticks, matrix, columns)
        return shapes


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
    first = min(float(angles.min(initial=180.0)) for angles in lines)
    if options.two_theta_range is not None:
        low, high = max(low, options.two_theta_range[0]), min(high, options.two_theta_range[1])
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


def _splines(two_theta: FloatArray, spacing: float) -> FloatArray:
    low, high = two_theta[0], two_theta[-1]
    n_spans = max(4, int(np.ceil((high - low) / spacing)))
    inner = np.linspace(low, high, n_spans + 1)
    knots = np.concatenate([[low] * 3, inner, [high] * 3])
    return np.asarray(BSpline.design_matrix(two_theta, knots, 3).toarray())


def _components(
    phases: Sequence[ScatteringPhase],
    families: Mapping[str, Reflections],
    shapes: Mapping[str, LineShape],
    options: XrdOptions,
) -> list[Component]:
    components: list[Component] = []
    for phase in phases:
        name = phase.phase
        of_phase = (name, families[name], shapes[name], phase.downstream)
        if not phase.is_active:
            edges = free_edges_of(families[name].structure)
            components.append(Component(*of_phase, "inert", edges, _INERT_RELATIVE * edges))
            continue
        centre, sigma = _lattice_prior(name)
        spread = _SPREAD if name in SOLID_SOLUTIONS else _SPREAD_TWO_PHASE
        components.append(
            Component(*of_phase, "grains", np.append(centre, 0.0), np.append(sigma, spread))
        )
        if name in _WITH_INACTIVE:
            content, error = (np.array([v]) for v in options.initial_lithium_content)
            components.append(
                Component(*of_phase, "inactive", content, error, _WITH_INACTIVE[name])
            )
    return components


def _lattice_prior(phase: str) -> tuple[FloatArray, FloatArray]:
    if phase == "NMC811":
        return _LAYERED
    content, error = _TWO_PHASE.get(phase, (0.5, 0.5))
    edges, slope = CompositionTable(phase).edges(content)
    return edges, np.hypot(slope * error, _LITERATURE)
