"""Rows A2 and A3: lithium that plates on graphite, in maps over fast cycles, and where all lithium is."""

import runpy
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.experiment.cell import CellPassport
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.stubs import mounted
from battbeam.processes import Supervisor, wait_for
from battbeam.reduction.cell_maps import CellMaps
from battbeam.reduction.maps import Map, correlation
from battbeam.session import example_path
from battbeam.sim.history import HiddenState, History, history_path
from battbeam.sim.scenario import Scenario
from battbeam.storage.progress import closed_reductions
from battbeam.storage.tail import documents
from tests.rows.spectra import SCENARIOS, truth_lines
from tests.rows.wire import runs_of, session_on, set_rate

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RECIPE = runpy.run_path(str(example_path("plans/pouch_plating_maps.py")))
PASSPORT = CellPassport.read(RECIPE["PASSPORT"])
N, EXPOSURE = 11, 2.0
#: mAh: what the cell gives.
CAPACITY = PASSPORT.nominal_capacity
FAST, SLOW = 300.0, 60.0
#: Map and row of it in which the experiment is paused.
PAUSED = (3, 5)
#: Row A2: relative, of the metal in all; Pearson's r with the truth; of its correlation with what
#: graphite has more than its mean; relative, of the decay; cycles, of the onset.
TOTAL, ALIKE, WITH_LITHIUM, DECAY, ONSET = 0.05, 0.98, 0.05, 0.10, 1.0
#: Row A3: of the capacity.
CLOSES = 0.03
#: Wall s that the last rows may take.
PATIENCE = 300.0


def scenario(prefix, *, working=1.0, counter=1.0, seed=1):
    document = Scenario.read(SCENARIOS / "pouch_plating.toml").model_dump()
    document |= {"prefix": prefix, "rate": SLOW, "seed": seed}
    (cell,) = document["cells"]
    cell["coulombic_efficiency"] = working
    cell["counter"]["coulombic_efficiency"] = counter
    return Scenario.model_validate(document)


@dataclass(frozen=True)
class State:
    """One map: reduced rows by column, the truth of each frame, the hidden cell."""

    rows: dict
    truths: list
    hidden: HiddenState

    def true_map(self, value):
        """Of what a line of the truth says."""
        rows = {**self.rows, "true": np.array([value(line) for line in self.truths])}
        return Map.of({**rows, "true_error": np.zeros(len(self.truths))}, "true")


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


def paused_in_row(session, number):
    """Pause the session's run once some frames of a row have come."""
    fly = session.beamline.fly_detector
    begun, kickoff = [], fly.kickoff

    def counted():
        begun.append(1)
        return kickoff()

    def pause():
        try:
            wait_for(lambda: len(begun) > number, timeout=600, what="the row")
            wait_for(lambda: 2 < fly.n_frames < N - 2, timeout=60, what="frames of it")
        finally:
            session.RE.request_pause()

    fly.kickoff = counted
    return threading.Thread(target=pause, daemon=True)


def states(directory, hidden, *, n_cycles, paused=None):
    """The maps of fast cycles, as the reducer of the beamline left them."""
    with session_on(hidden, directory) as session, reducing(session.connection):
        b, connection = session.beamline, session.connection
        session.run_recipe(example_path("plans/calibrate.py"), exposure=2.0)
        references = []

        def look():
            references.append((yield from RECIPE["look"](b)))

        session.run(look())
        plan = experiment(b, hidden, references[0], n_cycles)
        if paused is None:
            session.run(plan)
        else:
            session.is_interactive = True
            paused_in_row(session, paused[0] * N + paused[1]).start()
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
    numbers = {
        name: np.array([row[name] for row in rows])
        for name, value in rows[0].items()
        if not isinstance(value, list)
    }
    middle = np.array([np.mean(numbers["time_start"])])
    truths = [truth[row["frame_file"], row["frame_index"]] for row in rows]
    return State(numbers, truths, history.at(middle))


def cell_maps(found):
    """What the maps say together, with what the passport says."""
    return CellMaps.of(
        [each.rows for each in found],
        area=PASSPORT.electrode_area,
        working_capacity=PASSPORT.theoretical_capacity,
    )


def hidden_of(found, name):
    return np.array([float(getattr(each.hidden, name)[0]) for each in found])


@pytest.fixture(scope="module")
def cycled(tmp_path_factory):
    """Six fast cycles without side reactions, paused in a map."""
    hidden = scenario("A2:")
    return hidden, states(tmp_path_factory.mktemp("a2"), hidden, n_cycles=6, paused=PAUSED)


def test_plating_over_fast_cycles(cycled):
    """Row A2."""
    hidden, found = cycled
    assert len(found) == 13
    for each in found:
        judge_points(each.rows)
    maps = cell_maps(found)
    judge_metal(maps, hidden_of(found, "metal"))
    judge_maps(found, maps)
    judge_growth(maps, hidden.cells[0].plating)


def test_lithium_is_all_there_without_side_reactions(cycled):
    """Row A3."""
    _, found = cycled
    inventory = cell_maps(found).inventory(cell_capacity=CAPACITY)
    say(inventory)
    assert inventory.closes_within(CLOSES)
    assert np.abs(inventory.cathode_gap).max() < CLOSES * CAPACITY
    assert np.abs(inventory.counter_gap).max() < CLOSES * CAPACITY
    pulls = (inventory.missing / inventory.missing_error)[1:]
    print(f"pulls of the closure {pulls.mean():+.2f} +- {pulls.std():.2f}")
    assert np.abs(pulls).max() < 4


def test_lithium_that_side_reactions_took_is_missing(tmp_path):
    """Row A3: a film on graphite and a side reaction at the cathode."""
    working, counter = 0.99, 0.96
    hidden = scenario("A3:", working=working, counter=counter, seed=3)
    found = states(tmp_path, hidden, n_cycles=2)
    inventory = cell_maps(found).inventory(cell_capacity=CAPACITY)
    say(inventory)
    charge = hidden_of(found, "charge")
    passed = np.cumsum(np.maximum(np.diff(charge, prepend=charge[0]), 0.0))
    truth = {
        "cathode_gap": -(1 - working) * passed,
        "counter_gap": -(1 - counter) * passed,
        "missing": (working - counter) * passed,
    }
    assert not inventory.closes_within(CLOSES)
    for name, true in truth.items():
        apart = getattr(inventory, name) - true
        pulls = apart[1:] / getattr(inventory, f"{name}_error")[1:]
        print(f"{name}: off by {np.abs(apart).max() / CAPACITY:.4f}, pulls {pulls.round(2)}")
        assert np.abs(apart).max() < CLOSES * CAPACITY
        assert np.abs(pulls).max() < 4
    assert inventory.missing[-1] / inventory.missing_error[-1] > 5


def say(inventory):
    print("closure", inventory.closure.round(4), "+-", inventory.closure_error.round(4))


def judge_points(rows):
    """Each point is there once, in the order of a snake."""
    assert rows["valid"].all(), set(rows["invalid_reason"])
    np.testing.assert_array_equal(rows["point"], np.arange(N * N))
    half = RECIPE["HALF_WIDTH"]
    line = np.linspace(-half, half, N)
    x = np.concatenate([line[::-1] if row % 2 else line for row in range(N)])
    np.testing.assert_allclose(rows["sample_stage_x"], x, atol=0.05)
    np.testing.assert_allclose(rows["sample_stage_y"], np.repeat(line, N), atol=0.02)
    assert (np.diff(rows["time_start"]) > 0).all()


def judge_metal(maps, true):
    """In all, at each state."""
    off = maps.metal.value - true
    pulls = off / maps.metal.error
    print(f"metal {maps.metal.value.round(3)} mAh of {true.round(3)}")
    print(f"pulls {pulls.mean():+.2f} +- {pulls.std():.2f}")
    assert (np.abs(off) <= np.maximum(TOTAL * true, 3 * maps.metal.error)).all()
    assert (maps.metal.error[3:] < TOTAL / 3 * true[3:])[::2].all()
    assert abs(pulls.mean()) < 3 / np.sqrt(len(pulls))
    assert 0.4 < pulls.std() < 1.7


def judge_maps(found, maps):
    """After each charge from the onset on."""
    for number in range(3, len(found), 2):
        true = found[number].true_map(lambda line: line["areal_moles"]["Li"])
        alike = correlation(maps.plated[number], true)
        lithium = found[number].true_map(lambda line: line["lithium_content_counter"])
        truly = np.corrcoef(lithium.values.ravel(), true.values.ravel())[0, 1]
        together = correlation(maps.plated[number], maps.over_lithiation[number])
        print(
            f"map {number}: r {alike.measured:.4f}, {alike.r:.4f} +- {alike.error:.4f} without noise; "
            f"with lithium in graphite {together.r:+.3f} +- {together.error:.3f}, truly {truly:+.3f}"
        )
        assert alike.measured >= ALIKE
        assert abs(alike.r - 1) < max(4 * alike.error, 0.003)
        assert together.r == pytest.approx(truly, abs=WITH_LITHIUM)


def judge_growth(maps, law):
    found = maps.growth()
    print(f"onset {found.onset:.2f} of {law.onset_cycle}; decay {found.decay:.3f} +- ", end="")
    print(f"{found.decay_error:.3f} of {law.efficiency_decay} cycles")
    print(f"efficiencies {found.efficiency.round(3)} +- {found.efficiency_error.round(3)}")
    assert found.onset == pytest.approx(law.onset_cycle, abs=ONSET)
    assert found.decay == pytest.approx(law.efficiency_decay, rel=DECAY)
    assert found.autocatalysis > 3 * found.autocatalysis_error
