import numpy as np
import pytest
from pydantic import ValidationError

from battbeam.sim.beam import BeamLog
from battbeam.sim.changer import place_of, stage_limits
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.run import hard_limits
from battbeam.sim.scenario import (
    Cell,
    CounterElectrode,
    Detector,
    Layer,
    Scenario,
    changer_place,
    coin_cell_stack,
)
from battbeam.sim.site_notes import site_notes

START = 1_750_000_000.0
EVEN = {"gradient_x": 0, "gradient_depth": 0, "dead_spot": None, "inactive_fraction": 0}
DETECTOR = Detector(n_rows=64, n_columns=64, pixel_size=1.0, centre_row=32, centre_column=32)
FOUR = Scenario(
    cells=(
        Cell(**EVEN),
        Cell(chemistry="nmc811", **EVEN),
        Cell(**EVEN),
        Cell(position=(-19.0, 1.0), **EVEN),
    ),
    detector=DETECTOR,
)


def exposure_at(scenario, position, *, duration=10.0):
    log = BeamLog(scenario.beam, start=START)
    log.change(START, is_open=True)
    instants = log.instants(START, START + duration)
    return Exposure(START, START + duration, *position, scenario.beam.energy, instants)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_the_stage_brings_each_cell_into_the_beam_in_its_own_frame(number):
    x, y = FOUR.positions[number - 1]
    place = place_of(FOUR, x + 1.5, y - 0.5)
    assert (place.in_beam, place.cell) == ("cell", number)
    assert (place.x, place.y) == pytest.approx((1.5, -0.5))


def test_between_the_cells_there_is_nothing_and_the_standard_is_where_it_was():
    assert place_of(FOUR, 0.0, 9.0).in_beam == "nothing"
    assert place_of(FOUR, *FOUR.standard_position).in_beam == "standard"
    assert place_of(FOUR, 0.0, 9.0).cell == 0


def test_default_places_leave_room_for_any_number_of_cells():
    places = Scenario(cells=(Cell(),) * 9).positions
    assert places[0] == (0.0, 0.0)
    assert len(set(places)) == 9
    assert changer_place(4) == places[3]


def test_the_stage_reaches_every_cell_with_room_to_map_it():
    low, high = stage_limits(FOUR, 0)
    assert low <= -19.0 - 7.5
    assert high == 20.0
    assert stage_limits(Scenario(), 1) == (-20.0, 20.0)


def test_everything_that_overlaps_is_told_at_once():
    crowded = [Cell(), Cell(position=(3.0, 0.0)), Cell(position=(0.0, 14.0))]
    with pytest.raises(ValidationError) as told:
        Scenario(cells=tuple(crowded))
    text = str(told.value)
    assert "cell 1 at (0.0, 0.0) mm and cell 2 at (3.0, 0.0) mm lie 3.00 mm apart" in text
    assert "cell 2 at (3.0, 0.0) mm and the standard at (12.0, 0.0) mm" in text
    assert "cell 1 at (0.0, 0.0) mm and cell 3" in text


def test_each_stack_needs_its_electrode():
    bare = Cell(stack=(Layer(material="Al", thickness=0.1, depth=0.0),))
    with pytest.raises(ValidationError, match="stack of cell 1 must hold exactly one layer"):
        Scenario(cells=(bare,))


def test_a_frame_shows_the_cell_in_the_beam():
    model = FrameModel(FOUR)
    content = {1: 0.9, 2: 0.5, 3: 0.1, 4: 0.5}

    def frame(number):
        return model.expected(
            exposure_at(FOUR, FOUR.positions[number - 1]),
            lambda times: np.full(len(times), content[number]),
        )

    frames = {number: frame(number) for number in content}
    assert [seen.place.cell for seen in frames.values()] == [1, 2, 3, 4]
    assert {share.phase for share in frames[2].illuminated.shares} == {"NMC811"}
    for number in (1, 3, 4):
        assert frames[number].lithium_content == pytest.approx(content[number], abs=1e-9)
    # The same cell on another place, and the same photons: the same frame.
    alone = FOUR.model_copy(
        update={"cells": (FOUR.cells[3].model_copy(update={"position": None}),)}
    )
    same = FrameModel(alone).expected(
        exposure_at(alone, (0.0, 0.0)), lambda times: np.full(len(times), content[4])
    )
    np.testing.assert_allclose(frames[4].photons, same.photons, rtol=1e-12)
    assert np.abs(frames[1].photons - frames[3].photons).max() > 300


def test_a_cell_may_have_a_stack_of_its_own():
    thick = tuple(
        layer.model_copy(update={"thickness": 0.3}) if layer.material == "Al" else layer
        for layer in coin_cell_stack()
    )
    scenario = FOUR.model_copy(update={"cells": (Cell(**EVEN), Cell(stack=thick, **EVEN))})
    model = FrameModel(scenario)
    passed = [model.transmission(*place, 22163.0) for place in scenario.positions]
    assert passed[1] < 0.95 * passed[0]
    seen = [
        model.expected(exposure_at(scenario, place), lambda times: np.full(len(times), 0.5))
        for place in scenario.positions
    ]
    assert seen[1].transmission == pytest.approx(passed[1], rel=1e-3)
    assert model.optics_of(1) is not model.optics_of(2)


def test_cells_built_alike_share_optics_and_patterns():
    model = FrameModel(FOUR)
    assert model.optics_of(1) is model.optics_of(3)
    assert model.scene(22163.0, 1).patterns.nodes is model.scene(22163.0, 3).patterns.nodes


def test_the_staff_write_down_where_the_cells_are():
    assert site_notes(FOUR).cell_positions == {
        "cell1": (0.0, 0.0),
        "cell2": (0.0, 18.0),
        "cell3": (0.0, -18.0),
        "cell4": (-19.0, 1.0),
    }


def test_a_full_cell_has_the_hard_limits_of_a_full_cell():
    full = Cell(counter=CounterElectrode(material="graphite"))
    assert hard_limits(full) == (1.9, 4.0, 0.05)
    assert hard_limits(Cell()) == (2.0, 4.2, 0.05)
