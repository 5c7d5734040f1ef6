import numpy as np
import pytest

from battbeam import materials
from battbeam.sim import stack
from battbeam.sim.lithium import active_areal_moles
from battbeam.sim.scenario import Cell, Layer, Scenario
from battbeam.sim.stack import Absorption

ENERGY = 22163.0
SCENARIO = Scenario()
CELL = SCENARIO.cells[0]


def test_areal_moles_weigh_what_the_layer_weighs() -> None:
    foil = Layer(material="Al", thickness=0.015, depth=0.04)
    mass = stack.areal_moles(foil, CELL) * materials.structure("Al").molar_mass
    assert mass == pytest.approx(2.70 * 0.0015, rel=2e-3)
    window = Layer(material="Kapton", thickness=0.05, depth=-1.5)
    formula, density = materials.AMORPHOUS["Kapton"]
    assert stack.areal_moles(window, CELL) * materials.molar_mass(formula) == pytest.approx(
        density * 0.005
    )


def test_the_active_material_weighs_its_loading() -> None:
    moles = active_areal_moles(CELL)
    assert moles * materials.structure("LixFePO4", 1.0).molar_mass == pytest.approx(0.010)


def test_layers_at_one_depth_are_one_slab() -> None:
    slabs = stack.cell_slabs(SCENARIO)
    assert [slab.depth for slab in slabs] == sorted(slab.depth for slab in slabs)
    electrode = next(slab for slab in slabs if slab.has_active)
    assert {layer.material for layer in electrode.layers} == {"active", "carbon"}


def test_absorption_does_not_change_when_the_lattice_swells() -> None:
    # LiFePO4 is 6.9 % larger than FePO4; per mole of iron only lithium's own attenuation is
    # missing.
    slabs = stack.cell_slabs(SCENARIO)
    full = Absorption.of(slabs, cell=CELL, lithium_content=1.0, energy=ENERGY)
    empty = Absorption.of(slabs, cell=CELL, lithium_content=0.0, energy=ENERGY)
    electrode = next(index for index, slab in enumerate(slabs) if slab.has_active)
    lithium = active_areal_moles(CELL) * materials.molar_attenuation({"Li": 1}, ENERGY)
    assert full.slabs[electrode] - empty.slabs[electrode] == pytest.approx(lithium, rel=1e-9)
    assert lithium / full.slabs[electrode] < 0.003


def test_a_dense_foil_lets_through_what_its_attenuation_says() -> None:
    slabs = (
        stack.Slab(
            0.0,
            (stack.AmountLayer("Al", stack.crystal_areal_moles("Al", thickness=1.0), 0.0, True),),
        ),
    )
    through = Absorption.of(slabs, cell=CELL, lithium_content=0.5, energy=22160.0)
    assert through.transmission == pytest.approx(np.exp(-6.9376 * 0.1), rel=5e-3)


def test_a_slabs_mean_over_its_depth_is_the_integral() -> None:
    through = Absorption(np.array([0.3, 1.7, 0.2]))
    two_theta = np.array([0.0, 10.0, 40.0])
    fractions = (np.arange(4000) + 0.5) / 4000
    integral = np.mean(
        [through.within(1, two_theta=two_theta, fraction=u) for u in fractions], axis=0
    )
    np.testing.assert_allclose(through.within_mean(1, two_theta=two_theta), integral, rtol=1e-7)


def test_what_lies_before_is_crossed_straight_and_what_lies_behind_at_an_angle() -> None:
    through = Absorption(np.array([0.3, 1.7, 0.2]))
    around = through.around(1, two_theta=np.array([60.0]))[0]
    assert around == pytest.approx(np.exp(-0.3 - 0.2 * 2))
    whole = np.exp(-2.2)
    assert through.transmission == pytest.approx(whole)
    assert through.around(1, two_theta=np.zeros(1))[0] * through.within(
        1, two_theta=np.zeros(1), fraction=0.3
    )[0] == pytest.approx(whole)


def test_beside_the_electrode_there_is_nothing() -> None:
    inside = stack.is_on_electrode(np.array([0.0, 7.4, 7.6]), np.array([0.0, 0.0, 0.0]), Cell())
    assert inside.tolist() == [1.0, 1.0, 0.0]
