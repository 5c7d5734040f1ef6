import math
from dataclasses import replace

import pytest
import xraydb

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.description import (
    BeamFacts,
    CounterFacts,
    Description,
    SiteFacts,
    SpectrumRequest,
)
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.experiment.forecast import forecast
from battbeam.experiment.forecast_absorption import absorbance, active_absorbance
from battbeam.experiment.forecast_report import text_of
from battbeam.experiment.forecast_spectrum import (
    MOST_ABSORBANCE,
    EdgeAbsorption,
    quick_xanes_cost,
    spectrum_forecast,
    xanes_cost,
)

SITE = SiteFacts(
    beam=BeamFacts(flux=1e9), counters=CounterFacts(i0_share=0.1, it_share=0.5), overhead=1.0
)
ALONE = [{"material": "active", "thickness": 0.06}]


def cell(loading, *, chemistry="NMC811", stack=ALONE, **more):
    """A passport of an electrode of 1 cm2 with a loading in mg/cm2."""
    return CellPassport.read(
        {
            **EXAMPLE,
            "chemistry": chemistry,
            "active_mass": loading,
            "electrode_area": 1.0,
            "nominal_capacity": 0.1 * loading,
            "initial_lithium_content": 1.0,
            "stack": stack,
            **more,
        }
    )


def of(label="Ni K", signal="transmission", **grid):
    return SpectrumRequest(EnergyGrid.of(label, **grid), signal)


def faults(passport, request):
    return EdgeAbsorption.of(passport, request.grid.edge).faults(passport, request.signal)


def by_xraydb(formula, loading, energy):
    """Absorbance of a layer from mass attenuation alone, independent of any mole."""
    return loading * 1e-3 * xraydb.material_mu(formula, energy, density=1.0)


@pytest.mark.parametrize("energy", [8313.0, 8353.0, 22_000.0])
def test_the_absorbance_is_mass_attenuation_times_loading(energy):
    found = absorbance(cell(12.0), 1.0, energy)
    assert found == pytest.approx(by_xraydb("LiNi0.8Mn0.1Co0.1O2", 12.0, energy), rel=2e-3)
    assert active_absorbance(cell(12.0), 1.0, energy) == found


def test_a_chemistry_that_is_written_as_a_formula_is_known():
    passport = cell(10.0, chemistry="NaNi0.4Mn0.4Co0.2O2", molar_mass=112.2)
    expected = by_xraydb("NaNi0.4Mn0.4Co0.2O2", 10.0, 8353.0)
    assert absorbance(passport, 1.0, 8353.0) == pytest.approx(expected, rel=2e-3)


def test_a_chemistry_of_which_nothing_is_known_is_not_a_number_and_no_reason_to_refuse():
    passport = cell(10.0, chemistry="what the student made", molar_mass=100.0)
    found = spectrum_forecast(passport, of(), SITE)
    assert math.isnan(found.absorbance)
    assert math.isnan(found.absorbance_error)
    assert found.faults == ()
    assert found.remarks == ("Ni K: the absorbance is not known: a material of the stack is not",)


def test_an_electrode_on_both_sides_is_too_thick_for_the_nickel_edge():
    # 28.5 mg/cm2 on both sides together have an absorbance of 5.5.
    found = spectrum_forecast(cell(28.5), of(), SITE)
    assert found.absorbance == pytest.approx(5.5, abs=0.1)
    (fault,) = found.faults
    assert "absorbance is 5.5" in fault
    assert "at most 3 can be measured in transmission" in fault
    assert "fluorescence" in fault
    assert "a single-sided electrode, or any with at most" in fault


def test_what_is_said_to_fit_fits_and_a_little_more_does_not():
    (fault,) = faults(cell(28.5), of())
    loading = float(fault.split("at most ")[-1].split(" mg/cm2")[0])
    assert faults(cell(loading), of()) == []
    assert faults(cell(1.01 * loading), of()) != []
    assert absorbance(cell(loading), 1.0, 8353.0) == pytest.approx(MOST_ABSORBANCE, rel=0.01)


def test_in_fluorescence_it_may_be_as_thick_as_it_is():
    assert faults(cell(28.5), of(signal="fluorescence")) == []


def test_windows_that_are_too_thick_by_themselves_are_told():
    stack = [*ALONE, {"material": "steel", "thickness": 0.05}]
    (fault,) = faults(cell(5.0, stack=stack), of())
    assert "thinner windows and collectors" in fault


def test_an_element_of_the_can_in_the_edge_step_is_told():
    stack = [*ALONE, {"material": "steel", "thickness": 0.004}]
    found = spectrum_forecast(cell(5.0, stack=stack), of(), SITE)
    # By mass: 0.8 Ni in 97.3 g/mol of 5 mg/cm2; 0.11 x 58.7 / 55.4 in 8 g/cm3 of 4 micrometre.
    nickel = 5.0 * 0.8 * 58.69 / 97.3
    steel = 3.2 * 0.11 * 58.69 / 55.43
    absorption = EdgeAbsorption.of(cell(5.0, stack=stack), of().grid.edge)
    share = absorption.active_step / absorption.edge_step
    assert share == pytest.approx(nickel / (nickel + steel), abs=0.005)
    assert "of the edge step is not the active material's" in found.remarks[0]


def test_an_element_that_is_hardly_there_is_told():
    found = spectrum_forecast(cell(5.0), of("Fe K"), SITE)
    assert found.edge_step < 0.05
    assert "the element is hardly there" in found.remarks[0]
    assert found.faults == ()


def test_the_counting_error_is_that_of_the_photons_before_and_behind():
    thick = spectrum_forecast(cell(10.0), of(dwell=2.0), SITE)
    before, behind = 2e9 * 0.1, 2e9 * 0.5 * thick.transmission
    assert thick.absorbance_error == pytest.approx(math.sqrt(1 / before + 1 / behind))
    assert thick.transmission == pytest.approx(math.exp(-thick.absorbance))
    dark = replace(SITE, beam=BeamFacts(flux=0.0))
    assert spectrum_forecast(cell(10.0), of(), dark).absorbance_error == math.inf


def test_below_the_edge_more_gets_through():
    absorption = EdgeAbsorption.of(cell(10.0), of().grid.edge)
    expected = math.exp(-by_xraydb("LiNi0.8Mn0.1Co0.1O2", 10.0, 8313.0))
    assert absorption.transmission_below == pytest.approx(expected, rel=0.01)


# What it costs.


def test_a_spectrum_costs_its_dwells_and_what_each_point_takes_beside():
    grid = EnergyGrid.of("Ni K", [Region(-10, 10, 1.0, 2.0)])
    cost = xanes_cost(replace(SITE, count_overhead=0.5), grid)
    assert cost.exposure == pytest.approx(21 * 2.5)
    assert cost.span == pytest.approx(21 * 2.5)
    # A dark of one dwell, and the shutter before and after.
    assert cost.duration == pytest.approx(2.0 + 21 * 2.5 + 2 * 1.0)


def test_each_spectrum_is_an_opening_of_its_own():
    nickel, cobalt = EnergyGrid.of("Ni K"), EnergyGrid.of("Co K", "xas")
    cost = xanes_cost(SITE, nickel, cobalt, n_spectra=3, spot=(0.1, 0.2))
    lengths = [spot.exposure for spot in cost.spots]
    assert len(lengths) == 6
    assert lengths[0] == lengths[2] < lengths[1] == lengths[3]
    assert (cost.spots[0].x, cost.spots[0].y) == (0.1, 0.2)
    assert cost.duration > cost.smeared > cost.exposure


def test_sweeps_cost_their_duration_and_the_ways_between():
    cost = quick_xanes_cost(SITE, 1.0, n_sweeps=10)
    assert cost.exposure == pytest.approx(10 * 2.0)
    assert len(cost.spots) == 10


# In a forecast.


def described(passport, *requests):
    return Description(
        site=SITE,
        costs={"xanes": xanes_cost(SITE, requests[0].grid)},
        passport=passport,
        sequence=("xanes",),
        spectra=requests,
    )


def test_a_forecast_refuses_a_cell_that_is_too_thick_for_its_edge():
    found = forecast(described(cell(28.5), of()))
    with pytest.raises(PreflightError, match=r"cell1: Ni K: the cell's absorbance is 5\.5"):
        found.refuse()
    assert "REFUSED" in text_of(found)


def test_a_forecast_states_absorbance_time_and_noise():
    found = forecast(described(cell(10.0), of()))
    assert found.faults == ()
    (spectrum,) = found.cells[0].spectra
    assert spectrum.duration == pytest.approx(157 * 1.1)
    text = text_of(found)
    assert f"Ni K: absorbance {spectrum.absorbance:.2f} just above the edge" in text
    assert "157 points in 173 s" in text
    assert found.to_document()["cells"][0]["spectra"][0]["edge"] == "Ni K"


def test_a_grid_that_does_not_ascend_and_a_missing_passport_are_told_before_anything_is_said():
    wrong = SpectrumRequest(EnergyGrid.of("Ni K", [Region(5, 1, 1, 1)]))
    right = described(cell(10.0), of())
    found = forecast(replace(right, spectra=(wrong,), passport=None))
    assert any("energies must ascend" in fault for fault in found.faults)
    assert any("spectra need a passport" in fault for fault in found.faults)
