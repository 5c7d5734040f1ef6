"""This file is where the lithium metal after each charge and discharge becomes a law of its growth.

Metal that a charge adds is nucleated, the same each cycle, and grows on what is there already, in
proportion to it. A discharge takes back a share of what the charge added, its stripping efficiency,
which falls exponentially; what it leaves is dead, stays, and diffracts like the rest.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.curve_fit import fit_curve
from battbeam.units import FloatArray

# Metal of a cycle is there when it is this many errors.
_SEEN = 3.0
# Cycles with metal that a law needs.
_LEAST_CYCLES = 3


@dataclass(frozen=True)
class Growth:
    """Plating and stripping over cycles; errors are one standard deviation.

    Attributes:
        onset: The first cycle from which on every charge adds metal that is seen.
        added: By the charge of each cycle, unit of the amounts, shape (n,).
        added_error: Of it, shape (n,).
        efficiency: Share of it that the discharge takes back, shape (n,); NaN before the onset.
        efficiency_error: Of it, shape (n,).
        nucleation: Added by a charge where there is no metal, unit of the amounts.
        nucleation_error: Of it.
        autocatalysis: Added by a charge for each unit that is there before.
        autocatalysis_error: Of it.
        first_efficiency: Efficiency in the onset's cycle, by the law.
        first_efficiency_error: Of it.
        decay_rate: Of the efficiency, 1 / cycle.
        decay_rate_error: Of it.
        residual: Reduced chi squared of the law of the efficiency; NaN where nothing is left over.
    """

    onset: float
    added: FloatArray = field(repr=False)
    added_error: FloatArray = field(repr=False)
    efficiency: FloatArray = field(repr=False)
    efficiency_error: FloatArray = field(repr=False)
    nucleation: float
    nucleation_error: float
    autocatalysis: float
    autocatalysis_error: float
    first_efficiency: float
    first_efficiency_error: float
    decay_rate: float
    decay_rate_error: float
    residual: float

    @property
    def decay(self) -> float:
        """Cycles in which the efficiency falls to 1/e; infinite if it does not fall."""
        return 1 / self.decay_rate if self.decay_rate > 0 else float("inf")

    @property
    def decay_error(self) -> float:
        """Of it, to first order."""
        return self.decay**2 * self.decay_rate_error


@dataclass(frozen=True)
class MetalOfCycles:
    """Lithium metal over cycles, any one unit; each number has its own independent error.

    Attributes:
        cycles: Their numbers, ascending, shape (n,).
        charged: After the charge of each, shape (n,).
        charged_error: One standard deviation.
        discharged: After its discharge, shape (n,).
        discharged_error: One standard deviation.
        before: Before the first of them.
        before_error: One standard deviation; 0 if it was a new cell.
    """

    cycles: FloatArray
    charged: FloatArray
    charged_error: FloatArray
    discharged: FloatArray
    discharged_error: FloatArray
    before: float = 0.0
    before_error: float = 0.0

    def __post_init__(self) -> None:
        sizes = {
            len(each)
            for each in (
                self.cycles,
                *(self.charged, self.charged_error),
                *(self.discharged, self.discharged_error),
            )
        }
        if len(sizes) != 1:
            raise ValueError("cycles, amounts and errors must be of one length")

    @property
    def earlier(self) -> FloatArray:
        """Metal before each charge."""
        return np.concatenate([[self.before], self.discharged[:-1]])

    @property
    def earlier_error(self) -> FloatArray:
        """Of it."""
        return np.concatenate([[self.before_error], self.discharged_error[:-1]])


def growth(metal: MetalOfCycles) -> Growth:
    """When plating begins, how it grows, and how stripping loses its efficiency.

    Raises:
        ReductionError: If fewer than three cycles show metal.
    """
    added = metal.charged - metal.earlier
    added_error = np.hypot(metal.charged_error, metal.earlier_error)
    unseen = np.flatnonzero(added < _SEEN * added_error)
    first = int(unseen[-1]) + 1 if len(unseen) else 0
    n_seen = len(added) - first
    if n_seen < _LEAST_CYCLES:
        raise ReductionError(
            f"{n_seen} cycles at the end show plated lithium, {_LEAST_CYCLES} needed for its law"
        )
    efficiency, efficiency_error = _efficiencies(metal, added, first)
    fall = _fall(metal, first, float(efficiency[first]))
    laid = _laid(metal, first)
    return Growth(
        onset=float(metal.cycles[first]),
        added=added,
        added_error=added_error,
        efficiency=efficiency,
        efficiency_error=efficiency_error,
        **laid,
        **fall,
    )


def _efficiencies(
    metal: MetalOfCycles, added: FloatArray, first: int
) -> tuple[FloatArray, FloatArray]:
    value, error = np.full(len(added), np.nan), np.full(len(added), np.nan)
    part = slice(first, None)
    given = added[part]
    value[part] = (metal.charged - metal.discharged)[part] / given
    left = 1 - value[part]
    error[part] = (
        np.sqrt(
            (left * metal.charged_error[part]) ** 2
            + metal.discharged_error[part] ** 2
            + (value[part] * metal.earlier_error[part]) ** 2
        )
        / given
    )
    return value, error


def _least(error: FloatArray, values: FloatArray) -> FloatArray:
    """Errors greater than 0: what is known exactly is known to a billionth of the largest."""
    return np.maximum(error, 1e-9 * float(np.abs(values).max()))


def _fall(metal: MetalOfCycles, first: int, start: float) -> dict[str, float]:
    """The law of the efficiency: the amounts themselves are parameters, so that no error counts
    twice although neighbouring efficiencies share an amount.
    """
    part = slice(first, None)
    n = len(metal.cycles) - first
    since = metal.cycles[part] - metal.cycles[first]
    values = np.concatenate(
        [metal.charged[part], metal.discharged[part], metal.earlier[first:][:1]]
    )
    errors = np.concatenate(
        [metal.charged_error[part], metal.discharged_error[part], metal.earlier_error[first:][:1]]
    )

    def model(parameters: FloatArray) -> FloatArray:
        efficiency = parameters[0] * np.exp(-parameters[1] * since)
        charged, before = parameters[3:], float(parameters[2])
        after = np.empty(n)
        for cycle in range(n):
            before = charged[cycle] - efficiency[cycle] * (charged[cycle] - before)
            after[cycle] = before
        return np.concatenate([charged, after, parameters[2:3]])

    begin = np.concatenate([[start, 0.0], metal.earlier[first:][:1], metal.charged[part]])
    fit = fit_curve(model, begin, values, _least(errors, values))
    free = fit.degrees_of_freedom
    return {
        "first_efficiency": float(fit.parameters[0]),
        "first_efficiency_error": float(fit.errors[0]),
        "decay_rate": float(fit.parameters[1]),
        "decay_rate_error": float(fit.errors[1]),
        "residual": fit.chi_squared / free if free else float("nan"),
    }


def _laid(metal: MetalOfCycles, first: int) -> dict[str, float]:
    """Nucleation and growth of the cycles after the onset's, in which plating may begin late."""
    part = slice(first + 1, None)
    charged, earlier = metal.charged[part], metal.earlier[part]
    values = np.concatenate([charged, earlier])
    errors = np.concatenate([metal.charged_error[part], metal.earlier_error[part]])

    def model(parameters: FloatArray) -> FloatArray:
        before = parameters[2:]
        return np.concatenate([parameters[0] + (1 + parameters[1]) * before, before])

    begin = np.concatenate([[float((charged - earlier).mean()), 0.0], earlier])
    fit = fit_curve(model, begin, values, _least(errors, values))
    names = ("nucleation", "autocatalysis")
    found = dict(zip(names, (float(value) for value in fit.parameters[:2]), strict=True))
    of = zip(names, (float(error) for error in fit.errors[:2]), strict=True)
    return {**found, **{f"{name}_error": error for name, error in of}}
