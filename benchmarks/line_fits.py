"""Profile fits of two overlapping reflections in many patterns, against a loop of scipy's ``curve_fit``.

Compared are `battbeam.reduction.peak_fit.fit_peaks`, all patterns at once, with scipy and, where it is installed, lmfit
over a share of the patterns, scaled to all of them: two pseudo-Voigts one and a half widths apart, with one factor on
their widths, over a straight line. All begin at the same places and widths and minimize the same. The deviation is from
scipy with a tolerance that is finer than the one it is timed with.
"""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
from scipy.optimize import curve_fit

from battbeam.reduction.instrument import pseudo_voigt
from battbeam.reduction.peak_fit import fit_peaks
from benchmarks.compare import Comparison, in_turn

TITLE = "XRD: overlapping reflections"
#: Degree; a place has an error of some 1e-3.
BOUND = 1e-6
#: Degree: those of a map, where FePO4 has taken the place of LiFePO4 by half.
PLACES, WIDTH, LORENTZIAN = np.array([6.24, 6.50]), 0.17, 0.3
#: Within what `fit_peaks` looks at, three widths from the lines.
AXIS = np.arange(5.74, 7.0, 0.04)


def run(*, small: bool = False) -> list[Comparison]:
    """A map of 50 places and one of 10,000; a few for a first look."""
    return [_compared(30, 30, 3)] if small else [_compared(50, 50, 9), _compared(10_000, 300, 5)]


def _curve(x: np.ndarray, *q: float) -> np.ndarray:
    """Places, factor on the widths, areas, level and slope."""
    lines = pseudo_voigt(x[:, None] - np.array(q[:2]), q[2] * WIDTH, LORENTZIAN)
    return np.asarray(lines @ np.array(q[3:5]) + q[5] + q[6] * (x - AXIS[0]))


def _counted(n: int) -> np.ndarray:
    rng = np.random.default_rng(9)
    share = rng.uniform(0.2, 0.8, n)
    places = PLACES + rng.normal(0, 0.01, size=(n, 2))
    areas = 2000 * np.column_stack([1 - share, share])
    expected = [
        _curve(AXIS, *p, 1.05, *a, 900.0, -60.0) for p, a in zip(places, areas, strict=True)
    ]
    return rng.poisson(expected).astype(float)


def _compared(n: int, n_loop: int, n_turns: int) -> Comparison:
    values = _counted(n)
    errors = np.sqrt(np.maximum(values, 1.0))
    share = list(zip(values[:n_loop], errors[:n_loop], strict=True))
    first = [*PLACES, 1.0, 1000.0, 1000.0, 800.0, 0.0]

    def own(chosen: slice) -> np.ndarray:
        return fit_peaks(
            AXIS,
            values[chosen],
            errors[chosen],
            positions=PLACES,
            full_width=WIDTH,
            lorentzian=LORENTZIAN,
        ).position

    def by_scipy(**how: float) -> np.ndarray:
        fits = [
            curve_fit(_curve, AXIS, v, first, sigma=e, absolute_sigma=True, **how) for v, e in share
        ]
        return np.array([q[:2] for q, _ in fits])

    loops = {"scipy curve_fit, a loop": by_scipy}
    if importlib.util.find_spec("lmfit") is not None:
        loops["lmfit, a loop"] = lambda: np.array([_by_lmfit(v, e, first) for v, e in share])
    deviation = np.abs(own(slice(n_loop)) - by_scipy(ftol=1e-12, xtol=1e-12)).max()
    timings = in_turn({"battbeam": lambda: own(slice(None)), **loops}, n_turns=n_turns)
    for name in loops:
        wall, cpu = timings[name].wall * n / n_loop, timings[name].cpu * n / n_loop
        timings[name] = replace(timings[name], wall=wall, cpu=cpu)
    return Comparison(
        case=f"{n} pairs of lines",
        ways=timings,
        deviation=float(deviation),
        bound=BOUND,
        reference="degree, of places, from scipy",
        notes={name: f"{n / t.wall:.3g} pairs/s" for name, t in timings.items()},
    )


def _by_lmfit(values: np.ndarray, errors: np.ndarray, first: list[float]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lmfit import Parameters, minimize

    parameters = Parameters()
    for number, value in enumerate(first):
        parameters.add(f"q{number}", value)

    def apart(at: Parameters) -> np.ndarray:
        return (values - _curve(AXIS, *at.valuesdict().values())) / errors

    return np.array(list(minimize(apart, parameters).params.valuesdict().values())[:2])
