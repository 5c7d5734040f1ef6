import json
import logging
import math
from dataclasses import dataclass, field, replace

import h5py
import numpy as np
import pytest
from event_model import StreamRange, compose_run, compose_stream_resource

from battbeam.callbacks.live_xrd import LiveXrd, reduce_run
from battbeam.callbacks.xrd_request import Choices, XrdRequest, scattering_phases
from battbeam.errors import ReductionError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.reduction.xrd import PhaseResult, XrdResult

START, CAPACITY, CURRENT = 1_750_000_000.0, 2.9, 2.9e-3
SHAPE, N_BINS = (8, 6), 5
EPICS_EPOCH = 631_152_000.0
PHASES = [{"phase": "LiFePO4", "layer": "electrode"}, {"phase": "FePO4"}, {"phase": "Al"}]


class SumReducer:
    """Says what a frame's counts are, in the words of the real one."""

    def __init__(self, fails: type[Exception] | None = None, saturated: int = 0) -> None:
        self.fails, self.saturated = fails, saturated
        self.asked: list[dict] = []

    @property
    def two_theta(self):
        return np.linspace(5.0, 25.0, N_BINS)

    @property
    def free_reflections(self):
        return {}

    def reduce(self, frame, *, monitor, transmission, exposure=None, dark=None):
        self.asked.append({"monitor": monitor, "transmission": transmission, "dark": dark})
        if self.fails and frame[0, 0] == 1:
            raise self.fails("this frame")
        fraction = float(frame.sum()) / monitor
        nothing = {"amount": fraction, "amount_error": 0.1, "lattice_error": {"a": 1e-3}}
        phase = PhaseResult(
            fraction=fraction,
            fraction_error=0.01,
            lattice={"a": 10.3},
            two_theta={"311": 12.0},
            two_theta_error={"311": 1e-3},
            lithium_content=0.9,
            lithium_content_error=0.1,
            **nothing,
        )
        pattern = np.full(N_BINS, fraction)
        return XrdResult(
            valid=True,
            reason="",
            intensity=pattern,
            intensity_error=pattern,
            model=pattern,
            background=pattern,
            phases={"LiFePO4": phase},
            counts=float(frame.sum()),
            n_saturated=self.saturated,
        )


@dataclass
class Beamline:
    """Writes what a run, its detector and the guard of its cell would write."""

    directory: object
    kind: str = "measurement"
    documents: list = field(default_factory=list)
    n_written: int = 0

    def __post_init__(self) -> None:
        for name in ("geometry.poni", "instrument.json"):
            (self.directory / name).write_text("Wavelength: 5.5941e-11\n")
        self.log = self.directory / "log.jsonl"
        self.file = h5py.File(self.directory / "frames.h5", "w", libver="latest")
        shape = (0, *SHAPE)
        options = {"maxshape": (None, *SHAPE), "chunks": (1, *SHAPE), "dtype": "<u4"}
        self.frames = self.file.create_dataset("/entry/data/data", shape, **options)
        self.notes = {
            name: self.file.create_dataset(
                f"/entry/instrument/NDAttributes/{name}",
                (0,),
                maxshape=(None,),
                chunks=(8,),
                dtype="<f8",
            )
            for name in ("I0", "SampleX", "NDArrayTimeStamp")
        }
        self.file.swmr_mode = True
        self._open_run()

    def _open_run(self) -> None:
        metadata = {
            "technique": "XRD",
            "kind": self.kind,
            "cell": dict(EXAMPLE),
            "guard": {"name": "cell1", "cell_run": "run", "log": str(self.log)},
            "reduction": {
                "method": "xrd",
                "geometry": str(self.directory / "geometry.poni"),
                "instrument": str(self.directory / "instrument.json"),
                "phases": PHASES,
            },
        }
        self.bundle = compose_run(time=START, metadata=metadata)
        self._say("start", self.bundle.start_doc)
        self.keys = {
            "detector_frame": "",
            "detector_n_frames": "",
            "detector_stamp": "s",
            "point": "",
            "i0": "count",
            "transmission_counts": "count",
            "ring_current": "mA",
            "shutter": "",
            "sample_stage_x": "mm",
            "sample_stage_y": "mm",
        }
        keys = {
            key: {"source": "PV", "dtype": "number", "shape": [], "units": unit}
            for key, unit in self.keys.items()
        }
        keys["detector_image"] = {
            "source": "PV",
            "dtype": "array",
            "shape": list(SHAPE),
            "external": "STREAM:",
        }
        configured = {
            "detector_cam_exposure": 10.0,
            "detector_readout_delay": 0.5,
            "beam_minimum_ring_current": 5.0,
            "beam_i0_dark_rate": 2.0,
        }
        described = self.bundle.compose_descriptor(
            name="primary",
            data_keys=keys,
            configuration={
                "detector": {
                    "data": configured,
                    "timestamps": dict.fromkeys(configured, START),
                    "data_keys": {
                        k: {"source": "PV", "dtype": "number", "shape": []} for k in configured
                    },
                }
            },
        )
        self._compose_event = described.compose_event
        self.descriptor = described.descriptor_doc
        self._say("descriptor", self.descriptor)
        resource = compose_stream_resource(
            start=self.bundle.start_doc,
            mimetype="application/x-hdf5",
            uri=f"file://localhost{self.directory}/frames.h5",
            data_key="detector_image",
            parameters={"dataset": "/entry/data/data", "chunk_shape": [1, *SHAPE], "swmr": True},
        )
        self.compose_datum = resource.compose_stream_datum
        self._say("stream_resource", resource.stream_resource_doc)

    def _say(self, name: str, doc) -> None:
        self.documents.append((name, json.loads(json.dumps(doc))))

    def write_frame(
        self, counts: int = 2, *, stamp: float = 0.0, i0: float = 1000.0, x=0.0
    ) -> None:
        values = {"I0": i0, "SampleX": x, "NDArrayTimeStamp": START + stamp - EPICS_EPOCH}
        for name, dataset in self.notes.items():
            dataset.resize(self.n_written + 1, axis=0)
            dataset[self.n_written] = values[name]
            dataset.flush()
        self.frames.resize(self.n_written + 1, axis=0)
        self.frames[self.n_written] = np.full(SHAPE, counts, dtype="<u4")
        self.frames.flush()
        self.n_written += 1

    def event(
        self, stamp: float, *, seq_num: int | None = None, n_frames: int = 1, **values
    ) -> None:
        """An event whose frames are the last ones written, or will be the next."""
        data = {
            "detector_frame": self.n_written - n_frames,
            "detector_n_frames": n_frames,
            "detector_stamp": START + stamp,
            "point": 0,
            "i0": 1000.0,
            "transmission_counts": 400.0,
            "ring_current": 100.0,
            "shutter": 1,
            "sample_stage_x": 0.0,
            "sample_stage_y": 0.5,
        } | values
        if data["detector_frame"] >= 0:
            datum = self.compose_datum(StreamRange(start=0, stop=1), descriptor=self.descriptor)
            self._say("stream_datum", datum)
        stamps = dict.fromkeys(data, START + stamp)
        event = self._compose_event(data, stamps, seq_num=seq_num, time=START, validate=False)
        self._say("event", event)

    def stop(self) -> None:
        self._say("stop", self.bundle.compose_stop(time=START + 1e4))

    def write_log(self, until: float, *, begin: float = 0.0, mount: bool = True) -> None:
        """A cell charged at 1C from 0 s on, its clock 3 s ahead; watermarks every 10 s."""
        with self.log.open("a") as log:
            lines = []
            if mount:
                passport = {**EXAMPLE, "initial_state_of_charge": 0.0}
                lines.append(
                    {"kind": "mount", "time": START - 50, "cell_run": "run", "passport": passport}
                )
            for time in np.arange(begin, until + 1e-6, 10.0):
                device = START + time + 3.0
                comparison = {
                    "device_time": device,
                    "session_time": START + time,
                    "uncertainty": 0.01,
                }
                lines.append({"kind": "clock", "time": START + time, **comparison})
                sample = {"time": device, "voltage": 3.4 + 1e-4 * time, "current": CURRENT}
                sample |= {
                    "charge": CURRENT * time / 3.6,
                    "sequence": int(time / 10),
                    "step_count": 1,
                }
                lines.append({"kind": "sample", "source": "file", **sample})
                lines.append({"kind": "watermark", "time": START, "complete_to": START + time})
            log.writelines(json.dumps(line) + "\n" for line in lines)


@pytest.fixture
def beamline(tmp_path) -> Beamline:
    return Beamline(tmp_path)


def live(found: list, reducer: SumReducer | None = None, **options) -> LiveXrd:
    chosen = reducer or SumReducer()
    return LiveXrd(
        lambda name, doc: found.append((name, doc)), make_reducer=lambda *_: chosen, **options
    )


def replay(beamline: Beamline, **options):
    reducer = options.pop("reducer", SumReducer())
    return reduce_run(beamline.documents, make_reducer=lambda *_: reducer, **options)


def rows(documents) -> list[dict]:
    return [doc["data"] for name, doc in documents if name == "event"]


def text(documents) -> str:
    return json.dumps(documents)


def test_a_row_says_where_the_cell_was_during_its_exposure(beamline):
    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5, point=7)
    beamline.stop()
    documents = replay(beamline)
    assert [name for name, _ in documents] == ["start", "descriptor", "event", "stop"]
    event = documents[2][1]
    row = event["data"]
    assert event["time"] == pytest.approx(START + 100.0, abs=1e-6)
    assert (row["time_start"] - START, row["time_end"] - START) == pytest.approx((95.0, 105.0))
    assert row["state_of_charge"] == pytest.approx(100.0 / 3600.0, abs=1e-6)
    assert row["smear"] == pytest.approx(10.0 / 3600.0, rel=1e-3)
    assert row["voltage_start"] < row["voltage"] < row["voltage_end"]
    assert row["capacity"] == pytest.approx(CURRENT * 100.0 / 3.6, rel=1e-6)
    assert row["clock_offset"] == pytest.approx(3.0, abs=1e-3)
    assert (row["point"], row["valid"], row["invalid_reason"]) == (7, 1, "")
    assert (row["sample_stage_x"], row["sample_stage_y"]) == (0.0, 0.5)
    assert row["phase_fraction_LiFePO4"] == pytest.approx(2 * 48 / 980.0)
    assert math.isnan(row["phase_fraction_FePO4"])
    assert len(row["intensity"]) == N_BINS


def test_columns_have_units_and_the_axes_stand_once_in_the_descriptor(beamline):
    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5)
    beamline.stop()
    documents = replay(beamline)
    start, descriptor, row = documents[0][1], documents[1][1], rows(documents)[0]
    assert set(descriptor["data_keys"]) == set(row)
    units = {key: column["units"] for key, column in descriptor["data_keys"].items()}
    assert (units["voltage"], units["capacity"], units["lattice_LiFePO4_a"]) == (
        "V",
        "mAh",
        "angstrom",
    )
    assert "two_theta_FePO4_311" in row
    assert "two_theta_Al_311" not in row
    axes = descriptor["configuration"]["reduction"]["data"]
    assert axes["two_theta"] == pytest.approx(np.linspace(5.0, 25.0, N_BINS))
    assert axes["q"][-1] == pytest.approx(4 * np.pi * np.sin(np.radians(12.5)) / 0.55941, rel=1e-4)
    assert start["analysis_of"] == beamline.bundle.start_doc["uid"]
    assert len(start["parameters"]["files"]["geometry"]) == 64
    assert start["kind"] == "reduced"


def test_live_is_the_same_as_replayed_to_the_bit(beamline):
    found, wall = [], 0.0
    callback = live(found)
    n_given = 0
    beamline.write_log(0.0)
    for k in range(12):
        begin = 10.0 * (2 * k + 1)
        beamline.event(begin + 14.0, detector_frame=k, point=k)
        for name, doc in beamline.documents[n_given:]:
            callback(name, doc, wall=wall)
        n_given = len(beamline.documents)
        callback.poll(wall)
        beamline.write_frame(k + 2)
        callback.poll(wall)
        beamline.write_log(begin + 10.0, begin=begin, mount=False)
        wall += 0.3
        callback.poll(wall)
    beamline.write_log(400.0, begin=250.0, mount=False)
    beamline.stop()
    callback(*beamline.documents[-1], wall=wall)
    callback.poll(wall)
    assert callback.is_finished
    assert [row["valid"] for row in rows(found)] == [1] * 12
    assert text(found) == text(replay(beamline))


def test_a_frame_waits_for_the_log_and_its_row_is_invalid_when_none_comes(beamline):
    found = []
    callback = live(found)
    beamline.write_log(100.0)
    beamline.write_frame()
    beamline.event(105.5)
    for name, doc in beamline.documents:
        callback(name, doc, wall=0.0)
    assert callback.poll(39.9) == 0
    assert callback.n_pending == 1
    assert callback.poll(40.1) == 1
    (row,) = rows(found)
    assert (row["valid"], row["invalid_reason"]) == (0, "no cell log")
    assert math.isnan(row["state_of_charge"])
    assert row["counts"] > 0


def test_a_frame_is_reduced_as_soon_as_the_log_covers_it(beamline):
    found = []
    callback = live(found)
    beamline.write_frame()
    beamline.event(105.5)
    for name, doc in beamline.documents:
        callback(name, doc, wall=0.0)
    assert callback.poll(1.0) == 0
    beamline.write_log(110.0)
    assert callback.poll(1.1) == 1
    assert rows(found)[0]["valid"] == 1


def test_a_calibration_does_not_wait_for_any_cell(tmp_path):
    beamline, found = Beamline(tmp_path, kind="calibration"), []
    callback = live(found)
    beamline.write_frame()
    beamline.event(105.5)
    for name, doc in beamline.documents:
        callback(name, doc, wall=0.0)
    assert callback.poll(0.0) == 1
    assert rows(found)[0]["valid"] == 1


def test_a_frame_that_is_not_in_its_file_is_waited_for_and_then_missing(beamline):
    found = []
    callback = live(found)
    beamline.write_log(200.0)
    beamline.event(105.5, detector_frame=0)
    for name, doc in beamline.documents:
        callback(name, doc, wall=0.0)
    assert callback.poll(29.0) == 0
    assert callback.poll(31.0) == 1
    assert rows(found)[0]["invalid_reason"] == "frame missing"


def test_an_exposure_that_failed_has_its_row(beamline):
    beamline.write_log(200.0)
    beamline.event(math.nan, detector_frame=-1, detector_n_frames=0)
    beamline.stop()
    documents = replay(beamline)
    (row,) = rows(documents)
    assert "frame missing" in row["invalid_reason"]
    assert "no time stamp" in row["invalid_reason"]


@pytest.mark.parametrize(
    ("values", "written", "reason"),
    [
        ({"ring_current": math.nan}, {}, "no beam: ring current not known"),
        ({"ring_current": 1.0}, {}, "no beam: ring current 1 mA, below 5 mA"),
        ({"shutter": 0}, {}, "shutter closed"),
        ({}, {"i0": 20.0}, "no beam: I0 20 counts, at least 42.91 wanted"),
        ({}, {"i0": math.nan}, ""),
        ({"i0": math.nan}, {"i0": math.nan}, "no beam: I0 not known"),
        ({}, {"x": 0.3}, "stage moved: sample_stage_x by 0.300 mm"),
    ],
)
def test_a_frame_that_may_not_be_used_says_why(beamline, values, written, reason):
    beamline.write_log(200.0)
    beamline.write_frame(**written)
    beamline.event(105.5, **values)
    reducer = SumReducer()
    (row,) = rows(replay(beamline, reducer=reducer))
    assert row["invalid_reason"] == reason
    assert row["valid"] == int(not reason)
    assert len(reducer.asked) == int(not reason)
    assert not math.isnan(row["state_of_charge"])


def test_saturated_pixels_make_a_row_invalid(beamline):
    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5)
    (row,) = rows(replay(beamline, reducer=SumReducer(saturated=3)))
    assert (row["valid"], row["invalid_reason"]) == (0, "3 pixels saturated")


def test_a_train_makes_a_row_a_frame_each_at_its_own_time(beamline):
    beamline.write_log(200.0)
    for stamp, i0 in ((40.5, 500.0), (60.5, 600.0), (80.5, 700.0)):
        beamline.write_frame(stamp=stamp, i0=i0)
    beamline.event(80.5, n_frames=3, point=4)
    documents = replay(beamline)
    times = [doc["time"] - START for name, doc in documents if name == "event"]
    assert times == pytest.approx([35.0, 55.0, 75.0])
    assert [(row["point"], row["frame"], row["i0"]) for row in rows(documents)] == [
        (4, 0, 500.0),
        (4, 1, 600.0),
        (4, 2, 700.0),
    ]


def test_a_point_taken_twice_has_two_rows(beamline):
    beamline.write_log(200.0)
    for stamp in (50.5, 80.5):
        beamline.write_frame()
        beamline.event(stamp, seq_num=1, point=0)
    documents = replay(beamline)
    assert [row["point"] for row in rows(documents)] == [0, 0]
    assert [row["raw_seq_num"] for row in rows(documents)] == [1, 1]
    assert len({doc["uid"] for _, doc in documents if "uid" in doc}) == len(documents)


def test_a_frame_that_nobody_foresaw_is_skipped_counted_and_logged_once(beamline, caplog):
    beamline.write_log(200.0)
    for k, counts in enumerate((5, 1, 5)):
        beamline.write_frame(counts)
        beamline.event(50.5 + 20 * k)
    beamline.stop()
    with caplog.at_level(logging.ERROR):
        documents = replay(beamline, reducer=SumReducer(fails=ZeroDivisionError))
    assert len(rows(documents)) == 2
    assert "1 frame(s) skipped" in documents[-1][1]["reason"]
    (record,) = caplog.records
    assert beamline.bundle.start_doc["uid"] in record.getMessage()
    assert "event 2" in record.getMessage()


def test_a_frame_from_which_no_result_can_be_had_has_its_reason(beamline):
    beamline.write_log(200.0)
    beamline.write_frame(1)
    beamline.event(50.5)
    (row,) = rows(replay(beamline, reducer=SumReducer(fails=ReductionError)))
    assert (row["valid"], row["invalid_reason"]) == (0, "this frame")


def test_a_geometry_that_cannot_be_read_fails_the_reduced_run_with_its_reason(beamline):
    def refuse(*_):
        raise ReductionError("geometry x.poni cannot be read")

    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(50.5)
    beamline.stop()
    documents = reduce_run(beamline.documents, make_reducer=refuse)
    assert [name for name, _ in documents] == ["start", "stop"]
    assert documents[-1][1]["exit_status"] == "fail"
    assert "x.poni" in documents[-1][1]["reason"]


def test_a_request_that_makes_no_sense_fails_the_reduced_run_with_its_reason(beamline):
    beamline.write_frame()
    beamline.event(50.5)
    beamline.stop()
    nothing = Choices(overrides={"geometry": ""})
    documents = replay(beamline, choices=nothing)
    assert [name for name, _ in documents] == ["start", "stop"]
    assert "missing in `reduction`: geometry" in documents[-1][1]["reason"]
    assert documents[-1][1]["exit_status"] == "fail"


def test_other_parameters_have_another_uid_and_the_same_have_the_same(beamline):
    beamline.stop()
    same, again = replay(beamline)[0][1]["uid"], replay(beamline)[0][1]["uid"]
    weight = Choices(overrides={"options": {"fraction_by": "weight"}})
    other = replay(beamline, choices=weight)[0][1]
    assert same == again != other["uid"]
    assert other["parameters"]["options"]["fraction_by"] == "weight"
    (beamline.directory / "geometry.poni").write_text("Wavelength: 5.6e-11\n")
    assert replay(beamline)[0][1]["uid"] != same


def test_mistakes_can_be_made_on_purpose(beamline):
    beamline.write_log(200.0)
    for k, i0 in enumerate((1000.0, 500.0)):
        beamline.write_frame(i0=i0)
        beamline.event(55.5 + 20 * k)
    right = rows(replay(beamline))
    late = rows(replay(beamline, choices=Choices(state_of_charge_at="start")))
    for good, bad in zip(right, late, strict=True):
        assert bad["state_of_charge"] == good["state_of_charge_start"] < good["state_of_charge"]
    reducer = SumReducer()
    replay(beamline, choices=Choices(normalise=False), reducer=reducer)
    assert [asked["monitor"] for asked in reducer.asked] == [980.0, 980.0]


def test_a_run_without_reduction_is_not_wanted_and_a_malformed_one_is_refused(beamline):
    assert not LiveXrd.wants({"uid": "x", "reduction": None})
    start = {**beamline.bundle.start_doc}
    assert LiveXrd.wants(start)
    with pytest.raises(ReductionError, match=r"missing in `reduction`: geometry, phases"):
        XrdRequest.of_start({**start, "reduction": {"method": "xrd", "instrument": "i.json"}})
    unknown = {**start["reduction"], "phases": [{"phase": "kryptonite"}]}
    with pytest.raises(ReductionError, match="kryptonite"):
        XrdRequest.of_start({**start, "reduction": unknown})
    options = {**start["reduction"], "options": {"smoothing": 3}}
    with pytest.raises(ReductionError, match="options smoothing are not known"):
        XrdRequest.of_start({**start, "reduction": options})


def test_the_place_of_a_phase_in_the_beam_follows_from_the_passport():
    passport = CellPassport.read(EXAMPLE)
    active, poor, aluminium = scattering_phases(PHASES, passport, 22_163.0)
    assert (active.depth, poor.depth, aluminium.depth) == (0.0, 0.0, 0.04)
    assert 0 < aluminium.downstream < active.downstream < 1
    assert (
        scattering_phases([{"phase": "Al", "depth": 0.1, "downstream": 0.2}], None, None)[0].depth
        == 0.1
    )
    with pytest.raises(ValueError, match="no layer 'Cu'"):
        scattering_phases([{"phase": "Cu"}], passport, 22_163.0)


def test_a_dark_and_a_mask_are_read(beamline, tmp_path):
    np.savez(tmp_path / "dark.npz", counts=np.ones(SHAPE), exposure=30.0)
    np.save(tmp_path / "mask.npy", np.eye(*SHAPE))
    files = {"dark": str(tmp_path / "dark.npz"), "mask": str(tmp_path / "mask.npy")}
    request = XrdRequest.of_start(beamline.bundle.start_doc, Choices(overrides=files))
    assert request.read_dark().exposure == 30.0
    assert request.read_mask().sum() == 6
    missing = Choices(overrides={"dark": "nowhere.npz", "mask": "nowhere.npy"})
    request = XrdRequest.of_start(beamline.bundle.start_doc, missing)
    with pytest.raises(ReductionError, match=r"dark nowhere\.npz cannot be read"):
        request.read_dark()
    with pytest.raises(ReductionError, match=r"mask nowhere\.npy cannot be read"):
        request.read_mask()


def test_a_row_says_how_old_its_dark_is_and_flags_an_old_one(beamline, tmp_path):
    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5)
    dark = {"counts": np.ones(SHAPE), "exposure": 30.0, "time": START - 5300.0}
    np.savez(tmp_path / "dark.npz", **dark)
    asked = {"dark": str(tmp_path / "dark.npz")}
    (row,) = rows(replay(beamline, choices=Choices(overrides=asked)))
    assert row["dark_age"] == pytest.approx(5400.0)
    assert row["flags"] == "dark is 1.5 h away"
    patient = Choices(overrides={**asked, "options": {"dark_max_age": 6000.0}})
    (row,) = rows(replay(beamline, choices=patient))
    assert (row["flags"], row["valid"]) == ("", 1)
    (row,) = rows(replay(beamline))
    assert math.isnan(row["dark_age"])


def test_references_that_contradict_what_is_known_are_flagged(beamline):
    class Stretched(SumReducer):
        def reduce(self, frame, **how):
            found = super().reduce(frame, **how)
            return replace(found, reference_strain=4e-4, reference_strain_error=2e-5)

    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5)
    (row,) = rows(replay(beamline, reducer=Stretched()))
    assert row["flags"] == "references off by +0.040 %: wavelength or geometry is not as said"
    assert (row["reference_strain"], row["reference_strain_error"]) == (4e-4, 2e-5)
    assert math.isnan(row["displacement"])


def test_a_cell_that_stands_elsewhere_is_flagged_by_the_foil_on_its_electrode(beamline):
    class Moved(SumReducer):
        """By 0.1 mm of 130 mm."""

        def reduce(self, frame, **how):
            found = super().reduce(frame, **how)
            foil = replace(
                next(iter(found.phases.values())),
                lattice={"a": 4.0495 * (1 + 8e-4)},
                lattice_error={"a": 4e-5},
            )
            return replace(found, phases={**found.phases, "Al": foil})

    beamline.write_log(200.0)
    beamline.write_frame()
    beamline.event(105.5)
    (row,) = rows(replay(beamline, reducer=Moved()))
    assert row["valid"]
    assert row["flags"].startswith(
        "Al on the electrode is off by +0.080 %: the cell stands elsewhere"
    )
    known = [*PHASES[:2], {"phase": "Al", "reference": False}]
    for said in ({"phases": known}, {"options": {"displacement": 0.1}}):
        (row,) = rows(replay(beamline, choices=Choices(overrides=said), reducer=Moved()))
        assert row["flags"] == ""
