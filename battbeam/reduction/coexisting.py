"""This file is where rows of one charge say how many grains stopped, and where the others went.

Two populations of a layered oxide have two 003 lines. Where these stand apart a row says how many
grains stopped and at which c; where they do not, it gives the mean c of all. What the former say
makes of the latter the c of those that went on.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray


@dataclass(frozen=True)
class Coexisting:
    """Grains that stopped and grains that went on; errors are one standard deviation.

    Attributes:
        fraction: Share that stopped; NaN if no row has both lines apart.
        fraction_error: Of it.
        stopped: c at which they stopped, angstrom; NaN likewise.
        stopped_error: Angstrom.
        edge: c of the grains that went on, angstrom, in the order of the rows, shape (n,).
        edge_error: Angstrom, shape (n,).
        n_rows: With both lines apart.
        flags: What to know of it.
    """

    fraction: float
    fraction_error: float
    stopped: float
    stopped_error: float
    edge: FloatArray = field(repr=False)
    edge_error: FloatArray = field(repr=False)
    n_rows: int
    flags: tuple[str, ...] = ()


def coexisting(
    edge: FloatArray,
    error: FloatArray,
    *,
    fraction: FloatArray,
    fraction_error: FloatArray,
    stopped: FloatArray,
    stopped_error: FloatArray,
) -> Coexisting:
    """How many grains stopped on one charge, and c of the others throughout.

    A share f at c_f beside others at c has the mean (1 - f) c + f c_f; it counts once that mean has
    fallen, beyond its maximum, below c_f.

    Args:
        edge: c of each row, in the order of the charge, angstrom, shape (n,); of a row with both lines
            apart that of the grains that went on, else the mean over all.
        error: One standard deviation of each.
        fraction: Share of grains that stopped, NaN where their line does not stand apart, shape (n,).
        fraction_error: Of each.
        stopped: c of those grains, NaN likewise.
        stopped_error: Of each.

    Raises:
        ReductionError: If no row has an edge.
    """
    edge, error = np.array(edge, dtype=float), np.array(error, dtype=float)
    if not np.isfinite(edge).any():
        raise ReductionError("no row has an edge c: nothing is known of one charge")
    apart = np.isfinite(fraction) & np.isfinite(stopped)
    if not apart.any():
        flag = "fatigued not resolved: no row has a second line a width beside the first"
        return Coexisting(np.nan, np.nan, np.nan, np.nan, edge, error, 0, (flag,))
    share, share_error = _mean(fraction[apart], fraction_error[apart])
    place, place_error = _mean(stopped[apart], stopped_error[apart])
    mixed = _has_passed(edge, place) & ~apart
    rest = 1 - share
    others = (edge[mixed] - share * place) / rest
    by_share = (others - place) / rest * share_error
    edge[mixed] = others
    error[mixed] = np.sqrt(
        (error[mixed] / rest) ** 2 + by_share**2 + (share / rest * place_error) ** 2
    )
    return Coexisting(share, share_error, place, place_error, edge, error, int(apart.sum()))


def _has_passed(edge: FloatArray, place: float) -> AnyArray:
    """Rows of a charge behind the maximum of c that have fallen below a value."""
    behind = np.arange(len(edge)) > int(np.nanargmax(edge))
    with np.errstate(invalid="ignore"):
        return np.asarray(behind & (edge < place))


def _mean(values: FloatArray, errors: FloatArray) -> tuple[float, float]:
    weight = np.asarray(errors, dtype=float) ** -2.0
    return float(np.average(values, weights=weight)), float(weight.sum() ** -0.5)
