"""A cell that moves along the beam while it is cycled."""

import numpy as np
import pytest

from battbeam.sim.cell import HalfCell
from battbeam.sim.history import History, HistoryWriter
from battbeam.sim.lithium import full_capacity
from battbeam.sim.motion import depths
from battbeam.sim.scenario import Cell, Motion
from battbeam.sim.scenario_cell import coin_cell_stack


def test_a_cell_moves_with_the_charge_and_back():
    half = HalfCell(Cell(motion=Motion(amplitude=0.1), initial_lithium_content=0.9))
    current = full_capacity(half.truth) * 1e-3
    half.step(1800.0, current=current)
    assert half.displacement == pytest.approx(0.05)
    half.step(1800.0, current=-current)
    assert half.displacement == pytest.approx(0.0, abs=1e-12)


def test_a_cell_jumps_at_its_time():
    half = HalfCell(Cell(motion=Motion(amplitude=-0.05, law="step", at=100.0)))
    half.step(99.0, current=1e-3)
    assert half.displacement == 0.0
    half.step(1.0, current=1e-3)
    assert half.displacement == -0.05


def test_a_cell_without_motion_stands_still():
    half = HalfCell(Cell())
    half.step(1800.0, current=1e-3)
    assert half.displacement == 0.0


def test_the_casing_stays_where_it_is():
    layers = coin_cell_stack()
    moved = dict(zip([layer.material for layer in layers], depths(layers, 0.1), strict=True))
    assert moved["active"] == pytest.approx(0.1)
    assert moved["Al"] == pytest.approx(0.14)
    assert (moved["steel"], moved["Kapton"]) == (1.45, 1.5)


def test_the_history_knows_where_the_cell_was(tmp_path):
    half = HalfCell(Cell(motion=Motion(amplitude=0.1)))
    writer = HistoryWriter(tmp_path / "history.jsonl")
    half.step(0.0, current=full_capacity(half.truth) * 1e-3)
    writer.add(0.0, half)
    half.step(3600.0 / 4, current=full_capacity(half.truth) * 1e-3)
    writer.add(900.0, half)
    writer.close()
    state = History(tmp_path / "history.jsonl").at(np.array([0.0, 450.0, 900.0]))
    assert state.displacement == pytest.approx([0.0, 0.0125, 0.025], abs=1e-9)
