import numpy as np
import pytest

from battbeam.demo import checks


def values(n=200, error=0.004, seed=3):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 1, n)
    sigma = np.full(n, error)
    return truth + rng.normal(0, error, n), truth, sigma


def test_many_comparisons_together_fail_by_chance_less_than_once_in_a_thousand():
    # 1 - (1 - p)^n for n two-sided normal comparisons at z.
    from scipy import stats

    for n in (1, 30, 800):
        p = 2 * stats.norm.sf(checks.z_for(n))
        assert 1 - (1 - p) ** n == pytest.approx(1e-3, rel=1e-2)


def test_the_worst_value_is_the_one_furthest_outside_its_own_tolerance():
    check = checks.worst(
        "x",
        recovered=np.array([0.1, 0.5]),
        truth=np.array([0.0, 0.0]),
        error=np.array([0.001, 1.0]),
        promised=0.02,
        z=3,
    )
    assert check.recovered == 0.1
    assert not check.passed


def test_a_missing_value_fails():
    check = checks.worst(
        "x",
        recovered=np.array([np.nan]),
        truth=np.array([0.5]),
        error=np.array([0.1]),
        promised=1.0,
        z=5,
    )
    assert not check.passed


def test_nothing_recovered_is_no_success():
    empty = np.array([])
    assert not checks.worst("x", recovered=empty, truth=empty, error=empty, promised=1, z=5).passed
    assert not checks.all_passed([])


def test_honest_errors_pass_and_blown_up_ones_fail():
    recovered, truth, error = values()
    honest = checks.pulls("x", recovered=recovered, truth=truth, error=error, z=4)
    blown_up = checks.pulls("x", recovered=recovered, truth=truth, error=5 * error, z=4)
    assert [check.passed for check in honest] == [True, True]
    assert [check.passed for check in blown_up] == [True, False]


def test_a_bias_of_one_sigma_shows_in_the_mean_pull():
    recovered, truth, error = values()
    shifted = checks.pulls("x", recovered=recovered + error, truth=truth, error=error, z=4)
    assert not shifted[0].passed


def test_a_decaying_amount_is_not_constant():
    amount = np.linspace(1.0, 0.9, 50)
    assert not checks.constant(
        "x", recovered=amount, error=np.full(50, 1e-3), promised=0.01, z=4
    ).passed
    assert checks.constant(
        "x", recovered=np.ones(50), error=np.full(50, 1e-3), promised=0.01, z=4
    ).passed


def test_a_map_with_the_wrong_slope_fails_at_its_slope():
    recovered, truth, error = values()
    lines = {
        c.name: c.passed
        for c in checks.straight_line("map", recovered=0.9 * truth, truth=truth, error=error, z=4)
    }
    assert lines["map: slope"] is False
    assert all(
        c.passed
        for c in checks.straight_line("map", recovered=recovered, truth=truth, error=error, z=4)
    )


def test_a_promise_may_be_one_for_each_value():
    each = {
        "recovered": np.array([1.02, 20.5]),
        "truth": np.array([1.0, 20.0]),
        "error": np.zeros(2),
    }
    shared = checks.worst("x", **each, promised=0.1, z=0.0)
    own = checks.worst("x", **each, promised=np.array([0.01, 1.0]), z=0.0)
    assert (shared.truth, shared.tolerance, shared.passed) == (20.0, 0.1, False)
    assert (own.truth, own.tolerance, own.passed) == (1.0, 0.01, False)
