import random

import pytest

from battbeam.experiment.cycler_log import LogStyle
from battbeam.experiment.local_time import time_zone
from battbeam.experiment.log_tail import MOST_OPEN, LogTail
from battbeam.sim.foreign_log import ec_lab_date as written_local

BERLIN = time_zone("Europe/Berlin")
STYLE = LogStyle(zone=BERLIN)
START = 1745139316.5


def head(started=START, columns="time/s\tEwe/V\tI/mA\tNs\t") -> str:
    date = written_local(started, zone=BERLIN)
    lines = ("EC-Lab ASCII FILE", "Nb header lines : 5", f"Acquisition started on : {date}", "")
    return "".join(f"{line}\r\n" for line in (*lines, columns))


def row(elapsed, step=0) -> str:
    return f"{elapsed:.3f}\t{3.3 + 1e-4 * elapsed:.5f}\t{2.9:.3f}\t{step}\r\n"


def tail(directory, **more) -> LogTail:
    return LogTail(directory, "*.mpt", form="mpt", style=STYLE, **more)


def write(directory, name, text, mode="ab"):
    with (directory / name).open(mode) as file:
        file.write(text.encode("latin-1"))


def times(rows):
    return [round(each.time - START, 3) for each in rows]


def test_a_file_cut_at_any_byte_gives_every_row_once(tmp_path):
    text = head() + "".join(row(10.0 * k) for k in range(40))
    rng, found, following = random.Random(3), [], tail(tmp_path)
    while text:
        n = rng.randint(1, 60)
        write(tmp_path, "a_C01.mpt", text[:n])
        text = text[n:]
        found += following.read(START + 1e4)
    assert times(found) == [10.0 * k for k in range(40)]
    assert len({each.key for each in found}) == 40


def test_the_next_file_goes_on_and_the_last_line_of_the_one_before_is_not_lost(tmp_path):
    following = tail(tmp_path)
    write(tmp_path, "a_01_CA_C01.mpt", head() + row(0) + row(10).rstrip("\r\n"))
    assert times(following.read(START)) == [0.0]
    write(tmp_path, "a_02_OCV_C01.mpt", head() + row(20, step=1))
    found = following.read(START)
    assert times(found) == [10.0, 20.0]
    assert len({each.acquisition for each in found}) == 1


def test_files_of_another_start_are_another_acquisition_in_the_order_of_starts(tmp_path):
    write(tmp_path, "b.mpt", head(START) + row(0))
    write(tmp_path, "a.mpt", head(START + 100) + row(0))
    found = tail(tmp_path).read(START + 200)
    assert times(found) == [0.0, 100.0]
    assert found[0].acquisition != found[1].acquisition


def test_a_new_reader_passes_over_what_is_known(tmp_path):
    write(tmp_path, "a.mpt", head() + row(0) + row(10))
    first = tail(tmp_path)
    assert len(first.read(START)) == 2
    write(tmp_path, "a.mpt", row(20))
    assert times(tail(tmp_path, positions=first.positions).read(START)) == [20.0]


def test_a_file_that_is_written_anew_gives_only_what_is_new(tmp_path):
    following = tail(tmp_path)
    write(tmp_path, "a.mpt", head() + "".join(row(10.0 * k) for k in range(5)))
    assert len(following.read(START)) == 5
    write(tmp_path, "a.mpt", head() + row(0), mode="wb")
    assert following.read(START) == []
    whole = head() + "".join(row(10.0 * k) for k in range(7))
    write(tmp_path, "a.mpt", whole, mode="wb")
    assert times(following.read(START)) == [50.0, 60.0]
    # The same name for another acquisition.
    write(tmp_path, "a.mpt", head(START + 1000) + row(0), mode="wb")
    assert times(following.read(START)) == [1000.0]


def test_a_header_that_grows_is_waited_for(tmp_path):
    text, following = head(), tail(tmp_path)
    for part in (text[:30], text[30:80], text[80:], row(0)[:4]):
        write(tmp_path, "a.mpt", part)
        assert following.read(START) == []
    write(tmp_path, "a.mpt", row(0)[4:])
    assert len(following.read(START)) == 1


def test_a_file_that_cannot_be_read_says_why_and_the_others_go_on(tmp_path):
    write(tmp_path, "a.mpt", "no header\r\n")
    write(tmp_path, "b.mpt", head() + row(0))
    following = tail(tmp_path)
    assert len(following.read(START)) == 1
    assert "no text of EC-Lab" in following.faults["a.mpt"]


def test_a_directory_that_is_away_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no directory"):
        tail(tmp_path / "share").read(START)


def test_many_files_keep_few_open_and_lose_nothing(tmp_path):
    following, found = tail(tmp_path), []
    for number in range(4 * MOST_OPEN):
        write(tmp_path, f"a_{number}.mpt", head(START + 10 * number) + row(0) + row(5))
        found += following.read(START + 1e4)
    assert times(found) == [5.0 * k for k in range(8 * MOST_OPEN)]
    assert len(following._files) == MOST_OPEN
    again = tail(tmp_path)
    assert times(again.read(START + 1e4)) == times(found)


def test_rows_older_than_what_was_handed_out_are_counted_and_left_out(tmp_path):
    following = tail(tmp_path)
    write(tmp_path, "a.mpt", head() + row(20))
    following.read(START)
    write(tmp_path, "a.mpt", row(10) + row(30))
    assert times(following.read(START)) == [30.0]
    assert following.n_late == 1


def test_a_table_that_rotates_is_one_acquisition(tmp_path):
    names = "test_time_second,voltage_volt,current_ampere,unix_time_second\n"
    for part in range(3):
        rows = [(3600.0 * part + k, START + (1 + 2e-5) * (3600.0 * part + k)) for k in range(3)]
        text = names + "".join(f"{t},3.3,0.001,{unix:.3f}\n" for t, unix in rows)
        write(tmp_path, f"cell_00{part}.csv", text)
    found = LogTail(tmp_path, "*.csv", form="bdf", style=STYLE).read(START + 1e5)
    assert len(found) == 9
    assert len({each.acquisition for each in found}) == 1
