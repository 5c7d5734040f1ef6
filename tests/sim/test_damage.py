import json

import numpy as np
import pytest

from battbeam.sim.beam import BeamLog, Instants
from battbeam.sim.changer import place_of
from battbeam.sim.damage import FluenceMap
from battbeam.sim.electrode import footprint, illuminated
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History, history_path
from battbeam.sim.scenario import Beam, Cell, Scenario
from battbeam.sim.truth import electrode_truth

START = 1_750_000_000.0
BEAM = Beam(size_x=0.3, size_y=0.2, lifetime=1e12)
AREA = 0.3 * 0.2
CELL = Cell(gradient_x=0, gradient_depth=0, dead_spot=None, inactive_fraction=0, beam_damage=1e-12)


def spots(cell=CELL):
    return FluenceMap(BEAM, beam_damage=cell.beam_damage)


def test_fluence_adds_up_on_a_spot_and_nowhere_else():
    fluences = spots()
    fluences.add(1.0, 2.0, 6e9, lithium_content=0.9)
    fluences.add(1.0, 2.0, 3e9, lithium_content=0.9)
    at = fluences.fluence(np.array([1.0, 1.149, 1.151, 1.0]), np.array([2.0, 2.099, 2.0, 2.101]))
    assert at == pytest.approx([9e9 / AREA, 9e9 / AREA, 0, 0])
    assert fluences.largest(1.0, 2.0) == pytest.approx(9e9 / AREA)


def test_where_footprints_overlap_their_fluences_add():
    fluences = spots()
    fluences.add(0.0, 0.0, 6e9, lithium_content=0.9)
    fluences.add(0.2, 0.0, 2e9, lithium_content=0.9)
    at = fluences.fluence(np.array([-0.1, 0.1, 0.3]), np.zeros(3))
    assert at == pytest.approx(np.array([6e9, 8e9, 2e9]) / AREA)
    assert fluences.largest(0.2, 0.0) == pytest.approx(8e9 / AREA)
    assert fluences.largest(0.36, 0.0) == pytest.approx(2e9 / AREA)
    # However narrow the strip that both cover.
    fluences.add(0.2999, 0.1999, 5e9, lithium_content=0.9)
    assert fluences.largest(0.0, 0.0) == pytest.approx(13e9 / AREA)


def test_footprints_side_by_side_do_not_overlap():
    fluences = spots()
    for column in range(-5, 6):
        for row in range(-5, 6):
            fluences.add(column * 0.3, row * 0.2, 1e9, lithium_content=0.5)
    for column in range(-4, 5):
        assert fluences.largest(column * 0.3, 0.2 * column) == pytest.approx(1e9 / AREA)


def test_a_map_of_many_spots_is_counted_right():
    rng = np.random.default_rng(1)
    fluences = spots()
    places = rng.uniform(-3, 3, (300, 2))
    for x, y in places:
        fluences.add(x, y, 1e9, lithium_content=0.5)
    points = rng.uniform(-3, 3, (50, 2))
    inside = (np.abs(points[:, None, 0] - places[None, :, 0]) <= 0.15) & (
        np.abs(points[:, None, 1] - places[None, :, 1]) <= 0.1
    )
    found = fluences.fluence(points[:, 0], points[:, 1])
    assert found == pytest.approx(inside.sum(axis=1) * 1e9 / AREA)


def test_material_ceases_exponentially_and_keeps_the_content_at_which_it_ceased():
    fluences = spots()
    contents = (0.9, 0.6, 0.3)
    for content in contents:
        fluences.add(0.0, 0.0, 0.2 * AREA * 1e12, lithium_content=content)
    damage = fluences.damage(np.array([0.0, 5.0]), np.zeros(2))
    assert damage.alive == pytest.approx([np.exp(-0.6), 1.0])
    assert damage.ceased.sum(axis=1) + damage.alive == pytest.approx([1.0, 1.0])
    alive = np.exp(-0.2 * np.arange(4))
    expected = np.dot(-np.diff(alive), contents)
    assert damage.ceased[0] @ damage.contents == pytest.approx(expected)


def test_without_beam_damage_nothing_ceases():
    fluences = FluenceMap(BEAM, beam_damage=0.0)
    fluences.add(0.0, 0.0, 1e15, lithium_content=0.5)
    assert fluences.damage(np.zeros(1), np.zeros(1)) is None


def content_seen(x, y, content, fluences, cell=CELL):
    scenario = Scenario(cells=(cell,), beam=BEAM)
    point_x, point_y, _ = footprint(x, y, beam=BEAM, cell=cell)
    seen = illuminated(
        x,
        y,
        instants=Instants(np.array([START]), np.array([1e9])),
        mean_lithium_content=lambda times: np.full(len(times), content),
        beam=BEAM,
        cell=cell,
        damage=fluences.damage(point_x, point_y),
    )
    return electrode_truth(seen, scenario, content, 22163.0)["lithium_content"]


def test_an_exposed_and_a_control_spot_part_by_what_ceased():
    fluences = spots()
    for content in np.linspace(0.9, 0.5, 41):
        fluences.add(0.0, 0.0, 0.01 * AREA * 1e12, lithium_content=content)
    exposed = content_seen(0.0, 0.0, 0.4, fluences)
    control = content_seen(3.0, 0.0, 0.4, fluences)
    share = 1 - np.exp(-0.41)
    assert control == pytest.approx(0.4, abs=1e-9)
    # Early material froze at high contents: it holds more lithium than the cell's mean.
    alive = np.exp(-0.01 * np.arange(42))
    ceased = np.dot(-np.diff(alive), np.linspace(0.9, 0.5, 41))
    assert exposed == pytest.approx((1 - share) * 0.4 + ceased, abs=1e-6)
    assert exposed - control > 0.1


def ledger_of(scenario, directory, *, end=1000.0):
    """A ledger beside a cell whose content falls by 1e-4 a second from 0.9."""
    path = history_path(directory, 1)
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        for offset in (0.0, end):
            row = {"time": START + offset, "lithium_content": 0.9 - offset * 1e-4}
            row |= {
                "voltage": 3.4,
                "current": 1e-3,
                "charge": 0.0,
                "side_charge": 0.0,
                "cycles": 0.0,
            }
            file.write(json.dumps(row) + "\n")
    log = BeamLog(scenario.beam, start=START)
    return log, FluenceLedger(scenario, beam_log=log, histories=[History(path)])


def test_only_an_open_shutter_adds_fluence_and_every_opening_does(tmp_path):
    scenario = Scenario(cells=(CELL,), beam=BEAM)
    log, ledger = ledger_of(scenario, tmp_path)
    here = place_of(scenario, 1.0, 1.0)
    ledger.advance(START + 10.0, 1.0, 1.0)
    assert ledger.largest(here) == 0
    log.change(START + 10.0, is_open=True)
    log.change(START + 15.0, transmission=0.1)
    log.change(START + 25.0, is_open=False)
    ledger.advance(START + 40.0, 1.0, 1.0)
    assert ledger.largest(here) == pytest.approx(2e8 * 6.0 / AREA)
    ledger.advance(START + 20.0, 1.0, 1.0)
    ledger.advance(START + 90.0, 1.0, 1.0)
    assert ledger.largest(here) == pytest.approx(2e8 * 6.0 / AREA)


def test_moved_under_an_open_shutter_both_places_take_half(tmp_path):
    scenario = Scenario(cells=(CELL,), beam=BEAM)
    log, ledger = ledger_of(scenario, tmp_path)
    ledger.advance(START, 0.0, 0.0)
    log.change(START, is_open=True)
    ledger.advance(START + 10.0, 2.0, 0.0)
    for x in (0.0, 2.0):
        assert ledger.largest(place_of(scenario, x, 0.0)) == pytest.approx(2e8 * 5 / AREA)


def test_what_ceases_keeps_the_content_of_that_time(tmp_path):
    scenario = Scenario(cells=(CELL.model_copy(update={"beam_damage": 1e-9}),), beam=BEAM)
    log, ledger = ledger_of(scenario, tmp_path)
    log.change(START, is_open=True)
    for end in (10.0, 20.0):
        ledger.advance(START + end, 0.0, 0.0)
    damage = ledger.damage(place_of(scenario, 0.0, 0.0))
    gone = damage.ceased.sum(axis=1)
    assert np.all(gone > 0.99)
    # All but e-33 ceased in the first piece, about 5 s after the start.
    assert damage.ceased[0] @ damage.contents / gone[0] == pytest.approx(0.8995, abs=1e-9)


def test_the_standard_and_the_air_take_no_harm(tmp_path):
    scenario = Scenario(cells=(CELL,), beam=BEAM)
    log, ledger = ledger_of(scenario, tmp_path)
    log.change(START, is_open=True)
    ledger.advance(START + 10.0, 12.0, 0.0)
    assert np.isnan(ledger.largest(place_of(scenario, 12.0, 0.0)))
    assert ledger.damage(place_of(scenario, -12.0, 0.0)) is None
