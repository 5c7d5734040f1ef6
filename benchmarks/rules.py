"""Readings of the cell through a schedule's evaluator, against ``if`` statements in a callback.

Both look at a clock, a voltage crossing in one direction and steps of charge, reading by reading. The plain way
remembers the last reading and nothing else: it has no hysteresis, does not know missed slots, gaps or unknown
values; a ratio below 1 is the price of those. The deviation is the largest difference between the times at which the
evaluator's conditions became true and those that numpy finds in the whole record at once (infinite where their
number differs).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from battbeam.experiment.conditions import AbsoluteClock, ChargeStep, VoltageCrossing
from battbeam.experiment.schedule import Agenda, Due, Rule, Schedule
from battbeam.experiment.watchers import CellReading
from benchmarks.compare import Comparison, in_turn

TITLE = "Rules: readings through the evaluator"
BOUND = 5e-6  # s: a few steps of double precision at the times of today
#: V, mAh, s, s.
LEVEL, STEP, PERIOD, HALF_CYCLE = 3.45, 0.1, 40.0, 7200.0
BEGIN = 1.79e9
TEN = """
slope: when the voltage rises through 3.45 V, measure map
top: every 40 s while voltage > 3.8 V, else every 200 s, measure pattern
relaxed: at the end of each rest, 60 s before, measure map
settled: when dV/dt settles below 0.05 V/h over 300 s, measure map
levels: at 0.5, 1, 1.5 mAh, measure map
charge: each time 0.05 mAh has passed, measure pattern
steps: 300 s after (when a step begins), measure pattern
cycles: when a cycle begins, at most 20 times, measure tomogram
hot: when temperature > 40 degC and current > 0 A for 5 s, measure pattern
short: when the voltage falls faster than 0.05 V/s over 10 s, measure tomogram
"""


def run(*, small: bool = False) -> list[Comparison]:
    """One reading a second, cycle after cycle."""
    n_readings, n_turns = (5_000, 1) if small else (100_000, 5)
    readings = _readings(n_readings)
    ways: dict[str, Callable[[], object]] = {
        "battbeam evaluator": lambda: _evaluated(readings),
        "if statements": lambda: _by_hand(readings),
    }
    timings = in_turn(ways, n_turns=n_turns)
    compared = Comparison(
        case=f"{n_readings} readings, 3 rules",
        ways=timings,
        deviation=_difference(_evaluated(readings), readings),
        bound=BOUND,
        reference="s, time of a condition, from numpy over the whole record",
        notes={name: f"{n_readings / t.wall:.3g} readings/s" for name, t in timings.items()},
    )
    return [compared, _growth(n_readings, n_turns=n_turns)]


def _growth(n_readings: int, *, n_turns: int) -> Comparison:
    """Ten rules of every kind: readings of the first days against those after a long while."""
    readings = _readings(4 * n_readings)
    fresh, aged = _agenda(), _agenda()
    _follow(aged, readings[:-n_readings])
    early, late = readings[:n_readings], readings[-n_readings:]
    # Each turn goes on where it was: time must not go back in an agenda.
    span = readings[-1].time - BEGIN + 1
    turns = {"first": 0, "later": 0}

    def go_on(name: str, agenda: Agenda, part: list[CellReading]) -> None:
        shift, turns[name] = turns[name] * span, turns[name] + 1
        _follow(agenda, [replace(each, time=each.time + shift) for each in part])

    ways: dict[str, Callable[[], object]] = {
        "battbeam, after a while": lambda: go_on("later", aged, late),
        "battbeam, fresh": lambda: go_on("first", fresh, early),
    }
    timings = in_turn(ways, n_turns=n_turns)
    return Comparison(
        case=f"{n_readings} readings, 10 rules",
        ways=timings,
        deviation=float(len(aged.waiting)),
        bound=0.0,
        reference="rules left waiting",
        notes={name: f"{n_readings / t.wall:.3g} readings/s" for name, t in timings.items()},
    )


def _agenda() -> Agenda:
    return Agenda(Schedule.parse(TEN).evaluator(start=BEGIN))


def _follow(agenda: Agenda, readings: list[CellReading]) -> None:
    for reading in readings:
        agenda.feed(reading)
        while agenda.take(reading.time) is not None:
            pass
        agenda.missed()


def _readings(n: int) -> list[CellReading]:
    """A triangle of charge, and the voltage that goes with it."""
    time = np.arange(n) + 0.3
    phase = time / HALF_CYCLE % 2
    filled = np.where(phase < 1, phase, 2 - phase)
    voltage = 3.0 + 0.9 * filled + 0.05 * np.sin(3 * np.pi * filled)
    charge = 0.05 + 1.97 * filled
    columns = zip((BEGIN + time).tolist(), voltage.tolist(), charge.tolist(), strict=True)
    return [CellReading(time=t, voltage=v, charge=q, step_count=1) for t, v, q in columns]


def _evaluated(readings: list[CellReading]) -> list[Due]:
    rules = (
        Rule(name="slope", when=VoltageCrossing(level=LEVEL, direction="rising"), measure="map"),
        Rule(name="charge", when=ChargeStep(step=STEP, reference=0.0), measure="pattern"),
        Rule(name="clock", when=AbsoluteClock(start=BEGIN, period=PERIOD), measure="pattern"),
    )
    evaluator = Schedule(rules=rules).evaluator()
    found: list[Due] = []
    for reading in readings:
        found += evaluator.update(reading)
        found += evaluator.due(reading.time)
    return found


def _by_hand(readings: list[CellReading]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    slot, last = 0, readings[0]
    for reading in readings:
        if last.voltage < LEVEL <= reading.voltage:
            found.append(("slope", reading.time))
        if int(reading.charge / STEP) != int(last.charge / STEP):
            found.append(("charge", reading.time))
        if reading.time >= BEGIN + slot * PERIOD:
            found.append(("clock", BEGIN + slot * PERIOD))
            slot += 1
        last = reading
    return found


def _difference(found: list[Due], readings: list[CellReading]) -> float:
    time, voltage, charge = np.array([(r.time, r.voltage, r.charge) for r in readings]).T
    n_slots = int((time[-1] - BEGIN) / PERIOD) + 1
    wanted = {
        "slope": _crossings(time, voltage, LEVEL, sign=1),
        "charge": _steps(time, charge),
        "clock": BEGIN + PERIOD * np.arange(n_slots),
    }
    own = {name: np.array([due.due for due in found if due.rule == name]) for name in wanted}
    if any(len(own[name]) != len(wanted[name]) for name in wanted):
        return math.inf
    return max(float(np.abs(own[name] - wanted[name]).max(initial=0.0)) for name in wanted)


def _crossings(time: np.ndarray, values: np.ndarray, level: float, *, sign: int) -> np.ndarray:
    beyond = sign * (values - level) >= 0
    at = np.flatnonzero(~beyond[:-1] & beyond[1:])
    part = (level - values[at]) / np.diff(values)[at]
    return time[at] + part * np.diff(time)[at]


def _steps(time: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Every line of the grid, up and down; the one passed last does not count again on the way back."""
    passed = sorted(
        (when, line)
        for line in range(int(charge.max() / STEP) + 1)
        for sign in (1, -1)
        for when in _crossings(time, charge, line * STEP, sign=sign)
    )
    before = [None, *(line for _, line in passed)]
    return np.array(
        [when for (when, line), last in zip(passed, before, strict=False) if line != last]
    )
