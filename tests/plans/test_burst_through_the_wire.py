"""A ring buffer fired by the cell itself: a short, and a cell that heats itself."""

import h5py
import numpy as np
import pytest

from battbeam.experiment.conditions import FastChange
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.radiography_burst import radiography_burst
from battbeam.sim.history import History, history_path
from tests.rows import imaging
from tests.rows.imaging import (
    Reduced,
    Truth,
    beamline_of,
    experiment,
    notes,
    options,
    passport,
    scenario,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: s of one radiograph, and from one to the next.
EXPOSURE, PERIOD = 0.4, 1.0
N_BEFORE, N_AFTER = 25, 15
#: mA, some 95 mA/cm2, and s after which it flows.
CURRENT, REST = 12.0, 150.0
#: C/cm2 after which the cell is short.
SHORT = 6.0
#: s over which a slope is taken.
WINDOW = 10.0
#: s from what happens to the buffer: half a wall s at 10 times, for a sample of the guard's, its
#: record, and the plan's look.
LATE = 5.0


def watched(session, hidden, condition, before):
    """A rule of a schedule watches the cell with the camera running; the runs, the outer one first."""
    b, cell = session.beamline, hidden.cells[0]
    believed = passport(
        cell, chemistry="Li", capacity=14.0, limits=(-1.5, 1.5, 0.05), molar_mass=6.94
    )
    how = options(b, exposure=EXPOSURE, readables=())

    def burst(md):
        return radiography_burst(
            b.burst_camera,
            **how,
            potentiostat=b.potentiostat,
            condition=condition,
            period=PERIOD,
            longest=400.0,
            n_before=N_BEFORE,
            n_after=N_AFTER,
            md=md,
        )

    schedule = Schedule.parse("burst: every 24 h, 1 times, measure burst\n")
    method = [
        {"step": "open_circuit_voltage", "until_time_s": REST},
        {"step": "constant_current", "current_mA": CURRENT, "until_time_s": 200.0},
    ]
    before.update(imaging.at_rest(b))
    runs = experiment(session, believed, schedule, {"burst": OwnRun(burst)}, method, record=1.0)
    assert imaging.at_rest(b) == before
    return runs


def lithium(seed, *, phantom=None, **cell):
    return scenario("symmetric_lithium", seed=seed, rate=10.0, cell=cell, phantom=phantom)


def judge_frames(raw, directory):
    """All frames of the burst, in one piece; the truth of each."""
    events = [doc["data"] for name, doc in raw if name == "event"]
    (train,) = [each for each in events if each.get("role") == "burst"]
    assert (train["fault"], train["beam_lost"]) == ("", "")
    n = N_BEFORE + N_AFTER
    assert (train["n_frames"], train["n_frames_asked"]) == (n, n)
    (trigger,) = [each for each in events if "trigger_why" in each]
    assert (trigger["trigger_why"], trigger["trigger_n_kept"]) == ("met", N_BEFORE)
    with h5py.File(train["file"]) as file:
        ids = file["/entry/instrument/NDAttributes/NDArrayUniqueId"][train["first"] :][:n]
    assert np.array_equal(np.diff(ids), np.ones(n - 1))
    found, truth = Reduced(raw, directory), Truth(directory)
    rows = found.rows()
    assert [row["invalid_reason"] for row in rows] == [""] * n
    lines = [truth.of(row) for row in rows]
    starts = np.array([line["exposure_start"] for line in lines])
    np.testing.assert_allclose(np.diff(starts), PERIOD, atol=0.05)
    seen = np.array([row["time_start"] for row in rows])
    np.testing.assert_allclose(seen, starts, atol=0.1)
    return trigger, lines


def test_a_short_fires_the_buffer_and_what_led_to_it_is_kept(tmp_path):
    # What grows reaches the other electrode when the voltage falls.
    grown = {"areal_charges": (0.0, 1.0, 3.0, SHORT)}
    hidden = lithium(1, phantom=grown, short_charge=SHORT, coulombic_efficiency=1.0)
    before = {}
    falling = FastChange(quantity="voltage", direction="falling", rate=0.03, window=WINDOW)
    with beamline_of(hidden, tmp_path) as session:
        outer, raw = watched(session, hidden, falling, before)
    (note,) = notes(outer, "burst")
    assert (note["missed"], note["error"]) == ("", "")
    trigger, lines = judge_frames(raw, tmp_path)
    shorted = when_shorted(hidden, tmp_path)
    print(f"due {trigger['trigger_due'] - shorted:+.2f} s, {trigger['trigger_gap']:.2f} s wide")
    print(f"fired {trigger['trigger_fired'] - shorted:+.2f} s after the short")
    assert abs(trigger["trigger_due"] - shorted) <= trigger["trigger_gap"]
    assert 0 <= trigger["trigger_fired"] - shorted <= LATE
    is_short = np.array([line["sizes"]["is_short"] for line in lines], dtype=bool)
    first = int(np.argmax(is_short))
    print(f"frame {first} of {N_BEFORE} before the trigger shows it first")
    # What led to it and what came of it; none of the kept ones later than the buffer was fired.
    assert is_short.any()
    assert 0 < first <= N_BEFORE
    starts = np.array([line["exposure_start"] for line in lines])
    ends = np.array([line["exposure_end"] for line in lines])
    np.testing.assert_array_equal(is_short[ends < shorted], False)
    np.testing.assert_array_equal(is_short[starts > shorted], True)


def when_shorted(hidden, directory):
    """When so much charge has passed that both electrodes touch; the voltage falls within a second."""
    times, state = history(hidden, directory)
    areal = np.abs(state.charge) * imaging.COULOMB_PER_MAH / hidden.cells[0].electrode_area
    return float(times[np.argmax(areal >= SHORT)])


def history(hidden, directory):
    found = History(history_path(directory, 1))
    found.covers(hidden.start + 1e6)
    times = np.arange(found.oldest + 0.05, found.newest, 0.05)
    return times, found.at(times)


def test_a_cell_that_heats_itself_fires_the_buffer(tmp_path):
    """8.6 mW through 1500 K/W: 13 K, half of them within 42 s; 6 K/min within some seconds."""
    thermostat = {"thermal_resistance": 1500.0, "cell_time_constant": 60.0}
    hidden, before = lithium(2, short_charge=None, thermostat=thermostat), {}
    rising = FastChange(quantity="temperature", direction="rising", rate=6.0, window=WINDOW)
    with beamline_of(hidden, tmp_path) as session:
        outer, raw = watched(session, hidden, rising, before)
    (note,) = notes(outer, "burst")
    assert (note["missed"], note["error"]) == ("", "")
    trigger, lines = judge_frames(raw, tmp_path)
    times, state = history(hidden, tmp_path)
    begun = float(times[np.argmax(state.current > 0.5e-3 * CURRENT)])
    print(
        f"due {trigger['trigger_due'] - begun:+.2f} s, fired {trigger['trigger_fired'] - begun:+.2f}"
    )
    # The mean slope over the window has passed 6 K/min of at first 13 K/min.
    assert 0 < trigger["trigger_fired"] - begun < WINDOW + LATE
    assert abs(trigger["trigger_due"] - trigger["trigger_fired"]) <= trigger["trigger_gap"] + LATE
    assert lines[0]["exposure_start"] < begun < lines[N_BEFORE]["exposure_start"]
