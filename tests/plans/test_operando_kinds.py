"""One protocol under rules of every kind, through the wire at 60x: each is met when the hidden cell
says so, once, and served at once.
"""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cost import Cost
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.stubs import mounted
from battbeam.session import Session
from battbeam.sim.history import history_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RATE = 60.0
#: Wall seconds from the first live sample that shows it until it is met.
PROMPT = 0.1
#: The same for the few that a machine which does something else may delay, and how many of them.
DELAYED, FEW = 0.5, 0.05
#: s of cell time: what noise of the voltage can move a crossing; and how far apart truth and row
#: may lie to be the same, a third of a wall second.
EARLY, APART = 3.0, 20.0
SMALL = Detector(n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8)
CELL = Cell(chemistry="nmc811", initial_lithium_content=0.7, dead_spot=None, inactive_fraction=0.0)
CAPACITY = 3.36
PASSPORT = {
    **EXAMPLE,
    "chemistry": "NMC811",
    "nominal_capacity": CAPACITY,
    "initial_lithium_content": 0.7,
    "limits": {"voltage_min": 2.5, "voltage_max": 4.4, "current_max": 0.01},
}
FIRST_REST, CHARGE, REST, DISCHARGE, LAST_REST, END = 120.0, 600.0, 300.0, 500.0, 240.0, 100.0


def rest(seconds):
    return {"step": "open_circuit_voltage", "until_time_s": seconds}


def current(rate, seconds):
    return {"step": "constant_current", "rate_C": rate, "until_time_s": seconds}


METHOD = [
    rest(FIRST_REST),
    *[current(1.0, CHARGE), rest(REST), current(-1.0, DISCHARGE), rest(LAST_REST)] * 2,
    current(1.0, END),
]


class Hidden:
    """The cell as it was, from its own history; the protocol's steps by the jumps of its current."""

    def __init__(self, path, begin):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        names = ("time", "voltage", "current", "charge")
        self.time, self.voltage, self.current, self.charge = (
            np.array([row[name] for row in rows]) for name in names
        )
        self.begin = begin
        sign = np.sign(np.round(self.current, 6))
        self.turns = [float(self.time[k + 1]) for k in np.flatnonzero(np.diff(sign))]
        self.end = self.turns[-1]
        starts = [begin, *self.turns[:-1]]
        self.steps = [
            (start, end, "rest" if number % 2 == 0 else "current")
            for number, (start, end) in enumerate(zip(starts, self.turns, strict=True))
        ]

    def passes(self, values, level, *ways, after=0.0):
        """When a level is passed, up (1) or down (-1)."""
        beyond = values - level
        found = []
        for k in np.flatnonzero((beyond[:-1] < 0) != (beyond[1:] < 0)):
            way = 1 if beyond[k] < 0 else -1
            part = beyond[k] / (beyond[k] - beyond[k + 1])
            time = float(self.time[k] + part * (self.time[k + 1] - self.time[k]))
            if way in (ways or (1, -1)) and max(after, self.begin) < time <= self.end:
                found.append(time)
        return found

    def voltages(self, level, *ways):
        return self.passes(self.voltage, level, *ways)

    def charges(self, *levels):
        return sorted(time for level in levels for time in self.passes(self.charge, level))

    def lines(self, step):
        """Lines of a grid of charge; the one passed last does not count on the way back."""
        passed = sorted(
            (time, k)
            for k in range(-10, 20)
            for time in self.passes(self.charge, k * step)
            if k or time > self.turns[0] + 1.0
        )
        found, last = [], 0
        for time, k in passed:
            if k != last:
                found.append(time)
            last = k
        return found

    def is_above(self, level, time):
        """Whether the voltage was above a level, or not more than 5 mV below it again."""
        k = int(np.searchsorted(self.time, time, side="right"))
        voltage = self.voltage[:k]
        outside = voltage[(voltage > level) | (voltage <= level - 0.005)]
        return bool(outside[-1] > level)

    def slots(self, period):
        return [float(each) for each in np.arange(self.begin, self.end + 0.5, period)]

    def windows(self, level, period):
        found = []
        for begin in self.voltages(level, 1):
            ends = [time for time in self.voltages(level - 0.005, -1) if time > begin]
            found += list(np.arange(begin, min([*ends, self.end]), period))
        return [float(each) for each in found]

    def settled(self, rate):
        """In each rest that follows a current, when the slope of the voltage comes below a rate."""
        found = []
        for begin, end, kind in self.steps[2:]:
            if kind == "rest":
                grid = np.arange(begin + 2.0, end, 0.5)
                voltage = np.interp(grid, self.time, self.voltage)
                slope = np.abs(np.gradient(voltage, grid)) * 3600
                found.append(float(grid[np.flatnonzero(slope > rate)[-1] + 1]))
        return found

    def begins(self, *kinds):
        return [begin for begin, _, kind in self.steps[1:] if kind in (kinds or (kind,))]

    def ends(self, kind):
        return [end for _, end, each in self.steps if each == kind]


def joined(first, second):
    """When both have happened, each since the last time."""
    found, happened = [], set()
    for time, which in sorted([(time, 0) for time in first] + [(time, 1) for time in second]):
        happened.add(which)
        if len(happened) == 2:
            found.append(time)
            happened = set()
    return found


@dataclass(frozen=True)
class Kind:
    """A rule's condition, when the hidden cell meets it, and how it is judged.

    ``late``: s of cell time that a rate of change needs to be certain. ``by_clock``: the clock
    meets it, not the cell.
    """

    text: str
    truth: object
    late: float = 0.0
    by_clock: bool = False


HIGH, LOW = 3.84, 3.78
KINDS = {
    "clock": Kind("every 200 s", lambda h: h.slots(200), by_clock=True),
    "cadence": Kind(
        f"every 50 s while voltage > {HIGH} V, else every 150 s",
        lambda h: [
            slot for slot in h.slots(50) if h.is_above(HIGH, slot) or (slot - h.begin) % 150 < 1
        ],
        by_clock=True,
    ),
    "up": Kind(f"when the voltage rises through {HIGH} V", lambda h: h.voltages(HIGH, 1)),
    "down": Kind(f"when the voltage falls through {LOW} V", lambda h: h.voltages(LOW, -1)),
    "step of charge": Kind("each time 0.1 mAh has passed from 0 mAh", lambda h: h.lines(0.1)),
    "levels": Kind("at 0.15, 0.4 mAh", lambda h: h.charges(0.15, 0.4)),
    "content": Kind(
        "at state of charge 5, 10 %", lambda h: h.charges(0.05 * CAPACITY, 0.1 * CAPACITY)
    ),
    "areal": Kind("at 0.5, 1 C/cm2", lambda h: h.charges(0.5 * 1.767 / 3.6, 1.767 / 3.6)),
    "settled": Kind(
        "when dV/dt settles below 0.2 V/h over 60 s", lambda h: h.settled(0.2), late=25.0
    ),
    "edge": Kind("when a step begins", lambda h: h.begins()),
    "rest edge": Kind("when a rest step begins", lambda h: h.begins("rest")),
    "cycle": Kind("when a cycle begins", lambda h: h.begins("current")[2::2]),
    "before": Kind(
        "at the end of each rest, 60 s before",
        lambda h: [
            begin + step["until_time_s"] - 60.0
            for (begin, _, kind), step in zip(h.steps, METHOD, strict=True)
            if kind == "rest"
        ],
        by_clock=True,
    ),
    "relaxed": Kind("at the end of each rest", lambda h: h.ends("rest")),
    "ended": Kind("when the protocol has ended", lambda h: [h.end]),
    "any": Kind(
        "any of (when a rest step begins; at 0.3 mAh)",
        lambda h: sorted(h.begins("rest") + h.charges(0.3)),
    ),
    "all": Kind(
        f"all of (when the voltage rises through {HIGH} V; at 0.3 mAh)",
        lambda h: joined(h.voltages(HIGH, 1), h.charges(0.3)),
    ),
    "after": Kind(
        "50 s after (when a rest step begins)",
        lambda h: [begin + 50.0 for begin in h.begins("rest")],
        by_clock=True,
    ),
    "while": Kind(
        "(each time 0.1 mAh has passed from 0 mAh) while current > 0.001 A",
        lambda h: [t for t in h.lines(0.1) if np.interp(t, h.time, h.current) > 0],
    ),
    "at most": Kind("when a step begins, at most 2 times", lambda h: h.begins()[:2]),
    "window": Kind(
        f"every 60 s within voltage > {HIGH} V", lambda h: h.windows(HIGH, 60), by_clock=True
    ),
    "lasting": Kind(
        "when current > 0.001 A for 30 s",
        lambda h: [begin + 30.0 for begin in h.begins("current")[::2]],
    ),
}


def measured(directory):
    """Rows of the experiment, and the guard's live lines."""
    scenario = Scenario(name="kinds", prefix=own_prefix(), rate=RATE, detector=SMALL, cells=(CELL,))
    schedule = Schedule.parse(
        "\n".join(f"{name}: {kind.text}, measure noted" for name, kind in KINDS.items())
    )
    with SimulatedBeamline(scenario, directory) as running, Session(running.start()) as session:
        b = session.beamline

        def noted(md):
            yield from ()
            return ""

        def plan():
            yield from mounted(b.potentiostat, PASSPORT)
            yield from operando(
                schedule,
                {"noted": OwnRun(noted, cost=Cost(duration=0.0))},
                potentiostat=b.potentiostat,
                beam=b.beam,
                clock=b.clock,
                protocol={"record": {"time_s": 5}, "method": METHOD},
                policies={"plan_end": "open_circuit"},
            )

        (uid,) = session.run(plan())
        lines = list(documents(session.connection.spool / f"{uid}.jsonl"))
        log = session.connection.guards["cell1"].log
        b.potentiostat.dismount().wait(timeout=10)
    found = [line.doc["data"] for line in lines if line.name == "event"]
    logged = [json.loads(line) for line in log.read_text().splitlines()]
    live = [line["session_time"] for line in logged if line.get("kind") == "live"]
    rows = [
        {key.removeprefix("rules_"): value for key, value in row.items()}
        for row in found
        if "rules_rule" in row
    ]
    return rows, np.array(live)


def matched(truth, rows, apart):
    """Each time of the truth with its row; what remains of either."""
    rows, pairs, lost = list(rows), [], []
    for time in truth:
        best = min(rows, key=lambda row: abs(row["due"] - time), default=None)
        if best is None or abs(best["due"] - time) > apart:
            lost.append(time)
        else:
            rows.remove(best)
            pairs.append((time, best))
    return pairs, lost, [row["due"] for row in rows]


def faults_of(name, kind, hidden, rows):
    """What is wrong with one rule, and the times of the truth with their rows."""
    pairs, lost, more = matched(kind.truth(hidden), rows, APART + kind.late)
    # A slot at the very moment at which its rate changes may go by either.
    turns = [*hidden.voltages(HIGH), *hidden.voltages(HIGH - 0.005, -1)] if kind.by_clock else []

    def counts(time):
        return all(abs(time - turn) > APART for turn in turns)

    found = [f"lost {time - hidden.begin:.1f}" for time in lost if counts(time)]
    found += [f"too much {time - hidden.begin:.1f}" for time in more if counts(time)]
    for time, row in pairs:
        said = row["missed"] or row["error"] or row["remark"]
        found += [f"{time - hidden.begin:.1f} {said}"] if said else []
        early = time - EARLY - row["start"]
        found += [f"{time - hidden.begin:.1f} early by {early + EARLY:.2f} s"] if early > 0 else []
    return [f"{name}: {fault}" for fault in found], pairs


def test_rules_of_every_kind_are_met_when_the_hidden_cell_says_and_at_once(tmp_path):
    rows, live = measured(tmp_path)
    begin = min(row["due"] for row in rows if row["rule"] == "clock")
    hidden = Hidden(history_path(tmp_path, 1), begin)
    assert len(hidden.steps) == len(METHOD)
    faults, latencies = [], []
    for name, kind in KINDS.items():
        own = [row for row in rows if row["rule"] == name]
        wrong, pairs = faults_of(name, kind, hidden, own)
        faults += wrong
        assert pairs, name
        for time, row in pairs:
            # What the clock meets is shown by the clock; a rate of change needs to be certain.
            late = np.searchsorted(live, time)
            shown = row["due"] if kind.by_clock else live[late] if late < len(live) else time
            if not kind.late:
                latencies.append(((row["met"] - shown) / RATE, name, round(time - begin, 1)))
    assert not faults, "\n".join(faults)
    latencies.sort()
    latency = np.array([each[0] for each in latencies])
    print(
        f"{len(latency)} times: {np.median(latency):.4f} s median, "
        f"{np.quantile(latency, 1 - FEW):.4f} at 95 %, worst {latencies[-3:]}"
    )
    assert np.quantile(latency, 1 - FEW) < PROMPT
    assert latency.max() < DELAYED
