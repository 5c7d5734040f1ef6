import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.maps import Map, correlation

X, Y = np.linspace(-5, 5, 11), np.linspace(-4, 4, 9)


def pattern(x, y):
    return 1 + 0.3 * np.exp(-((x - 1.5) ** 2 + (y + 1) ** 2) / 6) + 0.02 * x


def rows(rng, *, jitter=0.0, snaked=True, sigma=0.0):
    """Of a snaked map, in the order of its measurement."""
    x, y = np.meshgrid(X, Y)
    if snaked:
        x[1::2] = x[1::2, ::-1]
    x, y = x.ravel(), y.ravel()
    values = pattern(x, y) + sigma * rng.normal(size=x.size)
    return {
        "sample_stage_x": x + jitter * rng.normal(size=x.size),
        "sample_stage_y": y + jitter / 10 * rng.normal(size=x.size),
        "amount": values,
        "amount_error": np.full(x.size, sigma),
        "valid": np.ones(x.size, dtype=int),
    }


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("snaked", [True, False])
def test_rows_find_their_pixel_by_where_they_were_measured(jitter, snaked):
    found = Map.of(rows(np.random.default_rng(1), jitter=jitter, snaked=snaked), "amount")
    assert found.x == pytest.approx(X, abs=3 * jitter + 1e-9)
    assert found.y == pytest.approx(Y, abs=jitter + 1e-9)
    assert found.values == pytest.approx(pattern(*np.meshgrid(X, Y)), abs=1e-9)
    assert found.n_missing == 0


def test_of_a_pixel_measured_again_the_last_valid_row_counts():
    given = rows(np.random.default_rng(1))
    again = {name: np.concatenate([each, each[20:33]]) for name, each in given.items()}
    again["amount"][20:33] = 99.0
    assert Map.of(again, "amount").values == pytest.approx(pattern(*np.meshgrid(X, Y)))
    again["valid"][-13:] = 0
    assert np.count_nonzero(Map.of(again, "amount").values == 99.0) == 13


def test_rows_that_are_not_valid_and_those_that_miss_are_not_known():
    given = rows(np.random.default_rng(1), jitter=0.005)
    given["valid"][5] = 0
    given["amount"][18] = np.nan
    # A whole column that nobody measured stays in the grid.
    kept = np.abs(given["sample_stage_x"] - X[4]) > 0.1
    found = Map.of({name: each[kept] for name, each in given.items()}, "amount")
    assert found.values.shape == (9, 11)
    assert found.n_missing == 9 + 2
    assert np.isnan(found.values[:, 4]).all()
    assert np.isnan(found.values[0, 5])


def test_a_map_of_one_row_is_a_map():
    given = {name: each[:11] for name, each in rows(np.random.default_rng(1), jitter=1e-3).items()}
    found = Map.of(given, "amount")
    assert found.values.shape == (1, 11)
    assert np.isnan(found.pixel_area)


def test_positions_that_are_no_grid_are_refused():
    given = rows(np.random.default_rng(1))
    given["sample_stage_x"] = np.random.default_rng(2).uniform(-5, 5, X.size * Y.size)
    with pytest.raises(ReductionError, match="positions are no regular grid"):
        Map.of(given, "amount")
    given["sample_stage_x"][3] = np.nan
    with pytest.raises(ReductionError, match="a position of the map is not known"):
        Map.of(given, "amount")


def test_the_total_over_the_area_is_the_integral_within_an_honest_error():
    truth = pattern(*np.meshgrid(X, Y)).mean() * (11 * 1.0) * (9 * 1.0) / 100
    pulls = []
    for seed in range(60):
        found = Map.of(rows(np.random.default_rng(seed), sigma=0.1), "amount")
        pulls.append((found.total - truth) / found.total_error)
    assert_honest(pulls)
    assert found.pixel_area == pytest.approx(0.01)
    assert found.excess.mean == pytest.approx(0, abs=1e-12)


def test_two_maps_of_one_thing_disagree_by_their_noise_and_of_two_things_by_more():
    one, other = (Map.of(rows(np.random.default_rng(k), sigma=0.02), "amount") for k in (1, 2))
    n = one.values.size
    assert one.disagreement(other) == pytest.approx(1.0, abs=4 * np.sqrt(2 / n))
    moved = Map(other.x, other.y, other.values + 0.05, other.errors)
    assert one.disagreement(moved) > 2
    with pytest.raises(ReductionError, match=r"maps of \(9, 11\) and \(1, 11\) pixels"):
        one.disagreement(Map(one.x, one.y[:1], one.values[:1], one.errors[:1]))


def maps(seed, *, alike, sigma, n=11):
    """Two maps whose pixels' own correlation is known, seen with noise."""
    rng = np.random.default_rng(4)
    first = rng.normal(size=(n, n))
    second = alike * first + np.sqrt(1 - alike**2) * rng.normal(size=(n, n))
    noise = np.random.default_rng(seed)
    axis = np.arange(float(n))
    drawn = [
        Map(axis, axis, each + s * noise.normal(size=each.shape), np.full(each.shape, s))
        for each, s in zip((first, second), sigma, strict=True)
    ]
    return *drawn, float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("alike", [0.0, 0.6, -0.9, 0.98])
@pytest.mark.parametrize("sigma", [(0.05, 0.1), (0.3, 0.5)])
def test_a_correlation_is_that_of_the_maps_without_noise_within_an_honest_error(alike, sigma):
    pulls, naive = [], []
    for seed in range(150):
        one, other, truth = maps(seed, alike=alike, sigma=sigma)
        found = correlation(one, other)
        pulls.append((found.r - truth) / found.error)
        naive.append(found.measured - truth)
        assert found.population_error >= found.error
    # A ratio of what is noisy: a tenth of an error is not linear.
    assert_honest(pulls, bias=0.15)
    if abs(alike) > 0.5 and sigma[0] > 0.1:
        # Noise makes any likeness smaller, always by the same: more than chance explains.
        assert abs(np.mean(naive)) > 3 * np.std(naive) / np.sqrt(len(naive))
        assert np.sign(np.mean(naive)) == -np.sign(alike)


def test_reliabilities_are_the_shares_of_variance_that_are_not_noise():
    one, other, _ = maps(1, alike=0.5, sigma=(0.5, 1.0), n=60)
    found = correlation(one, other)
    assert found.reliability == (pytest.approx(1 / 1.25, abs=0.03), pytest.approx(0.5, abs=0.04))
    assert found.n == 3600


def test_pixels_that_one_map_lacks_do_not_count_and_few_are_refused():
    one, other, _ = maps(1, alike=0.9, sigma=(0.1, 0.1))
    one.values[:3] = np.nan
    assert correlation(one, other).n == 8 * 11
    one.values[:, :] = np.nan
    with pytest.raises(ReductionError, match="0 pixels are known in both maps, 5 needed"):
        correlation(one, other)


def test_a_map_of_noise_correlates_with_nothing():
    one, _, _ = maps(1, alike=0.9, sigma=(0.1, 0.1))
    axis = np.arange(11.0)
    flat = Map(axis, axis, 1e-3 * one.values, np.full((11, 11), 0.1))
    with pytest.raises(ReductionError, match="the second map shows nothing but noise"):
        correlation(one, flat)
