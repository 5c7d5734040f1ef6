"""The code that stands in the documentation, run on rows and devices that are made up."""

import re
from pathlib import Path

import numpy as np
import xarray as xr

from battbeam.devices.fakes import fake_beamline
from battbeam.experiment.control_spot import ControlSpot
from battbeam.storage.catalog import Catalog

DOCS = Path(__file__).parents[2] / "docs"


def code(page):
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


class Reduced(Catalog):
    """A catalogue of rows that are given."""

    def __init__(self, runs):
        self._runs = runs

    def runs(self, **wanted):
        assert set(wanted) == {"operando"}
        return list(self._runs)

    def reduced(self, run):
        return self._runs[run]


class Run(str):
    """A run's name, and of its start document what is asked for."""

    @property
    def start(self):
        return {"reduction": {"method": "xrd"}}


def rows_of(spot, spots, *, every, rate):
    time = np.arange(30.0, 3600.0, every)
    content = 0.95 - 0.9 * time / 3600
    fluence = 1e10 * np.arange(1, len(time) + 1)
    alive = np.exp(-rate * fluence)
    value = alive * content + np.cumsum(-np.diff(alive, prepend=1.0) * content)
    columns = {
        "spot_x": spot[0],
        "spot_y": spot[1],
        "lithium_content_charge": content,
        "lithium_content_xray": value,
        "lithium_content_xray_error": 0.005,
        "fluence": fluence,
        "valid": 1,
    }
    return xr.Dataset(
        {name: ("time", np.broadcast_to(each, len(time))) for name, each in columns.items()},
        coords={"time": time},
        attrs={"cell": {"sample_uid": "s"}, "sentinel": spots.model_dump(mode="json")},
    )


def test_the_page_on_beam_damage_declares_spots_and_asks_the_catalogue(tmp_path, capsys):
    declare, ask = code("how-to/beam-damage.md")
    names = {"beamline": fake_beamline(tmp_path)}
    exec(declare, names)
    spots, measurements = names["spots"], names["measurements"]
    assert isinstance(spots, ControlSpot)
    assert {name: each.spot for name, each in measurements.items()} == {
        "exposed": spots.exposed,
        "control": spots.control,
    }
    assert [rule.measure for rule in names["schedule"].rules] == ["control", "exposed"]
    runs = {
        Run("a"): rows_of(spots.exposed, spots, every=60.0, rate=4e-13),
        Run("b"): rows_of(spots.control, spots, every=390.0, rate=4e-13),
    }
    exec(ask, {"catalog": Reduced(runs), "uid": "of the experiment"})
    found, rate, *_ = capsys.readouterr().out.split()
    assert found == "True"
    assert 3e-13 < float(rate) < 5e-13


def test_repeats_of_an_exposure_by_result_are_put_together_as_the_page_says():
    columns = {
        "measurement": [-1, 0, 0, 0, 0, 1, 1],
        "repeat": [-1, 0, 0, 1, 2, 0, 1],
        "valid": [1, 0, 1, 1, 0, 1, 1],
        "phase_fraction_FePO4": [9.0, 9.0, 0.1, 0.4, 9.0, 0.6, 0.7],
        "phase_fraction_FePO4_error": [0.1, 0.1, 0.1, 0.05, 0.1, 0.1, 0.1],
    }
    rows = xr.Dataset({name: ("time", values) for name, values in columns.items()})
    rows["intensity"] = (("time", "two_theta"), np.ones((7, 2)))
    (block,) = code("reference/results.md")
    names = {"rows": rows}
    exec(block, names)
    np.testing.assert_allclose(names["fraction"], [(0.1 + 4 * 0.4) / 5, 0.65])
    np.testing.assert_allclose(names["error"], [0.1 / 5**0.5, 0.1 / 2**0.5])
    np.testing.assert_allclose(names["counts"], [[2, 2], [2, 2]])
