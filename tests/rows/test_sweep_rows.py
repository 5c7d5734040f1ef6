"""Rows A6, B15 and B16: sweeps of the energy while cells cycle."""

from dataclasses import replace

import numpy as np
import pytest

from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.schedule import Schedule
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.operando import operando
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import finished, mounted
from battbeam.plans.xanes import ONCE, quick_xanes, spectrum, xanes
from battbeam.reduction.curve_resolution import resolve
from battbeam.reduction.normalization import NormalizationOperator
from battbeam.reduction.unmixing import spectra_rank
from battbeam.sim.absorption import FoilAbsorption, SampleAbsorption, SampleState
from battbeam.sim.history import History, history_path
from tests.rows.spectra import Offline, foil_curve, near_edge, scenario, standard
from tests.rows.wire import (
    cycled,
    measured,
    passport,
    runs_of,
    session_on,
    set_rate,
)

NICKEL, COBALT = "Ni K", "Co K"
POLICIES = {"plan_end": "open_circuit", "failure": "open_circuit", "client_loss": "open_circuit"}


def gains(gain):
    """The same of all chambers."""
    return dict.fromkeys(("i0", "it", "ir"), gain)


# A6.

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


def swept(edge, how):
    """As start documents say it of sweeps."""
    energy = AbsorptionEdge.of(edge).energy
    low, high = how["ends"]
    grid = {"start": energy + low, "stop": energy + high}
    return {edge: grid | {"duration": how["duration"], "n_samples": how["n_samples"]}}


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


# B15.

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


@pytest.mark.parametrize(("seed", "lag"), [(1, 0.0063), (2, 0.0021)])
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


# B16.

N_SPECTRA = 60
#: Of the normalized absorbance in a bin; of shares.
NOISE, SHARE = 2e-3, 0.02
SERIES = {"duration": 60.0, "ends": (-150.0, 150.0), "n_samples": 2000}
#: Within which spectra differ, eV from the edge.
DIFFER = np.arange(-5.0, 40.0, 0.5)
COMPONENTS = ("Ni2+", "Ni3+", "Ni4+")


def true_foil(scenario, edge):
    """A foil's curve from a library, on the tabulated scale."""
    where = AbsorptionEdge.of(edge)
    energy = where.energy + np.arange(-60.0, 100.0, 0.25)
    settings = scenario.spectroscopy
    foil = FoilAbsorption.of(
        where.element, thickness=settings.foil_thickness, resolution=settings.resolution
    )
    return {
        "name": "foil",
        "energy": energy.tolist(),
        "absorbance": foil.absorbance(energy).tolist(),
        "edge_position": where.energy,
    }


def end_members(scenario, energy):
    """What the pure components would look like in this cell, normalized as it is; no cell reaches
    the middle one.
    """
    settings = scenario.spectroscopy
    sample = SampleAbsorption.of(scenario, 1, resolution=settings.resolution)
    half, whole = np.array([0.5]), np.ones(1)
    states = {
        name: table.state(half, whole, valence_change=0.0, disorder=0.0)
        for name, table in sample.tables.items()
    }
    edge = AbsorptionEdge.of(NICKEL).energy
    operator = NormalizationOperator(energy, edge_energy=edge)
    pure = []
    for index in range(len(COMPONENTS)):
        weights = np.eye(len(COMPONENTS))[index]
        only = {**states, "Ni": replace(states["Ni"], weights=weights)}
        pure.append(operator.normalized(sample.absorbance(energy, SampleState(1.0, 0.5, only))))
    return np.array(pure)


def on_grid(row, name, energy):
    """A curve of a row at energies, eV."""
    own, values = np.array(row["energy"]), np.array(row[name])
    good = np.isfinite(own) & np.isfinite(values)
    return np.interp(energy, own[good], values[good])


def judge_series(rows, scenario):
    """Three spectra, one after the other, and how much of each."""
    assert rows.of("valid").all(), [row["invalid_reason"] for row in rows.rows]
    assert len(rows) == N_SPECTRA
    energy = AbsorptionEdge.of(NICKEL).energy + DIFFER
    spectra = np.array([on_grid(row, "normalized_absorbance", energy) for row in rows.rows])
    errors = np.array([on_grid(row, "normalized_absorbance_error", energy) for row in rows.rows])
    truth = np.array(
        [[line["fractions"][name] for name in COMPONENTS] for line in rows.lines_at_edge()]
    )
    print(f"shares from {truth.min(axis=0).round(2)} to {truth.max(axis=0).round(2)}")
    assert np.all(np.ptp(truth, axis=0) > 0.5)
    # Shares add up to 1: about their mean, three spectra leave two dimensions.
    rank = spectra_rank(spectra - spectra.mean(axis=0))
    values = rank.singular_values
    print(f"noise {np.median(errors):.1e}; gaps {(values[:5] / values[1:6]).round(1)}")
    assert np.median(errors) < NOISE
    assert rank.by_gap + 1 == len(COMPONENTS)
    own = np.array(rows.rows[0]["energy"])
    own = own[np.isfinite(own)]
    pure = [np.interp(energy, own, each) for each in end_members(scenario, own)]
    found = resolve(spectra, initial=np.array(pure))
    wrong = found.concentrations - truth
    print(f"shares off by {np.sqrt((wrong**2).mean(axis=0)).round(4)} rms")
    assert np.sqrt((wrong**2).mean()) < SHARE
    assert found.concentrations.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    # From the purest spectra of the series alone the answer is not unique, and says so.
    blind = resolve(spectra, n_components=len(COMPONENTS))
    print(f"without end members a band of {blind.ambiguity.round(2)}")
    assert blind.ambiguity.max() > 0.1
    assert blind.concentrations.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    order = [int(np.argmax(np.corrcoef(each, truth.T)[0, 1:])) for each in blind.concentrations.T]
    assert sorted(order) == [0, 1, 2]
    ordered = truth[:, order]
    # What counting leaves besides, two standard deviations of a share.
    inside = (ordered > blind.lowest - SHARE) & (ordered < blind.highest + SHARE)
    print(f"{100 * inside.mean():.1f} % of the shares in their band")
    assert inside.mean() > 0.9


@pytest.mark.parametrize("seed", [1, 2])
def test_a_lithium_rich_oxide_is_three_spectra(tmp_path, seed):
    rich = scenario("lithium_rich_xanes", seed=seed, beam={"flux": 2e10})
    period = 200.0
    turn, end = N_SPECTRA * period / 2, N_SPECTRA * period
    history = ((0.0, 0.97, 0.0), (turn, 0.03, 0.5), (end, 0.97, 1.0))
    offline = Offline(rich, tmp_path, (history,), gain="1e6")
    for number in range(N_SPECTRA):
        offline.time = 10.0 + number * period
        low, high = SERIES["ends"][:: 1 - 2 * (number % 2)]
        offline.sweep(NICKEL, low, high, duration=60.0, n_samples=SERIES["n_samples"])
    asked = {"foil": true_foil(rich, NICKEL), "lag": rich.spectroscopy.lag}
    judge_series(offline.measured(asked, mode="sweep", grids=swept(NICKEL, SERIES)), rich)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_sixty_spectra_of_a_cycling_lithium_rich_cell(tmp_path):
    """Row B16."""
    rich = scenario("lithium_rich_xanes", seed=81, prefix="B16:", beam={"flux": 2e10})
    believed = passport(rich)
    # Half a cycle takes 3300 s; sixty sweeps of a minute take that at least, more on a busy machine.
    steps = [
        {
            "step": "constant_current",
            "rate_C": sign * 1.0,
            "until_charge_fraction": 0.93,
            "until_voltage_V": voltage,
        }
        for sign, voltage in ((1, 4.85), (-1, 2.1))
    ]
    with session_on(rich, tmp_path) as session:
        b = session.beamline
        asked = {"foil": true_foil(rich, NICKEL), "lag": rich.spectroscopy.lag}

        def plan():
            guard = b.potentiostat
            yield from mounted(guard, believed)
            yield from finished(guard.declare({"plan_end": "open_circuit"}))
            yield from finished(guard.load({"record": {"time_s": 10}, "method": steps * 4}))
            yield from finished(guard.start())
            yield from quick_xanes(
                NICKEL,
                replace(Station.of(b), potentiostat=None),
                gains=gains(1e6),
                repeats=Repeats(n_max=N_SPECTRA),
                reduction={"edges": {NICKEL: {"foil": asked["foil"]}}, "lag": asked["lag"]},
                **SERIES,
            )

        session.run(plan())
        judge_series(measured(session, *runs_of(session, "quick_xanes")), rich)
