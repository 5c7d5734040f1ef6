"""Row A6: the Ni edge in ten cycles of NaNi0.4Mn0.4Co0.2O2."""

from dataclasses import replace

import numpy as np
import pytest

from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.schedule import Schedule
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.operando import operando
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import mounted
from battbeam.plans.xanes import ONCE, quick_xanes, spectrum
from battbeam.sim.history import History, history_path
from tests.rows.spectra import (
    Offline,
    foil_curve,
    gains,
    near_edge,
    scenario,
    standard,
    swept,
)
from tests.rows.wire import measured, passport, runs_of, session_on, set_rate

NICKEL = "Ni K"
POLICIES = {"plan_end": "open_circuit", "failure": "open_circuit", "client_loss": "open_circuit"}
N_CYCLES = 10
LOW, HIGH = 2.0, 4.4
#: eV of each cycle's edges; share of the amplitude; share of the capacity.
EDGE, RETENTION, FADE = 0.05, 0.98, 0.01
SODIUM = {"duration": 250.0, "ends": (-100.0, 150.0), "n_samples": 2000}
#: Photons/s, and V/A that bear them.
SODIUM_FLUX, SODIUM_GAIN = 1e9, 1e7


def judge_cycles(rows, capacity, true_left):
    """Sweeps at the upper and at the lower cut-off in turn.

    Args:
        rows: In the order of time.
        capacity: Of each discharge, as the cycler has it, mAh.
        true_left: What of the connected capacity the cell then had.
    """
    assert rows.of("valid").all(), [row["invalid_reason"] for row in rows.rows]
    assert len(rows) == 2 * N_CYCLES
    assert len(capacity) == N_CYCLES
    edge, truth = rows.of("edge_position"), rows.true("edge_position")
    up, down = slice(0, None, 2), slice(1, None, 2)
    swing, true_swing = edge[up] - edge[down], truth[up] - truth[down]
    print(f"swing {swing.round(3)} eV, off by {(swing - true_swing).round(3)}")
    print(f"back at the start within {np.ptp(edge[down]):.3f} eV, true {np.ptp(truth[down]):.3f}")
    assert true_swing.min() > 2.0
    assert np.abs(swing - true_swing).max() < EDGE
    assert np.abs(edge[down] - edge[down].mean()).max() < EDGE
    assert swing[-1] / swing[0] > RETENTION
    left, true = faded(capacity), faded(true_left)
    print(f"capacity left {left:.4f}, true {true:.4f}")
    assert true < 0.9
    assert left == pytest.approx(true, abs=FADE)


def faded(capacity):
    """What of the first discharge is left in the last, by a straight line in its logarithm."""
    cycle = np.arange(len(capacity))
    return np.exp(np.polyfit(cycle, np.log(capacity), 1)[0] * (len(capacity) - 1))


def discharges(path):
    """mAh of each discharge in a guard's log, and when it ended, s."""
    log = CellLog(path)
    while log.refresh():
        pass
    samples = log.samples
    flows = np.abs(samples["current"]) > 1e-7
    sign, charge = np.sign(samples["current"])[flows], samples["charge"][flows]
    time = samples["time"][flows]
    borders = np.flatnonzero(np.diff(sign)) + 1
    parts = [part for part in np.split(np.arange(len(sign)), borders) if sign[part[0]] < 0]
    capacity = [charge[part[0] - 1] - charge[part[-1]] for part in parts]
    return np.array(capacity), np.array([time[part[-1]] for part in parts])


def judge_voltages(rows):
    """Each scan says where the voltage was at its start, middle and end."""
    for when, column in (("start", "voltage_start"), ("middle", "voltage"), ("end", "voltage_end")):
        found, true = rows.of(column), rows.true(f"voltage_{when}")
        print(f"voltage at the {when}: off by {np.abs(found - true).max() * 1e3:.2f} mV")
        assert np.abs(found - true).max() < 0.005
    change = rows.of("voltage_end") - rows.of("voltage_start")
    print(f"voltage changes by {np.abs(change).max() * 1e3:.1f} mV during a scan at the most")
    assert np.abs(change).max() < 0.02


@pytest.mark.parametrize("seed", [1, 2])
def test_nickel_comes_back_in_each_of_ten_cycles(tmp_path, seed):
    sodium = scenario("sodium_xanes", seed=seed, beam={"flux": SODIUM_FLUX})
    period, history = 1000.0, []
    contents = [(0.25 if index % 2 == 0 else 0.95) for index in range(2 * N_CYCLES)]
    for index, content in enumerate([0.95, *contents]):
        cycles = max(index - 0.5, 0.0) * 0.7 / 2
        history += [(index * period, content, cycles), (index * period + 700.0, content, cycles)]
    offline = Offline(sodium, tmp_path, (tuple(history),), gain="1e7")
    offline.steps(near_edge(NICKEL, dwell=1.0, fine=0.5))
    (first,) = offline.measured().rows
    for index in range(1, 2 * N_CYCLES + 1):
        offline.time = index * period + 50.0
        low, high = SODIUM["ends"]
        offline.sweep(NICKEL, low, high, duration=250.0, n_samples=2000)
    asked = {
        "foil": foil_curve(first, NICKEL),
        "standards": [standard(first)],
        "lag": sodium.spectroscopy.lag,
    }
    rows = offline.measured(asked, mode="sweep", grids=swept(NICKEL, SODIUM))
    left = (1 - sodium.cells[0].ageing.capacity_fade) ** (0.7 * np.arange(N_CYCLES))
    judge_cycles(rows, left, left)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_ten_cycles_of_a_sodium_cell_whose_capacity_fades_and_whose_redox_does_not(tmp_path):
    """Row A6."""
    sodium = scenario("sodium_xanes", seed=61, prefix="A6:", beam={"flux": SODIUM_FLUX})
    bright = gains(SODIUM_GAIN)
    believed = passport(sodium)
    half = [
        [
            {"step": "constant_current", "rate_C": sign * 2.0, "until_voltage_V": voltage},
            {"step": "constant_voltage", "voltage_V": voltage, "until_time_s": 3600},
        ]
        for sign, voltage in ((1, HIGH), (-1, LOW))
    ]
    schedule = Schedule.parse("edges: when a constant voltage step begins, measure sweep\n")
    with session_on(sodium, tmp_path) as session:
        b = session.beamline
        station = Station.of(b)
        grid = near_edge(NICKEL, dwell=1.0, fine=0.5)
        bare = replace(station, potentiostat=None)
        session.run(
            calibrate_energy(
                [grid],
                bare,
                calibration=b.calibration,
                compound="as built",
                gains={NICKEL: bright},
            )
        )
        known = xanes_reduction(b.calibration, [NICKEL], lag=sodium.spectroscopy.lag)
        sweep = spectrum(
            quick_xanes, NICKEL, station, gains=bright, repeats=ONCE, reduction=known, **SODIUM
        )

        def plan():
            yield from mounted(b.potentiostat, believed)
            yield from operando(
                schedule,
                {"sweep": sweep},
                potentiostat=b.potentiostat,
                beam=b.beam,
                clock=b.clock,
                protocol={
                    "record": {"time_s": 10},
                    "method": [*half[0], *half[1]] * N_CYCLES,
                },
                policies=POLICIES,
            )

        set_rate(sodium, 600.0)
        session.run(plan())
        rows = measured(session, *runs_of(session, "quick_xanes"))
        capacity, ends = discharges(tmp_path / "guard" / "cell1" / "log.jsonl")
        history = History(history_path(session.connection.directory, 1))
        history.wait(ends[-1])
        cycles = history.at(ends).cycles
    judge_voltages(rows)
    judge_cycles(rows, capacity, (1 - sodium.cells[0].ageing.capacity_fade) ** cycles)
