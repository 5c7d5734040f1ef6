"""A cell seen again and again over months, and a week at one reading a second."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.log_parts import part, parts
from battbeam.experiment.timeline import CellTimeline
from battbeam.guard import log as guard_log
from battbeam.guard.log import Log, read_lines
from battbeam.storage.cell_run import CellRunTail, Mounts

START, MONTH = 1_750_000_000.0, 30 * 86_400.0
STEP = {"step_index": 0, "step_type": "constant_current", "step_count": 1, "cycle_number": 1}


def visit(log, number):
    """The cell is mounted for some minutes, a month after the last time."""
    begin, uid = START + number * MONTH, f"{number:08d}-0000-4000-8000-000000000000"
    log.write("mount", time=begin, cell_run=uid, passport=dict(EXAMPLE))
    log.write("clock", time=begin, device_time=begin, session_time=begin, uncertainty=0.01)
    for k in range(60):
        now = begin + 10.0 * k
        reading = {"voltage": 3.4, "current": 2.9e-3, "charge": 2.9e-3 * 10 * k / 3.6}
        log.write("sample", time=now, source="file", sequence=60 * number + k, **reading, **STEP)
        log.write("watermark", time=now, complete_to=now)
    log.write("dismount", time=begin + 600.0, cell_run=uid)


@pytest.fixture
def months(tmp_path, monkeypatch):
    """A year of visits, each by a guard started anew, in parts of ten kilobytes."""
    monkeypatch.setattr(guard_log, "PART_SIZE", 10_000)
    path = tmp_path / "log.jsonl"
    for number in range(12):
        log = Log(path)
        visit(log, number)
        log.close()
    return path


def test_a_log_in_parts_is_one_history_of_one_run_a_mounting(months):
    assert len(parts(months)) > 12
    assert all(part(months, k).exists() for k in range(len(parts(months))))
    numbers = [line["n"] for line in read_lines(months)]
    assert numbers == list(range(len(numbers)))
    log = CellLog(months)
    log.refresh()
    assert len(log.samples) == 12 * 60
    mounted = [each for each in log.mountings if each.cell_run]
    assert len(mounted) == 12
    assert len({json.dumps(dict(each.passport)) for each in mounted}) == 1
    timeline = CellTimeline(log)
    for number in range(12):
        during = timeline.at(START + number * MONTH + 100.0, START + number * MONTH + 110.0)
        assert during.middle.charge == pytest.approx(2.9e-3 * 105.0 / 3.6)
        assert during.cell_run == mounted[number].cell_run


def test_cell_runs_are_found_in_every_part_and_each_sample_once(months):
    mounts = list(Mounts(months).read())
    assert len(mounts) == 12
    for uid, offset in mounts:
        documents = CellRunTail(months, offset)
        found = []
        while batch := documents.read():
            found += batch
        assert found[0][1]["uid"] == uid
        assert found[-1][0] == "stop"
        primary = next(
            d["uid"] for n, d in found if n == "descriptor" and d.get("name") == "primary"
        )
        samples = [d for n, d in found if n == "event" and d["descriptor"] == primary]
        assert len(samples) == 60


def test_a_reader_follows_from_one_part_into_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(guard_log, "PART_SIZE", 500)
    writing, reading = Log(tmp_path / "log.jsonl"), CellLog(tmp_path / "log.jsonl")
    n_read = 0
    for k in range(100):
        writing.write("watermark", time=START + k, complete_to=START + k)
        n_read += reading.refresh()
    writing.close()
    assert n_read == 100
    assert reading.complete_to == START + 99
    assert len(parts(tmp_path / "log.jsonl")) > 10


def week(n_seconds):
    """Lines as a guard under current writes them, a sample and a live value a second."""
    charge, passport = 0.0, dict(EXAMPLE)
    yield {"kind": "mount", "time": START, "cell_run": "run", "passport": passport}
    for second in range(n_seconds):
        now = START + second
        charge += (2.9e-3 if (second // 3000) % 2 == 0 else -2.9e-3) / 3.6
        reading = {"voltage": 3.4, "current": 2.9e-3, "charge": charge}
        if second % 3 == 0:
            compared = {"device_time": now + 3.2, "session_time": now, "uncertainty": 0.02}
            yield {"kind": "clock", "time": now, **compared}
        yield {"kind": "sample", "source": "file", "time": now + 3.2, **reading, **STEP}
        yield {"kind": "live", "session_time": now, "time": now + 3.2, **reading}
        yield {"kind": "watermark", "time": now, "complete_to": now}
        yield {"kind": "watermark", "time": now + 0.5, "complete_to": now}


def resident() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def cost(timeline: CellTimeline, end: float) -> float:
    """CPU s of one exposure's state near a time."""
    began = time.process_time()
    for k in range(300):
        timeline.at(end - 30.0 - k, end - 20.0 - k)
    return (time.process_time() - began) / 300


@pytest.mark.acceptance
def test_a_week_at_a_reading_a_second_takes_little_memory_and_a_point_costs_the_same(tmp_path):
    warm = CellLog(tmp_path / "none.jsonl")
    for line in week(3600):
        warm.add(json.dumps(line))
    cost(CellTimeline(warm), warm.complete_to)
    log, costs, before = CellLog(tmp_path / "none.jsonl"), [], resident()
    timeline, next_look = CellTimeline(log), START + 3600.0
    for line in week(7 * 86_400):
        log.add(json.dumps(line))
        if log.complete_to >= next_look and line["kind"] == "watermark":
            next_look += 86_400.0
            costs.append(cost(timeline, log.complete_to))
    grown = resident() - before
    print(f"grown by {grown:.0f} MB; a point {1e3 * min(costs):.2f} to {1e3 * max(costs):.2f} ms")
    assert len(log.samples) == 604_800
    assert grown < 100
    # The first look and the last: the machine is not alone.
    assert np.median(costs[-3:]) < 2.0 * np.median(costs[:3])
