"""Rows B20 and C6: small angles beside diffraction and spectra, and pores that breathe.

Grains' radii and phase fractions of one exposure are compared with the one hidden state that both show.
"""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from battbeam.callbacks.methods import reduced_again
from battbeam.storage.tail import documents
from tests.rows.spectra import scenario, truth_lines
from tests.rows.wire import events, runs_of, session_on

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RECIPES = Path(__file__).parents[2] / "plans"
#: s: rows B20.
TOGETHER = 0.010
#: Relative, and 1: row B20.
RADIUS, FRACTION = 0.02, 0.02
#: Relative, of Guinier's radius, of the invariant and of Porod's constant: four of what they scatter.
LAWS = 0.03
#: Relative, and 1: row C6.
SPACING, VOLUME = 0.01, 0.03


def recipe(name):
    return runpy.run_path(str(RECIPES / f"{name}.py"))["plan"]


def reduced_rows(session, uid, method):
    """Rows of one of a run's reductions, from the spool."""
    spool, directory = session.connection.spool, session.connection.directory
    lines = [(line.name, line.doc) for line in documents(spool / f"{uid}.jsonl")]
    found = reduced_again(lines, directory / "volumes", method=method)
    return [doc["data"] for name, doc in found if name == "event"]


def truths(session):
    """Lines of the truth by file and index."""
    lines = truth_lines(session.connection.directory / "sim" / "truth.jsonl")
    return {(Path(line["file"]).name, line["index"]): line for line in lines if "file" in line}


def truth_of(row, truth):
    return truth[row["frame_file"], row["frame_index"]]


def pulls(rows, name, truth, of=None):
    """(Seen - true) / error of a column."""
    return np.array(
        [(row[name] - truth_of(row, truth)[of or name]) / row[f"{name}_error"] for row in rows]
    )


def judge_pulls(label, values):
    """Errors are as wide as they say; what the camera's geometry is off, all frames share."""
    n = len(values)
    print(f"{label}: pulls {np.mean(values):+.2f} in the mean, {np.std(values):.2f} wide, n {n}")
    # Four standard deviations of a standard deviation.
    assert abs(np.std(values, ddof=1) - 1) < 4 / np.sqrt(2 * n)


# Row B20.


def judge_one_event(raw, wide, small, truth):
    """Frames of both detectors in each event, begun together."""
    numbers = [[row["raw_seq_num"] for row in rows] for rows in (wide, small)]
    assert numbers[0] == numbers[1] == list(range(1, len(raw) + 1))
    assert all(row["detector_n_frames"] == row["saxs_n_frames"] == 1 for row in raw)
    for wide_row, small_row in zip(wide, small, strict=True):
        one, other = truth_of(wide_row, truth), truth_of(small_row, truth)
        assert (one.get("camera"), other["camera"]) == (None, "small-angle camera")
        assert abs(one["exposure_start"] - other["exposure_start"]) < TOGETHER


def start_differences(raw, delays):
    """By what the exposures of either detector began apart, as their stamps say, s.

    Both computers' clocks are right in this scenario: stamps are compared as they are.
    """
    return np.array(
        [
            (row["saxs_stamp"] - delays["saxs"]) - (row["detector_stamp"] - delays["detector"])
            for row in raw
        ]
    )


def judge_single_truth(wide, small, truth):
    """Radius and phase fraction, each against the hidden state."""
    fractions, radii, contents = [], [], []
    for row in wide:
        line = truth_of(row, truth)
        fractions.append(row["phase_fraction_FePO4"] - line["phase_fraction"]["FePO4"])
        contents.append(line["lithium_content"])
    for row, content in zip(small, contents, strict=True):
        line = truth_of(row, truth)
        radii.append(row["radius"] / line["radius"] - 1)
        # One state: what either detector's frame is of is the same.
        assert line["lithium_content"] == pytest.approx(content, abs=2e-3)
    print(f"fraction off by {np.abs(fractions).max():.4f}, radius by {np.abs(radii).max():.4f}")
    judge_pulls("radius", pulls(small, "radius", truth))
    # The charge that passed says it within 0.004, which is six of these errors: it is not that.
    errors = np.array([row["phase_fraction_FePO4_error"] for row in wide])
    assert errors.max() < 1e-3
    assert np.abs(fractions / errors).max() < 4.5
    off = [row["guinier_radius"] / truth_of(row, truth)["guinier_radius"] - 1 for row in small]
    print(f"Guinier radius off by {np.abs(off).max():.4f}: {np.round(off, 4)}")
    assert np.abs(off).max() < LAWS
    assert np.abs(pulls(small, "guinier_radius", truth)).max() < 4
    judge_laws(small, np.array([truth_of(row, truth)["radius"] for row in small]))
    assert np.abs(fractions).max() < FRACTION
    assert np.abs(radii).max() < RADIUS
    # The state went through most of its range, and the grains with it.
    assert np.ptp(contents) > 0.5
    assert np.ptp([row["radius"] for row in small]) > 3 * RADIUS * 80.0 / 3


def judge_laws(rows, radius):
    """Of as many spheres the invariant goes with their volume, and Porod's constant with their surface."""
    for name, power in (("invariant", 3), ("porod_constant", 2)):
        values = np.array([row[name] for row in rows])
        each = values / radius**power
        print(f"{name} over radius^{power} within {np.abs(each / each.mean() - 1).max():.4f}")
        assert np.abs(each / each.mean() - 1).max() < LAWS
        assert np.ptp(values) / values.mean() > 5 * LAWS


def judge_spectrum(counted, small, lines, truth):
    """Absorbance of every event from its own I0 and It, but for one constant, and its frame's radius."""
    assert len(counted) == len(small) == len(lines)
    # Light before and behind the cell, and the frame, stand in one event.
    assert [row["raw_seq_num"] for row in small] == list(range(1, len(counted) + 1))
    assert all(row["saxs_n_frames"] == 1 for row in counted)
    energy = np.array([row["energy"] for row in counted])
    seen = np.log([row["counters_i0"] / row["counters_it"] for row in counted])
    true = np.array([line["absorbance"] for line in lines])
    error = np.array(
        [math.hypot(*(row[f"counters_{c}"] ** -0.5 for c in ("i0", "it"))) for row in counted]
    )
    off = seen - true - np.mean(seen - true)
    print(f"absorbance off by {np.abs(off).max():.2e}, counting {error.max():.1e}")
    # Counts of a chamber are many for each photon: what its photons say is larger than its counts.
    assert np.abs(off).max() < 0.01
    step = seen[energy > 7135].mean() - seen[energy < 7105].mean()
    assert step == pytest.approx(true[energy > 7135].mean() - true[energy < 7105].mean(), abs=0.01)
    assert step > 0.1
    assert [row["energy"] for row in small] == pytest.approx(energy, abs=1.0)
    radii = np.array([row["radius"] / truth_of(row, truth)["radius"] - 1 for row in small])
    print(f"radius off by {np.abs(radii).max():.4f} at energies of the Fe edge")
    assert np.abs(radii).max() < RADIUS


def test_one_exposure_at_wide_and_at_small_angles_and_a_spectrum_with_small_angles(tmp_path):
    """Row B20."""
    hidden = scenario("saxs_and_xrd", prefix="B20:", seed=20, rate=60.0)
    with session_on(hidden, tmp_path) as session:
        b = session.beamline
        session.run(recipe("calibrate")(b, exposure=10.0, n_frames=1))
        session.run(recipe("calibrate_saxs")(b, exposure=10.0, n_frames=1))
        session.run(recipe("saxs_and_xrd")(b, exposure=10.0, interval=240.0, rate=2.0))
        (uid,) = runs_of(session, "xrd_series")
        truth, raw = truths(session), events(session, uid)
        delays = {each.name: float(each.readout_delay.get()) for each in (b.detector, b.saxs)}
        wide, small = (reduced_rows(session, uid, method) for method in ("xrd", "saxs"))
        (spectrum,) = session.run(recipe("saxs_and_xanes")(b, step=5.0))
        counted = [row for row in events(session, spectrum) if "energy" in row]
        frames = reduced_rows(session, spectrum, "saxs")
        lines = [
            line
            for line in truth_lines(session.connection.directory / "sim" / "truth.jsonl")
            if "count" in line and line["in_beam"] == "cell"
        ]
        later = truths(session)
    faults = [row["invalid_reason"] for row in (*wide, *small, *frames) if not row["valid"]]
    assert not faults, faults
    judge_one_event(raw, wide, small, truth)
    apart = start_differences(raw, delays)
    print(f"{len(raw)} exposures began {np.abs(apart).max() * 1e3:.3f} ms apart at most")
    assert np.abs(apart).max() < TOGETHER
    judge_single_truth(wide, small, truth)
    judge_spectrum(counted, frames, lines, later)


# Row C6.


def judge_spacing(rows, truth):
    off = [row["spacing"] / truth_of(row, truth)["spacing"] - 1 for row in rows]
    print(f"spacing off by {np.abs(off).max():.2e}")
    assert np.abs(off).max() < SPACING


def judge_volume(rows, truth):
    """Change of volume since the first frame: the camera's distance is in neither."""
    first, lines = rows[0], [truth_of(row, truth) for row in rows]
    seen = np.array([(row["spacing"] / first["spacing"]) ** 3 - 1 for row in rows])
    true = np.array([(line["spacing"] / lines[0]["spacing"]) ** 3 - 1 for line in lines])
    relative = np.array([row["spacing_error"] / row["spacing"] for row in rows])
    error = 3 * np.hypot(relative, relative[0]) * (1 + true)
    print(f"volume off by {np.abs(seen - true).max():.5f} of {np.ptp(true):.4f}")
    judge_pulls("volume", ((seen - true) / error)[1:])
    assert np.abs(seen - true).max() < VOLUME
    # Of what it changes, too: the structure swells by a tenth of its volume.
    assert np.abs(seen - true).max() < VOLUME * np.ptp(true)
    assert np.ptp(true) > 0.08


def judge_hysteresis(rows, truth):
    """At one content the pores stand wider on charge than on discharge, by the play."""
    current = np.array([row["current"] for row in rows])
    content = np.array([row["lithium_content_charge"] for row in rows])
    spacing, true = (
        np.array(values)
        for values in zip(
            *((row["spacing"], truth_of(row, truth)["spacing"]) for row in rows), strict=True
        )
    )
    middle = content.min() + 0.5 * np.ptp(content)
    gaps = []
    for values in (spacing, true):
        of = {}
        for sign in (1, -1):
            part = np.sign(np.where(np.abs(current) > 1e-5, current, 0)) == sign
            order = np.argsort(content[part])
            of[sign] = np.interp(middle, content[part][order], values[part][order])
        gaps.append(of[1] - of[-1])
    print(f"on charge wider by {gaps[0]:.3f} angstrom, truth {gaps[1]:.3f}")
    assert np.sign(gaps[0]) == np.sign(gaps[1]) == 1
    assert gaps[0] == pytest.approx(gaps[1], rel=0.1)


def test_the_pores_of_a_mesoporous_oxide_breathe_with_a_play(tmp_path):
    """Row C6."""
    hidden = scenario("mesoporous_saxs", prefix="C6:", seed=6, rate=60.0)
    with session_on(hidden, tmp_path) as session:
        b = session.beamline
        session.run(recipe("calibrate_saxs")(b, exposure=10.0, n_frames=1))
        session.run(recipe("mesoporous_saxs")(b, exposure=10.0, interval=120.0, rate=2.5))
        (uid,) = runs_of(session, "xrd_series")
        truth, rows = truths(session), reduced_rows(session, uid, "saxs")
    assert not [row["invalid_reason"] for row in rows if not row["valid"]]
    assert len(rows) > 15
    judge_spacing(rows, truth)
    judge_volume(rows, truth)
    judge_hysteresis(rows, truth)
    judge_pulls("spacing", pulls(rows, "spacing", truth))
