"""The imaging camera through the wire, as any client sees it."""

import json
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers bitshuffle)
import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.processes import wait_for
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cell, Detector, Imaging, Scenario
from battbeam.sim.scenario_phantom import Particles

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

SCENARIO = Scenario(
    rate=60.0,
    cells=(Cell(chemistry="sno", initial_lithium_content=0.05, phantom=Particles()),),
    imaging=Imaging(encoder=1000.0, axis_offset=3.3),
    detector=Detector(n_rows=64, n_columns=64, pixel_size=1.0, centre_row=32, centre_column=32),
)


class Panel:
    def __init__(self, directory, context):
        self.directory, self._context, self._pvs = directory, context, {}

    def pv(self, name):
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(f"SIM:BL:{name}", timeout=5)
            self._pvs[name].wait_for_connection(timeout=10)
        return self._pvs[name]

    def get(self, name):
        data = self.pv(name).read(timeout=5).data
        return data[0] if len(data) == 1 else np.array(data)

    def text(self, name):
        return bytes(self.pv(name).read(timeout=5).data).rstrip(b"\0").decode()

    def put(self, name, value, *, wait=True):
        value = value.encode() if isinstance(value, str) else value
        self.pv(name).write(value, wait=wait, timeout=60)

    def until(self, name, wanted, timeout=30):
        wait_for(lambda: self.get(name) == wanted, timeout=timeout, what=f"{name} {wanted}")

    def turn_to(self, omega, *, velocity=90.0):
        self.put("ROT.VELO", velocity)
        self.put("ROT", omega, wait=False)
        wait_for(
            lambda: self.get("ROT.DMOV") == 1 and abs(self.get("ROT.RBV") - omega) < 0.002,
            timeout=60,
            what=f"omega {omega}",
        )

    def open_file(self, name, *, port="CAM"):
        self.put("DET2:HDF1:NDArrayPort", port)
        self.put("DET2:HDF1:FilePath", f"{self.directory}/frames/")
        self.put("DET2:HDF1:FileName", name)
        self.put("DET2:HDF1:FileTemplate", "%s%s.h5")
        self.put("DET2:HDF1:Capture", 1)
        return Path(self.text("DET2:HDF1:FullFileName_RBV"))

    def set_up(self, *, exposure, n_frames=1, image_mode=1, trigger_mode=0):
        self.put("DET2:cam1:ImageMode", image_mode)
        self.put("DET2:cam1:TriggerMode", trigger_mode)
        self.put("DET2:cam1:AcquireTime", exposure)
        self.put("DET2:cam1:AcquirePeriod", exposure)
        self.put("DET2:cam1:NumImages", n_frames)

    def truth_of(self, path):
        text = (self.directory / "sim" / "truth.jsonl").read_text()
        lines = (json.loads(line) for line in text.splitlines())
        return [line for line in lines if line.get("file") == str(path)]


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("imaging")
    with (
        pytest.MonkeyPatch.context() as patch,
        SimulatedBeamline(SCENARIO, directory, with_guard=False) as running,
    ):
        for name, value in running.start().environment().items():
            patch.setenv(name, value)
        context = Context()
        try:
            found = Panel(directory, context)
            found.put("SHUTTER:CMD", 1)
            yield found
        finally:
            context.disconnect()


def frames_of(path):
    with h5py.File(path, "r") as file:
        attributes = file["/entry/instrument/NDAttributes"]
        return file["/entry/data/data"][:].astype(float), {
            name: attributes[name][:] for name in attributes
        }


def test_a_turn_of_91_pulses_is_91_frames_at_their_angles(panel):
    path = panel.open_file("turn")
    panel.set_up(exposure=0.04, n_frames=91, trigger_mode=1)
    panel.turn_to(-10.0)
    for name, value in (("START", 0.0), ("STEP", 2.0), ("N", 91), ("ARM", 1)):
        panel.put(f"PSO1:{name}", value)
    panel.put("DET2:cam1:Acquire", 1, wait=False)
    panel.until("DET2:cam1:Acquire_RBV", 1)
    # 20 degree/s: a pulse every 0.1 s
    panel.turn_to(190.0, velocity=20.0)
    panel.until("DET2:cam1:Acquire_RBV", 0, timeout=60)
    panel.put("DET2:HDF1:Capture", 0)
    frames, attributes = frames_of(path)
    assert (panel.get("PSO1:FIRED"), panel.get("PSO1:MISSED")) == (91, 0)
    assert frames.shape == (91, 64, 256)
    np.testing.assert_allclose(attributes["Omega"], 2.0 * np.arange(91) + 0.4, atol=1.1e-3)
    truth = panel.truth_of(path)
    np.testing.assert_allclose([line["omega"] for line in truth], attributes["Omega"], atol=1.1e-3)
    assert {line["axis"] for line in truth} == {127.5 + 3.3}
    # the first frame and the last are mirror images about the axis, but for what an exposure turns
    first, last = frames[0] - 100, frames[-1] - 100
    mirrored = np.roll(last[:, ::-1], 2 * 3, axis=1)
    assert np.corrcoef(first[:, 30:-30].ravel(), mirrored[:, 30:-30].ravel())[0, 1] > 0.9


def test_flats_and_darks_are_as_counted_beside_them(panel):
    path = panel.open_file("fields")
    panel.set_up(exposure=0.05, n_frames=5)
    panel.put("SAMPLE:X", 5.0)
    panel.until("SAMPLE:X.DMOV", 1)
    panel.put("DET2:cam1:Acquire", 1)
    panel.put("SHUTTER:CMD", 0)
    panel.put("DET2:cam1:Acquire", 1)
    panel.put("SHUTTER:CMD", 1)
    panel.put("SAMPLE:X", 0.0)
    panel.until("SAMPLE:X.DMOV", 1)
    panel.put("DET2:HDF1:Capture", 0)
    frames, attributes = frames_of(path)
    assert [line["in_beam"] for line in panel.truth_of(path)] == ["nothing"] * 5 + ["dark"] * 5
    np.testing.assert_array_equal(attributes["Shutter"], [1.0] * 5 + [0.0] * 5)
    np.testing.assert_allclose(attributes["SampleX"], 5.0)
    photons = frames[:5] - 100
    assert photons.mean() == pytest.approx(4e5 * 0.05, rel=0.1)
    assert frames[5:].mean() == pytest.approx(100.25, abs=0.5)


def test_a_circular_buffer_keeps_what_came_before_its_trigger(panel):
    path = panel.open_file("burst", port="CB1")
    panel.set_up(exposure=0.5, image_mode=2)
    for name, value in (("PreCount", 5), ("PostCount", 4), ("Capture", 1)):
        panel.put(f"DET2:CB1:{name}", value)
    panel.put("DET2:cam1:Acquire", 1, wait=False)
    panel.until("DET2:CB1:CurrentQty_RBV", 5)
    panel.put("DET2:CB1:Trigger", 1)
    panel.until("DET2:CB1:Capture_RBV", 0)
    panel.put("DET2:cam1:Acquire", 0)
    panel.put("DET2:HDF1:Capture", 0)
    panel.put("DET2:HDF1:NDArrayPort", "CAM")
    _, attributes = frames_of(path)
    assert len(attributes["Omega"]) == 9
    np.testing.assert_array_equal(np.diff(attributes["NDArrayUniqueId"]), 1)
    # 0.5 s of exposure and the readout, on absolute times
    np.testing.assert_allclose(np.diff(attributes["NDArrayTimeStamp"]), 0.501, atol=1e-3)
