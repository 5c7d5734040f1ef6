"""Beam damage through the wire: an exposed and a control spot of a cycling cell, against the truth."""

import json
import runpy

import numpy as np
import pytest
import xarray as xr

from battbeam.callbacks.damage_watch import DamageWatch, alarms
from battbeam.callbacks.live_xrd import reduce_run
from battbeam.demo.replay import rows_of
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.plans.preprocessors import run
from battbeam.plans.stubs import Exposure, expose_point, prepared
from battbeam.session import Session, example_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Scenario
from battbeam.storage.beam_damage import damage_of_cell
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

RECIPE = example_path("plans/lfp_beam_damage.py")
SPOTS = runpy.run_path(str(RECIPE))["SPOTS"]
HARMFUL = Scenario.read(example_path("sim/beam_damage.toml"))
SMALL = Detector(
    n_rows=256, n_columns=256, pixel_size=0.344, centre_row=125.65, centre_column=131.35
)


def dark(beamline):
    """A frame without beam at each spot: the truth beside it says what fell there in all."""
    import bluesky.plan_stubs as bps
    import bluesky.preprocessors as bpp

    stage, detector, notes = beamline.sample_stage, beamline.detector, PointNotes()
    exposure = Exposure((detector,), beamline.beam, FrameTrain(1.0), with_beam=False)

    def body(_):
        yield from prepared([detector], exposure.train)
        for point, spot in enumerate((SPOTS.exposed, SPOTS.control)):
            yield from bps.mv(stage.x, spot[0], stage.y, spot[1])
            yield from expose_point(exposure, notes, point)

    return bpp.stage_wrapper(run(body, {}), [detector])


def measured(directory, cell):
    """The reduced runs of both spots as documents, and every frame's truth."""
    scenario = HARMFUL.model_copy(
        update={"detector": SMALL, "cells": (cell,), "prefix": own_prefix()}
    )
    with SimulatedBeamline(scenario, directory) as running, Session(running.start()) as session:
        session.run_recipe(example_path("plans/calibrate.py"))
        _, *uids = session.run_recipe(RECIPE)
        session.run(dark(session.beamline))
        runs = [documents(session.connection.spool / f"{uid}.jsonl") for uid in uids]
    lines = (directory / "sim" / "truth.jsonl").read_text().splitlines()
    reduced = [reduce_run([(line.name, line.doc) for line in run]) for run in runs]
    return reduced, [json.loads(line) for line in lines]


def watched(path, reduced):
    """What is said while the rows come, in the order of time."""
    watch = DamageWatch(path)
    said = [each for run in reduced for each in run if each[0] != "event"]
    events = [each for run in reduced for each in run if each[0] == "event"]
    for name, doc in said + sorted(events, key=lambda each: each[1]["time"]):
        watch(name, doc)
    return alarms(path)


def as_read_back(run):
    """A reduced run's rows as the catalogue gives them."""
    return rows_of(run).assign_attrs(run[0][1])


def near(spot, x, y):
    return np.hypot(np.asarray(x) - spot[0], np.asarray(y) - spot[1]) < 0.05


def each_events_fluence_is_that_of_the_truth(rows, truth):
    """It lies between what fell until the end of its exposure and what fell before the next one."""
    area = HARMFUL.beam.size_x * HARMFUL.beam.size_y
    cell = [line for line in truth if line["footprint"]]
    for spot in (SPOTS.exposed, SPOTS.control):
        mine = rows.isel(time=near(spot, rows.spot_x, rows.spot_y))
        *exposed, last = [line for line in cell if near(spot, *line["footprint"])]
        until = np.array([line["fluence"] for line in exposed])
        following = [*exposed[1:], last]
        before = np.array([line["fluence"] - line["photons"] / area for line in following])
        fluence = mine.fluence.to_numpy()
        assert len(fluence) == len(exposed)
        assert np.all(fluence > 0.99 * until)
        assert np.all(fluence < 1.01 * before)
        # Nothing fell between the last exposure and the dark frame.
        assert fluence[-1] == pytest.approx(last["fluence"], rel=0.01)


@pytest.mark.parametrize("cell", [*HARMFUL.cells, Cell()], ids=["harmed", "unharmed"])
def test_a_control_spot_says_what_the_beam_does_to_the_measured_one(tmp_path, cell):
    reduced, truth = measured(tmp_path, cell)
    runs = [as_read_back(run) for run in reduced]
    rows = xr.concat(runs, dim="time").sortby("time")
    assert set(rows.invalid_reason.to_numpy()) == {""}
    each_events_fluence_is_that_of_the_truth(rows, truth)
    found, told = damage_of_cell(runs), watched(tmp_path / "alarms.jsonl", reduced)
    assert found.n_comparisons >= 5
    if cell.beam_damage:
        assert found.is_found
        assert found.rate_error < 0.15 * cell.beam_damage
        within = max(0.15 * cell.beam_damage, 3 * found.rate_error)
        assert found.rate == pytest.approx(cell.beam_damage, abs=within)
        (alarm,) = told
        assert alarm["sentence"].startswith("beam damage suspected on LFP-damage at (-1.5, 1) mm")
    else:
        assert not found.is_found
        assert not told
        # Of two hundred seeded series 2 standard deviations hold in 93 % or more; this is a single one.
        assert abs(found.rate) < 3 * found.rate_error
