"""What was forecast of a recipe, and what then happened on the simulated beamline."""

import dataclasses
import json
import runpy

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest

from battbeam.connection import SiteNotes
from battbeam.devices.frame_writer import DATASET
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.forecast import forecast
from battbeam.plans.preflight import PONI_KEYS
from battbeam.session import Session, example_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: s of session clock between two looks of the plan at the cell.
LOOK = 6.0
#: s by which a start may be later than foreseen: a look, and the overhead of points before it.
MARGIN = 60.0
#: Wall s by which four points in a row may take longer on a busy machine.
BUSY = 8.0
SMALL = Detector(n_rows=128, n_columns=128, pixel_size=0.688, centre_row=62.8, centre_column=65.7)


def facts(session):
    """What is known of the beamline, its ring as full as it is now."""
    known = SiteFacts.of(SiteNotes.read(session.connection.directory))
    notes = SiteNotes.read(session.connection.directory)
    current = float(session.beamline.beam.ring_current.value_now())
    flux = notes.flux.photons_per_milliampere * current
    return dataclasses.replace(known, beam=dataclasses.replace(known.beam, flux=flux))


def pretend_calibrated(connection):
    connection.calibration.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{key}: 1e-10\n" for key in PONI_KEYS)
    (connection.calibration / "detector.poni").write_text("poni_version: 2.1\n" + lines)
    (connection.calibration / "detector.json").write_text("{}")


def compared(recipe, scenario, directory, **parameters):
    """Forecast of a recipe, how long it took, its documents, and the truth of its frames."""
    path = example_path(f"plans/{recipe}.py")
    with SimulatedBeamline(scenario, directory) as beamline:
        connection = beamline.start()
        pretend_calibrated(connection)
        with Session(connection) as session:
            describe = runpy.run_path(str(path))["describe"]
            foreseen = forecast(describe(facts(session), **parameters)).refuse()
            begin = session.beamline.clock.now()
            uids = session.run_recipe(path, **parameters)
            length = session.beamline.clock.now() - begin
        lines = [documents(connection.spool / f"{uid}.jsonl") for uid in uids]
        truth = (connection.directory / "truth.jsonl", connection.directory / "sim" / "truth.jsonl")
        (found,) = (path.read_text().splitlines() for path in truth if path.exists())
    return foreseen, length, lines, [json.loads(line) for line in found]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The LiFePO4 recipe, a whole cycle at 1C."""
    scenario = Scenario(name="forecast", prefix=own_prefix(), rate=60.0, detector=SMALL)
    return compared("lfp_xrd_series", scenario, tmp_path_factory.mktemp("forecast"))


def rules(runs):
    """Rows of what was due."""
    return [
        line.doc["data"]
        for lines in runs
        for line in lines
        if line.name == "event" and "rules_rule" in line.doc["data"]
    ]


def test_duration_is_within_five_percent(both):
    foreseen, length, _, _ = both
    assert length == pytest.approx(foreseen.duration, rel=0.05)


def test_frames_are_exact(both):
    foreseen, _, runs, truth = both
    served = [row for row in rules(runs) if not row["rules_missed"]]
    assert foreseen.n_frames == len(served) == len(truth)


def test_light_on_the_sample_is_within_two_percent(both):
    foreseen, _, _, truth = both
    photons = sum(line["photons"] for line in truth)
    assert sum(spot.photons for spot in foreseen.cells[0].spots) == pytest.approx(photons, rel=0.02)


def test_lateness_is_within_the_forecast(both):
    foreseen, _, runs, _ = both
    late = [row["rules_lateness"] for row in rules(runs) if not row["rules_missed"]]
    cell = foreseen.cells[0]
    assert sum(late) / len(late) <= cell.lateness.mean + LOOK
    assert max(late) <= cell.lateness.maximum + MARGIN


def test_the_state_of_charge_is_reached(both):
    foreseen, _, _, truth = both
    charge = max(line["charge_end"] for line in truth)
    top = foreseen.cells[0].state_of_charge[2]
    assert charge / 2.85 == pytest.approx(top, abs=0.02)


def test_transmission_and_counts_are_those_of_the_frames(both):
    foreseen, _, _, truth = both
    cell = foreseen.cells[0]
    assert cell.transmission[0] == pytest.approx(truth[0]["transmission"], rel=0.02)
    assert cell.brightest_pixel / brightest(truth) == pytest.approx(1.0, abs=0.5)


def brightest(truth):
    """Median over frames of the largest count."""
    found = []
    for file in {line["file"] for line in truth}:
        with h5py.File(file) as opened:
            found += [int(frame.max()) for frame in opened[DATASET]]
    return float(np.median(found))


def test_four_cells_at_different_rates_are_served_as_forecast(tmp_path):
    scenario = Scenario(
        name="four", prefix=own_prefix(), rate=20.0, detector=SMALL, cells=(Cell(),) * 4
    )
    # Not 1800 s: half the capacity would just be reached at 1C, or just not.
    parameters = {"length": 1700.0, "interval": 900.0}
    foreseen, _, runs, truth = compared("four_cells_xrd", scenario, tmp_path, **parameters)
    # Mounting, loading and closing of four cells is the machine's business.
    begin = min(row["rules_due"] for row in rules(runs))
    length = max(line["exposure_end"] for line in truth) - begin
    assert length == pytest.approx(foreseen.duration, rel=0.05)
    assert foreseen.n_frames == len(truth)
    photons = sum(line["photons"] for line in truth)
    expected = sum(spot.photons for cell in foreseen.cells for spot in cell.spots)
    assert expected == pytest.approx(photons, rel=0.02)
    longest = max(cell.lateness.maximum for cell in foreseen.cells)
    for cell in foreseen.cells:
        late = [
            row["rules_lateness"]
            for row in rules(runs)
            if row["rules_cell"] == cell.cell and not row["rules_missed"]
        ]
        assert len(late) == cell.lateness.n_served
        # A busy machine takes longer over a point than the staff of the beamline know.
        assert max(late) <= longest + BUSY * scenario.rate
