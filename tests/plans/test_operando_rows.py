"""Rules that go by the state of the cell, through the wire: where the hidden cell was when they fired."""

from contextlib import contextmanager

import numpy as np
import pytest

from battbeam.callbacks.live_xrd import reduce_run
from battbeam.channel_access import Context
from battbeam.demo.experiment import INERT, prepare
from battbeam.demo.replay import rows_of
from battbeam.demo.truth import Truth
from battbeam.demo.verdict import Measured
from battbeam.devices.frames import FrameTrain
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cost import Cost
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure, mounted, wait_until
from battbeam.plans.xrd_series import xrd_reduction
from battbeam.session import Session
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

SMALL = Detector(n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8)
COULOMB_PER_MAH = 3.6


def rows(lines, rule):
    """What is noted of one rule, in order."""
    found = [line.doc["data"] for line in lines if line.name == "event"]
    found = [row for row in found if row.get("rules_rule") == rule]
    return [{key.removeprefix("rules_"): value for key, value in row.items()} for row in found]


def passport(cell, **values):
    mass = cell.active_loading * cell.electrode_area
    return {
        **EXAMPLE,
        "cell": "NMC-001",
        "sample_uid": "nmc-001",
        "chemistry": "NMC811",
        "active_mass": mass,
        "electrode_area": cell.electrode_area,
        "nominal_capacity": 0.19 * mass,
        "nominal_capacity_definition": "190 mAh/g of active material",
        "initial_lithium_content": cell.initial_lithium_content,
        "limits": {"voltage_min": 2.5, "voltage_max": 4.4, "current_max": 0.02},
        **values,
    }


# 9, 84 and 296 C/cm2.

LEVELS = np.array([9.0, 84.0, 296.0])
#: C/cm2 by which the cell may have gone on when its measurement starts.
CLOSE = 0.5
#: s of cell time per wall s far from a level and near one, and C/cm2 before and behind it that are
#: near: at the slow rate the cell passes 0.7 C/cm2 a wall second, and a rule has most of one to be
#: served in.
FAST, SLOW, BEFORE, BEHIND = 90.0, 12.0, 4.0, 1.0
#: Thick enough for 296 C/cm2; of little resistance, so that holding its voltage stops it.
THICK = Cell(
    chemistry="nmc811",
    active_loading=600.0,
    electrode_radius=1.5,
    inactive_fraction=0.0,
    resistance=0.05,
    kinetic_resistance=0.05,
    diffusion_time=2.0,
    dead_spot=None,
)


@contextmanager
def slow_near_levels(potentiostat, scenario, area):
    """The simulated clock runs slowly while the charge is near a level."""
    (rate,) = Context(timeout=5).get_pvs(f"{scenario.clock_prefix}Rate")
    rate.wait_for_connection(timeout=10)
    wanted = [0.0]

    def follow(value, **_):
        beyond = value * COULOMB_PER_MAH / area - np.array([0.0, *LEVELS])
        is_near = np.any((beyond > -BEFORE) & (beyond < BEHIND))
        if (now := SLOW if is_near else FAST) != wanted[0]:
            wanted[0] = now
            rate.write([now], wait=False)

    potentiostat.charge.subscribe(follow, run=False)
    try:
        yield
    finally:
        potentiostat.charge.clear_sub(follow)


def test_a_tomogram_at_9_84_and_296_coulomb_per_square_centimetre(tmp_path):
    """At constant current, each once; the state at the start is another rule's."""
    area, current = THICK.electrode_area, 4.2e-3
    scenario = Scenario(
        name="thick", prefix=own_prefix(), rate=SLOW, detector=SMALL, cells=(THICK,)
    )
    schedule = Schedule.parse(
        "start: every 24 h, 1 times, measure tomogram\n"
        "levels: at 9, 84, 296 C/cm2, measure tomogram (hold potential at most 300 s)\n"
    )
    believed = passport(THICK)
    with SimulatedBeamline(scenario, tmp_path) as running, Session(running.start()) as session:
        b = session.beamline

        def tomogram(md):
            yield from wait_until(b.clock, b.clock.now() + 20.0)
            return ""

        def plan():
            yield from mounted(b.potentiostat, believed)
            yield from operando(
                schedule,
                {"tomogram": OwnRun(tomogram, cost=Cost(duration=20.0))},
                potentiostat=b.potentiostat,
                beam=b.beam,
                clock=b.clock,
                protocol={
                    "record": {"time_s": 10},
                    "method": [
                        {
                            "step": "constant_current",
                            "current_mA": current * 1e3,
                            "until_time_s": 302.0 * area / current,
                        }
                    ],
                },
                policies={"plan_end": "open_circuit"},
            )

        with slow_near_levels(b.potentiostat, scenario, area):
            (uid,) = session.run(plan())
        lines = list(documents(session.connection.spool / f"{uid}.jsonl"))
        b.potentiostat.dismount().wait(timeout=10)
    history = History(history_path(tmp_path, 1))
    (start,) = rows(lines, "start")
    found = rows(lines, "levels")

    def areal(times):
        return history.at(np.array(times)).charge * COULOMB_PER_MAH / area

    at = areal([row["start"] for row in found])
    held = areal([row["kept_to"] for row in found]) - at
    due = areal([row["due"] for row in found])
    print(f"due {due.round(3)}, start {at.round(3)}, passed while held {held.round(3)} C/cm2")
    assert not any(row["missed"] or row["error"] or row["remark"] for row in [start, *found])
    assert areal([start["start"]]) == pytest.approx([0.0], abs=CLOSE)
    assert len(found) == 3
    assert np.abs(due - LEVELS).max() < CLOSE
    assert np.abs(at - LEVELS).max() < CLOSE
    # The current would have passed 1.2 C/cm2 meanwhile, had it gone on.
    assert np.abs(held).max() < CLOSE
    assert areal([history.newest - 1.0])[0] > 300.0


# Five times denser above 4.1 V.

RATE = 40.0
PERIOD, OTHERWISE = 40.0, 200.0
#: angstrom by which a lattice parameter may be off; V by which the voltage beside it may.
LATTICE, VOLTAGE = 0.002, 0.003
HALF_CHARGED = Cell(
    chemistry="nmc811",
    initial_lithium_content=0.65,
    inactive_fraction=0.0,
    gradient_x=0.01,
    dead_spot=None,
)


def test_patterns_are_five_times_denser_above_4_1_volt_and_follow_the_c_axis(tmp_path):
    believed = passport(HALF_CHARGED)
    scenario = Scenario(name="top", prefix=own_prefix(), rate=RATE, cells=(HALF_CHARGED,))
    schedule = Schedule.parse("a4: every 40 s while voltage > 4.1 V, else every 200 s, measure nmc")
    with SimulatedBeamline(scenario, tmp_path) as running, Session(running.start()) as session:
        b = session.beamline
        session.run(prepare(b))
        stage = b.sample_stage
        pattern = Pattern(
            Exposure((b.detector,), b.beam, FrameTrain(24.0), (b.potentiostat, stage)),
            reduction=xrd_reduction(b.calibration, ("NMC811", *INERT)),
            positions=((stage.x, 0.0), (stage.y, 0.0)),
            md={"energy": b.monochromator.position},
        )

        def plan():
            yield from mounted(b.potentiostat, believed)
            yield from operando(
                schedule,
                {"nmc": pattern},
                potentiostat=b.potentiostat,
                beam=b.beam,
                clock=b.clock,
                protocol={"record": {"time_s": 5}, "method": TOP},
                policies={"plan_end": "open_circuit"},
            )

        outer, series = session.run(plan())
        spool = session.connection.spool
        lines, raw = (list(documents(spool / f"{uid}.jsonl")) for uid in (outer, series))
        b.potentiostat.dismount().wait(timeout=10)
    found = rows(lines, "a4")
    history = History(history_path(tmp_path, 1))
    judge_density(found, history)
    reduced = rows_of(reduce_run([(line.name, line.doc) for line in raw]))
    judge_lattice(Measured(reduced, Truth(tmp_path / "sim" / "truth.jsonl")), n=len(found))


TOP = [
    {"step": "constant_current", "rate_C": 1.0, "until_voltage_V": 4.3, "until_time_s": 3600},
    {"step": "constant_current", "rate_C": -1.0, "until_time_s": 450},
]


def judge_density(found, history):
    """Slots by the hidden voltage at the time they were due."""
    assert not any(row["missed"] or row["error"] for row in found)
    due = np.array([row["due"] for row in found])
    seconds = np.arange(due[0], due[0] + 10_000.0)
    history.covers(seconds[-1])
    seconds = seconds[seconds < history.newest]
    under_way = history.at(seconds)
    seconds = seconds[: np.flatnonzero(under_way.current)[-1] + 1]
    is_above = history.at(seconds).voltage > 4.1
    n_windows = 1 + int(np.abs(np.diff(is_above.astype(int))).sum())
    slots = history.at(due[due <= seconds[-1]]).voltage > 4.1
    above, below = is_above.sum() / PERIOD, (~is_above).sum() / OTHERWISE
    n_above, n_below = int(slots.sum()), int((~slots).sum())
    # One slot more or less in each window, and windows of both kinds take turns.
    n_more, n_fewer = n_windows - n_windows // 2, n_windows // 2
    density = (n_above + n_fewer) / is_above.sum() / ((n_below - n_more) / (~is_above).sum())
    print(
        f"{n_above} above of {above:.1f}, {n_below} below of {below:.1f}; at most times {density:.2f}"
    )
    assert n_above == pytest.approx(above, abs=n_windows)
    assert n_below == pytest.approx(below, abs=n_windows)
    assert density >= 5.0
    assert n_above >= 12


def judge_lattice(measured, n):
    valid = measured.valid
    assert len(valid) == len(measured) == n
    off = valid.of("lattice_NMC811_c") - valid.true("lattice", "NMC811", "c")
    voltage = valid.of("voltage") - valid.true("voltage_middle")
    span = np.ptp(valid.true("lattice", "NMC811", "c"))
    print(f"c off by {np.abs(off).max():.5f} of {span:.3f} angstrom, V {np.abs(voltage).max():.4f}")
    assert span > 15 * LATTICE
    assert np.abs(off).max() < LATTICE
    assert np.abs(voltage).max() < VOLTAGE
