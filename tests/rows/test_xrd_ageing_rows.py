"""Row A5: a line of NMC before and after 50 cycles, and what moves it besides the lattice."""

import runpy
from pathlib import Path

import bluesky.plan_stubs as bps
import numpy as np
import pytest

from battbeam.callbacks.methods import reduced_again
from battbeam.plans.xrd_series import xrd_series
from battbeam.reduction.pair_of_runs import LineInRow, shift_between
from battbeam.reduction.xrd import ScatteringPhase
from battbeam.sim.lithium import full_capacity
from battbeam.storage.tail import documents
from tests.rows.offline_frames import Bench, Charged, row_of, without_references
from tests.rows.spectra import scenario, truth_lines
from tests.rows.wire import measured, runs_of, session_on, start_of

PLANS = Path(__file__).parents[2] / "plans"
#: degree: row A5.
SHIFT, TOLERANCE = -0.040, 0.004
#: eV, of a monochromator that was tuned anew and called what it was before.
RETUNED = 8.0
#: Aluminium lies in the electrode's plane; energy and place may be others in the second run.
OPTIONS = {"displacement": 0.3, "reference_error": 1e-3}
#: What lies in the beam, as the passport's stack has it.
PHASES = [
    ScatteringPhase("NMC811", 0.0, 0.626),
    ScatteringPhase("Al", 0.0265, 0.161, reference=True),
    ScatteringPhase("Li", -0.095, 0.97),
]


def line(row):
    """Of a reduced row."""
    assert row["valid"], row["invalid_reason"]
    names = ("two_theta_NMC811_003", "lattice_Al_a", "displacement")
    return LineInRow(*(row[f"{name}{end}"] for name in names for end in ("", "_error")))


def shown(before, after):
    found = shift_between(line(before), line(after))
    print(
        f"shift {found.shift:+.4f} +- {found.shift_error:.4f} degree, seen {found.seen:+.4f}, "
        f"energy {found.energy_change:+.2e}, moved {found.displacement:+.4f} mm, {found.flags}"
    )
    return found


def judge(rows, bare, truth):
    """The shift with the same optics and with others, and nothing where nothing tells.

    Args:
        rows: Before, after, and after with another energy.
        bare: The same, reduced as if there were no reference.
        truth: degree.
    """
    assert truth == pytest.approx(SHIFT, abs=TOLERANCE)
    before, *afterwards = rows
    for row in afterwards:
        found = shown(before, row)
        assert found.shift < 0
        assert found.shift == pytest.approx(truth, abs=TOLERANCE)
        assert abs(found.shift - truth) < 4 * found.shift_error
    before, *afterwards = bare
    for row in afterwards:
        found = shown(before, row)
        assert np.isnan(found.shift)
        assert "no reference in both runs" in found.flags[0]
    # As anyone would read it off after the energy has changed.
    assert abs(found.seen - truth) > TOLERANCE


# Without the wire.


def aged(cell, path):
    """A hold at 3 V, a rest, 50 cycles at 5C, a hold and a rest; s of the rests' middles."""
    full = full_capacity(cell) * 1e-3
    through, rests = Charged(cell, path), []
    for n_cycles in (0, 50):
        for _ in range(n_cycles):
            through.step(7200.0, until=4.2, current=5 * full)
            through.discharge(7200.0, until=3.0, current=-5 * full)
        through.discharge(7200.0, until=3.0, current=-0.5 * full)
        through.step(1800.0, voltage=3.0)
        through.step(1800.0, current=0.0)
        rests.append(through.time - 900.0)
    return through.history(), rests


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Reduced rows, the same without a reference, and the truth."""
    directory = tmp_path_factory.mktemp("a5")
    assb = scenario("assb_before_after")
    bench = Bench(assb, directory, n_pixels=256, exposure=60.0)
    history, (first, last) = aged(bench.scenario.cells[0], directory / "history.jsonl")
    asked = ((PHASES, OPTIONS), (without_references(PHASES), {}))
    reducers = [bench.reducer(phases, **options) for phases, options in asked]
    rows, truth = ([], []), []
    shots = ((first, 0.0), (last, 0.0), (last + 300.0, RETUNED))
    for seed, (time, more) in enumerate(shots):
        energy = assb.beam.energy + more
        frame, light, seen = bench.frame(1, history, time, seed=seed, energy=energy)
        for reducer, found in zip(reducers, rows, strict=True):
            found.append(row_of(reducer.reduce(frame, **light), "NMC811", seen))
        truth.append(seen["two_theta"]["NMC811"]["003"])
    return *rows, truth[1] - truth[0]


@pytest.mark.acceptance
def test_fifty_cycles_move_the_003_by_what_the_lattice_grew(runs):
    judge(*runs)


# Through the wire.


def reduced_without_reference(session, uid):
    """Rows of a run as if its aluminium told nothing."""
    spool = session.connection.spool
    lines = [(line.name, line.doc) for line in documents(spool / f"{uid}.jsonl")]
    phases = [{"phase": phase.phase, "reference": False} for phase in PHASES]
    asked = {"phases": phases, "options": {}}
    found = reduced_again(lines, session.connection.directory / "volumes", options=asked)
    return [doc["data"] for name, doc in found if name == "event"]


def angle_in(truth, row):
    """The true 003 of a row's frame, degree."""
    (line,) = [
        line
        for line in truth
        if "file" in line
        and Path(line["file"]).name == Path(row["frame_file"]).name
        and line["index"] == row["frame_index"]
    ]
    return line["two_theta"]["NMC811"]["003"]


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_solid_state_cell_before_and_after_fifty_cycles(tmp_path):
    """Row A5."""
    assb = scenario("assb_before_after", seed=51, prefix="A5:", rate=1000.0)
    recipe = runpy.run_path(str(PLANS / "assb_before_after.py"))
    calibrate = runpy.run_path(str(PLANS / "calibrate.py"))
    with session_on(assb, tmp_path) as session:
        b = session.beamline
        session.run(calibrate["plan"](b, 60.0))
        session.run(recipe["plan"](b))
        runs = runs_of(session, "xrd_series")
        energy = b.monochromator.position

        def retuned():
            yield from bps.mv(b.monochromator, energy + RETUNED)
            # Called what it was before.
            return (
                yield from xrd_series(
                    [b.detector],
                    beam=b.beam,
                    clock=b.clock,
                    exposure=60.0,
                    readables=[b.potentiostat, b.sample_stage],
                    reduction=start_of(session, runs[0])["reduction"],
                    md={"energy": energy, "cell": start_of(session, runs[0])["cell"]},
                )
            )

        session.run(retuned())
        runs = runs_of(session, "xrd_series")
        assert len(runs) == 3
        rows = [measured(session, uid).rows[-1] for uid in runs]
        bare = [reduced_without_reference(session, uid)[-1] for uid in runs]
    assert rows[1]["cycle_number"] - rows[0]["cycle_number"] == 50
    truth = truth_lines(tmp_path / "sim" / "truth.jsonl")
    before, after, _ = (angle_in(truth, row) for row in rows)
    judge(rows, bare, after - before)
