import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.detector_faults import (
    Lag,
    dark_drift,
    dark_flags,
    lag_flags,
    panel_lag,
    without_pile_up,
)

SHAPE = (64, 64)
DARK = np.full(SHAPE, 2.0)
BRIGHT = 50 + 400 * np.exp(-((np.indices(SHAPE)[0] - 30.0) ** 2) / 40)


def recorded(rng, light, *, dark=DARK):
    return rng.poisson(light + dark)


@pytest.mark.parametrize("time", [3.0, 12.0])
def test_lag_and_its_time_come_back_within_honest_errors(time):
    pulls, delays = {"fraction": [], "time": []}, (0.5, 2.0, 6.0, 15.0)
    for seed in range(80):
        rng = np.random.default_rng(seed)
        bright = recorded(rng, BRIGHT)
        kept = [0.03 * np.exp(-delay / time) * (bright - DARK) for delay in delays]
        closed = [recorded(rng, np.maximum(each, 0)) for each in kept]
        found = panel_lag(bright, closed, delays=delays, dark=DARK)
        for name, truth in (("fraction", 0.03), ("time", time)):
            pulls[name].append((getattr(found, name) - truth) / getattr(found, f"{name}_error"))
    for each in pulls.values():
        assert_honest(each, bias=0.2)


def test_one_closed_frame_tells_the_lag_at_its_delay():
    pulls = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        bright = recorded(rng, BRIGHT)
        closed = recorded(rng, 0.02 * np.maximum(bright - DARK, 0))
        found = panel_lag(bright, [closed], delays=[1.0], dark=DARK)
        pulls.append((found.fraction - 0.02) / found.fraction_error)
        assert found.share(1.0) == found.fraction
    assert_honest(pulls)


def test_a_frame_without_its_lag_is_the_frame():
    lag, rng = Lag(0.03, 1e-4, 5.0, 0.1), np.random.default_rng(1)
    before, here = recorded(rng, BRIGHT) - DARK, recorded(rng, BRIGHT[::-1])
    seen = here + 0.03 * np.exp(-0.4) * before
    assert lag.corrected(seen, before, delay=2.0) == pytest.approx(here)


def test_a_lag_is_said_only_where_it_is_more_than_noise():
    lag = Lag(0.03, 1e-4, 5.0, 0.1)
    assert lag_flags(lag, counts=1e6, previous_counts=1e6, delay=0.0) == (
        "lag: 3.0 % of the counts are the frame's before",
    )
    assert lag_flags(lag, counts=1e6, previous_counts=1e6, delay=100.0) == ()


def test_frames_and_delays_that_do_not_fit_and_a_dark_bright_frame_are_refused():
    with pytest.raises(ReductionError, match="1 frames and 2 delays do not fit"):
        panel_lag(BRIGHT, [DARK], delays=[1.0, 2.0], dark=DARK)
    with pytest.raises(ReductionError, match="the bright frame has no counts above its dark"):
        panel_lag(DARK, [DARK], delays=[1.0], dark=DARK)


def test_pixels_in_the_shadow_tell_the_drift_of_the_dark_within_an_honest_error():
    shadow = np.hypot(*(np.indices(SHAPE) - 32.0)) < 6
    pulls = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        frame = recorded(rng, np.where(shadow, 0.0, BRIGHT), dark=DARK + 0.05 * 10)
        found = dark_drift(frame, DARK, shadow=shadow, exposure=10.0)
        pulls.append((found.rate - 0.05) / found.rate_error)
    assert_honest(pulls)
    assert found.corrected(DARK, exposure=10.0) == pytest.approx(DARK + 10 * found.rate)


def test_a_dark_that_has_drifted_is_flagged_and_one_that_has_not_is_not():
    shadow = np.ones(SHAPE, dtype=bool)
    rng = np.random.default_rng(1)
    still = dark_drift(recorded(rng, 0.0), DARK, shadow=shadow, exposure=10.0)
    assert still.flags == ()
    moved = dark_drift(recorded(rng, 0.5), DARK, shadow=shadow, exposure=10.0)
    assert "dark has drifted by 0.0" in moved.flags[0]
    with pytest.raises(ReductionError, match="no pixel lies in the shadow"):
        dark_drift(BRIGHT, DARK, shadow=~shadow, exposure=1.0)


def test_a_dark_is_old_after_an_hour_or_what_was_said():
    assert dark_flags(3599) == ()
    assert dark_flags(7200) == ("dark is 2.0 h old",)
    assert dark_flags(7200, limit=1e4) == ()


def test_counts_without_dead_time_are_those_that_came():
    came = np.array([[1e3, 1e5, 2e6]])
    dead_time, exposure = 1e-7, 1.0
    counted = came / (1 + came / exposure * dead_time)
    found = without_pile_up(counted, exposure=exposure, dead_time=dead_time)
    assert found.counts == pytest.approx(came)
    assert found.largest == pytest.approx(0.2 / 1.2)
    assert found.n_lossy == 1
    assert found.flags == ("1 pixels lost up to 17 % to pile-up",)
    assert without_pile_up(came[:, :2], exposure=1.0, dead_time=dead_time).flags == ()


def test_a_pixel_that_counted_more_than_it_can_is_refused():
    with pytest.raises(ReductionError, match="a pixel has 20000000 counts in 1 s"):
        without_pile_up(np.full((2, 2), 2e7), exposure=1.0, dead_time=1e-7)
