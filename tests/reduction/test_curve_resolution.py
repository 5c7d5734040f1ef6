import numpy as np
import pytest
from spectrum_generator import Edge

from battbeam.errors import ReductionError
from battbeam.reduction.curve_resolution import resolve

ENERGY = np.linspace(8320, 8420, 60)
PARTS = np.array(
    [
        Edge(8343.5, white_line=0.3)(ENERGY),
        Edge(8345.5, white_line=0.8, width=3.4)(ENERGY),
        Edge(8348.0, white_line=0.5, width=1.8)(ENERGY),
    ]
)
NOISE = 2e-3


def cycle(n=60):
    """Shares over a charge: one after the other, begun and ended pure."""
    time = np.linspace(0, 1, n)
    first, last = np.clip(1 - 2 * time, 0, 1), np.clip(2 * time - 1, 0, 1)
    return np.column_stack([first, 1 - first - last, last])


def series(shares, seed):
    rng = np.random.default_rng(seed)
    return shares @ PARTS + NOISE * rng.normal(size=(len(shares), len(ENERGY)))


@pytest.mark.parametrize("seed", range(3))
def test_shares_begun_with_end_members_are_right(seed):
    shares = cycle()
    found = resolve(series(shares, seed), initial=PARTS)
    assert found.converged
    # Noise of a share is about 0.003 here; 0.02 is what a row of this kind has to hold.
    assert np.sqrt(np.mean((found.concentrations - shares) ** 2)) < 0.008
    assert found.concentrations.sum(axis=1) == pytest.approx(np.ones(60), abs=1e-12)
    assert min(found.concentrations.min(), found.spectra.min()) >= 0
    assert found.noise == pytest.approx(NOISE, rel=0.05)


def test_the_band_holds_the_truth_where_components_never_appear_alone():
    time = np.linspace(0, 1, 60)
    shares = np.column_stack([0.2 + 0.5 * (1 - time), 0.3 + 0.1 * np.sin(6 * time), 0 * time])
    shares[:, 2] = 1 - shares[:, 0] - shares[:, 1]
    found = resolve(series(shares, 4), n_components=3)
    assert found.noise == pytest.approx(NOISE, rel=0.05)
    # The answer itself is wrong by far, and says so.
    assert np.abs(np.sort(found.concentrations, axis=1) - np.sort(shares, axis=1)).max() > 0.1
    assert found.ambiguity.min() > 0.3
    order = np.argsort(
        [np.sum((ENERGY - 8300) * np.gradient(each, ENERGY)) for each in found.spectra]
    )
    low, high = found.lowest[:, order], found.highest[:, order]
    inside = (low - 0.03 <= shares) & (shares <= high + 0.03)
    assert inside.mean() > 0.95


def test_components_that_exclude_each_other_leave_no_ambiguity():
    # Lines that do not overlap, and each share zero somewhere: nothing can be mixed in.
    lines = np.zeros((2, 40))
    lines[0, 5:15], lines[1, 20:30] = 1.0, 2.0
    time = np.linspace(0, 1, 30)
    shares = np.column_stack([time, 1 - time])
    found = resolve(shares @ lines, initial=lines + 0.01, closed=False)
    scale = found.concentrations.max(axis=0)
    assert found.concentrations / scale == pytest.approx(shares, abs=1e-3)
    assert (found.ambiguity / scale).max() < 1e-3


def test_a_single_component_is_the_mean():
    spectra = np.repeat(PARTS[:1], 5, axis=0)
    found = resolve(spectra, n_components=1)
    assert found.spectra[0] == pytest.approx(PARTS[0])
    assert found.ambiguity[0] == 0


def test_a_resolution_begins_with_a_number_or_with_components():
    with pytest.raises(ReductionError, match="begins with a number of components or with"):
        resolve(np.ones((3, 5)))
    with pytest.raises(ReductionError, match="begins with a number of components or with"):
        resolve(np.ones((3, 5)), n_components=1, initial=np.ones((1, 5)))
