"""Row A4: c of nickel-rich cathodes against voltage, its collapse, and the grains that stopped before."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from battbeam.materials import lattice_edges
from battbeam.plans.calibrate import calibrate_geometry, measure_dark
from battbeam.reduction.coexisting import coexisting
from battbeam.reduction.transitions import collapse
from battbeam.reduction.xrd import ScatteringPhase
from battbeam.sim.fatigue import fatigued_fraction, rest_content
from battbeam.sim.history import History, history_path
from battbeam.sim.lithium import full_capacity
from tests.rows.offline_frames import Bench, Charged, row_of, without_references
from tests.rows.spectra import scenario, truth_lines
from tests.rows.wire import events, measured, runs_of, session_on, start_of

RECIPE = Path(__file__).parents[2] / "plans" / "ni_rich_collapse.py"
CELLS = {1: "NMC622", 2: "NMC90"}
#: angstrom, V and 1: row A4.
EDGE, VOLTAGE, FRACTION, LESS = 0.002, 0.010, 0.02, 0.2
#: V, of the protocol; up to where c is followed, which both cells pass; where patterns get denser.
UPPER, COMPARED, DENSE = 4.3, 4.29, 4.1
#: What lies in the beam besides the oxide, as the passport's stack has it.
INERT = [
    ScatteringPhase("Al", 0.04, 0.43, reference=True),
    ScatteringPhase("Li", -0.27, 0.98, moves=False),
    ScatteringPhase("steel", 1.45, 0.2, moves=False),
]


class Rows:
    """Reduced rows of one cell on its charge, each beside its truth."""

    def __init__(self, phase, rows, truth, current):
        self.phase, self.truth, self._rows, self._current = phase, truth, rows, current

    def of(self, name):
        return np.array([row[name.format(self.phase)] for row in self._rows], dtype=float)

    @property
    def valid(self):
        return [(row["valid"], row["invalid_reason"]) for row in self._rows]

    @property
    def at_constant_current(self):
        """Rows of the slow charge: where the voltage is held, current falls."""
        return self.of("current") > 0.97 * self._current

    def true_edges(self):
        """c of the grains that went on, and of those that stopped, angstrom, shape (n,) each."""
        lines = [
            (line["lattice"][self.phase]["c"], line["fatigued"]["lattice"][self.phase]["c"])
            for line in self.truth
        ]
        return np.array(lines).T

    def true_fraction(self):
        return np.array([line["fatigued"]["phase_fraction"][self.phase] for line in self.truth])

    def widths_apart(self, full_width):
        """Of both 003 lines in the truth."""
        angles = [
            (line["two_theta"][self.phase]["003"], line["fatigued"]["two_theta"][self.phase]["003"])
            for line in self.truth
        ]
        return np.ptp(np.array(angles), axis=1) / full_width

    def coexisting(self):
        of = self.of
        return coexisting(
            of("lattice_{}_c"),
            of("lattice_{}_c_error"),
            fraction=of("fatigued_fraction_{}"),
            fraction_error=of("fatigued_fraction_{}_error"),
            stopped=of("lattice_{}_c_fatigued"),
            stopped_error=of("lattice_{}_c_fatigued_error"),
        )


def judge_lattice(rows, *, full_width, n_apart):
    """c within 0.002 angstrom, the share of grains that stopped within 0.02, or nothing."""
    assert all(valid for valid, _ in rows.valid), rows.valid
    found, error = rows.of("lattice_{}_c"), rows.of("lattice_{}_c_error")
    own = np.sqrt(error**2 - rows.of("lattice_{}_c_shared_error") ** 2)
    share, share_error = rows.of("fatigued_fraction_{}"), rows.of("fatigued_fraction_{}_error")
    others, stopped = rows.true_edges()
    told, true = np.isfinite(share), rows.true_fraction()
    expected = np.where(told, others, (1 - true) * others + true * stopped)
    off, pulls = found - expected, (found - expected) / own
    print(f"{rows.phase}: {len(found)} rows, c off by {np.abs(off).max():.4f} angstrom at worst")
    print(f"{rows.phase}: pulls of c {np.mean(off / error):+.2f}, its own +- {pulls.std():.2f}")
    assert np.abs(off).max() < EDGE
    # Of n normal pulls, beyond either once in a thousand.
    assert abs(np.mean(off / error)) < 0.3 + 3.3 / np.sqrt(len(pulls))
    assert abs(pulls.std() - 1) < 3.3 / np.sqrt(2 * len(pulls))
    # Nothing is said below one line width; there is a margin, for the reduction has its own widths.
    apart = rows.widths_apart(full_width)
    assert not told[apart < 0.95].any()
    assert told[apart > 1.1].all()
    assert told.sum() >= n_apart
    if told.any():
        print(f"{rows.phase}: {told.sum()} rows with both, {share[told].mean():.4f} stopped")
        assert np.abs(share - true)[told].max() < FRACTION
        assert np.abs((share - true) / share_error)[told].max() < 5


def true_collapse(cell, phase, history, span):
    """V at which half of the fall of c is over, and the fall, angstrom, by the hidden cell alone."""
    state = history.at(np.arange(*span, 2.0))
    fraction = fatigued_fraction(cell.fatigue, state.cycles)
    content = rest_content(state.lithium_content, fraction, cell.fatigue)
    c = lattice_edges(phase, content)[:, 1]
    below = state.voltage <= COMPARED
    voltage, c = state.voltage[below], c[below]
    top = int(np.argmax(c))
    depth = float(c[top] - c[-1])
    return float(np.interp(-(c[top] - depth / 2), -c[top:], voltage[top:])), depth


def judge_collapse(parts, truth):
    """At the same upper voltage for both: where, how deep, and how much less with less nickel."""
    found = {}
    for rows in parts:
        grains, slow = rows.coexisting(), rows.at_constant_current
        found[rows.phase] = collapse(
            rows.of("voltage")[slow],
            grains.edge[slow],
            grains.edge_error[slow],
            upper_voltage=COMPARED,
        )
        print(f"{rows.phase}: {found[rows.phase]}, truth {truth[rows.phase]}, {grains.flags}")
    rich, poor = found["NMC90"], found["NMC622"]
    voltage, depth = truth["NMC90"]
    assert rich.upper_voltage == poor.upper_voltage
    assert rich.voltage == pytest.approx(voltage, abs=VOLTAGE)
    # c is smoothed over 12 mV, in which it falls by 0.03 angstrom: a tenth of its bend is lost.
    assert rich.depth == pytest.approx(depth, rel=0.05)
    # Of the truth, and of what was found of it.
    assert truth["NMC622"][1] < LESS * depth
    assert poor.depth < LESS * rich.depth


# Without the wire.


def charged(cell, directory):
    """1.5C to 4.0 V, C/2 to 4.3 V, ten minutes there; history, and when the slow charge began."""
    full = full_capacity(cell) * 1e-3
    through = Charged(cell, directory / f"{cell.chemistry}.jsonl")
    through.step(7200.0, until=4.0, current=1.5 * full)
    begin = through.time
    through.step(7200.0, until=UPPER, current=0.5 * full)
    end = through.time
    through.step(600.0, voltage=UPPER)
    return through.history(), begin, end


def exposed(bench, number, history, times, phases):
    """Rows of frames at times."""
    phase, cell = CELLS[number], bench.scenario.cells[number - 1]
    reducer = bench.reducer(
        [ScatteringPhase(phase, 0.0, 0.7), *phases], fatigued_lithium_content=(0.25, 0.02)
    )
    rows, truth = [], []
    for seed, time in enumerate(times):
        frame, light, line = bench.frame(number, history, float(time), seed=seed)
        rows.append(row_of(reducer.reduce(frame, **light), phase, line))
        truth.append(line)
    return Rows(phase, rows, truth, 0.5e-3 * full_capacity(cell))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(scenario("ni_rich"), tmp_path_factory.mktemp("a4"), n_pixels=256, exposure=8.0)


@pytest.fixture(scope="module")
def courses(bench, tmp_path_factory):
    """History of each cell, begin and end of its slow charge."""
    directory = tmp_path_factory.mktemp("courses")
    return {n: charged(bench.scenario.cells[n - 1], directory) for n in CELLS}


def width_of(scenario):
    """Full width of the 003, degree."""
    detector = scenario.detector
    return detector.peak_width + detector.peak_width_slope * np.tan(np.radians(3.4))


@pytest.mark.acceptance
def test_c_collapses_with_much_nickel_and_hardly_with_less(bench, courses):
    parts, truth = [], {}
    for number, (history, begin, end) in courses.items():
        # More rows where c falls; two while the voltage is held, for NMC90 alone.
        slow = np.linspace(begin + 200, end - 9, 12 if number == 2 else 8)
        held = end + np.array([250.0, 550.0]) if number == 2 else []
        rows = exposed(bench, number, history, [*slow, *held], INERT)
        judge_lattice(rows, full_width=width_of(bench.scenario), n_apart=2 if number == 2 else 0)
        parts.append(rows)
        cell, phase = bench.scenario.cells[number - 1], CELLS[number]
        truth[phase] = true_collapse(cell, phase, history, (begin + 60, end))
    judge_collapse(parts, truth)


def test_without_a_reference_c_is_off_by_many_errors(bench, courses):
    history, _, end = courses[2]
    phases = without_references(INERT)
    rows = exposed(bench, 2, history, [end - 9.0], phases)
    others, stopped = rows.true_edges()
    told, share = np.isfinite(rows.of("fatigued_fraction_{}")), rows.true_fraction()
    expected = np.where(told, others, (1 - share) * others + share * stopped)
    off = rows.of("lattice_{}_c") - expected
    assert np.abs(off).max() > 2 * EDGE
    assert np.abs(off / rows.of("lattice_{}_c_error")).max() > 5


# Through the wire.


def density(session, uid, history):
    """Slots a second above 4.1 V over those below, and why any were missed."""
    rows = events(session, uid, "rules")
    dues = np.array([row["rules_due"] for row in rows])
    missed = [row["rules_missed"] for row in rows if row["rules_missed"]]
    return times_as_dense(dues, history), missed


def times_as_dense(times, history):
    """Above 4.1 V against below."""
    above, between = history.at(times).voltage > DENSE, np.diff(times)
    return np.median(between[~above[1:]]) / np.median(between[above[:-1]])


@pytest.mark.ioc
@pytest.mark.acceptance
def test_two_cells_charged_to_the_same_voltage(tmp_path):
    """Row A4."""
    rich = scenario("ni_rich", seed=41, prefix="A4:")
    recipe = runpy.run_path(str(RECIPE))
    with session_on(rich, tmp_path) as session:
        b = session.beamline
        stage, place = b.sample_stage, b.standard_position
        session.run(
            measure_dark(
                b.detector, beam=b.beam, exposure=8.0, n_frames=3, dark=b.calibration / "dark.npz"
            )
        )
        session.run(
            calibrate_geometry(
                b.detector,
                beam=b.beam,
                standard=b.standard,
                positions=[(stage.x, place[0]), (stage.y, place[1])],
                exposure=20.0,
                n_frames=3,
                energy=b.monochromator.position,
                guess=b.guess,
                geometry=b.calibration / "detector.poni",
                readables=[stage, b.monochromator],
            )
        )
        operandos = [session.run(recipe["plan"](b, cell))[0] for cell in recipe["MATERIALS"]]
        protocols = [start_of(session, operando)["protocol"] for operando in operandos]
        assert protocols[0] == protocols[1]
        assert protocols[0]["method"][-2]["until_voltage_V"] == UPPER
        histories = {n: History(history_path(tmp_path, n)) for n in CELLS}
        lines = truth_lines(tmp_path / "sim" / "truth.jsonl")
        made = {(Path(line["file"]).name, line["index"]): line for line in lines if "file" in line}
        parts, truth = [], {}
        for uid in runs_of(session, "xrd_series"):
            rows = measured(session, uid).rows
            phase = start_of(session, uid)["cell"]["chemistry"]
            seen = [made[Path(row["frame_file"]).name, row["frame_index"]] for row in rows]
            current = 0.5e-3 * recipe["PASSPORT"]["nominal_capacity"]
            parts.append(Rows(phase, rows, seen, current))
        for number, operando in zip(CELLS, operandos, strict=True):
            ratio, missed = density(session, operando, histories[number])
            print(f"{CELLS[number]}: {ratio:.2f} times as dense above 4.1 V, missed {missed}")
            assert ratio >= 5 - 1e-6
            assert not missed
    for rows in parts:
        number = list(CELLS.values()).index(rows.phase) + 1
        # Frames follow their slots, late by a second or two of forty.
        frames = np.array([line["exposure_start"] for line in rows.truth])
        assert times_as_dense(frames, histories[number]) == pytest.approx(5, rel=0.03)
        judge_lattice(rows, full_width=width_of(rich), n_apart=5 if number == 2 else 0)
        slow = [
            line
            for line, is_slow in zip(rows.truth, rows.at_constant_current, strict=True)
            if is_slow
        ]
        span = (slow[0]["exposure_start"], slow[-1]["exposure_end"] + 60)
        truth[rows.phase] = true_collapse(
            rich.cells[number - 1], rows.phase, histories[number], span
        )
    judge_collapse(parts, truth)
