"""Linear combination fits of many spectra with the same references, against a loop of scipy's ``nnls``.

Compared are `battbeam.reduction.unmixing.LinearCombination`, all subsets of references for all spectra at once, and
scipy's solver over a share of the spectra, scaled to all of them. Both are exact and in double precision; a quarter and
more of the spectra have an amount at its bound.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import nnls

from battbeam.reduction.unmixing import LinearCombination
from benchmarks.compare import Comparison, in_turn

TITLE = "XANES: linear combination fits"
#: Of a sum of amounts of 1.
BOUND = 1e-9


def run(*, small: bool = False) -> list[Comparison]:
    """100,000 spectra of 100 energies, three references and five; a few for a first look."""
    n_spectra, n_loop, n_turns = (2_000, 200, 3) if small else (100_000, 4_000, 9)
    return [_compared(k, n_spectra=n_spectra, n_loop=n_loop, n_turns=n_turns) for k in (3, 5)]


def _references(energy: np.ndarray, k: int) -> np.ndarray:
    away = energy - 8340.0 - 1.8 * np.arange(k)[:, None]
    heights = np.linspace(0.1, 0.7, k)[:, None]
    return 0.5 + np.arctan(away / 1.2) / np.pi + heights * np.exp(-(((away - 5) / 3) ** 2))


def _compared(k: int, *, n_spectra: int, n_loop: int, n_turns: int) -> Comparison:
    rng = np.random.default_rng(6)
    references = _references(np.linspace(8310.0, 8410.0, 100), k)
    amounts = rng.dirichlet(np.full(k, 0.7), size=n_spectra)
    spectra = amounts @ references + 1e-2 * rng.normal(size=(n_spectra, 100))
    combination = LinearCombination(references)
    by_column = references.T.copy()

    def looped() -> np.ndarray:
        return np.array([nnls(by_column, each)[0] for each in spectra[:n_loop]])

    name = "scipy nnls, a loop"
    wanted, share = looped(), n_spectra / n_loop
    timings = in_turn(
        {"battbeam": lambda: combination.amounts(spectra), name: looped}, n_turns=n_turns
    )
    timings[name] = replace(
        timings[name], wall=timings[name].wall * share, cpu=timings[name].cpu * share
    )
    bound = 100 * (wanted == 0).any(axis=1).mean()
    notes = {each: f"{n_spectra / t.wall:.3g} spectra/s" for each, t in timings.items()}
    notes["battbeam"] += f", {bound:.0f} % at a bound"
    return Comparison(
        case=f"{n_spectra} spectra, {k} references",
        ways=timings,
        deviation=float(np.abs(combination.amounts(spectra[:n_loop]) - wanted).max()),
        bound=BOUND,
        reference="of amounts, from scipy nnls",
        notes=notes,
    )
