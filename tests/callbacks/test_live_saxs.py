"""Recorded small-angle frames, from documents and a file, beside frames of another detector."""

import h5py
import numpy as np
import pytest

from battbeam.callbacks.live_saxs import LiveSaxs
from battbeam.callbacks.methods import METHODS, LiveRuns, reduced_again
from battbeam.callbacks.small_angle_row import SmallAngleSchema
from battbeam.reduction.saxs_geometry import SmallAngleGeometry
from battbeam.sim.scenario_small_angle import Nanostructure, SmallAngle, Spheres
from battbeam.sim.small_angle import SmallAngleModel, Structure
from tests.test_docs import rows as documented

ENERGY, RADIUS = 22163.0, 35.0
SETTINGS = SmallAngle(
    n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.3, centre_column=32.7
)
SHAPE = (64, 64)
EPOCH = 631_152_000.0
TIME = 1_750_000_000.0


@pytest.fixture(scope="module")
def images():
    model = SmallAngleModel(SETTINGS)
    made = Nanostructure(spheres=Spheres(radius=RADIUS, forward=200.0), surface=1e-9)
    image = model.image(Structure.of(made, 0.0), ENERGY)
    return np.random.default_rng(1).poisson(3e9 * image, size=(3, *SHAPE)).astype(np.uint32)


class Recorded:
    """Documents of a run whose events have frames of two detectors, and its files."""

    def __init__(self, directory, images, **asked):
        self.directory = directory
        geometry, mask = directory / "saxs.poni", directory / "saxs_mask.npy"
        SmallAngleGeometry(
            distance=3000.0,
            distance_error=1.0,
            centre=(31.3, 32.7),
            centre_error=(0.1, 0.1),
            residual=1.0,
            shape=SHAPE,
            pixel_size=(1.376, 1.376),
            energy=ENERGY,
        ).write(geometry)
        rows, columns = np.indices(SHAPE) + 0.5
        np.save(mask, np.hypot(rows - 31.3, columns - 32.7) < 3)
        reduction = {
            "geometry": str(geometry),
            "mask": str(mask),
            "saturation": 1e6,
            "options": {"surface": True},
            **asked,
        }
        start = {
            "uid": "run",
            "time": TIME,
            "kind": "calibration",
            "detectors": ["detector", "saxs"],
            "exposure": 1.0,
            "reduction": {"method": "xrd"},
            "reductions": {"saxs": reduction},
        }
        self.documents = [("start", start), ("descriptor", self._descriptor())]
        for name in ("detector", "saxs"):
            path = directory / f"{name}.h5"
            frames = images if name == "saxs" else np.zeros_like(images)
            with h5py.File(path, "w") as file:
                file["entry/data/data"] = frames
                beside = {
                    "NDArrayTimeStamp": TIME - EPOCH + 1.0 + np.arange(3.0),
                    "I0": np.full(3, 1e6),
                    "IT": np.full(3, 5e5),
                    "RingCurrent": np.full(3, 100.0),
                    "Shutter": np.ones(3),
                    "SampleX": np.zeros(3),
                    "SampleY": np.zeros(3),
                    "Energy": np.array([ENERGY, ENERGY, ENERGY / 2]),
                }
                for key, values in beside.items():
                    file[f"entry/instrument/NDAttributes/{key}"] = values
            resource = {
                "uid": f"file of {name}",
                "data_key": f"{name}_image",
                "mimetype": "application/x-hdf5",
                "uri": f"file://localhost{path}",
                "parameters": {"dataset": "/entry/data/data"},
            }
            self.documents.append(("stream_resource", resource))
        for index in range(3):
            self.documents += self._point(index)
        stop = {"uid": "end", "run_start": "run", "time": TIME + 9, "exit_status": "success"}
        self.documents.append(("stop", stop))

    def _descriptor(self):
        image = {"dtype": "array", "shape": [1, *SHAPE], "external": "STREAM:"}
        names = ("frame", "n_frames", "stamp")
        keys = {f"{d}_{n}": {"dtype": "number"} for d in ("detector", "saxs") for n in names}
        images = {f"{each}_image": image for each in ("detector", "saxs")}
        return {
            "uid": "descriptor",
            "name": "primary",
            "run_start": "run",
            "data_keys": {"point": {"dtype": "integer"}, **keys, **images},
            "configuration": {},
        }

    def _point(self, index):
        for name in ("detector", "saxs"):
            yield (
                "stream_datum",
                {
                    "descriptor": "descriptor",
                    "stream_resource": f"file of {name}",
                    "indices": {"start": index, "stop": index + 1},
                    "seq_nums": {"start": index + 1, "stop": index + 2},
                },
            )
        data = {"point": index, "exposure": 1.0, "i0": 1e6}
        for name in ("detector", "saxs"):
            data |= {f"{name}_frame": index, f"{name}_n_frames": 1}
            data[f"{name}_stamp"] = TIME + 1.0 + index
        event = {"descriptor": "descriptor", "seq_num": index + 1, "time": TIME, "data": data}
        yield "event", {**event, "timestamps": {}}


def again(recorded):
    return reduced_again(recorded.documents, recorded.directory, method="saxs")


def rows(documents):
    return [doc["data"] for name, doc in documents if name == "event"]


def test_each_of_two_detectors_in_one_event_is_reduced_by_its_own_method(tmp_path, images):
    recorded = Recorded(tmp_path, images)
    methods = LiveRuns.methods_of(recorded.documents[0][1])
    assert [each.method for each in methods] == ["xrd", "saxs"]
    found = rows(again(recorded))
    assert [row["raw_seq_num"] for row in found] == [1, 2, 3]
    assert {row["frame_file"] for row in found} == {"saxs.h5"}
    assert [row["invalid_reason"] for row in found] == ["", "", ""]
    assert [row["radius"] for row in found[:2]] == pytest.approx([RADIUS, RADIUS], rel=0.02)
    assert found[0]["time_start"] == pytest.approx(TIME)
    assert found[0]["counts"] == images[0].sum()


def test_a_frame_at_another_energy_has_its_own_scattering_vectors(tmp_path, images):
    first, _, third = rows(again(Recorded(tmp_path, images)))
    assert third["energy"] == ENERGY / 2
    assert np.array(third["q"]) == pytest.approx(np.array(first["q"]) / 2)
    # The same pattern at half the energy is of spheres twice as large.
    assert third["radius"] == pytest.approx(2 * RADIUS, rel=0.02)


def test_live_is_the_same_as_replayed_to_the_bit(tmp_path, images):
    recorded, live = Recorded(tmp_path, images), []
    run = LiveSaxs(lambda name, doc: live.append((name, doc)))
    for name, doc in recorded.documents:
        run(name, doc)
        run.poll()
    run.finish()
    assert str(live) == str(again(recorded))
    assert live[0][1]["raw_reduction"]["method"] == "saxs"


def test_full_pixels_make_a_row_invalid(tmp_path, images):
    full = images.copy()
    full[1, 30, 40] = 2_000_000
    _, row, _ = rows(again(Recorded(tmp_path, full)))
    assert (row["valid"], row["n_saturated"]) == (0, 1)
    assert row["invalid_reason"] == "1 pixels saturated"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"geometry": None}, "small-angle frames need a `geometry`; calibrate with calibrate_saxs"),
        ({"options": {"speed": 1}}, "options speed are not known"),
        ({"options": {"model": "peak"}}, "needs a peak_range"),
        ({"mask": "/nowhere/mask.npy"}, "mask /nowhere/mask.npy cannot be read"),
        ({"dark": "/nowhere/dark.npz"}, "dark /nowhere/dark.npz cannot be read"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(tmp_path, images, asked, said):
    stop = again(Recorded(tmp_path, images, **asked))[-1][1]
    assert stop["exit_status"] == "fail"
    assert said in stop["reason"]


def test_every_column_of_its_rows_is_listed_with_its_unit():
    keys = SmallAngleSchema(n_bins=3, positions={}).data_keys()
    known = {**documented("reference/results.md"), **documented("reference/saxs.md")}
    assert {name: known.get(name) for name in keys} == {
        name: key["units"] for name, key in keys.items()
    }


def test_it_is_among_the_methods():
    assert LiveSaxs in METHODS
