"""What heat makes of a charged layered oxide, and the oxygen that it sets free."""

import numpy as np
import pytest

from battbeam import materials
from battbeam.sim.beam import Instants
from battbeam.sim.electrode import illuminated
from battbeam.sim.heated_phases import COLD, formula_units, phase_fractions, released
from battbeam.sim.lithium import active_areal_moles
from battbeam.sim.scenario import Beam, Cell, Heating, Transition

LAYERED = ("nmc90", "nmc811", "nca", "nmc622", "hec")


def cell(chemistry="hec", **fields):
    return Cell(chemistry=chemistry, initial_lithium_content=0.33, dead_spot=None, **fields)


@pytest.mark.parametrize("chemistry", LAYERED)
def test_half_is_turned_at_each_temperature_in_the_order_layered_spinel_rock_salt(chemistry):
    heated = cell(chemistry)
    spinel, rock_salt = heated.heating.transitions(chemistry)
    for temperature in np.arange(25.0, 500.0, 5.0):
        shares = phase_fractions(heated, temperature)
        assert sum(shares.values()) == pytest.approx(1.0)
        assert min(shares.values()) >= 0
    at_spinel, at_rock_salt = (phase_fractions(heated, law.half) for law in (spinel, rock_salt))
    layered = next(iter(at_spinel))
    assert at_spinel[layered] == pytest.approx(0.5)
    assert at_rock_salt["rock_salt"] == pytest.approx(0.5, abs=1e-3)
    assert at_rock_salt[layered] < 1e-3


def test_transitions_are_those_of_the_rows_and_more_nickel_goes_earlier():
    halves = {name: [law.half for law in Heating().transitions(name)] for name in LAYERED}
    assert halves["hec"] == [230.0, 305.0]
    by_nickel = [halves[name] for name in ("nmc90", "nmc811", "nmc622")]
    assert by_nickel == sorted(by_nickel)
    assert [second for _, second in by_nickel] == sorted(second for _, second in by_nickel)
    delay = {name: second - first for name, (first, second) in halves.items()}
    assert delay["nmc622"] > delay["nca"]


def test_a_cell_that_is_not_heated_or_not_layered_is_as_it_was():
    assert phase_fractions(cell(), COLD) == {"HEC": 1.0}
    assert phase_fractions(Cell(), 500.0) == {"LixFePO4": 1.0}
    assert released(cell(), lithium_content=0.3, heated_to=COLD).oxygen == 0


def test_a_scenarios_own_temperatures_count():
    own = cell(heating=Heating(spinel=Transition(half=210.0, width=5.0)))
    assert phase_fractions(own, 210.0)["spinel"] == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(ValueError, match="rock_salt must come after spinel, got 200 degC and 210"):
        Heating(spinel=Transition(half=210.0), rock_salt=Transition(half=200.0))
    with pytest.raises(ValueError, match="rock_salt must come after spinel, got 305 degC and 320"):
        cell(heating=Heating(spinel=Transition(half=320.0)))


def test_phases_that_heat_made_hold_the_metal_that_there_was():
    for phase in ("spinel", "rock_salt"):
        formula = materials.structure(phase).formula
        metal = sum(count for name, count in formula.items() if name not in ("Li", "O"))
        assert formula_units(phase) * metal == pytest.approx(1.0)
    assert formula_units("HEC") == 1.0


@pytest.mark.parametrize("chemistry", ["hec", "nca"])
def test_oxygen_that_the_new_phase_does_not_hold_is_set_free(chemistry):
    heated = cell(chemistry, heating=Heating(carbon_dioxide=0.3))
    moles = active_areal_moles(heated) * heated.electrode_area
    x = 1 / 3
    for temperature in (180.0, 220.0, 260.0, 300.0, 450.0):
        shares = phase_fractions(heated, temperature)
        layered = next(iter(shares))
        kept = {layered: 2.0}
        # Of the structures themselves, which are those of x = 1/3.
        for phase in ("spinel", "rock_salt"):
            kept[phase] = formula_units(phase) * materials.structure(phase).formula["O"]
        held = sum(shares[phase] * kept[phase] for phase in shares)
        gas = released(heated, lithium_content=x, heated_to=temperature)
        assert 2 * gas.oxygen == pytest.approx(moles * (2 - held), rel=1e-9)
        assert gas.carbon_dioxide == pytest.approx(0.3 * gas.oxygen)


def test_oxygen_per_formula_unit_is_that_of_the_balance():
    heated = cell("hec")
    moles = active_areal_moles(heated) * heated.electrode_area
    whole = released(heated, lithium_content=0.33, heated_to=900.0).oxygen / moles
    assert whole == pytest.approx(0.113 + 0.222, abs=1e-3)
    # At a half and above, spinel needs all the oxygen that there is.
    assert released(heated, lithium_content=0.6, heated_to=265.0).oxygen / moles < 0.2 * 0.02


def test_more_nickel_sets_its_oxygen_free_earlier():
    temperatures = np.arange(30.0, 450.0, 1.0)

    def most(chemistry):
        of = cell(chemistry)
        oxygen = [released(of, lithium_content=0.33, heated_to=t).oxygen for t in temperatures]
        assert np.all(np.diff(oxygen) >= 0)
        return temperatures[np.argmax(np.diff(oxygen))]

    assert most("nmc90") < most("nmc811") < most("nmc622")


def met(heated_to, chemistry="nmc811"):
    return illuminated(
        0.0,
        0.0,
        instants=Instants(np.array([1.0, 2.0]), np.array([1e8, 2e8])),
        mean_lithium_content=lambda times: np.full(len(times), 0.33),
        beam=Beam(),
        cell=cell(chemistry),
        heated_to=heated_to,
    )


def test_the_beam_meets_the_phases_with_all_the_material_in_them():
    cold, warm = met(25.0), met(200.0)
    total = sum(share.weight.sum() for share in cold.shares)
    assert {share.phase for share in cold.shares} == {"NMC811"}
    found = dict.fromkeys(("NMC811", "spinel", "rock_salt"), 0.0)
    for share in warm.shares:
        found[share.phase] += share.weight.sum() / total
        assert share.formula_units == formula_units(share.phase)
    assert found == pytest.approx(phase_fractions(cell("nmc811"), 200.0))
    assert {share.phase for share in met(400.0, "lfp").shares} <= {"LiFePO4", "FePO4"}
