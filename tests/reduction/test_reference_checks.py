import numpy as np
import pytest
from pulls import assert_honest

from battbeam.materials import structure
from battbeam.reduction.reference_checks import candidates, reference_check
from battbeam.units import two_theta_from_d_spacing

KNOWN = np.array([4.0495, 3.6149])
ENERGY = 22163.0


def test_the_stretch_of_all_references_has_an_honest_error():
    pulls = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        error = np.array([2e-4, 4e-4])
        # What was looked up is itself off by some kelvin.
        true = KNOWN * (1 + 5e-5 * rng.normal(size=2)) * (1 + 1e-4)
        found = reference_check(true + error * rng.normal(size=2), error, known=KNOWN)
        pulls.append((found.stretch - 1e-4) / found.stretch_error)
    assert_honest(pulls)


def test_references_that_are_off_are_flagged_and_far_off_refused():
    error = np.full(2, 1e-4)
    assert reference_check(KNOWN, error, known=KNOWN).flags == ()
    found = reference_check(KNOWN * (1 + 4e-4), error, known=KNOWN)
    assert found.flags[0].startswith("references off by +0.040 %")
    assert not found.refused
    assert reference_check(KNOWN * (1 - 8e-4), error, known=KNOWN).refused


def angle(phase, hkl):
    edge = structure(phase).lattice.a
    d = edge / np.sqrt(sum(index**2 for index in hkl))
    return float(two_theta_from_d_spacing(d_spacing=np.array([d]), energy=ENERGY)[0])


@pytest.mark.parametrize(
    ("phase", "hkl"), [("Cu", (1, 1, 1)), ("Al", (2, 0, 0)), ("rock_salt", (2, 0, 0))]
)
def test_a_phase_that_has_a_strong_line_there_is_named(phase, hkl):
    found = candidates(angle(phase, hkl), energy=ENERGY, tolerance=0.02)
    (mine,) = [each for each in found if each.phase == phase]
    assert sorted(abs(index) for index in mine.hkl) == sorted(hkl)
    assert mine.two_theta == pytest.approx(angle(phase, hkl), abs=1e-6)
    assert [each.strength for each in found] == sorted((e.strength for e in found), reverse=True)


def test_what_was_listed_is_no_candidate_and_where_no_line_is_there_is_none():
    at = angle("Cu", (1, 1, 1))
    found = candidates(at, energy=ENERGY, tolerance=0.02, listed=("Cu",))
    assert "Cu" not in [each.phase for each in found]
    assert candidates(2.0, energy=ENERGY, tolerance=0.02) == ()


def test_a_layered_oxide_is_found_at_whatever_lithium_content_it_has():
    (d,) = (14.05 / 3,)
    at = float(two_theta_from_d_spacing(d_spacing=np.array([d]), energy=ENERGY)[0])
    found = candidates(at, energy=ENERGY, tolerance=0.05)
    assert {"NMC811", "NMC622", "NCA"} <= {each.phase for each in found}
