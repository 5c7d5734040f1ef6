import re
from pathlib import Path

import pytest

from battbeam.errors import PreflightError
from battbeam.sim import scenario
from battbeam.sim.cell import HalfCell
from battbeam.sim.imaging import ImagingModel, View
from battbeam.sim.lithium import full_capacity
from battbeam.sim.phantom import PhantomState, inside_of
from battbeam.sim.run import hard_limits
from battbeam.sim.scenario import Detector, Imaging, Scenario
from battbeam.sim.site_notes import site_notes

SCENARIOS = sorted((Path(__file__).parents[2] / "sim").glob("*.toml"))


def test_there_are_scenarios():
    assert {path.stem for path in SCENARIOS} >= {
        "lfp_coin_cell",
        "lfp_solid_solution",
        "nmc811_coin_cell",
        "beam_dump",
        "four_cells",
        "full_cell",
        "three_electrodes",
        "top_up",
        "beam_damage",
        "bad_clocks",
        "sodium_xanes",
        "fresh_and_aged",
        "spinel_exafs",
        "lithium_rich_xanes",
        "heated_nca",
        "heated_cathode",
        "nickel_rich_sweeps",
        "tomography",
        "sno_particles",
        "wound_primary",
        "aged_cathode",
        "lithium_plating",
        "symmetric_lithium",
        "three_techniques",
    }


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_is_named_like_its_file_and_says_what_it_is(path):
    assert Scenario.read(path).name == path.stem
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenarios_cell_can_be_cycled_within_its_hard_limits(path):
    for cell in Scenario.read(path).cells:
        if cell.chemistry == "lithium":
            continue
        low, high, largest = hard_limits(cell)
        half = HalfCell(cell)
        current = full_capacity(cell) / 2 * 1e-3
        assert low < half.voltage < high
        assert current < largest
        half.step(60.0, current=current)
        while half.voltage < high - 0.2:
            half.step(5.0, current=current)
        charged = half.charge / 3.6 / full_capacity(cell)
        while half.voltage > low + 0.5:
            half.step(5.0, current=-current)
        # One cell begins charged.
        assert charged > 0.6 or cell.initial_lithium_content < 0.5
        assert half.charge / 3.6 / full_capacity(cell) < 0.2


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenarios_symmetric_cell_carries_10_ma_per_cm2_within_its_hard_limits(path):
    for cell in Scenario.read(path).cells:
        low, high, largest = hard_limits(cell)
        current = 10e-3 * cell.electrode_area
        if cell.chemistry != "lithium":
            continue
        half = HalfCell(cell)
        half.step(3600.0, current=current)
        assert current < largest
        assert low < half.voltage < high


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenarios_cells_have_an_inside_that_the_camera_sees_through(path):
    scenario = Scenario.read(path)
    model, energy = ImagingModel(scenario), scenario.beam.energy
    for number, (x, y) in enumerate(scenario.positions, start=1):
        cell = scenario.cells[number - 1]
        assert model.cell_in_field(x, y) == number
        if cell.phantom is None:
            continue
        inside = inside_of(scenario, PhantomState.of(cell), number=number)
        seen = model.transmission(View(x, y, 37.0, 37.0, energy), inside, number=number)
        # 300 photons and more of 1e5 pass everywhere, and something is there
        assert 0.003 < seen.min() < 0.95


def test_the_default_scenario_is_the_lfp_coin_cell():
    written = Scenario.read(Path(__file__).parents[2] / "sim" / "lfp_coin_cell.toml")
    assert written.model_copy(update={"name": "coin_cell"}) == Scenario()


def test_every_field_of_a_scenario_has_its_line_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "scenarios.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    parts = [
        Scenario,
        *(getattr(scenario, name) for name in scenario.__all__ if name[0].isupper()),
    ]
    fields = {
        name
        for part in parts
        if isinstance(part, type)
        for name in getattr(part, "model_fields", ())
    }
    assert len(fields) > 60
    assert fields <= documented


def test_a_shutter_may_be_open_longer_where_frames_are_drawn_while_the_clock_runs():
    frozen, running = (
        site_notes(Scenario(detector=Detector(compute_freezes_clock=freezes))).shutter_overhead
        for freezes in (True, False)
    )
    assert frozen < 1.0 < running


def test_the_staff_know_the_camera_and_how_bright_its_open_beam_is():
    scenario = Scenario(imaging=Imaging(pixel_size=0.002, gain=0.5, ring_gain=0.0))
    notes = site_notes(scenario).camera
    assert notes is not None
    assert (notes.pixel_size, notes.counts_per_degree, notes.readout_time) == (0.002, 1e4, 0.001)
    # 4e5 photons a s in the middle, and what stripes and slope add, to two digits
    assert notes.flat_rate == pytest.approx(0.5 * 4e5, rel=0.06)


def test_a_scenario_may_give_every_pv_another_name():
    here, there = Scenario(), Scenario(prefix="XPD:28-ID:")
    assert here.guard_prefix(1) == "SIM:CELL1:"
    assert there.guard_prefix(2) == "XPD:28-ID:CELL2:"
    for name in ("clock", "cycler", "beamline"):
        suffix = getattr(here, f"{name}_prefix").removeprefix("SIM:")
        assert getattr(there, f"{name}_prefix") == f"XPD:28-ID:{suffix}"


@pytest.mark.parametrize("prefix", ["", "SIM", "S M:", ":", "SIM::", "A" * 20 + ":"])
def test_a_prefix_that_makes_no_pv_names_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        Scenario(prefix=prefix)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "No such file"),
        ("rate = ", "Invalid value"),
        ("rate = -3", "rate: Input should be greater than or equal to 0.1, got -3"),
        ('[[cells]]\nchemistry = "lead"', "cells.0.chemistry: Input should be 'lfp'.* got 'lead'"),
        ("colour = 3", "colour: Extra inputs are not permitted, got 3"),
    ],
)
def test_a_scenario_that_is_none_says_where(tmp_path, text, fault):
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PreflightError, match=fault) as refused:
        Scenario.read(path)
    assert str(path) in str(refused.value)
