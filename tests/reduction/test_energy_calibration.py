import numpy as np
import pytest
from spectrum_generator import Foil, grid

from battbeam.reduction.absorbance import Absorbance
from battbeam.reduction.energy_calibration import EnergyCalibration
from battbeam.reduction.xanes_result import Standard

E0 = 7112.0
ENERGY = grid(E0)
FINE = np.arange(E0 - 60, E0 + 90, 0.1)
STORED = Standard("Fe", FINE, Foil(E0)(FINE), edge_position=E0)


def scan(offset, rng, *, noise=2e-3, jitter=0.02):
    """A foil where the true energy is the encoder's and ``offset``."""
    true = ENERGY + offset + jitter * rng.normal(size=len(ENERGY))
    values = 0.3 + 1.1 * Foil(E0)(true) + noise * rng.normal(size=len(ENERGY))
    return Absorbance(values, np.full(len(ENERGY), noise))


def calibration(**options):
    return EnergyCalibration(
        E0, **({"window": (-15, 25), "repeatability": 0.03, "jitter": 0.02} | options)
    )


def test_shifts_against_a_stored_curve_are_right_within_their_errors():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        offset = rng.uniform(-2, 2)
        result = calibration(foil=STORED).calibrate(ENERGY, scan(offset, rng))
        assert not result.flag
        found.append((result.shift - offset) / result.error)
    assert abs(np.mean(found)) < 4 / np.sqrt(200)
    assert np.std(found) == pytest.approx(1, abs=0.2)


def test_the_first_foil_is_set_on_the_tabulated_edge_and_serves_those_that_follow():
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        one = calibration()
        first, second, third = (
            one.calibrate(ENERGY, scan(offset, rng)) for offset in (1.0, 1.3, 0.8)
        )
        assert first.shift == pytest.approx(1.0, abs=5 * first.error)
        own = [np.sqrt(each.error**2 - each.shared_error**2) for each in (second, third)]
        found.append((second.shift - third.shift - 0.5) / np.hypot(*own))
    assert abs(np.mean(found)) < 4 / np.sqrt(100)
    assert np.std(found) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("way", ["no detector", "no foil", "other foil", "no light"])
def test_a_missing_foil_costs_the_monochromators_repeatability_and_says_so(way):
    rng = np.random.default_rng(3)
    values = {
        "no foil": 1e-3 * rng.normal(size=len(ENERGY)),
        "other foil": 0.6 - 1e-4 * (ENERGY - E0) + 1e-3 * rng.normal(size=len(ENERGY)),
        "no light": np.full(len(ENERGY), np.nan),
    }.get(way)
    foil = None if values is None else Absorbance(values, np.full(len(ENERGY), 1e-3))
    alone = calibration(foil=STORED).calibrate(ENERGY, foil)
    assert alone.flag.startswith("no foil (")
    assert alone.flag.endswith("an offset is not in the error")
    assert (alone.shift, alone.error) == (0.0, 0.03)
    one = calibration(foil=STORED)
    good = one.calibrate(ENERGY, scan(1.0, rng))
    forgotten = one.calibrate(ENERGY, foil)
    assert forgotten.shift == good.shift
    assert forgotten.error == pytest.approx(np.hypot(good.error, 0.03))
    assert "shift of the last scan with a foil" in forgotten.flag


def test_a_foil_whose_edge_is_far_away_is_none():
    one = calibration()
    found = one.calibrate(ENERGY, scan(17.0, np.random.default_rng(0)))
    assert "its edge is not where it should be" in found.flag
    assert one.foil is None
