"""A tomogram that is paused twice: while it turns, and while angles are measured once more."""

import itertools
import threading

import h5py
import hdf5plugin  # noqa: F401  registers the filters that frames are compressed with
import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted, TransitionError

from battbeam.errors import ProcessError
from battbeam.plans.tomography import tomography
from battbeam.processes import wait_for
from tests.rows import imaging
from tests.rows.imaging import Reduced, beamline_of, recorded, scenario

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: Of the rotation: 4 wall s at 10 times; and of each of two angles: 2 wall s.
N, EXPOSURE, PERIOD, N_REPEATS = 81, 0.1, 0.5, 60
#: Frames of a train at which it is paused: some were told of by then, and no train before it ended so.
N_SEEN = range(24, 60)


def pause_in(session, train, failures):
    """Pause once some frames of a train have come; trains count from 0."""
    fly = session.beamline.fly_camera
    before, kickoff = [], fly.kickoff

    def counted():
        before.append(1)
        return kickoff()

    fly.kickoff = counted

    def paused():
        try:
            wait_for(lambda: len(before) > train, timeout=120, what="the train")
            wait_for(lambda: fly.n_frames in N_SEEN, timeout=60, what="frames")
        finally:
            session.RE.request_pause()

    return threading.Thread(target=guarded(paused, failures), daemon=True)


def guarded(act, failures):
    def acted():
        try:
            act()
        except (ProcessError, TransitionError) as failure:
            failures.append(failure)

    return acted


def is_as(beamline, wanted):
    """Whether it is so, as soon as the records say it and the axis has braked."""

    def now():
        found = imaging.at_rest(beamline)
        return {name: found[name] for name in wanted}

    try:
        wait_for(lambda: now() == wanted, timeout=2.0, what="rest")
    except ProcessError:
        assert now() == wanted


def is_paused_and_still(session, before):
    """No light, nothing turns, no file is open."""
    session.beamline.fly_camera.land()
    still = ("shutter", "speed", "is_still", "armed", "writes", "acquires")
    is_as(session.beamline, {name: before[name] for name in still})


def test_a_tomogram_that_is_paused_twice_holds_each_angle_once(tmp_path):
    with beamline_of(scenario("tomography", rate=10.0), tmp_path) as session:
        session.is_interactive = True
        b, failures = session.beamline, []
        before = imaging.at_rest(b)
        how = imaging.options(b, exposure=EXPOSURE, reduction={"ring_width": 0})
        plan = tomography(b.fly_camera, **how, n_projections=N, period=PERIOD, n_repeats=N_REPEATS)
        # Dark and flat are the first two; the rotation that is taken again is another one.
        pauses = [pause_in(session, train, failures) for train in (2, 4)]
        for pause in pauses:
            pause.start()
        try:
            with pytest.raises(RunEngineInterrupted):
                session.run(plan)
            is_paused_and_still(session, before)
            with pytest.raises(RunEngineInterrupted):
                session.RE.resume()
            is_paused_and_still(session, before)
            (uid,) = session.RE.resume()
        finally:
            if session.RE.state == "paused":
                session.RE.abort()
        assert failures == []
        is_as(b, before)
        counts = b.rotation_stage.table.counts_per_degree
        run = recorded(session, uid)
    judge_documents(run)
    judge_frames(run, counts)
    judge_reduced(run, tmp_path)


def trains_of(run):
    events = [doc["data"] for name, doc in run if name == "event" and "role" in doc["data"]]
    return [event for event in events if event["role"] == "projection"]


def judge_documents(run):
    """Numbers go back to the train's beginning, into a new file; else they ascend."""
    names = {doc["uid"]: doc["name"] for name, doc in run if name == "descriptor"}
    told = [doc for name, doc in run if name == "stream_datum"]
    told = [doc for doc in told if names[doc["descriptor"]] == "primary"]
    files = list(dict.fromkeys(doc["stream_resource"] for doc in told))
    assert len(files) == 3
    first = {file: next(d for d in told if d["stream_resource"] == file) for file in files}
    begins = [(first[f]["indices"]["start"], first[f]["seq_nums"]["start"]) for f in files]
    assert begins == [(0, 1), (0, 1), (0, N + 1)]
    for one, other in itertools.pairwise(told):
        if one["stream_resource"] == other["stream_resource"]:
            assert other["indices"]["start"] == one["indices"]["stop"]
            assert other["seq_nums"]["start"] == one["seq_nums"]["stop"]
    assert told[-1]["seq_nums"]["stop"] == N + 2 * N_REPEATS + 1


def judge_frames(run, counts):
    """Each train is whole, at its angles."""
    trains = trains_of(run)
    assert [train["n_frames"] for train in trains] == [N, N_REPEATS, N_REPEATS]
    assert [train["fault"] for train in trains] == ["", "", ""]
    assert [train["shutter"] for train in trains] == [1, 1, 1]
    angles = [np.linspace(0, 180, N), np.full(N_REPEATS, 90.0), np.zeros(N_REPEATS)]
    for train, wanted in zip(trains, angles, strict=True):
        rows = slice(train["first"], train["first"] + train["n_frames"])
        with h5py.File(train["file"], "r", libver="latest", swmr=True) as file:
            omega = file["/entry/instrument/NDAttributes/Omega"][rows]
        np.testing.assert_allclose(omega, wanted, atol=1.01 / counts)


def judge_reduced(run, tmp_path):
    """What is reduced is what the trains' events name."""
    found = Reduced(run, tmp_path / "again")
    (row,) = found.rows()
    assert row["invalid_reason"] == ""
    assert (row["n_projections"], row["partial"]) == (N + 2 * N_REPEATS, 0)
    omega = found.of("omega", "projection")
    assert np.count_nonzero(np.abs(omega - 90.0) < 0.5) == 1 + N_REPEATS
    assert np.count_nonzero(np.abs(omega) < 0.5) == 1 + N_REPEATS
    times = found.of("time_start", "projection")
    # One frame after the other; none is of what was broken off.
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(np.diff(times[:N]), PERIOD, atol=0.05)
