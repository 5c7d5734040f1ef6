import numpy as np
import pytest
from scipy.optimize import nnls
from spectrum_generator import Edge

from battbeam.errors import ReductionError
from battbeam.reduction.unmixing import LinearCombination, purest_rows, spectra_rank

ENERGY = np.linspace(8320, 8420, 70)
REFERENCES = np.array(
    [
        Edge(8343.5, white_line=0.3)(ENERGY),
        Edge(8345.5, white_line=0.8, width=3.4)(ENERGY),
        Edge(8348.0, white_line=0.5, width=1.8)(ENERGY),
        Edge(8340.0, white_line=0.1, width=4.0)(ENERGY),
    ]
)


def mixtures(rng, *, k=3, n=300, noise=0.05):
    amounts = rng.dirichlet(np.full(k, 0.4), size=n) * rng.uniform(0.5, 2, size=(n, 1))
    clean = amounts @ REFERENCES[:k]
    return amounts, clean + noise * rng.normal(size=clean.shape)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_amounts_are_those_of_a_solver_that_takes_one_spectrum_at_a_time(seed, k):
    _, spectra = mixtures(np.random.default_rng(seed), k=k)
    wanted = np.array([nnls(REFERENCES[:k].T, each)[0] for each in spectra])
    assert k == 1 or (wanted == 0).any(axis=1).mean() > 0.1, "bounds are to be met"
    found = LinearCombination(REFERENCES[:k]).amounts(spectra)
    assert found == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_amounts_that_add_up_to_one_are_those_of_a_solver_with_a_heavy_constraint(seed):
    # Lawson and Hanson, chapter 23: an equality as a row of large weight; wrong by about 1 / weight^2.
    _, spectra = mixtures(np.random.default_rng(seed))
    heavy = 1e5
    matrix = np.vstack([REFERENCES[:3].T, np.full(3, heavy)])
    wanted = np.array([nnls(matrix, np.append(each, heavy))[0] for each in spectra])
    found = LinearCombination(REFERENCES[:3], closed=True).amounts(spectra)
    assert found == pytest.approx(wanted, abs=1e-6)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(found)), abs=1e-12)
    assert found.min() >= 0


def test_nearly_equal_references_do_not_cost_half_of_the_digits():
    # Normal equations would square the ratio of singular values, 1e6 here.
    close = REFERENCES[0] + 1e-6 * REFERENCES[2]
    amounts = LinearCombination(np.stack([REFERENCES[0], close])).amounts(
        0.25 * REFERENCES[0] + 0.75 * close
    )
    assert amounts[0] == pytest.approx([0.25, 0.75], abs=1e-8)


@pytest.mark.parametrize("closed", [False, True])
def test_errors_are_those_of_the_scatter(closed):
    rng = np.random.default_rng(5)
    noise = rng.uniform(0.002, 0.02, size=len(ENERGY))
    truth = np.array([0.5, 0.2, 0.3])
    spectra = truth @ REFERENCES[:3] + noise * rng.normal(size=(4000, len(ENERGY)))
    mixture = LinearCombination(REFERENCES[:3], errors=noise, closed=closed).fit(spectra)
    pulls = (mixture.amounts - truth) / mixture.errors
    assert pulls.std(axis=0) == pytest.approx(np.ones(3), abs=4 / np.sqrt(2 * 4000))
    assert pulls.mean(axis=0) == pytest.approx(np.zeros(3), abs=4 / np.sqrt(4000))
    freedom = len(ENERGY) - 3 + closed
    assert mixture.residual.mean() == pytest.approx(freedom, abs=4 * np.sqrt(2 * freedom / 4000))


def test_what_cannot_be_told_apart_is_refused():
    with pytest.raises(ReductionError, match="2 references are not independent over 70 points"):
        LinearCombination(np.stack([REFERENCES[0], 2 * REFERENCES[0]]))
    with pytest.raises(ReductionError, match="1 to 8 references can be fitted, got 9"):
        LinearCombination(np.eye(9, 20))


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_rank_of_a_series_is_the_number_of_its_spectra(rank, seed):
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(rank), size=60)
    series = shares @ REFERENCES[:rank] + 2e-3 * rng.normal(size=(60, len(ENERGY)))
    found = spectra_rank(series, errors=2e-3)
    assert (found.rank, found.by_gap, found.by_indicator, found.by_noise) == (rank,) * 4
    assert found.real_error[rank - 1] == pytest.approx(2e-3, rel=0.05)
    assert spectra_rank(series).by_noise == -1


def test_noise_alone_has_no_rank():
    counts = [
        spectra_rank(np.random.default_rng(seed).normal(size=(40, 50)), errors=1.0).by_noise
        for seed in range(100)
    ]
    assert counts == [0] * 100


def test_the_purest_spectra_are_found_among_mixtures():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet(np.ones(3), size=40) * 0.8 + 0.2 / 3
    shares[[7, 20, 33]] = np.eye(3)
    assert purest_rows(shares @ REFERENCES[:3], 3).tolist() == [7, 20, 33]
