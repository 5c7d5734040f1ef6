"""A line in two runs, moved by its lattice and by the energy."""

import numpy as np
import pytest

from battbeam.reduction.pair_of_runs import LineInRow, shift_between
from battbeam.units import two_theta_from_d_spacing

ENERGY, SPACING, ALUMINIUM = 8047.8, 14.2 / 3, 4.0495


def line(*, strain=0.0, energy=0.0, moved=0.0, **without):
    """Of a lattice that grew, fitted with an energy that is not the true one: d over the energy is seen right."""
    wrong = (ENERGY + energy) / ENERGY
    angle = two_theta_from_d_spacing(
        d_spacing=np.array([SPACING * (1 + strain) * wrong]), energy=ENERGY
    )
    known = {"reference": ALUMINIUM * wrong, "reference_error": 4e-5, "displacement": moved}
    return LineInRow(float(angle[0]), 2e-4, **{**known, "displacement_error": 1e-3, **without})


@pytest.mark.parametrize("energy", [0.0, 8.0, -5.0])
def test_a_shift_is_that_of_the_lattice_whatever_the_energy(energy):
    found = shift_between(line(), line(strain=2.1e-3, energy=energy, moved=0.05))
    alone = line(strain=2.1e-3).two_theta - line().two_theta
    assert alone == pytest.approx(-0.0397, abs=5e-4)
    assert found.shift == pytest.approx(alone, abs=1e-4)
    assert found.energy_change == pytest.approx(energy / ENERGY, abs=2e-6)
    assert found.displacement == pytest.approx(0.05)
    assert found.shift_error == pytest.approx(np.hypot(2e-4 * np.sqrt(2), 0.0003), rel=0.2)


@pytest.mark.parametrize("missing", ["reference", "displacement"])
def test_without_a_reference_no_shift_is_given(missing):
    found = shift_between(line(), line(strain=2.1e-3, energy=8.0, **{missing: np.nan}))
    assert np.isnan(found.shift)
    assert found.flags == ("no reference in both runs: a shift is not told from energy or place",)
    assert found.seen == pytest.approx(-0.0397 - 0.0189, abs=1e-3)
