import numpy as np
import pytest

from battbeam import materials
from battbeam.sim import diffraction
from battbeam.sim.diffraction import LineShape
from battbeam.units import two_theta_from_d_spacing, wavelength_from_energy

ENERGY = 22163.0
SHAPE = LineShape(width=0.085, slope=0.05, lorentzian=0.3)
# |F| of LiFePO4 (Streltsov 1993) with f' + if'' at 22.16 keV, made with another program
# (xrayutilities).
PUBLISHED_LIFEPO4 = {
    (2, 0, 0): 53.07,
    (1, 0, 1): 60.95,
    (2, 1, 0): 34.81,
    (0, 1, 1): 23.39,
}


def test_structure_factors_of_lifepo4_equal_another_programs() -> None:
    hkl = np.array(list(PUBLISHED_LIFEPO4))
    ours = diffraction.structure_factors(
        materials.structure("LiFePO4", 1.0), hkl=hkl, energy=22160.0
    )
    np.testing.assert_allclose(ours, list(PUBLISHED_LIFEPO4.values()), rtol=0.003)


def test_an_fcc_metal_has_the_closed_form_structure_factor() -> None:
    aluminium = materials.structure("Al")
    s = np.sqrt(3) / (2 * aluminium.lattice.a)
    f = diffraction.atom_scattering("Al", sine_over_wavelength=np.array([s]), energy=ENERGY)[0]
    expected = 4 * abs(f) * np.exp(-8 * np.pi**2 * aluminium.sites[0].u_iso * s**2)
    lines = diffraction.reflections(aluminium, energy=ENERGY, two_theta_max=26.0)
    assert lines.structure_factor[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("phase", "families"),
    [
        ("Al", {(1, 1, 1): 8, (2, 0, 0): 6, (2, 2, 0): 12, (3, 1, 1): 24}),
        ("Li", {(1, 1, 0): 12, (2, 0, 0): 6}),
        ("LaB6", {(1, 0, 0): 6, (1, 1, 0): 12, (1, 1, 1): 8}),
    ],
)
def test_absences_and_multiplicities_are_those_of_the_lattice(phase: str, families: dict) -> None:
    lines = diffraction.reflections(materials.structure(phase), energy=ENERGY, two_theta_max=30.0)
    found = {
        tuple(sorted(np.abs(hkl), reverse=True)): multiplicity
        for hkl, multiplicity in zip(lines.hkl.tolist(), lines.multiplicity, strict=True)
    }
    for hkl, multiplicity in families.items():
        assert found[hkl] == multiplicity
    if phase == "Al":
        assert (1, 0, 0) not in found


def test_a_rhombohedral_lattice_reflects_only_where_its_centring_allows() -> None:
    lines = diffraction.reflections(
        materials.structure("NMC811"), energy=ENERGY, two_theta_max=30.0
    )
    h, k, l = lines.hkl.T  # noqa: E741
    assert np.all((-h + k + l) % 3 == 0)
    assert lines.d_spacing[0] == pytest.approx(14.2 / 3, rel=1e-6)
    assert lines.multiplicity[0] == 2


def test_bragg_angles_are_those_of_the_closed_form() -> None:
    olivine = materials.structure("LiFePO4", 1.0)
    a, b, c = olivine.lattice.a, olivine.lattice.b, olivine.lattice.c
    d = 1 / np.sqrt((3 / a) ** 2 + (1 / b) ** 2 + (1 / c) ** 2)
    expected = two_theta_from_d_spacing(d_spacing=np.array([d]), energy=ENERGY)[0]
    ours = diffraction.bragg_angle(olivine, hkl=(3, 1, 1), energy=ENERGY)
    assert ours == pytest.approx(expected, abs=1e-9)


def test_a_line_is_normalised_and_half_as_high_at_half_its_width() -> None:
    two_theta = np.arange(-60, 80, 0.001)
    for share in (0.0, 0.3, 1.0):
        shape = LineShape(0.085, 0.05, share)
        line = shape.density(two_theta=two_theta, centres=np.array([10.0]))[0]
        assert line.sum() * 0.001 == pytest.approx(1, abs=1e-3)
        width = float(shape.full_width(np.array([10.0]))[0])
        assert width == pytest.approx(0.085 + 0.05 * np.tan(np.radians(5.0)))
        half = np.interp(10.0 + width / 2, two_theta, line)
        assert half == pytest.approx(line.max() / 2, rel=1e-3)


def test_the_photons_of_a_ring_do_not_depend_on_its_width() -> None:
    crystal = materials.structure("Al")
    two_theta = np.arange(0.3, 16.0, 0.002)
    lines = diffraction.reflections(crystal, energy=ENERGY, two_theta_max=16.5)
    assert len(lines.hkl) == 2
    rings = diffraction.ring_cross_sections(crystal, lines, energy=ENERGY)
    solid = 2 * np.pi * np.sin(np.radians(two_theta)) * np.radians(0.002)
    for width in (0.02, 0.1):
        shape = LineShape(width, 0.0, 0.0)
        near = two_theta < 14.8
        pattern = diffraction.bragg_pattern(
            crystal, two_theta=two_theta, energy=ENERGY, shape=shape
        )
        assert (pattern * solid)[near].sum() == pytest.approx(rings[0], rel=1e-6)


def test_a_ring_has_the_power_of_warrens_formula() -> None:
    crystal = materials.structure("Al")
    lines = diffraction.reflections(crystal, energy=ENERGY, two_theta_max=14.0)
    wavelength = wavelength_from_energy(ENERGY) * 1e-8
    sine = wavelength / (2 * lines.d_spacing[0] * 1e-8)
    volume = (crystal.lattice.a * 1e-8) ** 3
    # per cm of thickness and incident photon, without the polarization factor
    per_length = (
        2.8179403e-13**2
        * wavelength**3
        * 8
        * lines.structure_factor[0] ** 2
        / (4 * volume**2 * sine)
    )
    moles_per_volume = 4 / (6.02214076e23 * volume)
    ours = diffraction.ring_cross_sections(crystal, lines, energy=ENERGY)[0]
    assert ours * moles_per_volume == pytest.approx(per_length, rel=1e-7)


def test_carbons_halo_has_its_middle_at_its_d_spacing() -> None:
    two_theta = np.arange(2.0, 20.0, 0.01)
    formula = materials.AMORPHOUS["carbon"][0]
    pattern = diffraction.glass_pattern("carbon", formula, two_theta=two_theta, energy=ENERGY)
    halo = float(two_theta_from_d_spacing(d_spacing=np.array([3.565]), energy=ENERGY)[0])
    assert two_theta[np.argmax(pattern)] == pytest.approx(halo, abs=0.15)


def test_a_crystals_diffuse_scattering_has_no_lines() -> None:
    two_theta = np.arange(1.0, 25.0, 0.02)
    pattern = diffraction.crystal_diffuse_pattern(
        materials.structure("LiFePO4", 0.9), two_theta=two_theta, energy=ENERGY
    )
    assert np.all(pattern > 0)
    assert np.abs(np.diff(pattern, 2)).max() < 1e-3 * pattern.max()
