"""Frames of a map to phase fractions and lattices, against least squares as a user would write them.

The frames are the simulation's: a cell of LiFePO4 at states of charge, with aluminium, lithium and steel in the beam;
each has noise of its own. Compared are `battbeam.reduction.xrd.XrdReducer.reduce`, a frame to results with errors, and
fits of the patterns that it makes: the same lines over a background for scipy's ``curve_fit``, which takes derivatives
itself or has them written out, and for lmfit where that is installed. All begin with the lattices that battbeam
expects, the others with the amounts that are best at these; one thread each.

The others fit the width and the shape of lines, which battbeam knows, and look for no spread of composition and no
grains that take no part, for which battbeam does; so they agree within a part of the error. Lines are two pixels
wide: pseudo-Voigts without pixels do not describe narrower ones.
"""

import importlib.util
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pyFAI.detectors import Detector as PixelArray
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from scipy.optimize import curve_fit
from threadpoolctl import ThreadpoolController

from battbeam.materials import lattice_edges
from battbeam.reduction.instrument import Instrument, pseudo_voigt
from battbeam.reduction.reflections import free_edges_of, reflections_of
from battbeam.reduction.xrd import ScatteringPhase, XrdReducer, XrdResult
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.units import wavelength_from_energy
from benchmarks.compare import Comparison, Timing, in_turn

TITLE = "XRD: a frame to phase fractions and lattices"
#: Standard deviations of one frame's result: what else is free in either fit is worth a part of one.
BOUND = 2.0
#: s, and degree.
EXPOSURE, WIDTH = 10.0, 0.172
PHASES = (
    ScatteringPhase("LiFePO4", 0.0, 0.7),
    ScatteringPhase("FePO4", 0.0, 0.7),
    ScatteringPhase("Al", 0.04, 0.43),
    ScatteringPhase("Li", -0.27, 0.98),
    ScatteringPhase("steel", 1.45, 0.2, moves=False),
)
#: Lithium content at which each is expected.
ACTIVE = {"LiFePO4": 0.93, "FePO4": 0.04}
#: Of the others' Chebyshev polynomials: with fewer, chi squared says that something is missing.
BACKGROUND_DEGREE = 20
SCENARIO = Scenario(
    cells=(Cell(inactive_fraction=0.0, dead_spot=None),),
    detector=Detector(tilt=0.0, dark_rate=0.0, peak_width=WIDTH),
)
OWN = "battbeam"
_GAUSSIAN = 4 * np.log(2)


@dataclass(frozen=True)
class Frame:
    """Of the map, and what came with it."""

    counts: np.ndarray
    monitor: float
    transmission: float


@dataclass(frozen=True)
class Pattern:
    """What a frame became, where it has pixels: degree, and per steradian."""

    two_theta: np.ndarray
    values: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True)
class Found:
    """Fraction of FePO4 and the free edges of both active phases, and chi squared; battbeam's with errors."""

    values: np.ndarray
    chi_squared: float
    errors: np.ndarray | None = None


def run(*, small: bool = False) -> list[Comparison]:
    """50 frames of 512 x 512 pixels; a few for a first look."""
    n_frames, stride, n_turns = (2, 2, 1) if small else (50, 10, 5)
    reducer, instrument = _reducer()
    with ThreadpoolController().limit(limits=1):
        return [_compared(reducer, instrument, _frames(n_frames), stride, n_turns)]


def _frames(n_frames: int) -> list[Frame]:
    """Along a line over the cell, at states of charge."""
    model, beam = FrameModel(SCENARIO), SCENARIO.beam
    rng, times = np.random.default_rng(8), np.linspace(0, EXPOSURE, 3)
    photons = Instants(times, np.full(3, beam.flux * EXPOSURE / 3))
    frames = []
    for x, content in np.linspace((-5, 0.7), (5, 0.3), n_frames):
        exposure = Exposure(0.0, EXPOSURE, x, 0.0, beam.energy, photons)
        expected = model.expected(exposure, lambda at, mean=content: np.full(len(at), mean))
        counted = counts(expected.photons, duration=EXPOSURE, detector=SCENARIO.detector, rng=rng)
        monitor = photons.total * beam.i0_efficiency
        frames.append(Frame(counted, monitor, expected.transmission))
    return frames


def _reducer() -> tuple[XrdReducer, Instrument]:
    """Of the geometry as it is, without a calibration in between."""
    detector, beam = SCENARIO.detector, SCENARIO.beam
    shape, pixel = (detector.n_rows, detector.n_columns), detector.pixel_size / 1e3
    integrator = AzimuthalIntegrator(
        dist=detector.distance / 1e3,
        poni1=detector.centre_row * pixel,
        poni2=detector.centre_column * pixel,
        wavelength=wavelength_from_energy(beam.energy) * 1e-10,
        detector=PixelArray(pixel1=pixel, pixel2=pixel, max_shape=shape),
    )
    instrument = Instrument(
        width=(detector.peak_width, detector.peak_width_slope),
        width_error=(0.0, 0.0),
        lorentzian=detector.peak_lorentzian,
        lorentzian_error=0.0,
        polarization=beam.polarization,
        energy=beam.energy,
        calibrant=SCENARIO.standard,
        time=0.0,
    )
    with TemporaryDirectory() as directory:
        poni, widths = Path(directory) / "detector.poni", Path(directory) / "instrument.json"
        integrator.save(str(poni))
        instrument.write(widths)
        return XrdReducer(poni, widths, PHASES, shape=shape), instrument


class Lines:
    """Lines of all phases and a background as one function for a least squares program.

    Parameters are the amounts, free edges, a factor on all widths, the share of the Lorentzian, and the background.
    """

    def __init__(self, two_theta: np.ndarray, instrument: Instrument) -> None:
        low, high = two_theta[0] - 0.5, two_theta[-1] + 0.5
        self.cone = np.degrees(1 / np.sin(np.radians(two_theta)))[:, None]
        reach = (two_theta - two_theta[0]) / np.ptp(two_theta) * 2 - 1
        self.smooth = np.polynomial.chebyshev.chebvander(reach, BACKGROUND_DEGREE)
        self.families = [
            reflections_of(p.phase, energy=instrument.energy, two_theta_max=high) for p in PHASES
        ]
        self.nearer = [1 - phase.depth / SCENARIO.detector.distance for phase in PHASES]
        expected = [
            lattice_edges(f.phase, np.array([ACTIVE[f.phase]]))[0]
            if f.phase in ACTIVE
            else free_edges_of(f.structure)
            for f in self.families
        ]
        ends = np.cumsum([0, *map(len, expected)])
        self.of_phase = [slice(i, j) for i, j in itertools.pairwise(ends)]
        n, first = len(PHASES), len(PHASES) + ends[-1]
        self.amounts, self.edges, self.shape = slice(n), slice(n, first), slice(first, first + 2)
        self.background = slice(first + 2, first + 2 + self.smooth.shape[1])
        self.first = np.zeros(self.background.stop)
        self.first[self.edges] = np.concatenate(expected)
        self.first[self.shape] = 1.0, instrument.lorentzian
        self.seen = slice(None)
        at, _ = self._places(self.first)
        self.seen = (at > low) & (at < high)
        # Of every line its strength in the column of its phase.
        strengths = np.zeros((len(at), n))
        whole = [f.strength(e, None)[0] for f, e in zip(self.families, expected, strict=True)]
        owner = np.repeat(np.arange(n), [len(each) for each in whole])
        strengths[np.arange(len(at)), owner] = np.concatenate(whole) * np.sin(np.radians(at))
        self.strengths = strengths[self.seen]
        self.widths = instrument.full_width(at[self.seen])

    def _places(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of all lines as seen from their depths, and derivatives by all edges, degree."""
        edges, places, derivatives = q[self.edges], [], []
        for family, nearer, part in zip(self.families, self.nearer, self.of_phase, strict=True):
            angle, by_edge = family.two_theta(edges[part])
            tangent = np.tan(angle)
            slope = nearer * (1 + tangent**2) / (1 + (nearer * tangent) ** 2)
            rows = np.zeros((len(angle), len(edges)))
            rows[:, part] = by_edge * slope[:, None]
            places.append(np.arctan(nearer * tangent))
            derivatives.append(rows)
        at, by_edges = np.concatenate(places), np.concatenate(derivatives)
        return np.degrees(at[self.seen]), np.degrees(by_edges[self.seen])

    def __call__(self, two_theta: np.ndarray, *parameters: float) -> np.ndarray:
        q = np.array(parameters)
        factor, lorentzian = q[self.shape]
        distance = two_theta[:, None] - self._places(q)[0]
        lines = pseudo_voigt(distance, factor * self.widths, lorentzian)
        light = lines @ (self.strengths @ q[self.amounts])
        return self.cone[:, 0] * light + self.smooth @ q[self.background]

    def derivatives(self, two_theta: np.ndarray, *parameters: float) -> np.ndarray:
        """By all parameters, shape (n_bins, n_parameters)."""
        q = np.array(parameters)
        factor, share = q[self.shape]
        at, by_edge = self._places(q)
        light, width = self.strengths @ q[self.amounts], factor * self.widths
        u = (two_theta[:, None] - at) / width
        gaussian = np.sqrt(_GAUSSIAN / np.pi) * np.exp(-_GAUSSIAN * u**2) / width
        flat = 1 / (1 + 4 * u**2)
        lorentz = 2 / np.pi * flat / width
        line = share * lorentz + (1 - share) * gaussian
        slope = -2 * u * (4 * share * lorentz * flat + _GAUSSIAN * (1 - share) * gaussian)
        columns = [
            line @ self.strengths,
            (-slope / width) @ (light[:, None] * by_edge),
            (line + u * slope) @ (light[:, None] / -factor),
            (lorentz - gaussian) @ light[:, None],
        ]
        return np.column_stack([self.cone * np.column_stack(columns), self.smooth])

    def start(self, pattern: Pattern) -> np.ndarray:
        """Lattices as expected, with the amounts that fit best."""
        q, linear = self.first.copy(), np.r_[self.amounts, self.background]
        columns = self.derivatives(pattern.two_theta, *q)[:, linear] / pattern.errors[:, None]
        q[linear] = np.linalg.lstsq(columns, pattern.values / pattern.errors, rcond=None)[0]
        return q

    def found(self, q: np.ndarray, pattern: Pattern) -> Found:
        """What is asked of a fit."""
        first, second = q[self.amounts][: len(ACTIVE)]
        edges = q[self.edges][: self.of_phase[len(ACTIVE) - 1].stop]
        apart = (pattern.values - self(pattern.two_theta, *q)) / pattern.errors
        chi_squared = float(apart @ apart) / (len(apart) - len(q))
        return Found(np.append(second / (first + second), edges), chi_squared)


def _compared(
    reducer: XrdReducer,
    instrument: Instrument,
    frames: Sequence[Frame],
    stride: int,
    n_turns: int,
) -> Comparison:
    patterns = [_pattern(reducer, frame) for frame in frames]
    lines = Lines(patterns[0].two_theta, instrument)
    # Those that take derivatives themselves take long: a share of the frames.
    share = patterns[::stride]
    ways: dict[str, Callable[[], list[Found]]] = {
        OWN: lambda: [_own(reducer, each) for each in frames],
        "curve_fit, derivatives written out": lambda: [
            _by_scipy(lines, each, jac=lines.derivatives) for each in patterns
        ],
        "scipy curve_fit": lambda: [_by_scipy(lines, each) for each in share],
    }
    if importlib.util.find_spec("lmfit") is not None:
        ways["lmfit"] = lambda: [_by_lmfit(lines, each) for each in share]
    found = {name: way() for name, way in ways.items()}
    number = {name: len(those) for name, those in found.items()}
    timings = in_turn(ways, n_turns=n_turns)
    return Comparison(
        case=f"{len(frames)} frames, {len(lines.widths)} lines, a frame",
        ways={n: Timing(t.wall / number[n], t.cpu / number[n]) for n, t in timings.items()},
        deviation=max(
            float(np.max(np.abs(mine.values - theirs.values) / mine.errors))
            for name, those in found.items()
            for mine, theirs in zip(
                found[OWN] if number[name] == len(frames) else found[OWN][::stride],
                those,
                strict=True,
            )
        ),
        bound=BOUND,
        reference="standard deviations of fraction and lattices, from all others",
        notes={
            name: f"chi squared {np.mean([each.chi_squared for each in those]):.3g}"
            for name, those in found.items()
        },
    )


def _reduced(reducer: XrdReducer, frame: Frame) -> XrdResult:
    return reducer.reduce(frame.counts, monitor=frame.monitor, transmission=frame.transmission)


def _pattern(reducer: XrdReducer, frame: Frame) -> Pattern:
    result = _reduced(reducer, frame)
    used = np.isfinite(result.intensity)
    return Pattern(reducer.two_theta[used], result.intensity[used], result.intensity_error[used])


def _own(reducer: XrdReducer, frame: Frame) -> Found:
    result = _reduced(reducer, frame)
    phases = [result.phases[name] for name in ACTIVE]
    edges = [list(phase.lattice.values()) for phase in phases]
    errors = [list(phase.lattice_error.values()) for phase in phases]
    return Found(
        np.concatenate([[phases[1].fraction], *edges]),
        result.residual,
        np.concatenate([[phases[1].fraction_error], *errors]),
    )


def _by_scipy(lines: Lines, pattern: Pattern, **how: Callable[..., np.ndarray]) -> Found:
    values, errors, first = pattern.values, pattern.errors, lines.start(pattern)
    q, _ = curve_fit(
        lines, pattern.two_theta, values, first, sigma=errors, absolute_sigma=True, **how
    )
    return lines.found(q, pattern)


def _by_lmfit(lines: Lines, pattern: Pattern) -> Found:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lmfit import Parameters, minimize

    parameters = Parameters()
    for number, value in enumerate(lines.start(pattern)):
        parameters.add(f"q{number}", value)

    def apart(at: Parameters) -> np.ndarray:
        model = lines(pattern.two_theta, *at.valuesdict().values())
        return np.asarray((pattern.values - model) / pattern.errors)

    fitted = minimize(apart, parameters).params.valuesdict()
    return lines.found(np.array(list(fitted.values())), pattern)
