"""A guard that only watches, on a log written by hand and clocks turned by hand."""

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from battbeam.devices.fakes import ManualClock
from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.timeline import CellTimeline
from battbeam.guard import commands
from battbeam.guard.config import GuardConfig
from battbeam.guard.driver import Live
from battbeam.guard.drivers import observe
from battbeam.guard.drivers.analog import Reading
from battbeam.guard.drivers.log_clock import Edge
from battbeam.guard.drivers.observe import OBSERVED_ONLY
from battbeam.guard.log import Log, read_lines
from battbeam.guard.making import make_guard, restore_guard
from battbeam.guard.ownership import Owner
from battbeam.guard.policy import Occasion
from battbeam.guard.publish import published

START, CAPACITY, CURRENT = 1_750_000_000.0, 2.9, 2.9e-3
TOKEN = "a-random-token"


class Inputs:
    """Analog inputs of which a test says what they read."""

    def __init__(self):
        self.new, self.new_edges, self.is_answering = [], [], True

    def readings(self):
        found, self.new = self.new, []
        return found

    def edges(self):
        found, self.new_edges = self.new_edges, []
        return found

    def wait(self, _timeout):
        return True

    def close(self):
        pass


class Watched:
    """A cycler that charges at 1C and writes its log; a guard that watches it."""

    def __init__(self, directory, *, offset=0.0, analog=False, log=True, marker=None):
        self.directory, self.offset, self.marker = directory, offset, marker
        self.clock, self.wall = ManualClock(START), 100.0
        (directory / "eclab").mkdir(exist_ok=True)
        driver = {"kind": "observe", "name": "channel 3", "end_after": 60.0}
        if log:
            driver["log"] = {
                "format": "mpt",
                "directory": str(directory / "eclab"),
                "pattern": "*.mpt",
                "time_zone": "UTC",
                "date_order": "month_first",
                "interval": 1e-6,
                "latency": 0.0,
            }
        if analog:
            driver["analog"] = {"voltage": "V", "current": "I"}
        if marker:
            driver["marker"] = marker
        self.config = GuardConfig.model_validate(
            {
                "prefix": "TEST:",
                "log": str(directory / "log.jsonl"),
                "hard_limits": {"voltage_min": 2.0, "voltage_max": 4.2, "current_max": 0.02},
                "driver": driver,
            }
        )
        self.inputs = Inputs() if analog else None
        self.open()

    def open(self):
        self.log = Log(self.config.log)
        if self.inputs is not None:
            self.guard, self.driver = _without_pvs(self.config, self.log, self.clock, self.inputs)
        else:
            self.guard, self.driver = make_guard(self.config, self.log, self.clock)
        restore_guard(self.guard, self.config.log, wall=self.wall)

    def again(self):
        """Another guard takes over."""
        self.close()
        self.open()

    def close(self):
        self.driver.close()
        self.log.close()

    def tick(self, seconds=0.0):
        self.clock.time += seconds
        self.wall += max(seconds, 0.6)
        self.guard.tick(wall=self.wall)

    def device(self, session):
        return session + self.offset

    def begin(self, name="cell_01_C01.mpt"):
        """An acquisition starts now."""
        self.started, self.name = self.device(self.clock.time), name
        date = datetime.fromtimestamp(round(self.started, 3), UTC).strftime("%m/%d/%Y %H:%M:%S.%f")
        head = f"EC-Lab ASCII FILE\r\nNb header lines : 4\r\nAcquisition started on : {date}\r\n"
        columns = "mode\ttime/s\tEwe/V\tI/mA\tNs\tAnalog IN 1/V\r\n"
        (self.directory / "eclab" / name).write_text(head + columns)

    def row(self, *, current=CURRENT, voltage=3.3, mode=1, step=0, level=0.0, at=None):
        """A record, of now."""
        elapsed = self.device(self.clock.time if at is None else at) - self.started
        cells = (mode, f"{elapsed:.4f}", voltage, 1e3 * current, step, level)
        with (self.directory / "eclab" / self.name).open("a") as file:
            file.write("\t".join(map(str, cells)) + "\r\n")

    def charge_for(self, seconds, *, every=10.0, **row):
        for _ in range(round(seconds / every)):
            self.clock.time += every - 0.1
            self.tick()
            self.clock.time += 0.1
            self.row(**row)
            self.tick()

    def mount(self, **changes):
        self.guard.acquire(Owner("host", 1, "session", TOKEN), wall=self.wall)
        self.guard.mount(CellPassport.read({**EXAMPLE, **changes}))

    def lines(self, kind):
        return [line for line in read_lines(self.config.log) if line["kind"] == kind]


def _without_pvs(config, log, clock, inputs):
    made = observe.AnalogInputs
    observe.AnalogInputs = lambda *_: inputs
    try:
        return make_guard(config, log, clock)
    finally:
        observe.AnalogInputs = made


@pytest.fixture
def watched(tmp_path):
    made = Watched(tmp_path)
    yield made
    made.close()


def charge(seconds):
    return CURRENT * seconds / 3.6


VERBS = ("Load", "Start", "Hold", "Proceed", "OpenCircuit", "Reset")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_commands_is_refused_in_plain_words(watched, verb):
    watched.mount()
    asked = {"id": "1", "token": TOKEN, "protocol": {"method": [], "record": {"time_s": 1}}}
    result = commands.carry_out(watched.guard, verb, json.dumps(asked), wall=watched.wall)
    assert not result.ok
    assert "observed only" in result.error or "protocol" in result.error
    with pytest.raises(GuardError, match="observed only"):
        watched.driver.stop()


def test_charge_is_that_of_the_log_and_the_steps_are_followed(watched):
    watched.mount()
    watched.tick()
    assert watched.guard.standing.shown_state is GuardState.OPEN_CIRCUIT
    watched.begin()
    watched.row()
    watched.charge_for(100)
    assert watched.guard.standing.shown_state is GuardState.RUNNING
    assert watched.guard.samples.latest.charge == pytest.approx(charge(100))
    watched.row(current=0.0, mode=3, step=1)
    watched.charge_for(50, current=0.0, mode=3, step=1)
    assert watched.guard.samples.latest.charge == pytest.approx(charge(100))
    assert watched.guard.runner.step.type == "open_circuit_voltage"
    assert watched.guard.runner.step_count == 2
    assert [line["step_count"] for line in watched.lines("sample")] == [1] * 11 + [2] * 6


def test_a_log_that_falls_silent_has_ended_and_one_that_goes_on_runs(watched):
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(30)
    watched.tick(61)
    assert watched.guard.standing.shown_state is GuardState.FINISHED
    watched.begin("cell_02_C01.mpt")
    watched.row()
    watched.tick()
    assert watched.guard.standing.shown_state is GuardState.RUNNING
    assert watched.guard.samples.latest.charge == pytest.approx(charge(30))


def test_a_cell_that_cycles_already_counts_from_its_mounting(watched):
    watched.begin()
    watched.row()
    watched.charge_for(100)
    watched.clock.time += 4.0
    watched.mount()
    assert watched.guard.standing.shown_state is GuardState.RUNNING
    mounted = watched.clock.time
    watched.clock.time += 5.9
    watched.tick()
    watched.clock.time += 0.1
    watched.row()
    watched.tick()
    watched.charge_for(50)
    passed = watched.clock.time - mounted
    assert watched.guard.samples.latest.charge == pytest.approx(charge(passed), abs=charge(0.3))


def test_a_guard_started_again_loses_no_row_and_counts_none_twice(watched):
    watched.begin()
    watched.row()
    watched.charge_for(50)
    watched.mount()
    watched.charge_for(50)
    before = watched.guard.samples.latest.charge
    watched.again()
    assert watched.guard.standing.shown_state is GuardState.RUNNING
    assert watched.guard.samples.latest.charge == pytest.approx(before)
    for _ in range(5):  # Nobody looked meanwhile.
        watched.clock.time += 10.0
        watched.row()
    watched.again()
    watched.tick()
    watched.charge_for(20)
    assert watched.guard.samples.latest.charge == pytest.approx(before + charge(70))
    keys = [line["key"] for line in watched.lines("sample")]
    assert len(keys) == len(set(keys)) == 12
    sequence = [line["sequence"] for line in watched.lines("sample")]
    assert sequence == list(range(1, 13))


def test_a_limit_passed_is_latched_and_told_and_nothing_is_claimed(watched):
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(20, voltage=4.3)
    assert "cannot be opened from here" in watched.guard.trip["reason"]
    told = [line["text"] for line in watched.lines("error")]
    assert any("cannot be opened from here" in text for text in told)
    assert watched.guard.standing.shown_state is GuardState.RUNNING
    watched.charge_for(20)
    watched.again()
    assert "4.3000 V >" in watched.guard.trip["reason"]
    assert len(watched.lines("trip")) == 1
    with pytest.raises(GuardError, match="until the cell is dismounted"):
        watched.guard.reset()
    watched.guard.dismount()
    assert watched.guard.trip == {}


def test_policies_are_kept_and_said_not_to_be_carried_out(watched):
    watched.mount()
    asked = {"id": "1", "token": TOKEN, "policies": {"pause": "hold"}}
    result = commands.carry_out(watched.guard, "Policies", json.dumps(asked), wall=watched.wall)
    assert result.ok
    assert "will not be carried out" in watched.guard.standing.last_error
    watched.guard.carry_out(Occasion.PAUSE)
    (line,) = watched.lines("policy")
    assert (line["policy"], line["carried_out"]) == ("hold", False)
    assert "was not carried out" in watched.guard.standing.last_error


def test_rows_that_appear_tie_a_clock_that_is_two_minutes_off(tmp_path):
    watched = Watched(tmp_path, offset=120.0)
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(600)
    relation = watched.driver.clock_of_log.relation
    assert relation.offset == pytest.approx(120.0, abs=0.1)
    log = CellLog(watched.config.log)
    log.refresh()
    during = CellTimeline(log).at(START + 300.0, START + 310.0)
    assert during.middle.charge == pytest.approx(charge(305.0), abs=charge(0.3))
    assert during.fault == ""
    watched.close()


@pytest.mark.parametrize("column", ["Analog IN 1/V", ""])
def test_a_marker_beats_the_appearance_of_rows(tmp_path, column):
    """Rows come 8 s late; the marker, or an edge of the current, tells by how much."""
    marker = {"column": column, "pv": "TTL" if column else "", "reach": 20.0}
    watched = Watched(tmp_path, offset=-37.0, analog=True, marker=marker)
    watched.mount()
    watched.begin()
    edges, rows = {400.0: 1.0, 402.0: -1.0, 1000.0: 1.0, 1002.0: -1.0}, []
    for second in range(0, 1200):
        time = START + second
        watched.clock.time = time
        high = any(t <= second for t in (400, 1000)) and not any(
            t <= second for t in ((402,) if second < 1000 else (1002,))
        )
        level = 5.0 if high and column else 0.0
        current = CURRENT * (2 if high and not column else 1)
        for edge, size in edges.items():
            if edge == second:
                rows.append((time - 0.002, {"level": 5.0 - level, "current": CURRENT}))
                change = size if column else size * CURRENT
                if not column:
                    rows[-1] = (time - 0.002, {"level": 0.0, "current": 3 * CURRENT - current})
                watched.inputs.new_edges.append(Edge(time, 0.02, change))
        rows.append((time, {"level": level, "current": current}))
        late = [each for each in rows if each[0] <= time - 8.0]
        rows = rows[len(late) :]
        for at, row in late:
            watched.row(at=at, **row)
        watched.inputs.new.append(Reading(time, 3.3, current))
        watched.tick()
    clock = watched.driver.clock_of_log
    assert clock.bias == pytest.approx(8.0, abs=1.5)
    assert clock.relation.offset == pytest.approx(-37.0, abs=0.05)
    sigmas = [line["uncertainty"] for line in watched.lines("clock")]
    assert sum(sigma < 0.03 for sigma in sigmas) == 4
    assert len(sigmas) > 40  # The appearances of rows stay in the record.
    log = CellLog(watched.config.log)
    log.refresh()
    found = CellTimeline(log).clock_at(10**9)
    assert found.offset == pytest.approx(-37.0, abs=0.05)
    watched.close()


def test_without_a_log_the_analog_values_are_the_record(tmp_path):
    watched = Watched(tmp_path, analog=True, log=False)
    watched.mount()
    for second in range(200):
        current = CURRENT if second < 100 else 0.0
        watched.inputs.new.append(Reading(START + second, 3.3, current))
        watched.clock.time = START + second
        watched.tick()
    assert watched.guard.samples.latest.charge == pytest.approx(charge(99.5), abs=charge(0.1))
    assert watched.guard.runner.step_count == 2
    log = CellLog(watched.config.log)
    log.refresh()
    during = CellTimeline(log).at(START + 40.0, START + 60.0)
    assert during.middle.charge == pytest.approx(charge(50.0), abs=1e-9)
    assert during.is_live
    watched.close()


def test_a_share_that_is_away_is_unreachable_and_comes_back(watched):
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(20)
    (watched.directory / "eclab").rename(watched.directory / "away")
    watched.tick(1)
    assert watched.guard.standing.shown_state is GuardState.UNREACHABLE
    assert "cannot be read" in watched.guard.standing.last_error
    (watched.directory / "away").rename(watched.directory / "eclab")
    watched.charge_for(20)
    assert watched.guard.samples.latest.charge == pytest.approx(charge(41))


def test_what_is_published_claims_no_end_and_no_control(watched):
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(20)
    shown = published(watched.guard)
    assert shown["State"] == "Running"
    assert shown["StepType"] == "constant_current"
    assert math.isnan(shown["ExpectedEnd"])


@pytest.mark.parametrize(
    ("driver", "message"),
    [
        ({}, "give analog"),
        ({"log": {"format": "mpt", "directory": "/x"}}, "time_zone"),
        ({"log": {"format": "mpt", "directory": "/x", "time_zone": "CEST"}}, "Europe/Berlin"),
        ({"analog": {"voltage": "V", "current": "I"}, "marker": {}}, "ties a log's clock"),
        (
            {"log": {"format": "bdf", "directory": "/x", "time_zone": "UTC"}, "marker": {}},
            "nothing to see",
        ),
        ({"analog": {"voltage": "V", "current": "I", "current_scale": 0}}, "must not be 0"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(tmp_path, driver, message):
    path = tmp_path / "guard.json"
    limits = {"voltage_min": 2.0, "voltage_max": 4.2, "current_max": 0.02}
    config = {"prefix": "T:", "log": "x", "hard_limits": limits}
    path.write_text(json.dumps({**config, "driver": {"kind": "observe", **driver}}))
    with pytest.raises(PreflightError, match=message):
        GuardConfig.read(path)


def test_a_live_reading_beyond_the_last_row_reaches_on(tmp_path):
    watched = Watched(tmp_path, analog=True)
    watched.mount()
    watched.begin()
    watched.row()
    watched.charge_for(100)
    watched.clock.time += 5.0
    watched.inputs.new.append(Reading(watched.clock.time, 3.35, CURRENT))
    watched.tick()
    live = watched.guard.writer.live
    assert isinstance(live, Live)
    assert live.elapsed == pytest.approx(105.0, abs=0.3)
    assert watched.guard.samples.latest.charge == pytest.approx(charge(105), abs=charge(0.3))
    assert OBSERVED_ONLY.startswith("observed only")
    watched.close()


def test_the_file_of_the_how_to_is_as_the_guard_wants_it():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "own-cycler.md"
    (block,) = re.findall(r"```json\n(.*?)```", page.read_text(), re.S)
    config = GuardConfig.model_validate(json.loads(block))
    assert config.driver.kind == "observe"
    assert config.driver.log.style("x").zone.key == "Europe/Berlin"
