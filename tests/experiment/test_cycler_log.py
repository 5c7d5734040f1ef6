import math

import pytest

from battbeam.experiment.bdf import LABELS, BdfReader
from battbeam.experiment.cycler_log import LogStyle, Span, decoded
from battbeam.experiment.local_time import time_zone
from battbeam.experiment.mpt import MptReader
from battbeam.experiment.protocol import StepType

STYLE = LogStyle(zone=time_zone("Europe/Berlin"))
START = 1745139316.521  # 04/20/2025 10:55:16.521 in Berlin
COLUMNS = ("mode", "Ns", "time/s", "Ewe/V", "I/mA", "cycle number", "Analog IN 1/V")


def mpt(
    rows=(),
    *,
    started="04/20/2025 10:55:16.521",
    columns=COLUMNS,
    technique="Constant Current",
) -> list[str]:
    head = [
        "EC-Lab ASCII FILE",
        "Nb header lines : 8",
        "",
        technique,
        f"Acquisition started on : {started}",
        "Electrode surface area : 1.767 cm²",
        "",
        "\t".join(columns) + "\t",
    ]
    return [*head, *("\t".join(map(str, row)) for row in rows)]


def read(reader, lines):
    return [row for line in lines if (row := reader.row(line + "\r\n")) is not None]


def test_rows_of_ec_lab_have_time_volts_amperes_step_and_mode():
    rows = [(1, 0, "0.0", "3.41", "2.9", "1", "0.02"), (3, 1, "10.0", "3.40", "0", "2", "4.9")]
    reader = MptReader("cell_C01.mpt", STYLE, Span())
    first, last = read(reader, mpt(rows))
    assert (first.time, last.time) == (START, START + 10.0)
    assert (first.voltage, first.current) == (3.41, pytest.approx(2.9e-3))
    assert (first.mode, last.mode) == (StepType.CONSTANT_CURRENT, StepType.REST)
    assert (last.step, last.cycle) == (1, 2)
    assert first.key == "cell_C01.mpt@1745139317:1"
    assert first.acquisition == last.acquisition


def test_a_decimal_comma_other_units_and_a_sign_are_read():
    columns = ("time/s", "Ewe/mV", "<I>/µA")
    rows = [("1,000E+001", "3,41E+003", "-2,9E+003")]
    style = LogStyle(zone=STYLE.zone, sign=-1)
    (row,) = read(MptReader("a.mpt", style, Span()), mpt(rows, columns=columns))
    assert row.time == START + 10.0
    assert row.voltage == pytest.approx(3.41)
    assert row.current == pytest.approx(2.9e-3)


def test_open_circuit_has_no_column_of_current_and_no_current():
    lines = mpt([("5", "3.3")], columns=("time/s", "Ewe/V"), technique="Open Circuit Voltage")
    (row,) = read(MptReader("a.mpt", STYLE, Span()), lines)
    assert (row.current, row.mode) == (0.0, StepType.REST)


def test_the_text_may_be_of_windows_or_utf_8():
    for encoding in ("latin-1", "utf-8", "utf-8-sig"):
        assert decoded("Temperature/°C".encode(encoding)) == "Temperature/°C"


def test_a_column_asked_for_and_the_markers_column_are_taken():
    columns = ("time/s", "Ewe/V", "Ecell/V", "I/A", "Analog IN 1/V")
    style = LogStyle(zone=STYLE.zone, voltage_column="Ecell/V", marker_column="Analog IN 1/V")
    reader = MptReader("a.mpt", style, Span())
    (row,) = read(reader, mpt([(0, 3.4, 3.3, 1e-3, 5.0)], columns=columns))
    assert (row.voltage, row.current, row.marker) == (3.3, 1e-3, 5.0)


def test_rows_may_be_dated_instead_of_timed():
    rows = [("04/20/2025 10:55:26.521", "3.4", "1")]
    (row,) = read(MptReader("a.mpt", STYLE, Span()), mpt(rows, columns=("time/s", "Ewe/V", "I/mA")))
    assert row.time == pytest.approx(START + 10.0)


def test_a_row_with_too_few_cells_or_words_is_counted_and_left_out():
    rows = [(1, 0, 0.0), (1, 0, "later", "3.41", "2.9", "1", "0"), (1, 0, 2.0, 3.4, 1, 1, 0)]
    reader = MptReader("a.mpt", STYLE, Span())
    (row,) = read(reader, mpt(rows))
    assert row.key.endswith(":3")
    assert reader.n_unreadable == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["Voltage,Current"], "no text of EC-Lab"),
        (mpt(columns=("time/s", "I/mA")), "missing: voltage"),
        (mpt(columns=("time/s", "Ewe/V")), "missing: current"),
        (mpt(columns=("Ewe/V", "I/mA")), "missing: time/s"),
        (mpt(started="04/05/2025 10:00:00"), "date_order"),
        ([each for each in mpt() if "started" not in each] + ["a\tb"], "missing"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        read(MptReader("a.mpt", STYLE, Span()), lines)


def test_a_header_in_the_middle_begins_anew():
    lines = mpt([(1, 0, 0, 3.4, 1, 1, 0)])
    second = mpt([(0.0, 3.5, 2)], columns=("time/s", "Ewe/V", "I/mA"))
    first, last = read(MptReader("a.mpt", STYLE, Span()), [*lines, *second])
    assert (last.voltage, last.current) == (3.5, 2e-3)
    assert first.key != last.key


@pytest.mark.parametrize("names", [list(LABELS), list(LABELS.values())], ids=["machine", "label"])
def test_a_table_of_the_battery_data_format_is_read_by_either_name(names):
    cells = {"unix_time_second": START + 5.0, "test_time_second": 5.0, "voltage_volt": 3.4}
    cells |= {"current_ampere": 1e-3, "cycle_count": 2, "step_count": 7, "step_index": 3}
    line = ",".join(str(cells.get(name, 25.0)) for name in LABELS)
    reader = BdfReader("a.bdf.csv", STYLE, Span())
    (row,) = read(reader, [",".join(names), line])
    assert (row.time, row.voltage, row.current) == (START + 5.0, 3.4, 1e-3)
    assert (row.step, row.cycle, row.mode, row.temperature) == (7, 2, None, 25.0)
    assert reader.started.time == pytest.approx(START)


def test_a_table_with_semicolons_and_decimal_commas_is_read():
    lines = [";".join(list(LABELS)[:4]), "5,0;3,4;-0,001;1745139321,5"]
    (row,) = read(BdfReader("a.csv", STYLE, Span()), lines)
    assert (row.time, row.voltage, row.current) == (1745139321.5, 3.4, -0.001)


def test_a_table_without_unix_time_is_refused():
    with pytest.raises(ValueError, match=r"unix_time_second \(Unix Time / s\)"):
        read(BdfReader("a.csv", STYLE, Span()), [",".join(list(LABELS)[:3])])


def test_a_voltage_that_is_no_number_stays_unknown():
    reader = MptReader("a.mpt", STYLE, Span())
    (row,) = read(reader, mpt([(1, 0, 0.0, "nan", 1.0, 1, 0)]))
    assert math.isnan(row.voltage)
