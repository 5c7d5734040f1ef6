"""Rows A2 and A3: lithium that plates on graphite, in maps over fast cycles, and where all lithium is."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.stubs import mounted
from battbeam.processes import Supervisor, wait_for
from battbeam.session import example_path
from battbeam.sim.history import History, history_path
from battbeam.storage.progress import closed_reductions
from battbeam.storage.tail import documents
from tests.rows.plating import (
    EXPOSURE,
    RECIPE,
    SIDE_REACTIONS,
    N,
    State,
    judge_closed,
    judge_missing,
    judge_plating,
    places,
    scenario,
)
from tests.rows.spectra import truth_lines
from tests.rows.wire import paused_in_row, runs_of, session_on, set_rate

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

FAST, SLOW = 400.0, 120.0
#: Map and row of it in which the experiment is paused.
PAUSED = (3, 5)
#: Wall s that the last rows may take.
PATIENCE = 300.0


@contextmanager
def reducing(connection):
    """The reducer as it runs beside every session."""
    with Supervisor(connection.directory / "log") as supervisor:
        of = ["battbeam.serve", "reducer", "--directory", str(connection.directory)]
        supervisor.wait_ready([supervisor.start("reducer", of)])
        yield


def experiment(b, hidden, reference, n_cycles):
    """That of the recipe; the simulation runs fast while the cell is cycled."""
    inner = RECIPE["square"](b, EXPOSURE, N, reference)

    def slowly(said):
        set_rate(hidden, SLOW)
        uid = yield from inner.plan(said)
        set_rate(hidden, FAST)
        return uid

    yield from mounted(b.potentiostat, RECIPE["PASSPORT"])
    yield from operando(
        RECIPE["schedule"](),
        {"map": OwnRun(slowly, motors=inner.motors)},
        potentiostat=b.potentiostat,
        beam=b.beam,
        clock=b.clock,
        protocol=RECIPE["protocol"](n_cycles),
        policies={"plan_end": "open_circuit"},
    )


def states(directory, hidden, *, n_cycles, paused=None):
    """The maps of fast cycles, as the reducer of the beamline left them."""
    with session_on(hidden, directory) as session, reducing(session.connection):
        b, connection = session.beamline, session.connection
        session.run_recipe(example_path("plans/calibrate.py"), exposure=10.0, n_frames=6)
        references = []

        def look():
            references.append((yield from RECIPE["look"](b)))

        session.run(look())
        plan = experiment(b, hidden, references[0], n_cycles)
        if paused is None:
            session.run(plan)
        else:
            session.is_interactive = True
            number = paused[0] * N + paused[1]
            paused_in_row(session, number, n_points=N, patience=600).start()
            with pytest.raises(RunEngineInterrupted):
                session.run(plan)
            b.fly_detector.land()
            assert b.beam.shutter.position == 0
            session.RE.resume()
        uids = runs_of(session, "xrd_fly_map")
        wait_for(
            lambda: set(uids) <= closed_reductions(connection),
            timeout=PATIENCE,
            what="the last rows",
            interval=0.5,
        )
        reduced = {}
        for path in connection.reduced_spool.glob("*.jsonl"):
            lines = list(documents(path))
            reduced[lines[0].doc["analysis_of"]] = [
                line.doc["data"] for line in lines if line.name == "event"
            ]
    lines = truth_lines(directory / "sim" / "truth.jsonl")
    truth = {(Path(line["file"]).name, line["index"]): line for line in lines if line.get("file")}
    history = History(history_path(directory, 1))
    return [_state(reduced[uid], truth, history) for uid in uids]


def _state(rows, truth, history):
    # Of a point that was flown again the last row counts, as in the catalogue.
    last = {row["point"]: row for row in rows}
    rows = [last[point] for point in sorted(last)]
    numbers = {
        name: np.array([row[name] for row in rows])
        for name, value in rows[0].items()
        if not isinstance(value, list)
    }
    middle = np.array([np.mean(numbers["time_start"])])
    truths = [truth[row["frame_file"], row["frame_index"]] for row in rows]
    return State(numbers, truths, history.at(middle))


@pytest.fixture(scope="module")
def cycled(tmp_path_factory):
    """Six fast cycles without side reactions, paused in a map."""
    hidden = scenario(prefix="A2:", rate=SLOW)
    return hidden, states(tmp_path_factory.mktemp("a2"), hidden, n_cycles=6, paused=PAUSED)


def test_plating_over_fast_cycles(cycled):
    """Row A2."""
    hidden, found = cycled
    assert len(found) == 13
    for each in found:
        judge_points(each.rows)
    judge_plating(found, hidden.cells[0].plating)


def test_lithium_is_all_there_without_side_reactions(cycled):
    """Row A3."""
    _, found = cycled
    judge_closed(found)


def test_lithium_that_side_reactions_took_is_missing(tmp_path):
    """Row A3: a film on graphite and a side reaction at the cathode."""
    hidden = scenario(prefix="A3:", rate=SLOW, seed=3, **SIDE_REACTIONS)
    judge_missing(states(tmp_path, hidden, n_cycles=2), **SIDE_REACTIONS)


def judge_points(rows):
    """Each point is there once, in the order of a snake."""
    assert rows["valid"].all(), set(rows["invalid_reason"])
    np.testing.assert_array_equal(rows["point"], np.arange(N * N))
    x, y = places()
    np.testing.assert_allclose(rows["sample_stage_x"], x, atol=0.05)
    np.testing.assert_allclose(rows["sample_stage_y"], y, atol=0.02)
    assert (np.diff(rows["time_start"]) > 0).all()
