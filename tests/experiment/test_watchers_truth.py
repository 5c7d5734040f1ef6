"""Conditions against the continuous truth behind noisy, irregular, interrupted readings.

Every change of the truth is longer than the longest time between two known readings, so whatever
happens can be seen: it must be met once, and where the truth has it, within one such time.
"""

import math
import random

import pytest

from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.schedule import Agenda, Schedule
from battbeam.experiment.watchers import CellReading

PASSPORT = CellPassport.read(EXAMPLE)
#: s between readings at the most; s for which a quantity may be unknown; V of noise.
POLL, GAP, NOISE = 2.0, 10.0, 0.0005
LEVEL, TOP, BOTTOM = 3.62, 4.05, 3.1


class Truth:
    """Charge and discharge between two voltages, each half cycle with its own length."""

    def __init__(self, rng: random.Random) -> None:
        self.turns = [0.0]
        for _ in range(8):
            self.turns.append(self.turns[-1] + rng.uniform(200, 900))

    def half(self, time: float) -> int:
        return max(k for k, turn in enumerate(self.turns) if turn <= time or k == 0)

    def filled(self, time: float) -> float:
        k = self.half(time)
        part = (time - self.turns[k]) / (self.turns[k + 1] - self.turns[k])
        return 1 - part if k % 2 else part

    def voltage(self, time: float) -> float:
        return BOTTOM + (TOP - BOTTOM) * self.filled(time)

    def passes(self, filled: float) -> list[tuple[float, int]]:
        """When it is at ``filled``, with the direction."""
        return [
            (begin + (1 - filled if k % 2 else filled) * (end - begin), -1 if k % 2 else 1)
            for k, (begin, end) in enumerate(zip(self.turns[:-1], self.turns[1:], strict=True))
        ]


def served(rule: str, truth: Truth, rng: random.Random) -> list[float]:
    """When a rule was due, from readings of the truth; all of it seen within a gap."""
    agenda = Agenda(Schedule.parse(f"{rule}, measure p").evaluator(passport=PASSPORT, start=0.0))
    time, unknown_until, found = 0.0, 0.0, []
    while time < truth.turns[-1] - 1:
        if time > unknown_until + 3 * GAP and rng.random() < 0.02:
            unknown_until = time + rng.uniform(0, GAP - POLL)
        is_known = time >= unknown_until
        reading = CellReading(time=time)
        if is_known:
            reading = CellReading(
                time=time,
                voltage=truth.voltage(time) + rng.gauss(0, NOISE),
                charge=2.9 * truth.filled(time),
                step_count=1 + truth.half(time),
                cycle_number=1 + truth.half(time) // 2,
                step_type="constant_current",
            )
        agenda.feed(reading)
        while (due := agenda.take(time)) is not None:
            assert is_known or "every" in rule or "after" in rule, "met by what is not known"
            assert due.due <= time
            assert time - due.due <= GAP + POLL
            found.append(due.due)
        time += rng.choice([0.2, 1.0, rng.uniform(0.05, POLL)])
    return found


def slots(truth, period, above):
    """Slots of a grid from 0 while the voltage is above the level (with its hysteresis, 5 mV)."""
    n = int((truth.turns[-1] - 1) / period) + 1
    return [k * period for k in range(n) if (truth.voltage(k * period) > LEVEL) is above]


def passing(truth, filled, *directions):
    return [time for time, way in truth.passes(filled) if way in (directions or (1, -1))]


FILLED = (LEVEL - BOTTOM) / (TOP - BOTTOM)
CASES = {
    "a: when the voltage rises through 3.62 V": lambda t: passing(t, FILLED, 1),
    "a: when the voltage falls through 3.62 V": lambda t: passing(t, FILLED, -1),
    "a: when the voltage passes through 3.62 V": lambda t: passing(t, FILLED),
    "a: when voltage > 3.62 V": lambda t: passing(t, FILLED, 1),
    "a: at state of charge 25, 75 %": lambda t: sorted(passing(t, 0.25) + passing(t, 0.75)),
    "a: at 1, 2 mAh falling": lambda t: sorted(passing(t, 1 / 2.9, -1) + passing(t, 2 / 2.9, -1)),
    "a: when a step begins": lambda t: t.turns[1:-1],
    "a: when a cycle begins": lambda t: t.turns[2:-1:2],
    "a: 50 s after (when a step begins)": lambda t: [x + 50 for x in t.turns[1:-1]],
    "a: any of (when a cycle begins; when the voltage rises through 3.62 V)": lambda t: sorted(
        t.turns[2:-1:2] + passing(t, FILLED, 1)
    ),
    "a: all of (when a step begins; when the voltage falls through 3.62 V)": lambda t: passing(
        t, FILLED, -1
    ),
    "a: when the voltage passes through 3.62 V while cycle is 2 or later": lambda t: [
        x for x in passing(t, FILLED) if x > t.turns[2]
    ],
    "a: when the voltage rises through 3.62 V, at most 2 times": lambda t: passing(t, FILLED, 1)[
        :2
    ],
}


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("seed", range(2))
def test_a_rule_is_met_when_the_truth_says_and_only_then(rule, seed):
    rng = random.Random(f"{seed} {rule}")
    truth = Truth(rng)
    wanted = CASES[rule](truth)
    found = served(rule, truth, rng)
    assert len(found) == len(wanted), (found, wanted)
    assert max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= GAP + POLL


@pytest.mark.parametrize("seed", range(3))
def test_slots_in_a_window_are_those_of_the_truth_but_for_its_edges(seed):
    rng = random.Random(seed)
    truth = Truth(rng)
    found = served("a: every 10 s while voltage > 3.62 V", truth, rng)
    wanted = slots(truth, 10.0, above=True)
    edges = [time for time, _ in truth.passes(FILLED)]
    # The hysteresis keeps the window open for 5 mV on the way down; noise moves its edges.
    slack = 0.006 / (TOP - BOTTOM) * 900 + POLL
    extra = set(found) - set(wanted)
    assert all(min(abs(slot - edge) for edge in edges) <= slack for slot in extra)
    lost = set(wanted) - set(found)
    # What is not found was not known, which is said, or lies at an edge.
    assert len(lost) < 0.2 * len(wanted)
    assert len(found) == len(set(found))
    assert not any(math.isnan(slot) for slot in found)
