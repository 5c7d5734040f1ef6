import json
import math

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.clock_relation import clock_relation, middle_of_exposure
from battbeam.experiment.timeline import CellTimeline

START, CAPACITY = 1_750_000_000.0, 2.9
OFFSET, DRIFT = 120.0, 50e-6
CURRENT = CAPACITY * 1e-3  # 1C


class Protocol:
    """Rest, charge at 1C, rest, nothing, discharge at C/2.

    Times are s after START on the session's clock; the cycler stands still from 2400 to 3000.
    """

    edges = (300.0, 900.0, 1800.0, 2400.0, 3000.0, 3600.0)
    currents = (0.0, CURRENT, 0.0, None, -0.5 * CURRENT)

    def current(self, time: float) -> float:
        for left, right, current in zip(self.edges, self.edges[1:], self.currents, strict=False):
            if left <= time < right:
                return current or 0.0
        return 0.0

    def charge(self, time: float) -> float:
        total = 0.0
        for left, right, current in zip(self.edges, self.edges[1:], self.currents, strict=False):
            total += (current or 0.0) * (min(max(time, left), right) - left) / 3.6
        return total

    def voltage(self, time: float) -> float:
        return 3.3 + 0.1 * self.charge(time) + 10.0 * self.current(time)


def device(time: float) -> float:
    return START + time + OFFSET + DRIFT * time


def records(cell: Protocol, interval: float):
    """(session time, current, charge, step count) of each record, two at every edge."""
    step = 0
    for left, right, current in zip(cell.edges, cell.edges[1:], cell.currents, strict=False):
        if current is None:
            continue
        step += 1
        times = [*np.arange(left, right, interval), right]
        for time in times:
            yield float(time), current, cell.charge(time), step


def entries(
    cell: Protocol, *, interval: float = 10.0, live: float = 1.2, jitter: float = 0.0, seed: int = 1
):
    """What a guard writes, in the order of time; watermarks every 30 s, records read 2 s late."""
    rng = np.random.default_rng(seed)
    found = []
    for sequence, (time, current, charge, step) in enumerate(records(cell, interval)):
        sample = {
            "source": "file",
            "time": device(time),
            "sequence": sequence,
            "current": current,
            "charge": charge,
        }
        sample |= {
            "voltage": 3.3 + 0.1 * charge + 10.0 * current,
            "step_index": step,
            "step_count": step,
        }
        found.append((time + 2.0, "sample", sample | {"cycle_number": 1}))
    for time in np.arange(0.0, 3700.0, live):
        sample = {
            "source": "live",
            # The cycler's clock is not known before its first start.
            "time": device(time) if time >= cell.edges[0] else None,
            "session_time": START + time,
            "current": cell.current(time),
            "voltage": cell.voltage(time),
        }
        found.append((time + 0.1, "live", sample))
    nobody_knows = {"device_time": START, "session_time": START, "uncertainty": 60.0}
    found.append((0.0, "clock", nobody_knows))
    found.append((100.0, "watermark", {"complete_to": START + 100.0}))
    for time in np.arange(cell.edges[0] + 1.0, 3700.0, 30.0):
        noise = jitter * rng.standard_normal()
        session = START + time
        found.append(
            (
                time,
                "clock",
                {
                    "device_time": device(time) + noise,
                    "session_time": session,
                    "uncertainty": max(jitter, 1e-3),
                },
            )
        )
        found.append((time + 5.0, "watermark", {"complete_to": session}))
    mount = {"cell_run": "run", "passport": dict(EXAMPLE), "time": START}
    yield "mount", mount
    for time, kind, entry in sorted(found, key=lambda each: each[0]):
        yield kind, {"time": START + time, **entry}


def write(path, lines) -> CellLog:
    with path.open("w") as file:
        for n, (kind, entry) in enumerate(lines):
            file.write(json.dumps({"n": n, "kind": kind, **entry}) + "\n")
    log = CellLog(path)
    log.refresh()
    return log


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> CellLog:
    return write(tmp_path_factory.mktemp("guard") / "log.jsonl", entries(Protocol()))


EXPOSURES = [
    (t, t + length)
    for t in np.linspace(20.0, 3500.0, 40)
    for length in (1.0, 25.0, 300.0)
    if t + length < 3600
]


@pytest.mark.parametrize(("start", "end"), EXPOSURES[::3])
def test_charge_and_voltage_are_those_of_the_cell(log, start, end):
    cell = Protocol()
    found = CellTimeline(log).at(START + start, START + end)
    middle = 0.5 * (start + end)
    for state, time in ((found.start, start), (found.middle, middle), (found.end, end)):
        assert state.charge == pytest.approx(cell.charge(time), abs=2e-4 * CAPACITY)
        assert state.state_of_charge == pytest.approx(cell.charge(time) / CAPACITY, abs=2e-4)
    path = [cell.charge(time) for time in np.linspace(start, end, 3001)]
    assert found.smear == pytest.approx(np.ptp(path) / CAPACITY, abs=3e-4)
    assert found.current == pytest.approx(
        (path[-1] - path[0]) * 3.6 / (end - start),
        abs=1.5e-3 * CURRENT + 1e-6 * 3.6 / (end - start),
    )
    assert found.fault == found.warning == ""


def test_away_from_edges_everything_is_exact(log):
    cell = Protocol()
    found = CellTimeline(log).at(START + 1203.0, START + 1237.0)
    assert found.voltage == pytest.approx(cell.voltage(1220.0), abs=1e-9)
    assert found.current == pytest.approx(CURRENT, rel=2 * DRIFT)
    assert found.middle.charge == pytest.approx(cell.charge(1220.0), abs=1e-6)
    assert found.smear == pytest.approx(34.0 / 3600.0, rel=1e-4)
    assert (found.step_index, found.step_count, found.cycle_number, found.cell_run) == (
        2,
        2,
        1,
        "run",
    )
    assert found.middle.lithium_content < 0.98


def test_once_the_protocol_has_ended_no_step_is_under_way(tmp_path):
    lines = []
    states = [("Running", START + 299.0), ("OpenCircuit", START + 2410.0)]
    states += [("Running", START + 2990.0), ("Finished", START + 3601.0)]
    for kind, entry in entries(Protocol()):
        while states and kind == "watermark" and entry["complete_to"] > states[0][1]:
            state, time = states.pop(0)
            lines.append(("state", {"time": time, "state": state}))
        lines.append((kind, entry))
    timeline = CellTimeline(write(tmp_path / "log.jsonl", lines))
    # A rest that is kept open while it is measured is that rest.
    afters = (2300.0, 2700.0, 3580.0, 3610.0, 3640.0)
    found = [timeline.at(START + after, START + after + 8.0) for after in afters]
    assert [each.step_index for each in found] == [3, 3, 4, -1, -1]
    assert [each.step_count for each in found] == [3, 3, 4, 4, 4]
    assert found[-1].middle.charge == pytest.approx(Protocol().charge(3600.0), abs=1e-6)


def test_the_mean_voltage_across_an_edge_counts_both_sides_for_their_time(log):
    cell = Protocol()
    found = CellTimeline(log).at(START + 1790.5, START + 1830.5)
    inside = np.linspace(1790.5, 1830.5, 4001)[:-1] + 0.005
    # A hundredth of a second of an edge of 29 mV, in 40 s: what the clock leaves open.
    assert found.voltage == pytest.approx(np.mean([cell.voltage(t) for t in inside]), abs=1e-5)


def test_idle_is_no_current_with_the_voltage_of_live_values(log):
    found = CellTimeline(log).at(START + 2600.0, START + 2700.0)
    assert found.current == 0.0
    assert found.smear == 0.0
    assert found.voltage == pytest.approx(Protocol().voltage(2650.0), abs=1e-6)
    assert found.is_live
    before = CellTimeline(log).at(START + 100.0, START + 110.0)
    assert (before.middle.charge, before.step_count, before.is_live) == (0.0, -1, True)


class Turned(Protocol):
    """Stands still for 6 s between charge and discharge, which nobody reads."""

    edges = (300.0, 900.0, 1800.0, 1806.0, 3600.0)
    currents = (0.0, CURRENT, None, -0.5 * CURRENT)


def test_an_unread_pause_between_two_currents_has_the_voltage_without_current(tmp_path):
    cell = Turned()
    lines = entries(cell, live=13.0)
    found = CellTimeline(write(tmp_path / "log.jsonl", lines)).at(START + 1801.0, START + 1805.0)
    assert not any(1800 <= time < 1806 for time in np.arange(0.0, 3700.0, 13.0))
    assert found.current == 0.0
    # Not that of the next live value, which was read under current: 15 mV less.
    assert found.voltage == pytest.approx(cell.voltage(1803.0), abs=1e-6)


def test_smear_counts_what_comes_and_goes_during_an_exposure(log):
    found = CellTimeline(log).at(START + 1500.0, START + 3300.0)
    assert found.smear == pytest.approx(300.0 / 3600.0, abs=3e-4)
    assert abs(found.end.state_of_charge - found.start.state_of_charge) < 0.05


@pytest.mark.parametrize("interval", [10.0, 60.0])
def test_live_and_replayed_are_the_same_to_the_bit(tmp_path, interval):
    lines = list(entries(Protocol(), interval=interval, jitter=0.05))
    growing = CellLog(tmp_path / "never.jsonl")
    timeline, waiting, live = CellTimeline(growing), list(EXPOSURES), {}
    for n, (kind, entry) in enumerate(lines):
        growing.add(json.dumps({"n": n, "kind": kind, **entry}))
        if kind == "watermark":
            for exposure in [each for each in waiting if timeline.covers(START + each[1])]:
                waiting.remove(exposure)
                live[exposure] = timeline.at(START + exposure[0], START + exposure[1])
    replayed = CellTimeline(write(tmp_path / "log.jsonl", lines))
    assert len(live) == len(EXPOSURES)
    for exposure, found in live.items():
        assert repr(replayed.at(START + exposure[0], START + exposure[1])) == repr(found)


def test_a_clock_that_is_not_corrected_is_wrong_by_the_expected_amount(tmp_path):
    def wrong():
        for kind, entry in entries(Protocol()):
            equal = {"device_time": entry.get("session_time")} if kind == "clock" else {}
            yield kind, {**entry, **equal}

    found = CellTimeline(write(tmp_path / "log.jsonl", wrong())).at(START + 1500.0, START + 1510.0)
    error = found.middle.state_of_charge - Protocol().charge(1505.0) / CAPACITY
    assert error == pytest.approx(-OFFSET / 3600.0, rel=0.01)


def test_a_clock_that_is_an_hour_behind_is_measured_and_corrected(tmp_path, monkeypatch, request):
    monkeypatch.setattr(request.module, "OFFSET", -3600.0)
    log, cell = write(tmp_path / "log.jsonl", entries(Protocol())), Protocol()
    for start in (50.0, 400.0, 1500.0, 2450.0, 3300.0):
        found = CellTimeline(log).at(START + start, START + start + 10.0)
        assert found.fault == found.warning == ""
        assert found.middle.charge == pytest.approx(cell.charge(start + 5.0), abs=1e-4 * CAPACITY)
        assert found.middle.voltage == pytest.approx(cell.voltage(start + 5.0), abs=1e-4)


def test_without_records_the_live_values_of_a_running_step_carry_the_charge(tmp_path):
    lines = [each for each in entries(Protocol()) if each[0] != "sample"]
    found = CellTimeline(write(tmp_path / "log.jsonl", lines)).at(START + 1500.0, START + 1530.0)
    assert found.is_live
    assert found.middle.charge == pytest.approx(Protocol().charge(1515.0), abs=1e-3 * CAPACITY)


def test_a_time_that_is_not_covered_is_refused(log):
    assert not CellTimeline(log).covers(START + 5000.0)
    with pytest.raises(ValueError, match="does not cover"):
        CellTimeline(log).at(START, START + 5000.0)
    with pytest.raises(ValueError, match="cannot end"):
        CellTimeline(log).at(START + 10.0, START)


def test_no_cell_and_no_clock_are_faults_that_say_so(tmp_path):
    lines = list(entries(Protocol()))
    dismounted = write(tmp_path / "a.jsonl", lines[1:])
    assert CellTimeline(dismounted).at(START + 50, START + 60).fault == "no cell was mounted"
    timeless = write(tmp_path / "b.jsonl", [each for each in lines if each[0] != "clock"])
    found = CellTimeline(timeless).at(START + 50, START + 60)
    assert "never compared" in found.fault
    assert math.isnan(found.middle.charge)


def test_a_clock_that_jumps_is_refused_and_a_crooked_one_warns(tmp_path):
    def jumping(by: float):
        for kind, entry in entries(Protocol()):
            is_late = kind == "clock" and entry["session_time"] > START + 1700.0
            yield kind, entry | ({"device_time": entry["device_time"] + by} if is_late else {})

    jumped = CellTimeline(write(tmp_path / "a.jsonl", jumping(60.0))).at(START + 2000, START + 2010)
    assert "cycler's clock jumps" in jumped.fault
    crooked = CellTimeline(write(tmp_path / "b.jsonl", jumping(6.0))).at(START + 2000, START + 2010)
    assert "off a straight line" in crooked.warning
    assert crooked.fault == ""


def test_offset_and_drift_over_a_day_with_jitter_are_recovered():
    rng = np.random.default_rng(7)
    session = START + np.arange(0.0, 86_400.0, 30.0)
    truth = session + 120.0 + 50e-6 * (session - START)
    for n in (2, 100, len(session)):
        measured = truth[:n] + 0.2 * rng.standard_normal(n)
        relation = clock_relation(
            device_time=measured, session_time=session[:n], uncertainty=np.full(n, 0.2)
        )
        error = abs(relation.device_time(session[n - 1]) - truth[n - 1])
        assert error < 4 * relation.uncertainty(session[n - 1])
    assert error < 0.05
    assert relation.drift == pytest.approx(50e-6, abs=5e-6)
    assert relation.session_time(relation.device_time(START)) == pytest.approx(START, abs=1e-5)


def test_one_comparison_gives_an_offset_and_its_uncertainty_grows_with_age():
    relation = clock_relation(device_time=[START + 5.0], session_time=[START], uncertainty=[0.1])
    assert (relation.offset, relation.drift) == (5.0, 0.0)
    assert relation.uncertainty(START) == pytest.approx(0.1)
    assert relation.uncertainty(START + 1000.0) > 0.9


def test_errors_of_a_relation_widen_when_comparisons_scatter_more_than_they_say():
    rng = np.random.default_rng(3)
    session = START + np.arange(0.0, 3000.0, 30.0)
    measured = session + rng.standard_normal(len(session))
    honest = clock_relation(device_time=measured, session_time=session, uncertainty=np.ones(100))
    boasting = clock_relation(
        device_time=measured, session_time=session, uncertainty=np.full(100, 0.1)
    )
    assert boasting.uncertainty(START) == pytest.approx(honest.uncertainty(START), rel=0.1)


def test_no_comparison_is_no_relation():
    with pytest.raises(ValueError, match="no comparison"):
        clock_relation(device_time=[], session_time=[], uncertainty=[])


def test_the_middle_of_an_exposure_lies_before_its_stamp():
    assert middle_of_exposure(stamp=100.0, readout_delay=0.2, exposure=10.0) == pytest.approx(94.8)
