import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers bitshuffle)
import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.processes import Supervisor, free_port, server_environment
from battbeam.sim.clock import ClockClient
from battbeam.sim.scenario import Beam, Detector, Scenario

pytestmark = pytest.mark.ioc

RATE = 60.0
EPICS_EPOCH = 631_152_000.0
#: An enumeration comes as its index.
DONE = (0, "Done")
DETECTOR = Detector(
    n_rows=96, n_columns=80, pixel_size=0.6, distance=100, centre_row=40, centre_column=44
)
SCENARIO = Scenario(rate=RATE, detector=DETECTOR, beam=Beam(flux=2e7))


def write_history(directory: Path) -> None:
    """A cell that is charged at a steady rate for a very long time."""
    path = directory / "sim" / "history_C1.jsonl"
    rows = [(SCENARIO.start - 10, 0.8, 3.3, 0.0), (SCENARIO.start + 36_000, 0.1, 3.5, 10.0)]
    with path.open("w") as file:
        for moment, content, voltage, charge in rows:
            row = {"time": moment, "lithium_content": content, "voltage": voltage, "current": 1e-3}
            file.write(
                json.dumps(row | {"charge": charge, "side_charge": 0.0, "cycles": 0.0}) + "\n"
            )


class Panel:
    """Reads and puts by name, waits for conditions."""

    def __init__(self, directory: Path, context: Context) -> None:
        self.directory, self._context, self._pvs = directory, context, {}

    def _pv(self, name: str) -> Any:
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(f"SIM:BL:{name}", timeout=5)
            self._pvs[name].wait_for_connection(timeout=10)
        return self._pvs[name]

    def get(self, name: str) -> Any:
        data = self._pv(name).read(timeout=5).data
        if isinstance(data, bytes):
            return data.decode()
        if len(data) == 1 and isinstance(data[0], bytes):
            return data[0].decode()
        return data[0] if len(data) == 1 else data

    def text(self, name: str) -> str:
        return bytes(self._pv(name).read(timeout=5).data).rstrip(b"\0").decode()

    def put(self, name: str, value: Any, *, timeout: float = 30.0) -> None:
        value = value.encode() if isinstance(value, str) else value
        self._pv(name).write(value, timeout=timeout)

    def put_and_go(self, name: str, value: Any) -> None:
        self._pv(name).write(value, wait=False)

    def until(self, condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s for {what}")
            time.sleep(0.01)

    def truth(self) -> list[dict[str, Any]]:
        lines = (self.directory / "sim" / "truth.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def move(self, axis: str, target: float) -> None:
        self.put(axis, target)
        self.until(lambda: self.get(f"{axis}.DMOV") == 1, f"{axis} at {target}")

    def open_file(self, **settings: Any) -> Path:
        self.put("DET1:HDF1:FilePath", f"{self.directory}/frames/")
        self.put("DET1:HDF1:FileName", f"f{time.monotonic_ns()}")
        self.put("DET1:HDF1:FileTemplate", "%s%s.h5")
        for name, value in settings.items():
            self.put(f"DET1:HDF1:{name}", value)
        self.put("DET1:HDF1:Capture", 1)
        return Path(self.text("DET1:HDF1:FullFileName_RBV"))

    def expose(self, exposure: float, *, n_frames: int = 1, period: float = 0.0) -> None:
        self.put("DET1:cam1:ImageMode", 1)
        self.put("DET1:cam1:AcquireTime", exposure)
        self.put("DET1:cam1:AcquirePeriod", period)
        self.put("DET1:cam1:NumImages", n_frames)
        self.put("DET1:cam1:Acquire", 1)


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panel]:
    directory = tmp_path_factory.mktemp("beamline")
    (directory / "sim").mkdir()
    (directory / "sim" / "scenario.json").write_text(SCENARIO.model_dump_json())
    write_history(directory)
    clock_port, port = free_port(), free_port()
    addresses = f"127.0.0.1:{clock_port} 127.0.0.1:{port}"
    client = {"EPICS_CA_ADDR_LIST": addresses, "EPICS_CA_AUTO_ADDR_LIST": "NO"}
    arguments = ["--directory", str(directory)]
    previous = {name: os.environ.get(name) for name in client}
    with Supervisor(directory / "log") as supervisor:
        for name, at in (("clock", clock_port), ("beamline", port)):
            supervisor.start(
                name,
                ["battbeam.sim", name, *arguments],
                environment=server_environment(at) | client,
            )
            supervisor.wait_ready()
        os.environ.update(client)
        context = Context()
        try:
            yield Panel(directory, context)
        finally:
            context.disconnect()
            for name, value in previous.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_an_axis_is_exactly_where_it_was_sent(panel: Panel) -> None:
    panel.move("SAMPLE:X", 1.2345)
    assert panel.get("SAMPLE:X.RBV") == pytest.approx(1.2345, abs=1e-9)
    assert panel.get("SAMPLE:X.EGU") == "mm"
    panel.move("SAMPLE:X", 0.0)


def test_an_axis_refuses_what_lies_outside_its_limits(panel: Panel) -> None:
    panel.put("SAMPLE:Y", 25.0)
    assert panel.get("SAMPLE:Y.LVIO") == 1
    assert panel.get("SAMPLE:Y.RBV") == 0
    assert panel.get("SAMPLE:Y") == 0


def test_the_monochromators_angle_sets_the_energy(panel: Panel) -> None:
    angle = panel.get("MONO:BRAGG.RBV")
    assert panel.get("MONO:ENERGY") == pytest.approx(SCENARIO.beam.energy, abs=1e-3)
    assert angle == pytest.approx(5.1187, abs=1e-3)
    assert panel.get("MONO:HKL") == "1 1 1"


def test_the_nearest_filter_is_taken(panel: Panel) -> None:
    panel.put("ATT:SP", 0.12)
    assert panel.get("ATT:TRANSMISSION") == pytest.approx(0.1)
    panel.put("ATT:INDEX", 0)
    assert panel.get("ATT:TRANSMISSION") == pytest.approx(1.0)


def test_a_ring_that_cannot_be_read_is_not_a_number(panel: Panel) -> None:
    panel.put("RING:FAULT", 1)
    assert np.isnan(panel.get("RING:CURRENT"))
    panel.put("RING:FAULT", 2)
    assert panel.get("RING:CURRENT") == 0
    panel.put("RING:FAULT", 0)
    assert panel.get("RING:CURRENT") == pytest.approx(100, rel=0.1)


def test_a_closed_shutter_leaves_only_dark_counts(panel: Panel) -> None:
    panel.put("SHUTTER:CMD", 0)
    panel.open_file()
    panel.expose(20.0)
    panel.put("DET1:HDF1:Capture", 0)
    truth = panel.truth()[-1]
    assert truth["in_beam"] == "dark"
    assert truth["beam"] is False
    expected = 96 * 80 * DETECTOR.dark_rate * 20
    assert abs(truth["counts"] - expected) < 6 * np.sqrt(expected)
    assert panel.get("I0:COUNTS") == pytest.approx(100, abs=60)


def test_a_train_is_written_frame_by_frame_with_its_times(panel: Panel) -> None:
    panel.put("SHUTTER:CMD", 1)
    path = panel.open_file()
    counter = panel.get("DET1:cam1:ArrayCounter_RBV")
    panel.expose(3.0, n_frames=4, period=5.0)
    assert panel.get("DET1:cam1:ArrayCounter_RBV") == counter + 4
    assert panel.get("DET1:HDF1:NumCaptured_RBV") == 4
    assert panel.get("DET1:cam1:Acquire") in DONE
    lines = panel.truth()[-4:]
    with h5py.File(path, "r", swmr=True) as file:
        frames = file["/entry/data/data"]
        assert frames.shape == (4, 96, 80)
        assert frames.dtype == np.uint32
        assert frames.chunks == (1, 96, 80)
        attributes = {
            name: data[:] for name, data in file["/entry/instrument/NDAttributes"].items()
        }
        sums = frames[:].sum(axis=(1, 2))
    panel.put("DET1:HDF1:Capture", 0)
    assert [line["counts"] for line in lines] == sums.tolist()
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert {line["file"] for line in lines} == {str(path)}
    starts = np.array([line["exposure_start"] for line in lines])
    np.testing.assert_allclose(np.diff(starts), 5.0, atol=1e-6)
    delay = DETECTOR.readout_delay * RATE
    middles = attributes["NDArrayTimeStamp"] + EPICS_EPOCH - delay - 1.5
    np.testing.assert_allclose(middles, starts + 1.5, atol=1e-4)
    photons = np.array([line["photons"] for line in lines])
    np.testing.assert_allclose(attributes["I0"], photons * 0.01, rtol=0.01)
    assert panel.get("I0:COUNTS") == attributes["I0"][-1]
    assert all(line["in_beam"] == "cell" for line in lines)
    fractions = [line["phase_fraction"]["FePO4"] for line in lines]
    assert fractions == sorted(fractions)


def test_an_exposure_takes_its_time_on_the_session_clock(panel: Panel) -> None:
    clock = ClockClient("SIM:CLOCK:")
    try:
        before = clock.now()
        panel.expose(12.0)
        line = panel.truth()[-1]
        assert before - 1 < line["exposure_start"]
        assert line["exposure_end"] - line["exposure_start"] == pytest.approx(12.0)
        assert clock.now() >= line["exposure_end"]
    finally:
        clock.close()


def test_a_frame_that_is_not_captured_has_no_file(panel: Panel) -> None:
    panel.put("DET1:HDF1:Capture", 0)
    panel.expose(1.0)
    assert panel.truth()[-1]["file"] == ""


def test_abort_ends_a_long_exposure_at_once(panel: Panel) -> None:
    n_frames = len(panel.truth())
    panel.put("DET1:cam1:AcquireTime", 36_000.0)
    panel.put_and_go("DET1:cam1:Acquire", 1)
    panel.until(lambda: panel.get("DET1:cam1:Acquire") in ("Acquire", 1), "the exposure to begin")
    begin = time.monotonic()
    panel.put("DET1:cam1:Acquire", 0)
    # It would have lasted for ten wall minutes.
    assert time.monotonic() - begin < 10
    assert panel.get("DET1:cam1:Acquire") in DONE
    assert panel.text("DET1:cam1:StatusMessage_RBV") == "aborted"
    assert len(panel.truth()) == n_frames


def test_the_standard_and_the_empty_beam_are_where_the_scenario_puts_them(panel: Panel) -> None:
    panel.put("SHUTTER:CMD", 1)
    panel.move("SAMPLE:X", SCENARIO.standard_position[0])
    panel.expose(2.0)
    standard = panel.truth()[-1]
    panel.move("SAMPLE:X", -12.0)
    panel.expose(2.0)
    empty = panel.truth()[-1]
    panel.move("SAMPLE:X", 0.0)
    assert (standard["in_beam"], empty["in_beam"]) == ("standard", "nothing")
    assert standard["counts"] > 5 * empty["counts"] > 0
    assert standard["areal_moles"]["LaB6"] > 0


def test_a_missing_directory_is_told_and_nothing_dies(panel: Panel) -> None:
    panel.put("DET1:HDF1:FilePath", "/nowhere/at/all/")
    assert panel.get("DET1:HDF1:FilePathExists_RBV") in ("No", 0)
    panel.put("DET1:HDF1:Capture", 1)
    assert panel.get("DET1:HDF1:Capture_RBV") in DONE
    assert panel.get("DET1:HDF1:Capture") in DONE
    assert panel.get("DET1:HDF1:WriteStatus") in ("Write error", 1)
    assert "cannot open /nowhere/at/all/" in panel.text("DET1:HDF1:WriteMessage")
    path = panel.open_file()
    assert path.exists()
    assert panel.text("DET1:HDF1:WriteMessage") == ""
    panel.put("DET1:HDF1:Capture", 0)


OPHYD = """
import sys
import ophyd
ophyd.set_cl("caproto")
from ophyd import Component, EpicsMotor
from ophyd.areadetector import DetectorBase
from ophyd.areadetector.cam import CamBase
from ophyd.areadetector.filestore_mixins import FileStoreHDF5IterativeWrite
from ophyd.areadetector.plugins import HDF5Plugin_V34
from ophyd.areadetector.trigger_mixins import SingleTrigger

class Writer(HDF5Plugin_V34, FileStoreHDF5IterativeWrite):
    pass

class Stock(SingleTrigger, DetectorBase):
    _default_read_attrs = ("hdf",)
    cam = Component(CamBase, "cam1:")
    hdf = Component(Writer, "HDF1:", write_path_template=sys.argv[1], root="/")

detector = Stock("SIM:BL:DET1:", name="detector")
detector.cam.acquire_time.put(1.0)
detector.stage()
for _ in range(2):
    detector.trigger().wait(20)
assert detector.describe()["detector_image"]["shape"] == (1, 96, 80)
assert detector.hdf.num_captured.get() == 2
detector.unstage()
axis = EpicsMotor("SIM:BL:ROT", name="axis")
axis.wait_for_connection(timeout=10)
axis.move(3.0, timeout=5)
assert axis.position == 3.0
print("all well")
"""


@pytest.mark.acceptance
def test_stock_ophyd_classes_work_unmodified(panel: Panel) -> None:
    arguments = [sys.executable, "-c", OPHYD, str(panel.directory / "frames")]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert "all well" in ended.stdout, ended.stderr


def test_a_file_closes_when_it_holds_what_was_asked_for(panel: Panel) -> None:
    path = panel.open_file(NumCapture=2)
    panel.expose(0.5, n_frames=3)
    panel.put("DET1:HDF1:NumCapture", 0)
    assert panel.get("DET1:HDF1:Capture_RBV") in DONE
    with h5py.File(path, "r") as file:
        assert len(file["/entry/data/data"]) == 2
