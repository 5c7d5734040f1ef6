import json
import tracemalloc

import numpy as np
import pytest

from battbeam.errors import ProcessError
from battbeam.sim.cell import HalfCell
from battbeam.sim.history import History, HistoryWriter, history_path
from battbeam.sim.lithium import full_capacity
from battbeam.sim.scenario import Cell, CounterElectrode, Plating

START = 1_750_000_000.0


@pytest.fixture
def path(tmp_path):
    return history_path(tmp_path, 1)


@pytest.fixture
def writer(path):
    writer = HistoryWriter(path)
    yield writer
    writer.close()


def test_the_history_of_a_channel_has_its_place(tmp_path):
    assert history_path(tmp_path, 2) == tmp_path / "sim" / "history_C2.jsonl"


def test_a_history_covers_what_was_written_and_flushed(path, writer):
    history = History(path)
    assert not history.covers(START)
    cell = HalfCell(Cell())
    writer.add(START, cell)
    cell.step(10.0, current=1e-3)
    writer.add(START + 10.0, cell)
    writer.flush()
    assert history.covers(START + 10.0)
    assert not history.covers(START + 10.1)


def test_states_between_model_steps_are_on_the_line_between_them(path, writer):
    cell = HalfCell(Cell())
    cell.step(0.0, current=1e-3)
    writer.add(START, cell)
    first = cell.lithium_content
    cell.step(10.0, current=1e-3)
    writer.add(START + 10.0, cell)
    writer.flush()
    state = History(path).at(np.array([START, START + 2.5, START + 10.0]))
    assert state.charge == pytest.approx(np.array([0.0, 2.5, 10.0]) * 1e-3 / 3.6, abs=1e-9)
    last = cell.lithium_content
    assert state.lithium_content[1] == pytest.approx(first + (last - first) / 4, abs=1e-9)
    assert state.side_charge[2] == pytest.approx(10e-3 / 3.6 * 1e-3, rel=1e-3)
    assert state.voltage[2] == pytest.approx(cell.voltage, abs=1e-6)


def test_where_the_current_jumps_the_state_after_the_jump_counts(path, writer):
    cell = HalfCell(Cell(initial_lithium_content=0.5))
    writer.add(START, cell)
    cell.step(5.0, current=0.0)
    writer.add(START + 5.0, cell)
    cell.step(0.0, current=2e-3)
    writer.add(START + 5.0, cell)
    cell.step(5.0, current=2e-3)
    writer.add(START + 10.0, cell)
    writer.flush()
    state = History(path).at(np.array([START + 4.9, START + 5.0, START + 5.1]))
    assert state.current == pytest.approx([0.0, 2e-3, 2e-3])


def test_times_outside_the_history_are_refused(path, writer):
    writer.add(START, HalfCell(Cell()))
    writer.flush()
    with pytest.raises(ValueError, match="lie outside the history"):
        History(path).at(np.array([START + 1.0]))


def test_half_a_line_is_left_until_it_is_whole(path):
    path.parent.mkdir(parents=True)
    writer = HistoryWriter(path)
    cell = HalfCell(Cell())
    writer.add(START, cell)
    writer.add(START + 1.0, cell)
    writer.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    history = History(path)
    assert history.covers(START)
    assert not history.covers(START + 1.0)
    path.write_bytes(whole)
    assert history.covers(START + 1.0)


def test_waiting_for_a_history_that_does_not_grow_ends_with_where_it_is(path, writer):
    writer.add(START, HalfCell(Cell()))
    writer.flush()
    history = History(path)
    history.wait(START, timeout=0.1)
    with pytest.raises(ProcessError, match=r"history_C1.jsonl: waited 0.05 s for .* it ends at"):
        history.wait(START + 5.0, timeout=0.05)


def write_lines(path, n, *, period=1.0):
    """A history in which lithium content falls by 1e-6 a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for index in range(n):
            file.write(
                f'{{"time": {START + index * period}, "lithium_content": {1 - index * 1e-6:.7f}, '
                f'"voltage": 3.4, "current": 0.001, "charge": {index}, "side_charge": 0, "cycles": 0}}\n'
            )


def test_what_lies_far_back_is_read_again_from_the_file(path):
    write_lines(path, 5000)
    history = History(path)
    times = START + np.array([4998.25, 0.0, 1023.5, 1024.0, 2047.75, 3000.5, 4999.0])
    state = history.at(times)
    assert state.charge == pytest.approx(times - START, abs=1e-6)
    assert state.lithium_content == pytest.approx(1 - (times - START) * 1e-6, abs=1e-9)


def test_a_jump_between_two_blocks_shows_the_state_after_it(path):
    write_lines(path, 1024)
    with path.open("a") as file:
        for offset, current in ((1023.0, 0.002), (1024.0, 0.002)):
            file.write(
                f'{{"time": {START + offset}, "lithium_content": 0.5, "voltage": 3.4, '
                f'"current": {current}, "charge": 1023, "side_charge": 0, "cycles": 0}}\n'
            )
    state = History(path).at(START + np.array([1022.5, 1023.0, 1023.5]))
    assert state.current == pytest.approx([0.001, 0.002, 0.002])


def test_a_week_of_history_stays_small_in_memory(path):
    write_lines(path, 8_000)
    history = History(path)
    tracemalloc.start()
    try:
        assert history.covers(START + 7_999)
        history.at(START + np.linspace(0, 7_999, 500))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A week at a line a second is seventy times as long; only the index grows with it.
    assert grown < 1.5e6
    assert len(history._block_times) == 8_000 // 1024


def test_lines_without_what_a_cell_does_not_have_say_that_it_has_none(path):
    write_lines(path, 2)
    state = History(path).at(np.array([START + 0.5]))
    assert np.isnan(state.counter_content[0])
    besides = (state.counter_lag, state.metal, state.plated, state.dead, state.displacement)
    assert [float(values[0]) for values in besides] == [0.0] * 5


def test_a_plain_cells_lines_hold_what_they_always_held(path, writer):
    writer.add(START, HalfCell(Cell()))
    writer.flush()
    names = ["time", "lithium_content", "voltage", "current", "charge", "side_charge", "cycles"]
    assert list(json.loads(path.read_text())) == names


def test_the_history_of_a_full_cell_has_both_electrodes_and_the_metal(path, writer):
    counter = CounterElectrode(material="graphite", initial_lithium_content=0.85)
    cell = Cell(chemistry="nmc811", counter=counter, plating=Plating(onset_cycle=0.0))
    half = HalfCell(cell)
    for offset in (0.0, 300.0, 600.0):
        writer.add(START + offset, half)
        half.step(300.0, current=2e-3 if offset == 0 else -1e-3)
    writer.flush()
    state = History(path).at(START + np.array([0.0, 300.0, 600.0]))
    lithium = state.counter_content * cell.counter.capacity_ratio * full_capacity(cell)
    gained = np.diff(lithium + state.metal)
    assert gained[0] == pytest.approx(2e-3 / 3.6 * 300 * 0.9995, rel=1e-6)
    assert gained[1] == pytest.approx(-1e-3 / 3.6 * 300, rel=1e-6)
    assert state.counter_lag[1] > 0
    assert state.plated[1] > 0
    assert 0 < state.dead[2] < state.plated[1]
