import numpy as np
import pytest

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.drivers.eclab_files import SegmentFiles, likeliest_step
from battbeam.guard.drivers.eclab_listing import listing

REST = Step(0, StepType.REST, duration=60.0)
CHARGE = Step(1, StepType.CONSTANT_CURRENT, current=2e-3, until_voltage=4.0, direction=1)
DISCHARGE = Step(2, StepType.CONSTANT_CURRENT, current=-2e-3, until_voltage=3.0, direction=-1)
HELD = listing([REST, CHARGE, DISCHARGE])

SIMULATED = "AbsTime,Time,Loop,Ewe,I,Cycle,Technique,Step,Sequence\n"
OCV = "# Channel: 1\n# Technique: OCV\n# Started: 1000.5\n" + SIMULATED


def row(elapsed, voltage, current, technique, step, *, loop=0):
    stamp = "2025-06-15T16:07:22.096"
    return f"{stamp},{elapsed},{loop},{voltage},{current},0,{technique},{step},1\n"


@pytest.fixture
def files(tmp_path):
    return SegmentFiles(tmp_path, "cell1_abc", HELD)


def test_records_are_read_once_in_order_and_a_half_written_line_waits(tmp_path, files):
    path = tmp_path / "cell1_abc_20250615T160722_C1_T0_OCV_0.csv"
    half = row(10, 3.2, 0, 0, 0)
    path.write_text(OCV + row(0, 3.1, 0, 0, 0) + half[:20])
    files.find()
    assert [record.elapsed for record in files.read()] == [0.0]
    with path.open("a") as file:
        file.write(half[20:])
    (record,) = files.read()
    assert (record.elapsed, record.voltage, record.time) == (10.0, 3.2, 1010.5)
    assert record.key == f"{path.name}:2"
    assert files.read() == []


def test_the_files_of_several_techniques_follow_each_other(tmp_path, files):
    second = tmp_path / "cell1_abc_x_C1_T1_CPLIMIT_10.csv"
    first = tmp_path / "cell1_abc_x_C1_T0_OCV_9.csv"
    other = tmp_path / "cell1_other_x_C1_T0_OCV_1.csv"
    second.write_text(OCV + row(60, 3.2, 2e-3, 1, 0) + row(90, 3.2, -2e-3, 1, 1))
    first.write_text(OCV + row(0, 3.1, 0, 0, 0))
    other.write_text(OCV + row(5, 3.1, 0, 0, 0))
    files.find()
    assert [(record.elapsed, record.step) for record in files.read()] == [(0, 0), (60, 1), (90, 2)]


def test_records_that_are_known_are_passed_over(tmp_path):
    path = tmp_path / "cell1_abc_x_C1_T0_OCV_0.csv"
    path.write_text(OCV + row(0, 3.1, 0, 0, 0) + row(10, 3.1, 0, 0, 0))
    files = SegmentFiles(tmp_path, "cell1_abc", HELD, keys={f"{path.name}:1"})
    files.find()
    assert [record.elapsed for record in files.read()] == [10.0]


def test_files_of_the_real_ioc_are_read_too(tmp_path, files):
    rest = tmp_path / "cell1_abc_20250615T160722_C0_T0_OCV_0.csv"
    rest.write_text("AbsTime,Time,Loop,Ewe\n2025-06-15T16:07:32.000,10,0,3.1\n")
    charge = tmp_path / "cell1_abc_20250615T160722_C0_T1_CPLIMIT_1.csv"
    lines = [(60, 2e-3), (70, 1.99e-3), (80, -2e-3), (90, -2e-3)]
    rows = "".join(f"2025-06-15T16:08:22.000,{t},0,3.2,{current},0\n" for t, current in lines)
    charge.write_text("AbsTime,Time,Loop,Ewe,I,Cycle\n" + rows)
    files.find()
    records = files.read()
    assert [record.step for record in records] == [0, 1, 1, 2, 2]
    assert records[0].current == 0
    assert records[0].time == pytest.approx(1750003652.0)


def test_a_step_of_a_list_that_is_gone_through_again_is_told_by_its_loop(tmp_path):
    files = SegmentFiles(tmp_path, "cell1_abc", listing([CHARGE, REST] * 3))
    for number in range(6):
        loop, technique = divmod(number, 2)
        name = ("CPLIMIT", "OCV")[technique]
        path = tmp_path / f"cell1_abc_x_C1_T{technique}_{name}_{number}.csv"
        path.write_text(OCV + row(number, 3.2, 0, technique, 0, loop=loop))
    files.find()
    assert [record.step for record in files.read()] == list(range(6))
    assert files.read() == []
    assert [file.is_done for file in files._files] == [True] * 5 + [False]


def test_a_spectrum_is_read_from_its_own_file(tmp_path):
    spectrum = Step(1, StepType.IMPEDANCE, frequency_start=10.0, frequency_end=1.0, amplitude=0.01)
    files = SegmentFiles(tmp_path, "cell1_abc", listing([REST, spectrum]))
    header = "AbsTime,Time,Loop,Freq,Mod Ewe,Mod I,Phase Zwe,Ewe,I\n"
    path = tmp_path / "cell1_abc_x_C1_T1_PEIS_1_1.csv"
    lines = "2025-06-15T16:07:23.5,1,0,10,0.01,0.001,-0.5,3.4,0\nnonsense\n,2,0,1,0.01,0,0,3.4,0\n"
    path.write_text("# Started: 1000.5\n" + header + lines)
    path.with_name("cell1_abc_x_C1_T1_PEIS_1_0.csv").write_text(
        "# Started: 1000.5\nAbsTime,Time,Loop,Ewe,I\n2025-06-15T16:07:22.5,0,0,3.4,0\n"
    )
    files.find()
    found = {type(each).__name__: each for each in files.read()}
    point = found["Impedance"]
    assert (point.time, point.frequency, point.step) == (1001.5, 10.0, 1)
    assert point.real == pytest.approx(10 * np.cos(0.5))
    assert point.imaginary == pytest.approx(-10 * np.sin(0.5))
    assert found["Record"].step == 1


def test_a_way_of_a_scan_is_told_by_its_time_where_the_file_does_not_say(tmp_path):
    up = Step(0, StepType.VOLTAGE_SCAN, voltage=3.0, voltage_end=4.0, scan_rate=0.1)
    down = Step(1, StepType.VOLTAGE_SCAN, voltage=4.0, voltage_end=3.0, scan_rate=0.1)
    files = SegmentFiles(tmp_path, "cell1_abc", listing([up, down]))
    path = tmp_path / "cell1_abc_x_C1_T0_CV_0.csv"
    rows = [f"2025-06-15T16:07:22.0,{100 + t},0,1e-3,3.5,0\n" for t in (0, 9, 11, 20)]
    path.write_text("AbsTime,Time,Loop,I,Ewe,Cycle\n" + "".join(rows))
    files.find()
    assert [record.step for record in files.read()] == [0, 0, 1, 1]


def test_the_voltage_of_three_electrodes_is_that_between_both(tmp_path, files):
    path = tmp_path / "cell1_abc_x_C1_T0_OCV_0.csv"
    path.write_text("# Started: 1000.5\nAbsTime,Time,Loop,Ewe,I,Cycle,Ece\n,1,0,3.9,0,0,0.15\n")
    files.find()
    (record,) = files.read()
    assert (record.voltage, record.voltage_counter) == (pytest.approx(3.75), 0.15)


def test_a_row_without_a_time_is_no_record(tmp_path, files):
    path = tmp_path / "cell1_abc_x_C1_T0_OCV_0.csv"
    path.write_text(OCV + "nonsense\n" + row("", 3.1, 0, 0, 0) + row(1, 3.1, 0, 0, 0))
    files.find()
    assert [record.elapsed for record in files.read()] == [1.0]


def test_a_voltage_step_is_told_by_its_voltage():
    steps = [Step(k, StepType.CONSTANT_VOLTAGE, voltage=3.0 + k / 10) for k in range(3)]
    (technique,) = listing(steps).techniques
    assert likeliest_step(technique, 0, voltage=3.02, current=0.1) == 0
    assert likeliest_step(technique, 0, voltage=3.09, current=0.1) == 1
    assert likeliest_step(technique, 2, voltage=3.0, current=0.1) == 2
