"""Spectra of simulated cells against tables, closed forms and what each chemistry is declared to do."""

import time

import numpy as np
import pytest
import xraydb

from battbeam import materials
from battbeam.sim.absorption import FoilAbsorption, SampleAbsorption
from battbeam.sim.beam import Instants
from battbeam.sim.changer import place_of
from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.fine_structure import Shell, exafs
from battbeam.sim.lithium import active_areal_moles
from battbeam.sim.scenario import (
    Ageing,
    Cell,
    DeadSpot,
    Heating,
    Layer,
    Reduction,
    Scenario,
    spectroscopy_stack,
)

EVEN = {"gradient_x": 0.0, "gradient_depth": 0.0, "dead_spot": None, "inactive_fraction": 0.0}
ONE = Instants(np.array([0.0]), np.array([1e6]))


def sample(chemistry="nmc811", **fields):
    """A cell for spectra, even all over."""
    start = {"initial_lithium_content": 0.9} | EVEN | fields
    cell = Cell(chemistry=chemistry, stack=spectroscopy_stack(), **start)
    return SampleAbsorption.of(Scenario(cells=(cell,)))


def state(absorption, content, *, x=0.0, y=0.0, **fields):
    scenario = Scenario(cells=(absorption.cell,))
    return absorption.state(
        place_of(scenario, x, y),
        instants=ONE,
        mean_lithium_content=lambda times: np.full(len(times), content),
        **fields,
    )


def truth(absorption, content, element, **fields):
    return absorption.truth(state(absorption, content, **fields), element=element)


def normalized(absorption, content, element, energy, **fields):
    """Normalized by what the tables say below and above, for one even cell."""
    seen, table = state(absorption, content, **fields), absorption.tables[element]
    return table.at(energy, seen.absorbers[element])


def tabulated(cell, content, energy):
    """Absorbance of the stack by xraydb alone."""
    total = 0.0
    for layer in spectroscopy_stack():
        if layer.material == "active":
            formula = ACTIVE_MATERIALS[cell.chemistry].at(content)
            moles = active_areal_moles(cell)
        elif layer.material in materials.AMORPHOUS:
            formula, density = materials.AMORPHOUS[layer.material]
            moles = density * layer.thickness / 10 / materials.molar_mass(formula)
        else:
            crystal = materials.structure(layer.material)
            formula, volume = crystal.formula, crystal.lattice.volume * 1e-24
            moles = layer.thickness / 10 * crystal.formula_units / (volume * materials.AVOGADRO)
        for element, count in formula.items():
            mass = moles * count * materials.atomic_mass(element)
            total = total + mass * xraydb.mu_elam(element, energy)
    return total


@pytest.mark.parametrize("chemistry", sorted(ACTIVE_MATERIALS))
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_far_from_every_edge_the_absorbance_is_the_tabulated_one(chemistry, part):
    low, high = ACTIVE_MATERIALS[chemistry].content_range
    content = low + part * (high - low)
    absorption = sample(chemistry, initial_lithium_content=content)
    # Between edges of Mn to Cu there is EXAFS; below, and 1500 eV above all of them, there is none.
    energy = np.array([5000.0, 6300.0, 10_600.0, 22_163.0])
    found = absorption.absorbance(energy, state(absorption, content))
    np.testing.assert_allclose(found, tabulated(absorption.cell, content, energy), rtol=5e-5)


@pytest.mark.parametrize(
    ("chemistry", "element", "contents"),
    [
        ("nmc811", "Ni", (0.12, 0.98)),
        ("nmc90", "Ni", (0.12, 0.98)),
        ("lfp", "Fe", (0.02, 0.98)),
        ("lmo", "Mn", (0.02, 0.98)),
        ("lirich", "Ni", (0.05, 0.98)),
    ],
)
# Where no other edge's EXAFS reaches before, and so far behind that its own has died away.
def test_the_jump_is_conserved_while_the_lattice_swells(chemistry, element, contents):
    absorption, jumps = sample(chemistry), []
    edge = xraydb.xray_edge(element, "K").energy
    before, behind = edge - np.array([150.0, 60.0]), edge + np.linspace(700.0, 1400.0, 400)
    for content in contents:
        seen = state(absorption, content)
        ends = np.log(absorption.absorbance(before, seen))
        slope = (ends[1] - ends[0]) / np.log(before[1] / before[0])
        extrapolated = np.exp(ends[1] + slope * np.log(behind / before[1]))
        jumps.append(np.mean(absorption.absorbance(behind, seen) - extrapolated))
    assert jumps[0] == pytest.approx(jumps[1], rel=3e-3)


def test_the_stated_jump_is_that_of_the_tables():
    absorption = sample(active_loading=8.0)
    stated = truth(absorption, 0.9, "Ni")["edge_step"]
    below, above = xraydb.mu_elam("Ni", np.array([8332.0, 8334.0]))
    moles = 0.8 * active_areal_moles(absorption.cell)
    # The half step is some 12 eV above the tabulated edge: 0.4 % less.
    assert stated == pytest.approx(moles * 58.693 * (above - below), rel=5e-3)
    assert stated == pytest.approx(1.10, abs=0.01)


@pytest.mark.parametrize("content", [0.15, 0.5, 0.95])
def test_nickel_of_nmc811_moves_with_its_valence_and_nothing_else_does(content):
    absorption = sample()
    nickel = truth(absorption, content, "Ni")
    valence = min(2.875 + (1 - content) / 0.8, 4.0)
    assert nickel["valence"] == pytest.approx(valence, abs=1e-9)
    assert nickel["edge_position"] == pytest.approx(8343.5 + 1.8 * (valence - 2), abs=2e-3)
    assert nickel["edge_shift"] == pytest.approx(1.8 * (valence - 2.875), abs=2e-3)
    assert abs(truth(absorption, content, "Co")["edge_shift"]) < 0.03
    assert truth(absorption, content, "Mn")["edge_shift"] == pytest.approx(0.0, abs=1e-6)
    assert truth(absorption, content, "Mn")["valence"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("chemistry", "charges"),
    [
        ("nmc622", 0.2 * 4 + 0.2 * 3),
        ("nmc90", 0.05 * 4 + 0.05 * 3),
        ("hec", 0.13 * 4 + 0.02 * (4 + 2 + 6) + 0.01 * 5),
    ],
)
def test_nickel_of_other_layered_oxides_balances_charges_that_add_up(chemistry, charges):
    absorption = sample(chemistry)
    share = absorption._active.host["Ni"]
    for content in (0.95, 0.6):
        nickel = truth(absorption, content, "Ni")
        assert nickel["valence"] == pytest.approx((4 - content - charges) / share, abs=1e-9)
        metal = next(shell for shell in nickel["shells"] if shell["neighbour"] == "Ni")
        edge = materials.lattice_edges(absorption._active.name, np.array([content]))[0, 0]
        assert metal["distance"] == pytest.approx(edge, abs=1e-4)


def test_a_moving_edge_moves_as_a_whole():
    absorption, energy = sample(), np.arange(8325.0, 8359.0, 0.05)
    here, there = (truth(absorption, content, "Ni") for content in (0.95, 0.3))
    shift = there["edge_shift"] - here["edge_shift"]
    first = normalized(absorption, 0.95, "Ni", energy)
    second = normalized(absorption, 0.3, "Ni", energy + shift)
    # Interpolation between nodes of content and energy; EXAFS begins beyond.
    assert np.abs(first - second).max() < 3e-4


def test_sodium_nmc_goes_from_2_to_nearly_4():
    absorption = sample("nanmc442")
    valences = [truth(absorption, content, "Ni")["valence"] for content in (1.0, 0.6, 0.2)]
    assert valences == pytest.approx([2.0, 3.0, 4.0], abs=1e-9)


def test_iron_is_mixed_from_two_spectra_with_isosbestic_points_and_never_shifts():
    absorption, energy = sample("lfp"), np.arange(7100.0, 7300.0, 0.05)
    contents = np.array([0.05, 0.3, 0.5, 0.8, 0.95])
    spectra = np.array([normalized(absorption, x, "Fe", energy) for x in contents])
    singular = np.linalg.svd(spectra, compute_uv=False)
    assert singular[2] < 1e-9 * singular[0]
    difference = spectra[-1] - spectra[0]
    crossings = np.flatnonzero(np.diff(np.sign(difference)))
    assert len(crossings) > 3
    assert np.abs(np.ptp(spectra[:, crossings], axis=0)).max() < 0.01
    assert np.ptp(spectra, axis=0).max() > 0.5
    line = truth(absorption, 0.3, "Fe")
    assert line["fractions"] == pytest.approx({"LiFePO4": 0.3, "FePO4": 0.7})
    assert line["valence"] == pytest.approx(2.7)


@pytest.mark.parametrize(("content", "position"), [(1.0, 7120.5), (0.0, 7124.5)])
def test_the_end_members_of_lfp_have_their_half_steps(content, position):
    found = truth(sample("lfp"), content, "Fe")["edge_position"]
    assert found == pytest.approx(position, abs=2e-3)


def test_the_spinels_disorder_falls_on_charge_and_does_not_quite_come_back():
    absorption = sample("lmo", ageing=Ageing(debye_waller_per_cycle=1.1e-3))
    states = [(0.95, 0.0), (0.1, 0.425), (0.95, 0.85)]
    oxygen = [truth(absorption, x, "Mn", cycles=n)["shells"][0] for x, n in states]
    sigma2 = [shell["sigma2"] for shell in oxygen]
    assert sigma2[1] < sigma2[0] - 2e-3
    assert sigma2[2] - sigma2[0] == pytest.approx(0.85 * 1.1e-3)
    assert oxygen[0]["distance"] - oxygen[1]["distance"] == pytest.approx(0.04 * 0.85)
    assert [shell["number"] for shell in oxygen] == pytest.approx([6, 6, 6])


@pytest.mark.parametrize(("content", "cycles"), [(0.9, 0.0), (0.42, 3.3), (0.1, 7.77)])
def test_the_exafs_is_that_of_the_stated_shells(content, cycles):
    ageing = Ageing(debye_waller=0.0013, debye_waller_per_cycle=0.0011, shell_shift=0.013)
    absorption = sample("lmo", ageing=ageing)
    line = truth(absorption, content, "Mn", cycles=cycles)
    k = np.linspace(3.1, 14.0, 300)
    energy = line["k_origin"] + k**2 / 0.26246842
    chi = normalized(absorption, content, "Mn", energy, cycles=cycles) - 1
    shells = tuple(Shell(**shell) for shell in line["shells"])
    assert np.abs(chi - exafs(k, shells, absorber="Mn")).max() < 2e-4


def transform_peaks(absorption, content, element, *, k_range=(3.0, 12.0)):
    """Distances, angstrom, at which |chi(R)| of k^2 chi(k) peaks; the truth's own k origin."""
    origin = truth(absorption, content, element)["k_origin"]
    k = np.arange(k_range[0], k_range[1], 0.05)
    chi = normalized(absorption, content, element, origin + k**2 / 0.26246842) - 1
    window = np.sin(np.pi * (k - k[0]) / (k[-1] - k[0])) ** 0.5
    r = np.arange(0.5, 4.0, 0.005)
    magnitude = np.abs(np.exp(2j * np.outer(r, k)) @ (chi * k**2 * window))
    inner = magnitude[1:-1]
    tops = (inner > magnitude[:-2]) & (inner > magnitude[2:]) & (inner > 0.25 * inner.max())
    return r[1:-1][tops]


@pytest.mark.parametrize("content", [0.15, 0.95])
def test_the_spinels_transform_peaks_at_the_published_distances(content):
    peaks = transform_peaks(sample("lmo"), content, "Mn")
    np.testing.assert_allclose(peaks, [1.4, 2.4], atol=0.05)


def test_a_lithium_rich_oxide_shows_three_spectra_and_no_more():
    absorption, energy = sample("lirich"), np.arange(8320.0, 8420.0, 0.2)
    contents = np.linspace(0.05, 0.98, 60)
    spectra = np.array([normalized(absorption, x, "Ni", energy) for x in contents])
    singular = np.linalg.svd(spectra, compute_uv=False)
    assert singular[3] < 1e-9 * singular[0]
    # Each must stand out of a noise of 2e-3 in 60 spectra.
    assert singular[2] > 10 * 2e-3 * np.sqrt(max(spectra.shape))
    middle = truth(absorption, 0.5, "Ni")["fractions"]
    assert sum(middle.values()) == pytest.approx(1.0)
    assert middle["Ni3+"] > 0.8
    assert truth(absorption, 1.0, "Ni")["fractions"]["Ni2+"] == pytest.approx(1.0)


def test_heat_reduces_nickel_first_and_cobalt_later_and_less():
    heating = Heating(
        nickel=Reduction(half=190.0, width=10.0, amplitude=0.7),
        cobalt=Reduction(half=260.0, width=15.0, amplitude=0.3),
    )
    absorption = sample("nca", heating=heating, initial_lithium_content=0.3)
    at = {
        (metal, heat): truth(absorption, 0.3, metal, heated_to=heat)["edge_position"]
        for metal in ("Ni", "Co")
        for heat in (25.0, 190.0, 260.0, 400.0)
    }
    whole = {metal: at[metal, 25.0] - at[metal, 400.0] for metal in ("Ni", "Co")}
    assert whole["Ni"] == pytest.approx(1.8 * 0.7, abs=0.01)
    assert whole["Co"] == pytest.approx(1.2 * 0.3, abs=0.01)
    assert at["Ni", 25.0] - at["Ni", 190.0] == pytest.approx(whole["Ni"] / 2, abs=0.01)
    assert at["Co", 25.0] - at["Co", 260.0] == pytest.approx(whole["Co"] / 2, abs=0.01)


def test_an_aged_cells_edge_is_shifted_and_its_oxygen_nearer():
    energy = np.arange(8325.0, 8359.0, 0.05)
    fresh = sample()
    aged = sample(ageing=Ageing(valence_shift=0.4 / 1.8, shell_shift=-0.02, debye_waller=0.001))
    before, after = (truth(each, 0.9, "Ni") for each in (fresh, aged))
    assert after["edge_position"] - before["edge_position"] == pytest.approx(0.4, abs=1e-6)
    moved = normalized(aged, 0.9, "Ni", energy + 0.4)
    assert np.abs(moved - normalized(fresh, 0.9, "Ni", energy)).max() < 1e-3
    changes = [
        [new[name] - old[name] for name in ("distance", "sigma2")]
        for old, new in zip(before["shells"], after["shells"], strict=True)
    ]
    np.testing.assert_allclose(changes, [[-0.02, 0.001], [0.0, 0.001]], atol=1e-9)
    assert truth(aged, 0.9, "Co")["edge_shift"] == pytest.approx(0.0, abs=0.01)


def test_what_the_beam_meets_is_the_mean_over_footprint_depth_and_inactive_material():
    absorption = sample(
        gradient_x=0.05, gradient_depth=0.1, inactive_fraction=0.1, initial_lithium_content=0.95
    )
    seen = state(absorption, 0.5, x=2.0)
    # Gradients are scaled by 4 f (1 - f) of the place f in the range 0.1 to 1.
    place = (0.5 - 0.1) / 0.9
    local = 0.5 + 4 * place * (1 - place) * 0.05 * 2.0 * min(1.0, 0.225 / (0.05 * 7.5 + 0.05))
    assert seen.content == pytest.approx(0.9 * local + 0.1 * 0.95, abs=1e-6)
    valence = absorption.truth(seen, element="Ni")["valence"]
    assert valence == pytest.approx(2.875 + (1 - seen.content) / 0.8, abs=1e-6)


def test_a_dead_spot_keeps_the_spectrum_that_it_had():
    absorption = sample(dead_spot=DeadSpot(x=0.0, y=0.0, radius=1.0))
    assert truth(absorption, 0.3, "Ni")["valence"] == pytest.approx(2.875 + 0.1 / 0.8)


def test_photons_beside_the_electrode_are_let_through():
    absorption = sample(electrode_radius=3.0)
    edge = state(absorption, 0.5, x=3.0)
    energy = np.array([8400.0])
    whole = np.exp(-absorption.absorbance(energy, state(absorption, 0.5)))
    assert 0.4 < edge.fraction < 0.6
    expected = edge.fraction * whole + 1 - edge.fraction
    np.testing.assert_allclose(absorption.transmission(energy, edge), expected)
    outside = state(absorption, 0.5, x=3.16, y=0.0)
    assert absorption.transmission(energy, outside).tolist() == [1.0]
    assert absorption.fluorescence(energy, outside, element="Ni").total.tolist() == [0.0]
    assert absorption.truth(outside, element="Ni") == {"cell_fraction": 0.0}


def test_thin_samples_fluoresce_as_they_absorb_and_thick_ones_flatten():
    energy = np.arange(8340.0, 8420.0, 0.5)

    def contrast(loading):
        absorption = sample(active_loading=loading)
        line = absorption.fluorescence(energy, state(absorption, 0.9), element="Ni").line
        return np.ptp(line) / line[-1], absorption

    shape = normalized(sample(), 0.9, "Ni", energy)
    thin, absorption = contrast(0.01)
    thick, _ = contrast(60.0)
    # The K shell's cross section falls by 2.3 % over the span, the layers before let 1 % more through.
    assert thin == pytest.approx(np.ptp(shape) / shape[-1], rel=0.03)
    assert thick < 0.95 * thin
    # Of an infinitely thin layer: vacancies times the yield, less what the windows keep.
    found = absorption.fluorescence(np.array([8600.0]), state(absorption, 0.9), element="Ni")
    _, k_shell = absorption.tables["Ni"].edge.shells(np.array([8600.0]))
    vacancies = 0.8 * active_areal_moles(absorption.cell) * k_shell[0]
    assert found.line[0] == pytest.approx(0.3595 * vacancies, rel=0.1)
    assert found.line[0] < 0.3595 * vacancies
    assert found.total[0] > found.line[0]


def test_fluorescence_is_the_integral_over_the_depth_of_a_thick_electrode():
    absorption = sample("lmo", active_loading=30.0)
    cell, energy = absorption.cell, np.array([6700.0])
    seen, line = state(absorption, 0.5), np.array([absorption.tables["Mn"].edge.line_energy])

    def electrode(at):
        formula = ACTIVE_MATERIALS["lmo"].at(0.5)
        moles = active_areal_moles(cell)
        carbon = 2.0 * 4e-4 * xraydb.mu_elam("C", at)
        masses = {
            name: moles * count * materials.atomic_mass(name) for name, count in formula.items()
        }
        return carbon + sum(mass * xraydb.mu_elam(name, at) for name, mass in masses.items())

    def before(at):
        return sum(
            layer.thickness / 10 * xraydb.material_mu(name, at[0], density=density)
            for layer, (name, density) in zip(
                spectroscopy_stack()[:3],
                [("C22H10N2O5", 1.42), ("Li", 0.534), ("C2H4", 0.95)],
                strict=True,
            )
        )

    depth = (np.arange(4000) + 0.5) / 4000
    way = electrode(energy) * depth + np.sqrt(2) * electrode(line) * depth
    windows = before(energy) + np.sqrt(2) * before(line)
    _, k_shell = absorption.tables["Mn"].edge.shells(energy)
    vacancies = 2 * active_areal_moles(cell) * k_shell[0]
    expected = vacancies * 0.2795 * np.exp(-windows) * np.mean(np.exp(-way))
    found = absorption.fluorescence(energy, seen, element="Mn").line[0]
    # EXAFS at that energy is within 1 %, tabulated densities of lithium within 1 %.
    assert found == pytest.approx(expected, rel=0.02)


def test_below_every_edge_nothing_fluoresces():
    absorption = sample()
    found = absorption.fluorescence(np.array([6400.0]), state(absorption, 0.9), element="Ni")
    assert found.total.tolist() == [0.0]


@pytest.mark.parametrize("element", ["Mn", "Fe", "Co", "Ni", "Cu"])
def test_a_foil_rises_fastest_at_its_tabulated_edge(element):
    foil = FoilAbsorption.of(element, thickness=0.006)
    edge = xraydb.xray_edge(element, "K").energy
    energy = np.arange(edge - 20, edge + 30, 0.01)
    slope = np.gradient(foil.absorbance(energy), energy)
    assert energy[np.argmax(slope)] == pytest.approx(edge, abs=0.05)
    far = np.array([edge - 100, edge + 1600])
    expected = xraydb.material_mu(element, far, density=xraydb.atomic_density(element)) * 6e-4
    np.testing.assert_allclose(foil.absorbance(far), expected, rtol=1e-4)
    np.testing.assert_allclose(foil.transmission(far), np.exp(-expected), rtol=1e-4)


def test_a_steel_casing_has_edges_of_its_own():
    steel = (*spectroscopy_stack(), Layer(material="steel", thickness=0.01, depth=0.2))
    plain, cased = (
        SampleAbsorption.of(Scenario(cells=(Cell(chemistry="lmo", stack=stack, **EVEN),)))
        for stack in (spectroscopy_stack(), steel)
    )
    energy = np.array([7092.0, 7172.0])
    extra = cased.absorbance(energy, state(cased, 0.5))
    extra -= plain.absorbance(energy, state(plain, 0.5))
    # Fe of the steel alone, 20 eV before and 60 eV behind its edge.
    iron = 10e-3 * 7.95 * 0.70 * 55.845 / (0.70 * 55.845 + 0.19 * 51.996 + 0.11 * 58.693) / 10
    jump = iron * (407.7 - 53.2)
    assert extra[1] - extra[0] == pytest.approx(jump, rel=0.1)


def test_an_energy_is_quick_once_the_tables_are_made():
    absorption, energy = sample(), np.array([8341.0])
    seen = state(absorption, 0.5)
    absorption.transmission(energy, seen)
    started = time.process_time()
    for _ in range(200):
        absorption.transmission(energy, seen)
    # 0.06 ms on an idle core; a loaded one with a cold cache is let take thrice.
    assert (time.process_time() - started) / 200 < 3e-4
