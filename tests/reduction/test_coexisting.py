"""A charge on which a share of the grains stops: what rows say of it, against what was mixed."""

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.coexisting import coexisting

SHARE, STOPPED, WIDTH = 0.15, 14.35, 0.18  # of the grains; angstrom; a line width in c
TRUE = np.concatenate([np.linspace(14.2, 14.47, 30), 14.47 - 0.42 * np.linspace(0, 1, 50) ** 2])
ERROR = 6e-4


def rows(seed, share=SHARE):
    """As the reduction gives them: a mean of both until their lines stand apart."""
    rng, behind = np.random.default_rng(seed), np.arange(80) >= 30
    stuck = behind & (TRUE < STOPPED)
    apart = stuck & (STOPPED - TRUE > WIDTH) & (share > 0)
    mean = np.where(stuck & ~apart, (1 - share) * TRUE + share * STOPPED, TRUE)

    def seen(value, error):
        return np.where(apart, value + error * rng.normal(size=80), np.nan)

    return {
        "edge": mean + ERROR * rng.normal(size=80),
        "error": np.full(80, ERROR),
        "fraction": seen(share, 1.5e-3),
        "fraction_error": np.where(apart, 1.5e-3, np.nan),
        "stopped": seen(STOPPED, 1e-3),
        "stopped_error": np.where(apart, 1e-3, np.nan),
    }


def test_the_share_and_c_of_the_others_come_back_within_honest_errors():
    pulls = {"fraction": [], "stopped": [], "edge": []}
    for seed in range(80):
        found = coexisting(**rows(seed))
        pulls["fraction"].append((found.fraction - SHARE) / found.fraction_error)
        pulls["stopped"].append((found.stopped - STOPPED) / found.stopped_error)
        pulls["edge"].append(((found.edge - TRUE) / found.edge_error)[60])
    for each in pulls.values():
        assert_honest(each)


def test_the_mean_of_both_would_be_off_by_many_errors():
    given = rows(1)
    found, seen = coexisting(**given), TRUE < STOPPED - 0.1
    seen &= np.isnan(given["fraction"]) & (np.arange(80) > 40)
    assert seen.any()
    assert np.all(np.abs(given["edge"] - TRUE)[seen] > 15 * ERROR)
    assert np.all(np.abs(found.edge - TRUE)[seen] < 5 * found.edge_error[seen])


def test_rows_before_the_maximum_are_left_alone_though_their_c_is_as_small():
    given = rows(2)
    found = coexisting(**given)
    assert (given["edge"][:10] < STOPPED).all()
    np.testing.assert_array_equal(found.edge[:30], given["edge"][:30])


def test_without_a_second_line_nothing_is_said_of_grains_that_stopped():
    given = rows(3, share=0.0)
    found = coexisting(**given)
    assert np.isnan([found.fraction, found.fraction_error, found.stopped]).all()
    (flag,) = found.flags
    assert "fatigued not resolved" in flag
    np.testing.assert_array_equal(found.edge, given["edge"])


def test_a_charge_without_any_edge_is_refused():
    given = rows(4) | {"edge": np.full(80, np.nan)}
    with pytest.raises(ReductionError, match="no row has an edge c"):
        coexisting(**given)
