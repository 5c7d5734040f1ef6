"""Imaging that is paused, resumed, aborted, or loses its beam: everything is put back."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.channel_access import Context
from battbeam.errors import ProcessError
from battbeam.experiment.conditions import VoltageCrossing
from battbeam.experiment.schedule import Schedule
from battbeam.plans.fields import Fields
from battbeam.plans.operando import operando
from battbeam.plans.radiography import radiography_series
from battbeam.plans.radiography_burst import radiography_burst
from battbeam.plans.stubs import mounted
from battbeam.plans.tomography import continuous_tomography, tomogram, tomography
from battbeam.processes import wait_for
from tests.rows import imaging
from tests.rows.imaging import OUT, Reduced, beamline_of, passport, recorded, scenario

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: Of a rotation; it takes 6 wall s at 10 times.
N, EXPOSURE, PERIOD = 121, 0.1, 0.5
#: Pulses, or frames that the camera times itself, after which something happens.
N_PULSES, N_FRAMES = 25, 4
#: Wall s between two Ctrl-C: one waits for a checkpoint, two pause at once.
TWICE = 0.2
#: Wall s for which the beam is away.
AWAY = 1.0
#: Faults of the ring, as the record counts them.
NONE, DOWN = 0, 2


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A session, where it writes, and darks and flats that are young enough for all."""
    hidden = scenario("tomography", rate=10.0)
    directory = tmp_path_factory.mktemp("broken_off")
    fields = Fields(flat_offset=OUT, max_age=1e9)
    with beamline_of(hidden, directory) as session:
        session.run(radiography_series(session.beamline.fly_camera, **options(session, fields)))
        yield session, hidden, directory, fields


def options(session, fields):
    b = session.beamline
    return imaging.options(b, fields=fields, exposure=EXPOSURE)


def turn(bench, **more):
    """A rotation of half a turn."""
    session, _, _, fields = bench
    how = options(session, fields)
    return tomography(session.beamline.fly_camera, **how, n_projections=N, period=PERIOD, **more)


def plan_of(bench, name):
    """An imaging plan, long enough."""
    session, _, _, fields = bench
    b, how = session.beamline, options(session, fields)
    if name == "turn":
        return turn(bench)
    if name == "steps":
        return tomography(b.fly_camera, **how, n_projections=N, mode="step")
    if name == "arcs":
        return continuous_tomography(b.fly_camera, **how, n_per_arc=N, period=PERIOD)
    if name == "series":
        return radiography_series(b.fly_camera, **how, n_points=None, interval=1.0, omega=30.0)
    return radiography_burst(
        b.burst_camera,
        **how,
        potentiostat=b.potentiostat,
        condition=VoltageCrossing(level=-5.0, direction="falling"),
        longest=600.0,
        period=PERIOD,
        n_before=20,
        n_after=20,
    )


def off_its_place(bench):
    """Put sample and stage where no plan would leave them; how everything is then."""
    b = bench[0].beamline
    b.rotation_stage.set(7.0).wait(timeout=20)
    b.sample_stage.x.set(0.02).wait(timeout=20)
    return imaging.at_rest(b)


def is_put_back(bench, before):
    """Whether it is as it was, as soon as the records say so and the axis has braked.

    What ``before`` does not name may be different.
    """

    def now():
        found = imaging.at_rest(bench[0].beamline)
        return {name: found[name] for name in before}

    try:
        wait_for(lambda: now() == before, timeout=2.0, what="rest")
    except ProcessError:
        assert now() == before


def under_way(beamline, name):
    """Wait until a plan is in the middle of what it takes."""
    if name == "burst":
        wait_for(lambda: beamline.burst_camera.n_kept >= N_FRAMES, timeout=60, what="kept frames")
        return
    by_pulses = name in ("turn", "arcs")
    signal_of, n = (
        (beamline.pulses.fired, N_PULSES) if by_pulses else (beamline.camera.hdf.captured, N_FRAMES)
    )
    wait_for(lambda: beamline.beam.shutter.position == 1, timeout=60, what="light")
    wait_for(lambda: n <= signal_of.get() < N, timeout=60, what="frames")


class Beside(threading.Thread):
    """Does something once a plan is under way."""

    def __init__(self, beamline, name, act):
        super().__init__(daemon=True)
        self.beamline, self.of, self.act, self.failure = beamline, name, act, ""
        self.start()

    def run(self):
        try:
            under_way(self.beamline, self.of)
        except ProcessError as failure:
            self.failure = str(failure)
        self.act()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.join(timeout=60)
        assert self.failure == ""


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(TWICE)
    os.kill(os.getpid(), signal.SIGINT)


def newest_run(session):
    paths = session.connection.spool.glob("*.jsonl")
    return max(paths, key=lambda path: path.stat().st_mtime).stem


@pytest.mark.parametrize("name", ["turn", "steps", "arcs", "series", "burst"])
def test_ctrl_c_ends_the_run_and_puts_everything_back(bench, name):
    session = bench[0]
    before = off_its_place(bench)
    with Beside(session.beamline, name, ctrl_c), pytest.raises(KeyboardInterrupt):
        session.run(plan_of(bench, name))
    is_put_back(bench, before)
    run = recorded(session, newest_run(session))
    assert (run[-1][0], run[-1][1]["exit_status"]) == ("stop", "abort")


def test_a_turn_that_is_paused_leaves_the_sample_dark_and_still_and_is_taken_again(bench, tmp_path):
    session = bench[0]
    b, before = session.beamline, off_its_place(bench)
    session.is_interactive = True
    try:
        with Beside(b, "turn", ctrl_c), pytest.raises(RunEngineInterrupted):
            session.run(turn(bench))
        b.fly_camera.land()
        still = ("shutter", "speed", "is_still", "armed", "writes", "acquires")
        is_put_back(bench, {name: before[name] for name in still})
        (uid,) = session.RE.resume()
    finally:
        session.is_interactive = False
        if session.RE.state == "paused":
            session.RE.abort()
    is_put_back(bench, before)
    judge_taken_again(recorded(session, uid), tmp_path)


def judge_taken_again(run, tmp_path):
    """Half a turn, then a whole one in another file; what is reduced is the whole one."""
    files = [doc["uri"] for name, doc in run if name == "stream_resource"]
    assert len(set(files)) == 2
    found = Reduced(run, tmp_path)
    (row,) = found.rows()
    assert row["invalid_reason"] == ""
    assert (row["n_projections"], row["partial"]) == (N + n_repeats(run), 0)
    times = found.of("time_start", "projection")[:N]
    np.testing.assert_allclose(np.diff(times), PERIOD, atol=0.05)


def n_repeats(run):
    """Of angles that are taken again when the turn is over."""
    return len(run[0][1]["tomography"].get("repeats", ()))


class Ring:
    """The storage ring, whose beam can be lost."""

    def __init__(self, hidden):
        (self.fault,) = Context(timeout=5).get_pvs(f"{hidden.beamline_prefix}RING:FAULT")
        self.fault.wait_for_connection(timeout=10)

    def lose(self):
        self.fault.write([DOWN], wait=True)

    def fill(self):
        self.fault.write([NONE], wait=True)

    def lose_and_fill(self):
        self.lose()
        time.sleep(AWAY)
        self.fill()


def test_a_turn_is_suspended_without_beam_and_taken_again_with_it(bench, tmp_path):
    session, hidden, _, _ = bench
    before, ring = off_its_place(bench), Ring(hidden)
    with Beside(session.beamline, "turn", ring.lose_and_fill):
        (uid,) = session.run(turn(bench, suspend=True))
    is_put_back(bench, before)
    judge_taken_again(recorded(session, uid), tmp_path)


def test_a_turn_that_loses_its_beam_is_flagged_and_keeps_what_came(bench, tmp_path):
    session, hidden, _, _ = bench
    before, ring = off_its_place(bench), Ring(hidden)
    with Beside(session.beamline, "turn", ring.lose_and_fill):
        (uid,) = session.run(turn(bench))
    is_put_back(bench, before)
    run = recorded(session, uid)
    trains = [doc["data"] for name, doc in run if name == "event" and "role" in doc["data"]]
    (arc,) = [train for train in trains if train["arc"] == 0]
    assert (arc["n_frames"], arc["fault"]) == (N, "")
    assert "ring current" in arc["beam_lost"]
    (row,) = Reduced(run, tmp_path).rows()
    print(row["invalid_reason"])
    assert (row["valid"], row["partial"]) == (0, 1)
    assert 0 < row["n_left_out"] < N / 2
    assert row["n_projections"] + row["n_left_out"] == N + n_repeats(run)


def test_ctrl_c_in_a_tomogram_of_an_experiment_ends_both_runs_and_follows_the_policy(bench):
    session, hidden, _, fields = bench
    b, cell, before = session.beamline, hidden.cells[0], off_its_place(bench)
    believed = passport(cell, chemistry="LiFePO4", capacity=3.0, limits=(2.0, 4.2, 0.05))
    how = options(session, fields) | {"n_projections": N, "period": PERIOD}
    measurements = {"tomogram": tomogram(b.fly_camera, **how)}
    method = [{"step": "constant_current", "rate_C": 0.5, "until_time_s": 600.0}]

    def plan():
        yield from mounted(b.potentiostat, believed)
        yield from operando(
            Schedule.parse("often: every 40 s, measure tomogram\n"),
            measurements,
            potentiostat=b.potentiostat,
            beam=b.beam,
            clock=b.clock,
            protocol={"record": {"time_s": 5}, "method": method},
            policies={"pause": "continue", "plan_end": "open_circuit"},
        )

    known = set(session.connection.spool.glob("*.jsonl"))
    with Beside(b, "turn", ctrl_c), pytest.raises(KeyboardInterrupt):
        session.run(plan())
    is_put_back(bench, before)
    new = set(session.connection.spool.glob("*.jsonl")) - known
    ends = [recorded(session, path.stem)[-1] for path in new]
    assert len(ends) >= 2
    assert [name for name, _ in ends] == ["stop"] * len(ends)
    assert [doc["exit_status"] for _, doc in ends].count("abort") == 2
    wait_for(
        lambda: str(b.potentiostat.state.get()) == "OpenCircuit", timeout=10, what="open circuit"
    )
    b.potentiostat.dismount().wait(timeout=10)
