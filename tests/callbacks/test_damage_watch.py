"""Exposed and control spots of reduced rows: asked as a whole, and watched while rows come."""

import json
import math

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from battbeam.callbacks.damage_watch import DamageWatch, alarms
from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.experiment.control_spot import ControlSpot
from battbeam.status_report import status_report
from battbeam.storage.beam_damage import damage_of_cell

SPOTS = ControlSpot(exposed=(0, 0), control=(2, 0), rate_of_interest=1e-12)
CELL = {"cell": "LFP-7", "sample_uid": "lfp-007"}


def table(place, *, every, rate, seed, valid=1):
    """A charge in 60 minutes, some rows a minute long, light of 1e10 photons per mm2 each."""
    rng = np.random.default_rng(seed)
    time = np.arange(30.0, 3600.0, every)
    content = 0.95 - 0.9 * time / 3600
    fluence = 1e10 * np.arange(1, len(time) + 1)
    alive = np.exp(-rate * fluence)
    kept = np.cumsum(-np.diff(alive, prepend=1.0) * content)
    return {
        "time": time,
        "spot_x": np.full(len(time), place[0]),
        "spot_y": np.full(len(time), place[1]),
        "lithium_content_charge": content,
        "lithium_content_xray": alive * content + kept + rng.normal(0, 0.005, len(time)),
        "lithium_content_xray_error": np.full(len(time), 0.005),
        "fluence": fluence,
        "valid": np.full(len(time), valid),
    }


def tables(rate):
    exposed = table(SPOTS.exposed, every=60.0, rate=rate, seed=1)
    return exposed, table(SPOTS.control, every=390.0, rate=rate, seed=2)


def dataset(columns, **attrs):
    rows = {name: ("time", values) for name, values in columns.items()}
    return xr.Dataset(
        rows, attrs={"cell": CELL, "sentinel": SPOTS.model_dump(mode="json"), **attrs}
    )


def watched(path, columns, **start):
    """A watch that was given the reduced runs of these tables, rows in the order of time."""
    watch, rows = DamageWatch(path), []
    for number, one in enumerate(columns):
        said = {"cell": CELL, "sentinel": SPOTS.model_dump(mode="json"), "analysis_of": "raw"}
        watch("start", {"uid": f"run {number}", **said, **start})
        watch("descriptor", {"uid": f"rows {number}", "run_start": f"run {number}"})
        for index, time in enumerate(one["time"]):
            data = {name: values[index] for name, values in one.items() if name != "time"}
            rows.append({"time": time, "descriptor": f"rows {number}", "data": data})
    for row in sorted(rows, key=lambda each: each["time"]):
        watch("event", row)
    return watch


def test_runs_of_both_spots_together_say_the_damage_rate():
    rows = [dataset(each) for each in tables(2e-12)]
    found = damage_of_cell(rows)
    assert found.is_found
    assert found.rate == pytest.approx(2e-12, abs=3 * found.rate_error)
    assert found.rate_error < 3e-13
    assert not damage_of_cell([dataset(each) for each in tables(0.0)]).is_found


def test_rows_that_are_not_valid_do_not_count():
    exposed, control = (
        table(spot, every=60.0, rate=2e-12, seed=3, valid=0) for spot in ((0, 0), (2, 0))
    )
    assert damage_of_cell([dataset(exposed), dataset(control)]).n_comparisons == 0


def test_what_cannot_be_compared_is_refused_with_the_reason():
    exposed, control = (dataset(each) for each in tables(0.0))
    other = control.assign_attrs(cell={**CELL, "sample_uid": "lfp-008"})
    with pytest.raises(StorageError, match="on one cell; these runs are of lfp-007, lfp-008"):
        damage_of_cell([exposed, other])
    with pytest.raises(StorageError, match="say nothing of a control spot; give spots"):
        damage_of_cell([exposed.assign_attrs(sentinel=None)])
    with pytest.raises(StorageError, match="no column 'fluence'; reduce its run again"):
        damage_of_cell([exposed.drop_vars("fluence"), control])
    dark = exposed.assign(fluence=exposed.fluence * math.nan)
    with pytest.raises(StorageError, match="fluence of the reduced rows is known of none"):
        damage_of_cell([dark])


def test_spots_that_are_one_are_refused():
    with pytest.raises(ValidationError, match=r"more than 0.1 mm apart, are 0.05"):
        ControlSpot(exposed=(0, 0), control=(0.05, 0), rate_of_interest=1e-12)


def test_a_watch_raises_one_alarm_while_rows_come_and_status_says_it(tmp_path):
    connection = Connection(directory=tmp_path, simulated=True)
    watched(connection.alarms, tables(2e-12))
    (alarm,) = alarms(connection.alarms)
    assert alarm["sample_uid"] == "lfp-007"
    assert alarm["time"] < 3600
    assert alarm["sentence"].startswith("beam damage suspected on LFP-7 at (0, 0) mm: the exposed")
    assert f"alarm: {alarm['sentence']}" in status_report(connection)
    # Started again, it goes through the same rows and says the same.
    watched(connection.alarms, tables(2e-12))
    assert alarms(connection.alarms) == [alarm]


def test_a_watch_says_nothing_without_damage_or_without_sentinel(tmp_path):
    watched(tmp_path / "a", tables(0.0))
    watched(tmp_path / "b", tables(2e-12), sentinel=None)
    watched(tmp_path / "c", tables(2e-12), sentinel={"exposed": [0, 0]})
    assert list(tmp_path.iterdir()) == []


def test_a_line_of_an_alarm_that_was_cut_is_left_out(tmp_path):
    (tmp_path / "a").write_text(json.dumps({"sentence": "s"}) + '\n{"sent')
    assert alarms(tmp_path / "a") == [{"sentence": "s"}]
