import math
import random

import pytest

from battbeam.guard.settling import Settling

NOISE = 1e-4


def settled_at(rate, limit, *, noise=NOISE, interval=10.0, longest=86_400.0, seed=1):
    """s after which a relaxation, whose slope is ``rate(t)`` per s, is told to have settled."""
    rng, settling, value, time = random.Random(seed), Settling(), 3.4, 0.0
    while time < longest:
        settling.add(time, value + rng.gauss(0.0, noise))
        if settling.is_below(limit):
            return time
        value += rate(time) * interval
        time += interval
    return math.inf


@pytest.mark.parametrize("limit_per_hour", [0.5e-3, 2e-3, 10e-3])
def test_a_relaxation_settles_late_rather_than_early_and_not_by_much(limit_per_hour):
    limit, tau, depth = limit_per_hour / 3600, 1200.0, 0.02
    truth = tau * math.log(depth / tau / limit)
    for seed in range(10):
        found = settled_at(lambda t: depth / tau * math.exp(-t / tau), limit, seed=seed)
        assert truth <= found <= truth + 2 * tau


def test_noise_alone_never_settles_what_changes_faster():
    limit = 2e-3 / 3600
    found = [
        settled_at(lambda _t: 1.2 * limit, limit, longest=20_000, interval=10.0, seed=seed)
        for seed in range(8)
    ]
    assert set(found) == {math.inf}


def test_what_is_steady_settles_within_minutes_at_a_generous_limit():
    assert settled_at(lambda _t: 0.0, 20e-3 / 3600, interval=1.0) < 300


def test_what_is_no_number_is_passed_over():
    settling = Settling()
    for time in range(200):
        settling.add(float(time), math.nan)
        settling.add(math.nan, 3.4)
        assert not settling.is_below(1.0)


def test_few_readings_or_a_short_time_say_nothing():
    settling = Settling()
    for time in range(15):
        settling.add(float(time), 3.4)
        assert not settling.is_below(1.0)


def test_a_long_watch_keeps_few_readings():
    settling = Settling()
    for time in range(6000):
        settling.add(float(time), 3.4 + 1e-3 * time)
        assert not settling.is_below(1e-4)
    assert len(settling._times) <= 2000
