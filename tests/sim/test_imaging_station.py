"""The imaging camera with everything about it, in this process: a turn, its pulses, their frames."""

import asyncio
import contextlib
import json
import re
import time as wall
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from battbeam.sim.beam import BeamLog
from battbeam.sim.frame_file import ATTRIBUTES, DATASET, FLOAT_ATTRIBUTES
from battbeam.sim.history import History
from battbeam.sim.imaging_shots import ImagingCamera
from battbeam.sim.imaging_station import ImagingStation
from battbeam.sim.motor import Motor
from battbeam.sim.scenario import Beam, Cell, Imaging, Scenario
from battbeam.sim.scenario_phantom import Particles
from battbeam.sim.shots import Pose, Request, Turn
from battbeam.sim.truth import TruthWriter

ENERGY = 28_000.0


class SessionClock:
    """So many session seconds a wall second; it stands while a frame is worked out."""

    def __init__(self, start, rate=20.0):
        self.rate, self._start, self._begin, self._frozen = rate, start, wall.monotonic(), 0.0
        self._since = None

    def now(self):
        until = wall.monotonic() if self._since is None else self._since
        return self._start + self.rate * (until - self._begin - self._frozen)

    @contextlib.contextmanager
    def frozen(self, _token):
        self._since = wall.monotonic()
        try:
            yield
        finally:
            self._frozen += wall.monotonic() - self._since
            self._since = None


def scenario_of(**imaging):
    settings = {"n_rows": 16, "n_columns": 64, "pixel_size": 0.026, "encoder": 1000.0} | imaging
    cell = Cell(chemistry="sno", initial_lithium_content=0.05, phantom=Particles())
    return Scenario(
        cells=(cell,), imaging=Imaging(**settings), beam=Beam(energy=ENERGY, lifetime=1e9)
    )


def write_history(path: Path, scenario, *, contents, interval=1000.0):
    """Lines of a cell whose lithium content goes through the given values."""
    fields = ("voltage", "current", "charge", "side_charge", "cycles")
    with path.open("w") as file:
        for index, content in enumerate(contents):
            line = {"time": scenario.start + index * interval, "lithium_content": content}
            file.write(json.dumps(line | dict.fromkeys(fields, 0.0)) + "\n")


class Line:
    """A station on its own."""

    def __init__(self, directory: Path, scenario, executor, *, contents=(0.05, 6.4), begin=-5.0):
        self.directory, self.scenario = directory, scenario
        write_history(directory / "history.jsonl", scenario, contents=contents)
        self.clock = SessionClock(scenario.start)
        self.beam_log = BeamLog(scenario.beam, start=scenario.start)
        self.beam_log.change(scenario.start, is_open=True)
        self.camera = ImagingCamera(
            scenario,
            clock=self.clock,
            histories=[History(directory / "history.jsonl")],
            beam_log=self.beam_log,
            truth=TruthWriter(directory / "truth.jsonl"),
        )
        self.rotation = Motor(
            "T:ROT",
            units="deg",
            limits=(-360, 360),
            velocity=20.0,
            acceleration_time=0.2,
            position=begin,
            encoder=scenario.imaging.encoder,
            clock=self.clock,
        )
        self.place = [0.0, 0.0]
        self.station = ImagingStation(
            "T:",
            camera=self.camera,
            rotation=self.rotation,
            clock=self.clock,
            executor=executor,
            pose=lambda _: Pose(*self.place, ENERGY, ENERGY - 2.0),
        )

    async def prepare(self, *, exposure, n_frames=1, mode="Multiple", trigger="Internal"):
        await self.rotation.prepare()
        await self.station.prepare()
        writer, camera = self.station.writer, self.station.detector
        await writer.FilePath.write(str(self.directory))
        await writer.FileName.write("frames")
        await camera.ImageMode.write(mode)
        await camera.TriggerMode.write(trigger)
        await camera.AcquireTime.write(exposure)
        await camera.AcquirePeriod.write(exposure)
        await camera.NumImages.write(n_frames)
        await writer.Capture.write(1)

    def frames(self):
        (path,) = self.directory.glob("frames*.h5")
        with h5py.File(path, "r") as file:
            attributes = {name: data[:] for name, data in file[ATTRIBUTES].items()}
            return file[DATASET][:].astype(float), attributes

    def truth(self):
        lines = (self.directory / "truth.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def played(tmp_path, scene, **kwargs):
    scenario = kwargs.pop("scenario", None) or scenario_of()
    with ThreadPoolExecutor(1) as executor:

        async def play():
            line = Line(tmp_path, scenario, executor, **kwargs)
            async with asyncio.timeout(60):
                found = await scene(line)
            await line.station.writer.Capture.write(0)
            return line, found

        return asyncio.run(play())


async def fly(line, *, n=12, step=5.0, exposure=0.1):
    pulses = line.station.pulses
    await line.prepare(exposure=exposure, n_frames=n, trigger="External")
    await pulses.Start.write(0.0)
    await pulses.Step.write(step)
    await pulses.Number.write(n)
    await pulses.Arm.write(1)
    train = asyncio.ensure_future(line.station.detector.acquire())
    while line.station.detector.Acquire.value != "Acquire":
        await asyncio.sleep(0)
    await line.rotation.start(n * step + 5.0)
    return train


def test_a_turn_takes_a_frame_a_pulse_and_knows_its_angle(tmp_path):
    async def scene(line):
        await (await fly(line))
        return line.station.pulses.Fired.value, line.station.pulses.Missed.value

    line, counts = played(tmp_path, scene)
    frames, attributes = line.frames()
    assert counts == (12, 0)
    assert frames.shape == (12, 16, 64)
    # 20 degree/s for 0.05 s to the middle of the exposure
    np.testing.assert_allclose(attributes["Omega"], 5.0 * np.arange(12) + 1.0, atol=1e-3)
    np.testing.assert_array_equal(attributes["Energy"], ENERGY - 2.0)
    truth = line.truth()
    # times since 1970 are good to 2e-7 s
    omegas = [each["omega_start"] for each in truth]
    np.testing.assert_allclose(omegas, 5.0 * np.arange(12), atol=2e-5)
    np.testing.assert_allclose(np.diff([each["exposure_start"] for each in truth]), 0.25, atol=1e-6)
    assert [each["index"] for each in truth] == list(range(12))


def test_pulses_that_come_too_fast_are_missed_and_counted(tmp_path):
    async def scene(line):
        train = await fly(line, n=20, step=1.0, exposure=0.08)
        # a pulse comes every 0.05 s: every other one is missed, and the train waits for more
        while line.station.pulses.Fired.value < 20 or line.station.pulses.Missed.value < 10:
            await asyncio.sleep(0.005)
        while line.station.detector.NumImagesCounter_RBV.value < 10:
            await asyncio.sleep(0.005)
        assert not train.done()
        await line.station.detector.abort()
        return line.station.pulses.Missed.value

    line, missed = played(tmp_path, scene)
    _, attributes = line.frames()
    assert missed == 10
    np.testing.assert_allclose(np.diff(attributes["Omega"]), 2.0, atol=2e-3)


def test_frames_that_the_camera_times_are_as_far_apart_as_exposure_and_readout(tmp_path):
    async def scene(line):
        await line.prepare(exposure=0.1, n_frames=4)
        await line.station.detector.acquire()

    line, _ = played(tmp_path, scene, scenario=scenario_of(readout=0.03))
    starts = [each["exposure_start"] for each in line.truth()]
    np.testing.assert_allclose(np.diff(starts), 0.13, atol=1e-6)


def test_with_the_shutter_closed_a_frame_is_dark_and_with_the_sample_out_flat(tmp_path):
    async def scene(line):
        await line.prepare(exposure=0.05, n_frames=1)
        await line.station.detector.acquire()
        line.place[0] = 5.0
        await line.station.detector.acquire()
        line.beam_log.change(line.clock.now(), is_open=False)
        await line.station.detector.acquire()

    line, _ = played(tmp_path, scene)
    frames, _ = line.frames()
    assert [each["in_beam"] for each in line.truth()] == ["cell", "nothing", "dark"]
    assert frames[1].min() > 10_000
    assert frames[0].min() < 0.6 * frames[1].min()
    assert frames[2].mean() == pytest.approx(100.25, abs=1)
    assert line.truth()[1]["transmission"] == pytest.approx(1.0, abs=0.01)


def test_pulses_reach_only_a_camera_that_has_a_source(tmp_path):
    async def scene(line):
        await line.prepare(exposure=0.05, trigger="External")
        line.station.detector._pulses = None
        await line.station.detector.acquire()
        return line.station.detector.StatusMessage_RBV.value

    _, message = played(tmp_path, scene)
    assert "TriggerMode External has no source" in message


def test_a_circular_buffer_writes_what_came_before_its_trigger(tmp_path):
    async def scene(line):
        station = line.station
        await line.prepare(exposure=0.05, mode="Continuous")
        await station.writer.NDArrayPort.write("CB1")
        await station.buffer.PreCount.write(4)
        await station.buffer.PostCount.write(3)
        await station.buffer.Capture.write(1)
        train = asyncio.ensure_future(station.detector.acquire())
        while station.detector.NumImagesCounter_RBV.value < 9:
            await asyncio.sleep(0.002)
        await station.buffer.Trigger.write(1)
        while station.buffer.Capture.value != "Done":
            await asyncio.sleep(0.002)
        await station.detector.abort()
        await train
        return station.writer.NumCaptured_RBV.value

    line, captured = played(tmp_path, scene)
    _, attributes = line.frames()
    assert captured == 7
    numbers = attributes["NDArrayUniqueId"]
    assert list(numbers) == list(range(numbers[0], numbers[0] + 7))
    assert numbers[0] >= 6
    truth = line.truth()
    assert [each["unique_id"] for each in truth] == list(numbers)
    assert [each["index"] for each in truth] == list(range(7))


def request_at(scenario, time, number=1):
    return Request(
        scenario.start + time,
        scenario.start + time + 0.05,
        0.0,
        0.0,
        ENERGY,
        number,
        ENERGY,
        Turn(10.0, 10.0, 10.0),
    )


def test_a_frame_shows_the_cell_as_it_was_in_its_exposure(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor, contents=(0.0, 6.4))
        line.camera.histories[0].wait(line.scenario.start + 900.0)
        for time in (0.0, 300.0, 900.0):
            truth = line.camera.expose(request_at(line.scenario, time)).truth
            assert truth["lithium_content"] == pytest.approx(6.4 * (time + 0.025) / 1000, abs=1e-6)
            assert truth["sizes"]["volume_factor"] == pytest.approx(
                1 + 2 * truth["lithium_content"] / 6.4
            )
        assert truth["sizes"]["n_cracks"] == 3


def test_a_crack_that_opened_while_nobody_looked_is_open(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor, contents=(0.05, 4.0, 0.3, 0.3))
        line.camera.histories[0].wait(line.scenario.start + 2500.0)
        truth = line.camera.expose(request_at(line.scenario, 2400.0)).truth
        assert truth["state"] == pytest.approx(0.3 / 6.4)
        # the past is looked at every 5 s, in which the content changes by 0.02
        assert truth["largest_state"] == pytest.approx(4.0 / 6.4, abs=0.02 / 6.4)
        assert truth["sizes"]["n_cracks"] == 3


def test_the_same_request_gives_the_same_counts_and_another_other_ones(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor)
        line.camera.histories[0].wait(line.scenario.start + 100.0)
        first, again, other = (
            line.camera.expose(request_at(line.scenario, 10.0, number)).frame
            for number in (7, 7, 8)
        )
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_counters_count_what_comes_and_what_passes(tmp_path):
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor)
        line.camera.histories[0].wait(line.scenario.start + 100.0)
        shot = line.camera.expose(request_at(line.scenario, 10.0))
    photons, beam = 0.05 * line.scenario.beam.flux, line.scenario.beam
    # five standard deviations of a Poisson number
    i0, behind = photons * beam.i0_efficiency, photons * beam.transmission_efficiency
    behind *= shot.truth["transmission"]
    assert abs(shot.i0 - i0) < 5 * i0**0.5
    assert abs(shot.transmitted - behind) < 5 * behind**0.5
    assert 0.3 < shot.truth["transmission"] < 0.95


def test_every_record_of_pulses_and_buffer_has_a_line_in_the_documentation(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "imaging-pvs.md").read_text()
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    documented = set(re.findall(r"`((?:PSO1|DET2:CB1):\w+)`", " ".join(cells)))
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor)
        served = {name.removeprefix("T:") for name, _ in line.station.records}
    assert documented <= served
    assert {name for name in served if name.startswith("PSO1:")} <= documented
    for name in FLOAT_ATTRIBUTES:
        assert f"`{name}`" in page
    # those that only mirror a setting, and those of every plugin
    plugin = re.compile(r".*:(NDArrayPort|EnableCallbacks|PluginType)(_RBV)?$")
    buffer = {name for name in served if name.startswith("DET2:CB1:")} - documented
    assert {
        name
        for name in buffer
        if not plugin.match(name) and name.removesuffix("_RBV") not in documented
    } == set()


def test_the_truth_of_a_frame_is_explained_field_by_field(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "imaging-pvs.md").read_text()
    explained = set(re.findall(r"`(\w+)`", page))
    with ThreadPoolExecutor(1) as executor:
        line = Line(tmp_path, scenario_of(), executor)
        line.camera.histories[0].wait(line.scenario.start + 100.0)
        truth = line.camera.expose(request_at(line.scenario, 10.0)).truth
    assert set(truth) <= explained | {"beam"}
    assert set(truth["sizes"]) <= explained
