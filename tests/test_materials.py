import numpy as np
import pytest

from battbeam import materials


# Theoretical capacities, mAh/g, as anyone computes them from the molar mass and the Faraday constant.
@pytest.mark.parametrize(("phase", "capacity"), [("LiFePO4", 169.89), ("NMC811", 275.51)])
def test_theoretical_capacity_follows_from_the_molar_mass(phase, capacity):
    mass = materials.structure(phase, 1.0).molar_mass
    assert materials.FARADAY / 3.6 / mass == pytest.approx(capacity, rel=1e-4)


def test_delithiation_shrinks_lithium_iron_phosphate_by_6_745_percent():
    rich = materials.structure("LiFePO4", 1.0).lattice.volume
    poor = materials.structure("FePO4", 0.0).lattice.volume
    assert poor / rich - 1 == pytest.approx(-0.06745, abs=2e-5)


def test_a_solid_solution_ends_at_its_end_members():
    for content, member in ((0.0, "FePO4"), (1.0, "LiFePO4")):
        mixed, pure = materials.structure("LixFePO4", content), materials.structure(member, content)
        assert mixed.lattice == pure.lattice
        for one, other in zip(mixed.sites, pure.sites, strict=True):
            np.testing.assert_allclose(one.position, other.position, atol=1e-12)


def test_nmc811_c_rises_to_a_maximum_and_collapses():
    c = materials.lattice_edges("NMC811", np.linspace(0.1, 1, 91))[:, 1]
    assert 0.35 < np.linspace(0.1, 1, 91)[c.argmax()] < 0.45
    assert c[0] < c[-1] < c.max()


def test_attenuation_of_aluminium_is_that_of_the_tables():
    # 6.9376 /cm at 22.16 keV and 2.7 g/cm3 (Elam tables).
    assert materials.mass_attenuation("Al", 22160.0) * 2.7 == pytest.approx(6.9376, rel=1e-3)


def test_an_unknown_phase_is_refused_with_those_known():
    with pytest.raises(ValueError, match=r"unknown phase 'LFP'; known: LiFePO4, FePO4"):
        materials.structure("LFP")


def test_a_lithium_content_outside_the_range_is_refused():
    with pytest.raises(
        ValueError, match=r"lithium content of NMC811 must lie in 0.1 to 1.0, got 0.0500"
    ):
        materials.structure("NMC811", 0.05)


def test_an_inert_phase_has_no_lithium_content():
    with pytest.raises(ValueError, match="phase Al holds no lithium"):
        materials.lattice_edges("Al", np.array([0.5]))
