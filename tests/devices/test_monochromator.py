import pytest

from battbeam.devices.fakes import fake, ready_motor
from battbeam.devices.monochromator import Monochromator, bragg_from_energy, energy_from_bragg

SILICON = {"d_spacing": 3.13560, "hkl": (1, 1, 1), "lattice_parameter": 5.43102}


@pytest.fixture
def monochromator():
    made = fake(Monochromator, name="monochromator", offset=0.01, **SILICON)
    ready_motor(made.bragg, limits=(1.0, 60.0)).readback.sim_put(5.0)
    return made


@pytest.mark.parametrize("energy", [5000.0, 8333.0, 22163.0])
def test_an_energy_survives_the_way_to_an_angle_and_back(energy):
    angle = bragg_from_energy(energy=energy, d_spacing=3.1356)
    assert energy_from_bragg(bragg=angle, d_spacing=3.1356) == pytest.approx(energy, rel=1e-12)


def test_the_nickel_edge_is_where_the_tables_have_it():
    # Si(111) at 8333 eV: 13.72 degree, X-ray data booklet.
    assert bragg_from_energy(energy=8333.0, d_spacing=3.1356) == pytest.approx(13.72, abs=0.01)


def test_an_energy_that_no_angle_reflects_is_refused():
    with pytest.raises(ValueError, match=r"1000 eV is not reflected by planes 3.1356 angstrom"):
        bragg_from_energy(energy=1000.0, d_spacing=3.1356)


def test_a_d_spacing_of_another_reflection_is_refused():
    with pytest.raises(ValueError, match=r"d_spacing 1.92 angstrom is not that of \(1, 1, 1\)"):
        fake(Monochromator, name="m", d_spacing=1.92, hkl=(1, 1, 1), lattice_parameter=5.43102)


def test_a_move_in_electronvolts_ends_at_that_energy(monochromator):
    monochromator.set(22163.0).wait(timeout=1)
    assert monochromator.position == pytest.approx(22163.0, abs=0.5)
    reading = monochromator.read()["monochromator_energy"]["value"]
    assert reading == pytest.approx(monochromator.position)
    assert monochromator.describe()["monochromator_energy"]["units"] == "eV"


def test_the_offset_is_between_the_axis_and_the_true_angle(monochromator):
    monochromator.set(22163.0).wait(timeout=1)
    angle = bragg_from_energy(energy=22163.0, d_spacing=3.1356)
    assert monochromator.bragg.position == pytest.approx(angle - 0.01)


def test_an_energy_outside_the_limits_is_refused_in_units(monochromator):
    with pytest.raises(ValueError, match="1000 eV is outside its limits, 4000 to 40000 eV"):
        monochromator.set(1000.0)
