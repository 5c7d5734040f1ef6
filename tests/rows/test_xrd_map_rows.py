"""Maps of a cell at rest, in steps and on the fly, one of them paused in the middle, through the
wire; and where the cell stands, found by its transmission.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.callbacks.methods import reduced_again
from battbeam.plans.align_cell import align_cell, alignment
from battbeam.plans.operando import identity
from battbeam.plans.xrd_fly_map import xrd_fly_map
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import xrd_reduction
from battbeam.reduction.maps import Map
from battbeam.session import example_path
from battbeam.sim.scenario import Scenario
from battbeam.storage.tail import documents
from tests.conftest import SMALL_DETECTOR
from tests.own import own_prefix
from tests.rows.spectra import SCENARIOS, truth_lines
from tests.rows.wire import (
    cycled,
    events,
    passport,
    paused_in_row,
    session_on,
    set_rate,
    start_of,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

PHASES = ("LiFePO4", "FePO4", "Al", "Li", "steel")
#: Points along either side, mm from the middle to the edge, s of a frame and between two.
N, HALF, EXPOSURE, PERIOD = 11, 1.0, 0.5, 1.0
SPACING = 2 * HALF / (N - 1)
#: mm; s that a frame's time may be off.
NEAR, CLOCK = 0.02, 0.05
#: Row in which the map is paused.
PAUSED = 5
FAST, SLOW = 600.0, 60.0


class Frames:
    """Reduced rows of a run, each beside the truth of its frame."""

    def __init__(self, session, uid):
        directory = session.connection.directory
        run = [
            (line.name, line.doc) for line in documents(session.connection.spool / f"{uid}.jsonl")
        ]
        found = reduced_again(run, directory / "volumes")
        self.rows = [doc["data"] for name, doc in found if name == "event"]
        lines = truth_lines(directory / "sim" / "truth.jsonl")
        self._truth = {
            (Path(line["file"]).name, line["index"]): line for line in lines if line.get("file")
        }

    def of(self, name):
        """A column, one number a row."""
        return np.array([row[name] for row in self.rows], dtype=float)

    def truths(self):
        """Of each row."""
        return [self._truth[row["frame_file"], row["frame_index"]] for row in self.rows]


def scenario(**cell):
    """The house's cell, with other values, behind a strong beam, on a small detector."""
    document = Scenario.read(SCENARIOS / "lfp_coin_cell.toml").model_dump()
    document["beam"] |= {"flux": 1e9}
    document["cells"] = [each | cell for each in document["cells"]]
    document |= {"detector": SMALL_DETECTOR.model_dump(), "rate": SLOW, "prefix": own_prefix()}
    return Scenario.model_validate(document)


def believed(hidden):
    """The passport: layers stand where a coin cell has them; its lid stands off."""
    layers = hidden.stack_of(1)
    stack = [
        {"material": each.material, "thickness": each.thickness, "depth": each.depth}
        for each in layers
    ]
    return passport(hidden, stack=stack)


def sides(stage):
    """Of a square about the middle."""
    return (stage.y, -HALF, HALF, N, stage.x, -HALF, HALF, N)


def options(b):
    return {
        "beam": b.beam,
        "clock": b.clock,
        "exposure": EXPOSURE,
        "readables": [b.potentiostat, b.sample_stage],
        "reduction": xrd_reduction(b.calibration, PHASES),
        "md": {**identity(b.potentiostat), "energy": b.monochromator.position},
    }


def flown(session):
    """Fly the map, pause it in the middle, and go on."""
    b = session.beamline
    session.is_interactive = True
    pause = paused_in_row(session, PAUSED, n_points=N, patience=300)
    pause.start()
    with pytest.raises(RunEngineInterrupted):
        session.run(
            xrd_fly_map(b.fly_detector, *sides(b.sample_stage), period=PERIOD, **options(b))
        )
    b.fly_detector.land()
    assert b.beam.shutter.position == 0
    assert b.map_pulses.arm.get() == 0
    (uid,) = session.RE.resume()
    session.is_interactive = False
    return uid


def test_step_and_fly_maps_agree(tmp_path):
    hidden = scenario()
    charge = [{"step": "constant_current", "rate_C": 0.5, "until_time_s": 3600}]
    with session_on(hidden, tmp_path) as session:
        b = session.beamline
        session.run_recipe(example_path("plans/calibrate.py"), exposure=2.0)
        set_rate(hidden, FAST)
        session.run(cycled(b, charge, believed(hidden)))
        set_rate(hidden, SLOW)
        fly = flown(session)
        (step,) = session.run(xrd_map([b.detector], *sides(b.sample_stage), **options(b)))
        start = start_of(session, fly)
        flies, steps = Frames(session, fly), Frames(session, step)
    judge_start(start)
    judge_frames(flies, hidden)
    judge_points(flies, steps)
    judge_maps(flies, steps)
    judge_way(flies, steps)


def judge_start(start):
    said = start["map"]
    assert (said["mode"], said["shape"], said["snaked"]) == ("fly", [N, N], True)
    assert said["speed"] == pytest.approx(SPACING / PERIOD)
    assert said["way"] == pytest.approx(SPACING * EXPOSURE / PERIOD)


def judge_points(*maps):
    """Each point stands once, in order, at its place."""
    line = np.linspace(-HALF, HALF, N)
    x = np.concatenate([line[::-1] if row % 2 else line for row in range(N)])
    for rows in maps:
        assert rows.of("valid").all(), {row["invalid_reason"] for row in rows.rows}
        np.testing.assert_array_equal(rows.of("point"), np.arange(N * N))
        off = np.hypot(
            rows.of("sample_stage_x") - x, rows.of("sample_stage_y") - np.repeat(line, N)
        )
        print(f"off their points by {off.max() * 1e3:.2f} um at the most")
        assert off.max() < NEAR


def judge_frames(rows, hidden):
    """Place, time and I0 of a frame are those of its exposure."""
    truth = rows.truths()
    middle = np.array([line["x"] + line["way"][0] / 2 for line in truth])
    np.testing.assert_allclose(rows.of("sample_stage_x"), middle, atol=1e-6)
    way = np.abs([line["way"][0] for line in truth])
    np.testing.assert_allclose(way, SPACING * EXPOSURE / PERIOD, rtol=1e-6)
    begins = np.array([line["exposure_start"] for line in truth])
    np.testing.assert_allclose(rows.of("time_start"), begins, atol=CLOCK)
    expected = np.array([line["photons"] for line in truth]) * hidden.beam.i0_efficiency
    pulls = (rows.of("i0") - expected) / np.sqrt(expected)
    print(f"I0: {pulls.mean():+.2f} +- {pulls.std():.2f} standard deviations off")
    # Poisson: chi squared of 121 within five of its standard deviations.
    assert abs((pulls**2).sum() - N * N) < 5 * math.sqrt(2 * N * N)


def judge_maps(flies, steps):
    """The maps differ by counting alone, and each shows what is there."""
    for column in ("lithium_content_xray", "active_amount"):
        one, other = (Map.of(columns(rows), column) for rows in (flies, steps))
        assert one.n_missing == other.n_missing == 0
        chi_squared = one.disagreement(other) * N * N
        print(f"{column}: chi squared of the difference {chi_squared:.0f} of {N * N}")
        assert abs(chi_squared - N * N) < 5 * math.sqrt(2 * N * N)


def judge_way(flies, steps):
    """Where the maps differ by more, a flown frame met something else: the truth says what."""
    name = "lithium_content_xray"
    found = [_by_place(rows, rows.of(name)) for rows in (flies, steps)]
    errors = [_by_place(rows, rows.of(f"{name}_error")) for rows in (flies, steps)]
    true = [
        _by_place(rows, np.array([line["lithium_content"] for line in rows.truths()]))
        for rows in (flies, steps)
    ]
    off = (found[0] - true[0]) - (found[1] - true[1])
    chi_squared = float((off**2 / (errors[0] ** 2 + errors[1] ** 2)).sum())
    most = np.abs(true[0] - true[1]).max()
    print(f"beside the truth of each: {chi_squared:.0f} of {N * N}; the truths part by {most:.4f}")
    assert abs(chi_squared - N * N) < 5 * math.sqrt(2 * N * N)


def _by_place(rows, values):
    """In one order, whichever way a row was measured."""
    where = zip(rows.of("sample_stage_y").round(2), rows.of("sample_stage_x").round(2), strict=True)
    return values[np.array(sorted(range(N * N), key=list(where).__getitem__))]


def columns(rows):
    names = ("sample_stage_x", "sample_stage_y", "lithium_content_xray", "active_amount")
    found = {name: rows.of(name) for name in (*names, "valid")}
    return found | {f"{name}_error": rows.of(f"{name}_error") for name in names[2:]}


#: Where the cell truly is, mm and degree, and to what it must be found.
PLACE, TILT = (0.13, -0.21), 1.3
CENTRE, TILTED = 0.02, 0.1


def test_a_cell_is_found_by_its_transmission(tmp_path):
    hidden = scenario(position=PLACE, tilt=TILT)
    radius = hidden.cells[0].electrode_radius
    with session_on(hidden, tmp_path) as session:
        b = session.beamline
        (uid,) = session.run(
            align_cell(
                b.detector,
                b.sample_stage,
                beam=b.beam,
                size=(2 * radius, 2 * radius),
                n_points=15,
                exposure=10.0,
                tilt=b.tilt_stage,
                tilt_reach=25.0,
            )
        )
        (event,) = events(session, uid, "alignment")
        assert [b.sample_stage.x.position, b.tilt_stage.position] == pytest.approx([0, 0], abs=1e-3)
    found = alignment(event["alignment_document"])
    for name, true in zip("xy", PLACE, strict=True):
        axis = found[name]
        print(f"{name}: {axis.position:.4f} +- {axis.position_error:.4f}, is {true} mm")
        assert axis.position == pytest.approx(true, abs=CENTRE)
    tilt = found["tilt"]
    print(f"tilt: {tilt.tilt:.3f} +- {tilt.tilt_error:.3f}, is {TILT} degree")
    assert tilt.tilt == pytest.approx(TILT, abs=TILTED)
    # Counting alone: four standard deviations.
    assert abs(tilt.tilt - TILT) < 4 * tilt.tilt_error < 4 * TILTED / 3
