"""A radiograph becomes a row: what it transmits, where what grew ends; live as afterwards."""

import h5py
import numpy as np
import pytest

from battbeam.callbacks.frames import ATTRIBUTES, EPICS_EPOCH
from battbeam.callbacks.live_radiography import LiveRadiography
from battbeam.callbacks.live_run import reduced
from battbeam.callbacks.methods import LiveRuns

N_ROWS, N_COLUMNS, N, PIXEL, EVERY = 24, 64, 30, 0.002, 10.0
#: Pixels a s from the left, of a strip 8 rows high from row 6 on; absorbance before, and of the strip.
SPEED, BOTTOM, HEIGHT, BEFORE, NEW = 0.3, 6, 8, 0.7, -0.2
START, FLAT, DARK = 1000.0, 20000.0, 20.0


def absorbance(index):
    """Of the field when radiograph ``index`` is taken; the first shows nothing new."""
    reach = np.clip(SPEED * EVERY * index - np.arange(N_COLUMNS), 0, 1)
    strip = np.zeros(N_ROWS)
    strip[BOTTOM : BOTTOM + HEIGHT] = 1
    return BEFORE + NEW * strip[:, None] * reach


def write(path, frames, *, first_time, i0):
    with h5py.File(path, "w") as file:
        n = len(frames)
        file["/entry/data/data"] = np.asarray(frames, dtype=np.uint32)
        values = {
            "NDArrayTimeStamp": first_time + EVERY * np.arange(n) + 0.5 - EPICS_EPOCH,
            "Omega": np.full(n, 3.0),
            "I0": np.broadcast_to(i0, n).astype(float),
            "RingCurrent": np.full(n, 100.0),
            "Shutter": np.ones(n),
        }
        for name, value in values.items():
            file[f"{ATTRIBUTES}/{name}"] = value


class Recorded:
    """Documents of a series; ``fading`` is what is left of the beam at its end."""

    def __init__(self, directory, *, seed=1, fading=1.0, full=None, flats=True, at=("start",)):
        rng = np.random.default_rng(seed)
        response = 1 + 0.1 * rng.random((N_ROWS, N_COLUMNS))
        beam = np.linspace(1.0, fading, N)
        seen = [
            rng.poisson(FLAT * beam[k] * response * np.exp(-absorbance(k)) + DARK) for k in range(N)
        ]
        if full is not None:
            seen[full][:5] = 65535
        self.documents = [("start", self.start(at))]
        self._stream("dark", rng.poisson(DARK, (10, N_ROWS, N_COLUMNS)), directory, START - 400)
        if flats:
            open_beam = rng.poisson(FLAT * response + DARK, (10, N_ROWS, N_COLUMNS))
            self._stream("flat", open_beam, directory, START - 200, i0=1e5)
        self._series(seen, directory, 1e5 * beam)
        self.documents.append(("stop", {"time": 2000.0, "exit_status": "success", "reason": ""}))

    def start(self, at):
        return {
            "uid": "raw",
            "time": 900.0,
            "exposure": 1.0,
            "radiography": {"pixel_size": PIXEL, "energy": 20000.0, "n_frames": N},
            "fields": {"dark": {"at": list(at)}, "flat": {"at": list(at)}},
            "reduction": {"method": "radiography"},
        }

    def _open(self, name, frames, directory, time, i0, columns):
        path = directory / f"{name}.h5"
        write(path, frames, first_time=time, i0=i0)
        keys = {"camera_image": {"external": "STREAM:", "shape": [N_ROWS, N_COLUMNS]}, **columns}
        descriptor = {"uid": name, "name": name, "data_keys": keys, "configuration": {}}
        resource = {
            "uid": f"file of {name}",
            "data_key": "camera_image",
            "mimetype": "application/x-hdf5",
            "uri": f"file://localhost{path}",
            "parameters": {"dataset": "/entry/data/data"},
        }
        self.documents += [("descriptor", descriptor), ("stream_resource", resource)]

    def _datum(self, name, start, stop):
        datum = {
            "descriptor": name,
            "stream_resource": f"file of {name}",
            "indices": {"start": start, "stop": stop},
            "seq_nums": {"start": start + 1, "stop": stop + 1},
        }
        self.documents.append(("stream_datum", datum))

    def _stream(self, name, frames, directory, time, i0=0.0):
        self._open(name, frames, directory, time, i0, {})
        self._datum(name, 0, len(frames))

    def _series(self, frames, directory, i0):
        columns = {"point": {"dtype": "integer"}}
        self._open("primary", frames, directory, START, i0, columns)
        for index in range(len(frames)):
            self._datum("primary", index, index + 1)
            data = {"point": index, "camera_frame": index, "camera_n_frames": 1}
            event = {"descriptor": "primary", "seq_num": index + 1, "data": data, "timestamps": {}}
            self.documents.append(("event", event | {"time": START}))


def again(recorded):
    return reduced(LiveRadiography, recorded.documents)


def rows(documents, stream="primary"):
    of = {doc["uid"]: doc["name"] for name, doc in documents if name == "descriptor"}
    events = [doc for name, doc in documents if name == "event"]
    return [doc["data"] for doc in events if of[doc["descriptor"]] == stream]


def column(found, name):
    return np.array([row[name] for row in found], dtype=float)


def test_every_radiograph_says_what_it_transmits_and_where_what_grew_ends(tmp_path):
    found = rows(again(Recorded(tmp_path)))
    assert [row["point"] for row in found] == list(range(N))
    assert not any(row["invalid_reason"] for row in found)
    assert (found[3]["time_start"], found[3]["omega"]) == (START + 29.5, 3.0)
    expected = [np.exp(-absorbance(k)).mean() for k in range(N)]
    # 1536 pixels of 10000 counts each, and ten flats beside them.
    np.testing.assert_allclose(column(found, "transmission"), expected, rtol=1e-3)
    front = column(found, "front_right") / PIXEL
    inside = slice(2, 21)
    np.testing.assert_allclose(front[inside], SPEED * EVERY * np.arange(N)[inside], atol=0.5)
    np.testing.assert_allclose(column(found, "front_left")[inside], 0.0, atol=1e-9)
    edges = column(found, "front_bottom")[inside], column(found, "front_top")[inside]
    np.testing.assert_allclose(edges[0], BOTTOM * PIXEL, atol=0.2 * PIXEL)
    np.testing.assert_allclose(edges[1], (BOTTOM + HEIGHT) * PIXEL, atol=0.2 * PIXEL)
    np.testing.assert_allclose(column(found, "change")[inside], NEW, rtol=0.1)
    assert np.isnan(found[0]["front_right"])


def test_at_the_end_stands_how_fast_the_front_was_and_when_the_field_was_full(tmp_path):
    (front,) = rows(again(Recorded(tmp_path)), "front")
    assert front["lateral_speed"] == pytest.approx(SPEED * PIXEL, rel=0.01)
    assert abs(front["vertical_speed"]) < 1e-3 * SPEED * PIXEL
    assert front["fill_time"] == pytest.approx(START + N_COLUMNS / SPEED, abs=2.0)
    assert front["n_frames"] == N


def test_a_beam_that_fades_does_not_look_like_a_sample_that_grows(tmp_path):
    found = rows(again(Recorded(tmp_path, fading=0.7)))
    expected = [np.exp(-absorbance(k)).mean() for k in range(N)]
    np.testing.assert_allclose(column(found, "transmission"), expected, rtol=1e-3)


def test_rows_come_while_the_series_goes_on_and_are_the_same_afterwards(tmp_path):
    recorded, found = Recorded(tmp_path), []
    live = LiveRadiography(lambda *each: found.append(each))
    for name, doc in recorded.documents[:-4]:
        live(name, doc, wall=0.0)
        live.poll(wall=0.0)
    assert len(rows(found)) == N - 2
    for name, doc in recorded.documents[-4:]:
        live(name, doc, wall=0.0)
    live.finish()
    afterwards = again(recorded)
    assert [name for name, _ in found] == [name for name, _ in afterwards]
    for stream in ("primary", "front"):
        assert repr(rows(found, stream)) == repr(rows(afterwards, stream))


def test_where_flats_come_at_the_end_rows_wait_for_them(tmp_path):
    recorded, found = Recorded(tmp_path, at=("start", "end")), []
    live = LiveRadiography(lambda *each: found.append(each))
    for name, doc in recorded.documents:
        live(name, doc, wall=0.0)
        live.poll(wall=0.0)
        assert name == "stop" or not rows(found)
    assert len(rows(found)) == N


def test_a_radiograph_with_full_pixels_or_without_flats_is_said_to_be_of_no_use(tmp_path):
    found = rows(again(Recorded(tmp_path, full=4)))
    assert [row["point"] for row in found if not row["valid"]] == [4]
    assert "20.8% of the pixels hold 65535 counts or more" in found[4]["invalid_reason"]
    found = rows(again(Recorded(tmp_path, flats=False)))
    assert all("no flats" in row["invalid_reason"] for row in found)
    assert np.isnan(column(found, "transmission")).all()


def test_it_is_begun_by_the_method_that_a_start_document_names(tmp_path):
    start = Recorded(tmp_path).documents[0][1]
    assert LiveRuns.methods_of(start) == (LiveRadiography,)
    odd = dict(start, reduction={"method": "radiography", "speed": 3})
    (_, stop) = reduced(
        LiveRadiography, [("start", odd), ("stop", Recorded(tmp_path).documents[-1][1])]
    )
    assert stop[1]["reason"] == (
        "unknown option of radiography: speed; known: n_before, saturation"
    )
