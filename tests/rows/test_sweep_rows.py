"""Row B15: sweeps of a second, up and down, beside a scan in steps."""

from dataclasses import replace

import numpy as np
import pytest

from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import quick_xanes, xanes
from tests.rows.spectra import (
    Offline,
    foil_curve,
    gains,
    near_edge,
    scenario,
    standard,
    swept,
)
from tests.rows.wire import cycled, measured, passport, session_on, set_rate

NICKEL, COBALT = "Ni K", "Co K"
#: s of a sweep; a lag may be off by 1 ms.
QUICK = {"duration": 1.0, "ends": (-120.0, 180.0), "n_samples": 4000}
LAG = 1e-3
STEP_SCAN, UP_DOWN, COBALT_DRIFT = 0.05, 0.02, 0.03
#: Bright enough for sweeps of a second: photons/s, and V/A that bear them.
BRIGHT, BRIGHT_GAIN = 3e10, 1e6


def judge_sweeps(rows, lag, stepped):
    """Sweeps up and down over nickel, beside the step scan of the same state."""
    assert rows.of("valid").all(), [row["invalid_reason"] for row in rows.rows]
    edge, is_up = rows.of("edge_position"), rows.of("direction") > 0
    apart = edge[is_up].mean() - edge[~is_up].mean()
    print(f"lag {rows.of('lag')[0] * 1e3:.3f} ms, true {lag * 1e3:g} ms")
    print(f"up minus down {apart:.4f} eV, minus step scan {edge.mean() - stepped:.4f} eV")
    assert rows.of("lag") == pytest.approx(lag, abs=LAG)
    assert abs(apart) < UP_DOWN
    assert np.abs(edge - stepped).max() < STEP_SCAN


def judge_metals(nickel, cobalt):
    """Edges of sweeps at several states, means of each: one moves and comes back, the other stays."""
    moved = np.array([rows.of("edge_position").mean() for rows in nickel])
    true = np.array([rows.true("edge_position").mean() for rows in nickel])
    stays = np.array([rows.of("edge_position").mean() for rows in cobalt])
    print(f"nickel {moved - moved[0]} eV, true {true - true[0]}; cobalt {stays - stays[0]} eV")
    assert true[1] - true[0] > 1.0
    assert moved - moved[0] == pytest.approx(true - true[0], abs=STEP_SCAN)
    assert np.ptp(stays) < COBALT_DRIFT


@pytest.mark.parametrize(
    ("seed", "lag"), [(1, 0.0063), pytest.param(2, 0.0021, marks=pytest.mark.acceptance)]
)
def test_sweeps_of_a_second_agree_with_steps_and_with_each_other(tmp_path, seed, lag):
    nickel_rich = scenario(
        "nickel_rich_sweeps", seed=seed, spectroscopy={"lag": lag}, beam={"flux": BRIGHT}
    )
    contents, length = (0.97, 0.4, 0.95), 2000.0
    history = [
        (index * length + inside, content, 0.0)
        for index, content in enumerate(contents)
        for inside in (0.0, length - 1.0)
    ]
    offline = Offline(nickel_rich, tmp_path, (tuple(history),), gain="1e6")
    known = {}
    for edge in (NICKEL, COBALT):
        offline.steps(near_edge(edge, dwell=1.0, fine=0.5))
        (first,) = offline.measured().rows
        known[edge] = {"foil": foil_curve(first, edge), "standards": [standard(first)]}
    found = {NICKEL: [], COBALT: []}
    for index in range(len(contents)):
        offline.time = index * length + (700.0 if index == 0 else 10.0)
        for edge in (NICKEL, COBALT):
            for number in range(8):
                low, high = QUICK["ends"][:: 1 - 2 * (number % 2)]
                offline.sweep(edge, low, high, duration=1.0, n_samples=QUICK["n_samples"])
            asked = offline.measured(known[edge], mode="sweep", grids=swept(edge, QUICK))
            found[edge].append(asked)
    offline.time = length + 500.0
    offline.steps(near_edge(NICKEL, dwell=1.0, fine=0.5))
    (stepped,) = offline.measured(known[NICKEL]).rows
    judge_sweeps(found[NICKEL][1], lag, stepped["edge_position"])
    judge_metals(found[NICKEL], found[COBALT])


@pytest.mark.ioc
@pytest.mark.acceptance
def test_nickel_moves_and_cobalt_stays_in_sweeps_of_a_second(tmp_path):
    """Row B15."""
    nickel_rich = scenario("nickel_rich_sweeps", seed=71, prefix="B15:", beam={"flux": BRIGHT})
    believed = passport(nickel_rich)
    part = {"step": "constant_current", "until_charge_fraction": 0.5, "until_time_s": 7200}
    # 1 is all of the lithium.
    ways = ({**part, "rate_C": 0.5}, {**part, "rate_C": -0.5, "until_voltage_V": 3.0})
    with session_on(nickel_rich, tmp_path) as session:
        b = session.beamline
        bright = gains(BRIGHT_GAIN)
        station = replace(Station.of(b), potentiostat=None)
        grids = [near_edge(edge, dwell=1.0, fine=0.5) for edge in (NICKEL, COBALT)]
        session.run(
            calibrate_energy(
                grids,
                station,
                calibration=b.calibration,
                compound="as built",
                gains={NICKEL: bright, COBALT: bright},
            )
        )
        known = {edge: xanes_reduction(b.calibration, [edge]) for edge in (NICKEL, COBALT)}
        found = {NICKEL: [], COBALT: []}

        def look():
            for edge, n in ((NICKEL, 8), (COBALT, 8)):
                (uid,) = session.run(
                    quick_xanes(
                        edge,
                        station,
                        gains=bright,
                        repeats=Repeats(n_max=n),
                        reduction=known[edge],
                        **QUICK,
                    )
                )
                found[edge].append(measured(session, uid))

        look()
        for number, way in enumerate(ways):
            set_rate(nickel_rich, 1800.0)
            session.run(cycled(b, [way], believed))
            set_rate(nickel_rich, 60.0)
            look()
            if number == 0:
                (uid,) = session.run(
                    xanes(grids[0], station, gains=bright, reduction=known[NICKEL])
                )
                (stepped,) = measured(session, uid).rows
    judge_sweeps(found[NICKEL][1], nickel_rich.spectroscopy.lag, stepped["edge_position"])
    judge_metals(found[NICKEL], found[COBALT])
