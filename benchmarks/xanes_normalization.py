"""XANES normalization of many spectra on one grid, against xraylarch's ``pre_edge``.

Compared are `battbeam.reduction.normalization.NormalizationOperator`, one small matrix for a grid, and a loop of
xraylarch over a share of the spectra, scaled to all of them: it would take minutes. Edge energy, ranges and degree are
the same for both. In the second case each spectrum is normalized at the edge energy that is found in it; the deviation
is from xraylarch at the same edge energies. Without xraylarch (extra "larch") a loop of numpy's polynomial fits stands
in. Beside them stands a copy of the spectra, which no way can beat.
"""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from battbeam.reduction.normalization import NormalizationOperator, OwnEdgeNormalization
from benchmarks.compare import Comparison, Timing, in_turn

TITLE = "XANES: spectra normalized"
BOUND = 1e-5
EDGE = 8340.0
#: eV relative to the edge.
PRE, POST, DEGREE = (-55.0, -20.0), (30.0, 138.0), 1


def run(*, small: bool = False) -> list[Comparison]:
    """100,000 spectra of 100 energies; a few for a first look."""
    n_spectra, n_loop, n_turns = (2_000, 20, 3) if small else (100_000, 200, 9)
    energy = np.linspace(8280.0, 8480.0, 100)
    spectra = _spectra(energy, n_spectra)
    name, one = _reference()
    fixed = NormalizationOperator(energy, edge_energy=EDGE, pre=PRE, post=POST, degree=DEGREE)
    own = OwnEdgeNormalization(energy, pre=PRE, post=POST, degree=DEGREE)
    edges = np.full(n_spectra, EDGE)
    found_edges = own.normalized(spectra)[1]
    return [
        _compared(
            "fixed edge", fixed.normalized, energy, spectra, edges, (name, one, n_loop, n_turns)
        ),
        _compared(
            "edge of each",
            lambda each: own.normalized(each)[0],
            energy,
            spectra,
            found_edges,
            (name, one, n_loop, n_turns),
        ),
    ]


def _spectra(energy: np.ndarray, n: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    away = energy - EDGE - rng.normal(0, 1.5, size=(n, 1))
    clean = 0.3 - 2e-4 * (energy - EDGE) + 0.8 * (0.5 + np.arctan(away / 1.2) / np.pi)
    return clean + 0.3 * np.exp(-(((away - 6) / 4) ** 2)) + 1e-3 * rng.normal(size=clean.shape)


def _compared(
    case: str,
    way: Callable[[np.ndarray], np.ndarray],
    energy: np.ndarray,
    spectra: np.ndarray,
    edges: np.ndarray,
    loop: tuple[str, Callable[..., np.ndarray], int, int],
) -> Comparison:
    name, one, n_loop, n_turns = loop
    share = len(spectra) / n_loop

    def looped() -> np.ndarray:
        pairs = zip(spectra[:n_loop], edges[:n_loop], strict=True)
        return np.array([one(energy, each, edge) for each, edge in pairs])

    deviation = np.abs(way(spectra[:n_loop]) - looped()).max()
    timings = in_turn(
        {"battbeam": lambda: way(spectra), name: looped, "a copy": spectra.copy},
        n_turns=n_turns,
    )
    timings[name] = replace(
        timings[name], wall=timings[name].wall * share, cpu=timings[name].cpu * share
    )
    return Comparison(
        case=f"{len(spectra)} x {len(energy)}, {case}",
        ways=timings,
        deviation=float(deviation),
        bound=BOUND,
        reference=f"of the edge step, from {name}",
        notes={each: _rate(t, len(spectra)) for each, t in timings.items()},
    )


def _rate(timing: Timing, n: int) -> str:
    return f"{n / timing.wall:.3g} spectra/s"


def _reference() -> tuple[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]]:
    if importlib.util.find_spec("larch") is None:
        return "numpy polynomials, a loop", _by_polynomials
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from larch import Group
        from larch.xafs import pre_edge

    def by_larch(energy: np.ndarray, mu: np.ndarray, edge: float) -> np.ndarray:
        group = Group(energy=energy, mu=mu)
        pre_edge(
            group, e0=edge, pre1=PRE[0], pre2=PRE[1], norm1=POST[0], norm2=POST[1], nnorm=DEGREE
        )
        return np.asarray(group.norm)

    return "xraylarch pre_edge, a loop", by_larch


def _by_polynomials(energy: np.ndarray, mu: np.ndarray, edge: float) -> np.ndarray:
    away = energy - edge
    start = [int(np.searchsorted(away, limits[0], side="right")) - 1 for limits in (PRE, POST)]
    stop = [int(np.argmin(np.abs(away - limits[1]))) for limits in (PRE, POST)]
    line = np.polyval(np.polyfit(away[start[0] : stop[0]], mu[start[0] : stop[0]], 1), away)
    left = (mu - line)[start[1] : stop[1]]
    curve = np.polyfit(away[start[1] : stop[1]], left, DEGREE)
    step = np.polyval(curve, away[int(np.argmin(np.abs(away)))])
    return np.asarray((mu - line) / step)
