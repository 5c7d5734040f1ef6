"""103 tomograms of a wound cell while it is discharged over a resistor, through the wire (row B1)."""

from contextlib import contextmanager

import numpy as np
import pytest

from battbeam.errors import ReductionError
from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.stubs import wait_until
from battbeam.plans.tomography import tomogram, tomography
from battbeam.processes import Supervisor, wait_for
from battbeam.reduction.segmentation import otsu_thresholds, thresholds_between
from battbeam.reduction.unroll import find_crack, unroll
from battbeam.sim.lithium import full_capacity
from battbeam.storage.progress import closed_reductions
from battbeam.storage.tail import documents
from tests.rows import imaging
from tests.rows.imaging import (
    Reduced,
    Truth,
    beamline_of,
    notes,
    options,
    passport,
    places,
    scenario,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RATE = 12.0
#: s from one tomogram to the next, and of one.
PERIOD, TOMOGRAM = 40.0, 2.8
N_TOMOGRAMS, N_PROJECTIONS = 103, 141
#: s of an exposure, and of all that is between two.
EXPOSURE, STEP = 0.018, TOMOGRAM / N_PROJECTIONS
#: Wall s: of the starts' errors, rms; of what they drift; of the exposures' about their usual delay.
PROMPT, DRIFT, PROMPT_LIGHT = 0.1, 0.2, 0.2
#: Starts whose median is looked at for a drift.
MANY = 20
#: Relative, of voltage over current at the resistor: current and voltage are not read at once.
LOAD = 0.01
#: mm; roughly, of the sheet, and of what of the case is blurred.
ROUGH, RIM = 0.8, 0.5
#: Wall s that the last volumes may take.
PATIENCE = 240.0


class Stored(Reduced):
    """A run as the reducer of the beamline wrote it."""

    def __init__(self, path):
        self.documents = [(line.name, line.doc) for line in documents(path)]
        self.start = self.documents[0][1]


@contextmanager
def reducing(connection):
    """The reducer as it runs beside every session."""
    with Supervisor(connection.directory / "log") as supervisor:
        of = ["battbeam.serve", "reducer", "--directory", str(connection.directory)]
        supervisor.wait_ready([supervisor.start("reducer", of)])
        yield


def reduced_runs(connection):
    """By the run that they are of."""
    found = map(Stored, connection.reduced_spool.glob("*.jsonl"))
    return {each.start["analysis_of"]: each for each in found}


def discharge(session, hidden, *, load, n, in_the_way=""):
    """So many tomograms, one every 40 s, while a cell is discharged; and what was reduced meanwhile."""
    b, cell = session.beamline, hidden.cells[0]
    believed = passport(
        cell,
        chemistry="MnO2",
        capacity=full_capacity(cell),
        limits=(1.5, 3.7, 1.0),
        molar_mass=86.94,
    )
    how = options(b, exposure=EXPOSURE, period=STEP, n_projections=N_PROJECTIONS)
    session.run(tomography(b.fly_camera, **how, label="before"))
    rules = [f"CR2: every {PERIOD:g} s, {n} times, measure tomogram"]
    if in_the_way:
        rules.append(f"busy: {in_the_way}, measure nothing")
    schedule = Schedule.parse("\n".join(rules))

    def busy(md):
        yield from wait_until(b.clock, b.clock.now() + 48.0)
        return ""

    measurements = {
        "tomogram": tomogram(b.fly_camera, **how, label="CR2-{:03d}"),
        "nothing": OwnRun(busy),
    }
    step = {"step": "constant_resistance", "resistance_ohm": load}
    method = [{**step, "until_time_s": (n - 1) * PERIOD + 20.0}]
    return imaging.experiment(session, believed, schedule, measurements, method)


def through_the_wire(directory, hidden, **how):
    """Slots of the schedule and reduced runs by their raw ones, of an experiment."""
    with beamline_of(hidden, directory) as session, reducing(session.connection):
        connection = session.connection
        outer, *raw = discharge(session, hidden, **how)
        raw = [run for run in raw if run[0][1].get("technique") == "tomography"]
        uids = {run[0][1]["uid"] for run in raw}
        in_time = len(uids & closed_reductions(connection))
        print(f"{in_time} of {len(uids)} volumes were there when the experiment ended")
        wait_for(
            lambda: uids <= closed_reductions(connection),
            timeout=PATIENCE,
            what="the last volumes",
            interval=0.5,
        )
        stored = reduced_runs(connection)
    raw.sort(key=lambda run: run[0][1]["time"])
    return outer, raw, [stored[run[0][1]["uid"]] for run in raw]


def test_103_tomograms_start_every_40_s_and_see_a_sheet_swell_and_crack(tmp_path):
    hidden = scenario(
        "wound_primary",
        rate=RATE,
        cell={"active_loading": 28.0},
        imaging={"n_rows": 16, "gain": 0.2},
    )
    outer, raw, found = through_the_wire(tmp_path, hidden, load=4.5, n=N_TOMOGRAMS)
    slots = notes(outer, "CR2")
    assert [row["missed"] for row in slots] == [""] * N_TOMOGRAMS
    labels = [run[0][1]["label"] for run in raw]
    assert labels == [f"CR2-{number:03d}" for number in range(N_TOMOGRAMS)]
    judge_starts(slots, [each.rows()[0] for each in found])
    judge_load(raw, 4.5)
    judge_sheets(found, Truth(tmp_path), hidden.cells[0].phantom.crack_position)


def test_a_slot_that_something_else_takes_is_written_down_and_shifts_no_other(tmp_path):
    """With another roll, over another resistor."""
    hidden = scenario(
        "wound_primary",
        rate=RATE,
        seed=5,
        cell={"initial_lithium_content": 0.35},
        phantom={
            "inner_radius": 1.3,
            "crack_position": 33.0,
            "crack_width": 0.4,
            "crack_state": 0.375,
        },
        imaging={"n_rows": 20, "gain": 0.2, "axis_offset": 3.7},
    )
    n, taken = 9, 5
    busy = "175 s after (every 24 h, 1 times)"
    outer, raw, found = through_the_wire(tmp_path, hidden, load=6.0, n=n, in_the_way=busy)
    slots = notes(outer, "CR2")
    assert [row["index"] for row in slots if row["missed"]] == [taken]
    due = np.array([row["due"] for row in slots])
    np.testing.assert_allclose(due - due[0], PERIOD * np.arange(n), atol=1e-3)
    labels = [run[0][1]["label"] for run in raw]
    assert labels == [f"CR2-{number:03d}" for number in range(n) if number != taken]
    served = [row for row in slots if not row["missed"]]
    judge_starts(served, [each.rows()[0] for each in found])
    judge_load(raw, 6.0)
    judge_sheets(found, Truth(tmp_path), hidden.cells[0].phantom.crack_position)


def judge_starts(slots, rows):
    """In wall seconds: a clock that runs quickly magnifies what takes wall time."""
    late = np.array([row["lateness"] for row in slots]) / RATE
    due = np.array([row["due"] for row in slots])
    exposed = (np.array([row["time_start"] for row in rows]) - due) / RATE
    delay = np.median(exposed)
    spread = np.sqrt(np.mean((exposed - delay) ** 2))
    print(
        f"start error {np.sqrt(np.mean(late**2)):.3f} s rms, {late.max():.3f} at most; first exposure "
        f"{delay:.3f} s after it, {spread:.3f} rms about that"
    )
    assert np.sqrt(np.mean(late**2)) < PROMPT
    assert spread < PROMPT_LIGHT
    for error in (late, exposed):
        drift = np.median(error[-MANY:]) - np.median(error[:MANY])
        print(f"drift {drift:+.3f} s")
        assert abs(drift) < DRIFT


def judge_load(runs, load):
    """Each rotation's event has voltage and current of its cell."""
    for run in runs:
        rows = [doc["data"] for name, doc in run if name == "event" and "role" in doc["data"]]
        (row,) = (row for row in rows if row["role"] == "projection")
        voltage, current = (
            next(value for key, value in row.items() if key.endswith(f"potentiostat_{name}"))
            for name in ("voltage", "current")
        )
        assert current < 0
        assert -voltage / current == pytest.approx(load, rel=LOAD)


def judge_sheets(found, truth, crack_position):
    """Thickness and crack of each volume, to a voxel."""
    sheets, opened = [], 0
    for each in found:
        (row,) = each.rows()
        assert row["valid"], row["invalid_reason"]
        lines = truth.during(row)
        sizes, voxel = lines[len(lines) // 2]["sizes"], row["voxel_size"]
        sheet, empty = sheet_of(each.volume, voxel)
        sheets.append((sheet.mean_thickness, sizes["sheet_thickness"]))
        is_open = [line["sizes"]["crack_width"] > 0 for line in lines]
        if all(is_open):
            crack = find_crack(sheet, empty=empty)
            opened += 1
            if opened in (1, len(found) // 2):
                print(f"crack at {crack.position:.3f} mm, {crack_position:g} are true")
            assert sizes["crack_position"] == crack_position
            assert crack.position == pytest.approx(crack_position, abs=voxel)
        elif not any(is_open):
            with pytest.raises(ReductionError, match="no crack"):
                find_crack(sheet, empty=empty)
    assert 0 < opened < len(found)
    thickness, true = np.array(sheets).T
    growth, true_growth = thickness - thickness[0], true - true[0]
    print(
        f"the sheet grew by {growth[-1] * 1e3:.0f} um of {true_growth[-1] * 1e3:.0f}, off by "
        f"{np.abs(growth - true_growth).max() / voxel:.2f} voxels at most"
    )
    assert np.abs(growth - true_growth).max() < voxel
    assert np.abs(thickness - true).max() < voxel


def sheet_of(volume, voxel):
    """The unrolled sheet, and the attenuation of what is beside it, 1/mm."""
    mean = volume.mean(axis=0)
    _, away = places(volume, voxel)
    # The steel is the brightest ring.
    rings = np.arange(voxel, away[0].min(), voxel)
    bright = [mean[np.abs(away - ring) < voxel / 2].mean() for ring in rings]
    case = rings[int(np.argmax(bright))]
    inside = away < case - RIM
    (low,) = otsu_thresholds(mean, n_classes=2, region=inside)
    sheet, empty = (float(np.median(mean[inside & part])) for part in (mean > low, mean <= low))
    high = float(thresholds_between([sheet, max(bright)])[0])
    return unroll(volume, low=float(low), high=high, voxel_size=voxel, thickness=ROUGH), empty
