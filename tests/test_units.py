import numpy as np
import pytest

from battbeam.units import q_from_two_theta, two_theta_from_d_spacing, wavelength_from_energy


def test_copper_k_alpha_is_1_5406_angstrom():
    assert wavelength_from_energy(8047.78) == pytest.approx(1.5406, abs=1e-4)


def test_q_and_d_spacing_agree_on_the_same_angle():
    d = np.array([1.0, 2.0247, 5.166])
    two_theta = two_theta_from_d_spacing(d_spacing=d, energy=22163.0)
    np.testing.assert_allclose(
        q_from_two_theta(two_theta=two_theta, energy=22163.0), 2 * np.pi / d, rtol=1e-12
    )


def test_a_plane_too_narrow_to_reflect_has_no_angle():
    assert np.isnan(two_theta_from_d_spacing(d_spacing=np.array([0.2]), energy=22163.0)).all()


def test_an_energy_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="energy must be greater than 0 eV, got -1"):
        wavelength_from_energy(-1)
