import gemmi
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
    with pytest.raises(ValueError, match="phase Al holds no lithium; those that do: LiFePO4"):
        materials.lattice_edges("Al", np.array([0.5]))


ALL = [(phase, None) for phase in materials.PHASES] + [
    (phase, content)
    for phase, (low, high) in {**materials.LITHIUM_RANGE, **materials.COUNTER_RANGE}.items()
    for content in (low, high)
]


@pytest.mark.parametrize(("phase", "content"), ALL)
def test_atoms_of_the_cell_are_those_of_the_formula(phase, content):
    structure = materials.structure(phase, content)
    operations = gemmi.SpaceGroup(structure.space_group).operations()
    counted: dict[str, float] = {}
    for site in structure.sites:
        images = {
            tuple(round(v % 1, 4) % 1 for v in operation.apply_to_xyz(list(site.position)))
            for operation in operations
        }
        counted[site.element] = counted.get(site.element, 0.0) + len(images) * site.occupancy
    for element, atoms in structure.formula.items():
        assert counted[element] == pytest.approx(atoms * structure.formula_units, abs=1e-9)
    assert set(counted) == set(structure.formula)


# Densities of handbooks, g/cm3: of graphite 2.26, LiF 2.64, Li2O 2.01, NiO (without lithium) 6.67.
@pytest.mark.parametrize(
    ("phase", "density"), [("graphite", 2.26), ("LiF", 2.64), ("Li2O", 2.01), ("Li", 0.534)]
)
def test_densities_are_those_of_handbooks(phase, density):
    structure = materials.structure(phase)
    mass = structure.formula_units * structure.molar_mass / materials.AVOGADRO
    assert mass / (structure.lattice.volume * 1e-24) == pytest.approx(density, rel=0.01)


def test_lithium_of_the_two_electrodes_is_told_apart():
    hosts = materials.HOSTS
    assert {hosts[phase] for phase in materials.LITHIUM_RANGE} == {"working"}
    assert {hosts[phase] for phase in materials.COUNTER_PHASES} == {"counter"}
    assert set(hosts) == {*materials.LITHIUM_RANGE, *materials.COUNTER_RANGE}


def test_layers_of_graphite_move_apart_from_stage_to_stage():
    spacing = []
    for phase in materials.COUNTER_PHASES:
        layers = 1 if phase == "LiC6" else 2
        for content in materials.COUNTER_RANGE[phase]:
            spacing.append(materials.lattice_edges(phase, np.array([content]))[0, 1] / layers)
    assert np.all(np.diff(spacing) >= 0)
    assert (spacing[0], spacing[-1]) == (3.355, 3.7)


def test_formula_units_of_graphite_take_up_the_same_carbon_at_every_content():
    """Volume per six carbon grows with lithium, by 10 to 14 % to LiC6 (Dahn 1991 and others)."""
    volumes = [
        materials.structure(p).lattice.volume / materials.structure(p).formula_units
        for p in materials.COUNTER_PHASES
    ]
    assert np.all(np.diff(volumes) > 0)
    assert 1.10 < volumes[-1] / volumes[0] < 1.14


def test_at_the_same_upper_voltage_more_nickel_means_more_collapse():
    """Contents at 4.3 V as `battbeam.sim` has them: 0.15 of NMC90, 0.38 of NMC622."""
    depth = {}
    for phase, content in (("NMC90", 0.15), ("NMC622", 0.38)):
        way = np.linspace(content, 1.0, 400)
        c = materials.lattice_edges(phase, way)[:, 1]
        depth[phase] = c.max() - c[0]
    assert depth["NMC90"] == pytest.approx(0.43, abs=0.01)
    assert depth["NMC622"] < 0.2 * depth["NMC90"]


def test_heated_oxides_keep_the_metals_and_lithium_of_a_third():
    """A layered oxide with 1/3 lithium makes 4/9 spinel or 4/3 rock salt, and gives off oxygen."""
    layered = materials.structure("NMC811", 1 / 3).formula
    for phase, units, oxygen in (("spinel", 4 / 9, 16 / 9), ("rock_salt", 4 / 3, 4 / 3)):
        heated = materials.structure(phase).formula
        for element in ("Li", "Ni", "Mn", "Co"):
            assert units * heated[element] == pytest.approx(layered[element])
        assert units * heated["O"] == pytest.approx(oxygen)
