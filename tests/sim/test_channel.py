import itertools
import random

import pytest

from battbeam.sim.cell import HalfCell
from battbeam.sim.channel import Channel, State
from battbeam.sim.data_file import COLUMNS, DataFiles
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.scenario import Cell
from battbeam.sim.technique import Exit, LimitTest, Step, Technique

START = 1_750_000_000.0
CELL = Cell(voltage_noise=0.0)


def rest(duration, **more):
    step = Step("rest", 0.0, is_relative=False, duration=duration)
    return Technique("OCV", (step,), **({"record_interval": 10.0} | more))


def current(value, duration, *tests, way=Exit.NEXT_STEP, relative=False):
    return Step("current", value, is_relative=relative, duration=duration, tests=tests, exit=way)


def voltage(value, duration, *tests, relative=False):
    return Step("voltage", value, is_relative=relative, duration=duration, tests=tests)


def above(value):
    return LimitTest("voltage", is_above=True, value=value, joins_by_and=False)


def below(value):
    return LimitTest("voltage", is_above=False, value=value, joins_by_and=False)


def run(techniques, *, cell=CELL, drift=0.0, stride=1.2, longest=40_000.0):
    """A channel that has run its list."""
    clock = DeviceClock(START - 100.0, offset=3.2, drift=drift)
    channel = Channel(HalfCell(cell), time=START, clock=clock, noise=random.Random(1))
    channel.load(tuple(techniques))
    channel.start()
    while channel.state is State.RUNNING and channel.time < START + longest:
        channel.advance(channel.time + stride)
    return channel


def test_records_are_made_at_the_interval_and_at_start_and_end_of_each_step():
    channel = run([rest(25.0)])
    assert [record.elapsed for record in channel.records] == pytest.approx([0.0, 10.0, 20.0, 25.0])
    assert [record.ends_step for record in channel.records] == [False, False, False, True]


def test_the_number_of_a_record_counts_from_one_without_a_gap():
    technique = Technique("CP", (current(1e-3, 35.0), current(0.0, 12.0)), record_interval=10.0)
    channel = run([rest(30.0), technique, rest(5.0)])
    numbers = [record.sequence for record in channel.records]
    assert numbers == list(range(1, len(numbers) + 1))
    assert [record.entry for record in channel.records] == sorted(
        record.entry for record in channel.records
    )
    assert channel.records[-1].entry == 3


def test_the_last_record_of_a_step_and_the_first_of_the_next_are_at_one_time():
    technique = Technique("CP", (current(1e-3, 35.0), current(-1e-3, 12.0)), record_interval=10.0)
    records = run([technique]).records
    last = next(record for record in records if record.ends_step)
    first = records[records.index(last) + 1]
    assert (last.step, first.step) == (0, 1)
    assert last.time == first.time
    assert (last.current, first.current) == (1e-3, -1e-3)


@pytest.mark.parametrize("stride", [0.3, 1.2, 50.0])
def test_a_voltage_limit_ends_a_step_where_it_is_met_whatever_the_stride(stride):
    technique = Technique("CPLIMIT", (current(1.5e-3, 40_000.0, above(3.6)),), record_interval=10.0)
    channel = run([technique], stride=stride)
    last = channel.records[-1]
    assert last.ends_step
    assert last.voltage == pytest.approx(3.6, abs=1e-5)
    fine = HalfCell(CELL)
    n_steps = 0
    while fine.voltage < 3.6:
        fine.step(0.1, current=1.5e-3)
        n_steps += 1
    assert (n_steps - 1) * 0.1 < last.elapsed <= n_steps * 0.1
    assert channel.state is State.STOPPED


def test_a_current_limit_ends_a_constant_voltage():
    falls = LimitTest("current", is_above=False, value=3e-4, joins_by_and=False)
    technique = Technique("CALIMIT", (voltage(3.5, 40_000.0, falls),), record_interval=10.0)
    last = run([technique], cell=Cell(initial_lithium_content=0.5)).records[-1]
    assert last.current == pytest.approx(3e-4, rel=1e-4)


def test_a_step_whose_test_holds_at_once_ends_after_the_shortest_time():
    technique = Technique("CPLIMIT", (current(1e-3, 100.0, above(2.0)),), record_interval=10.0)
    records = run([technique, rest(5.0)]).records
    assert [record.technique for record in records[:3]] == [0, 0, 1]
    assert records[1].elapsed == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("way", "then"),
    [(Exit.NEXT_STEP, [(0, 0), (0, 1), (1, 0)]), (Exit.NEXT_TECHNIQUE, [(0, 0), (1, 0)])],
)
def test_the_exit_condition_says_where_to_go(way, then):
    steps = (current(1.5e-3, 40_000.0, above(3.2), way=way), current(-1e-3, 10.0))
    records = run([Technique("CPLIMIT", steps), rest(5.0)]).records
    assert [(r.technique, r.step) for r in records if r.ends_step] == then


def test_the_exit_condition_stop_ends_the_list_at_open_circuit():
    steps = (current(1.5e-3, 40_000.0, above(3.2), way=Exit.STOP), current(-1e-3, 10.0))
    channel = run([Technique("CPLIMIT", steps), rest(5.0)])
    assert [(r.technique, r.step) for r in channel.records if r.ends_step] == [(0, 0)]
    assert channel.cell.current == 0.0


def test_a_step_whose_time_is_over_goes_to_the_next_one():
    steps = (current(1e-3, 20.0, above(4.0), way=Exit.STOP), current(-1e-3, 10.0))
    records = run([Technique("CPLIMIT", steps)]).records
    assert [(r.step, r.elapsed) for r in records if r.ends_step] == [
        (0, pytest.approx(20.0)),
        (1, pytest.approx(30.0)),
    ]


def test_a_technique_is_repeated_and_a_loop_goes_back():
    technique = Technique("CP", (current(1e-3, 5.0), current(-1e-3, 5.0)), n_repeats=1)
    loop = Technique("LOOP", n_loops=2, target=0)
    channel = run([technique, loop, rest(3.0)])
    ends = [(r.technique, r.cycle, r.step, r.loop) for r in channel.records if r.ends_step]
    turn = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]
    assert ends == [(*place, loop) for loop in range(3) for place in turn] + [(2, 0, 0, 2)]
    assert channel.elapsed >= 63.0


def test_a_relative_step_counts_from_where_the_technique_began():
    cell = Cell(initial_lithium_content=0.5, voltage_noise=0.0)
    at_rest = HalfCell(cell).voltage
    records = run([Technique("CA", (voltage(0.01, 20.0, relative=True),))], cell=cell).records
    assert records[0].voltage == pytest.approx(at_rest + 0.01, abs=1e-6)


def test_a_change_of_voltage_makes_a_record_when_asked_for():
    technique = Technique("CP", (current(1.5e-3, 600.0),), record_voltage=0.02)
    records = run([technique]).records
    changes = [b.voltage - a.voltage for a, b in itertools.pairwise(records[:-1])]
    assert len(changes) > 5
    assert all(0.02 <= change < 0.03 for change in changes)


def test_elapsed_time_and_durations_are_those_of_the_drifting_clock():
    channel = run([rest(1000.0)], drift=1e-3)
    last = channel.records[-1]
    assert last.elapsed == pytest.approx(1000.0, abs=1e-6)
    assert last.time - START == pytest.approx(1000.0 / 1.001, abs=1e-6)


def test_the_cyclers_clock_is_off_and_drifts():
    clock = DeviceClock(start=START, offset=3.2, drift=20e-6)
    assert clock.at(START) == START + 3.2
    assert clock.at(START + 10_000.0) == pytest.approx(START + 10_003.4)


def test_stop_records_the_last_moment_opens_the_circuit_and_forgets_the_list():
    channel = run([Technique("CP", (current(1e-3, 1000.0),))], longest=100.0)
    channel.stop()
    assert channel.records[-1].ends_step
    assert channel.records[-1].time == channel.time
    assert (channel.state, channel.cell.current) == (State.STOPPED, 0.0)
    with pytest.raises(ValueError, match=r"nothing is loaded; put LOADTECH:SP first"):
        channel.start()


def test_a_running_channel_refuses_a_list_and_a_second_start():
    channel = run([rest(1000.0)], longest=10.0)
    with pytest.raises(ValueError, match="stop it before loading"):
        channel.load((rest(1.0),))
    with pytest.raises(ValueError, match="the channel runs already"):
        channel.start()


def test_a_second_start_counts_elapsed_time_and_records_anew():
    channel = run([rest(20.0)])
    channel.records.clear()
    channel.advance(channel.time + 100.0)
    channel.load((rest(5.0),))
    channel.start()
    assert channel.elapsed == 0.0
    assert [(r.sequence, r.entry, r.elapsed) for r in channel.records] == [(1, 1, 0.0)]


def test_charge_from_the_records_by_trapezoid_is_that_of_the_cell():
    steps = (current(1.5e-3, 40_000.0, above(3.6)), current(-1.5e-3, 40_000.0, below(2.7)))
    hold = voltage(3.0, 3600.0)
    channel = run(
        [
            Technique("CPLIMIT", steps, record_interval=10.0),
            rest(60.0),
            Technique("CA", (hold,), record_interval=10.0),
        ]
    )
    records = channel.records
    charge = sum(
        (a.current + b.current) / 2 * (b.elapsed - a.elapsed)
        for a, b in itertools.pairwise(records)
    )
    assert charge == pytest.approx(channel.cell.charge, abs=2e-4 * 10.6)


def test_little_work_is_done_at_a_time_so_that_others_get_their_turn():
    channel = run([Technique("CP", (current(1e-3, 50_000.0),))], longest=1.0)
    assert not channel.advance(channel.time + 5000.0, n_most=100)
    assert channel.advance(channel.time + 50.0, n_most=100)


def test_a_data_file_is_written_for_each_technique(tmp_path):
    files = DataFiles(1, buffered=False)
    channel = run([rest(15.0), Technique("CP", (current(1e-3, 5.0),))])
    for record in channel.records:
        files.write(record, prefix=str(tmp_path / "cell"), started=START + 3.2)
    files.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "cell_20250615T150640_C1_T0_OCV_0.csv",
        "cell_20250615T150640_C1_T1_CP_1.csv",
    ]
    lines = (tmp_path / names[0]).read_text().splitlines()
    assert lines[:3] == ["# Channel: 1", "# Technique: OCV", "# Started: 1750000003.200000"]
    assert lines[3] == ",".join(COLUMNS)
    assert lines[4].startswith("2025-06-15T15:06:40.000,0.000000,0,3.10")
    assert [line.rsplit(",", 1)[1] for line in lines[4:]] == ["1", "2", "3"]
    assert files.path == tmp_path / names[1]


@pytest.mark.parametrize(("buffered", "n_seen"), [(False, 2), (True, 0)])
def test_records_are_in_the_file_at_once_unless_the_cycler_buffers(tmp_path, buffered, n_seen):
    files = DataFiles(1, buffered=buffered)
    channel = run([rest(15.0)])
    for record in channel.records[:2]:
        files.write(record, prefix=str(tmp_path / "cell"), started=START)
    files.flush()
    lines = next(tmp_path.iterdir()).read_text().splitlines()
    assert len(lines) == 4 + n_seen
    files.write(channel.records[2], prefix=str(tmp_path / "cell"), started=START)
    files.flush()
    assert len(next(tmp_path.iterdir()).read_text().splitlines()) == 4 + 3
