import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import h5py
import numpy as np
import pytest

from battbeam.sim.detector import Detector
from battbeam.sim.frame_file import ATTRIBUTES, DATASET, FLOAT_ATTRIBUTES, FrameFile
from battbeam.sim.motor import Motor
from battbeam.sim.scenario import Detector as ScenarioDetector
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import Camera, Keep, Pose, Request, Shot
from battbeam.sim.writer import Writer


def attributes(number: int) -> dict[str, float]:
    return dict.fromkeys(FLOAT_ATTRIBUTES, float(number)) | {"NDArrayUniqueId": number}


def test_frames_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = rng.poisson(20, size=(3, 40, 50)).astype(np.uint32)
    file = FrameFile(tmp_path / "frames.h5", shape=(40, 50))
    for number, frame in enumerate(frames):
        assert file.add(frame, attributes(number)) == number
    file.close()
    with h5py.File(tmp_path / "frames.h5", "r") as back:
        np.testing.assert_array_equal(back[DATASET][:], frames)
        assert back[DATASET].chunks == (1, 40, 50)
        assert 32008 in [back[DATASET].id.get_create_plist().get_filter(0)[0]]
        assert back[f"{ATTRIBUTES}/NDArrayUniqueId"][:].tolist() == [0, 1, 2]
        assert back[f"{ATTRIBUTES}/I0"][:].tolist() == [0, 1, 2]


def test_a_reader_follows_while_the_file_grows(tmp_path: Path) -> None:
    file = FrameFile(tmp_path / "frames.h5", shape=(8, 8))
    with h5py.File(tmp_path / "frames.h5", "r", libver="latest", swmr=True) as reader:
        for number in range(3):
            file.add(np.full((8, 8), number, dtype=np.uint32), attributes(number))
            frames, numbers = reader[DATASET], reader[f"{ATTRIBUTES}/NDArrayUniqueId"]
            frames.refresh()
            numbers.refresh()
            assert len(frames) == len(numbers) == number + 1
            assert np.all(frames[number] == number)
    file.close()


def test_a_missing_directory_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        FrameFile(tmp_path / "nowhere" / "frames.h5", shape=(8, 8))


class RunningClock:
    """A clock that is always beyond what is waited for."""

    rate = 60.0

    def __init__(self) -> None:
        self._now = 1000.0

    def now(self) -> float:
        self._now += 100.0
        return self._now


class BlankCamera:
    """Takes empty frames."""

    def ready(self, x: float, y: float, energy: float, preparer: Executor) -> None:
        pass

    def take(self, requests: Sequence[Request], keep: Keep) -> Shot:
        frame = np.zeros((8, 8), dtype=np.uint32)
        shots = [Shot(request, frame, 1.0, 2.0, 100.0, True, {}) for request in requests]
        for shot in shots:
            keep(shot)
        return shots[-1]


async def no_counters(_shot: Shot, _stamp: float) -> None:
    pass


def detector_of(executor: Executor) -> Detector:
    scenario = Scenario(detector=ScenarioDetector(n_rows=16, n_columns=16))
    writer, clock = Writer("T:HDF1:", executor=executor, shape=(8, 8)), RunningClock()
    return Detector(
        "T:cam1:",
        settings=scenario.detector,
        start=scenario.start,
        rate=scenario.rate,
        camera=cast(Camera, BlankCamera()),
        clock=clock,
        writer=writer,
        executor=executor,
        preparer=executor,
        pose=lambda time: Pose(0.0, 0.0, 22163.0, 22160.0),
        rotation=Motor("T:ROT", units="deg", limits=(-360, 360), velocity=1.0, clock=clock),
        show_counters=no_counters,
    )


def test_a_full_disk_is_told_and_the_detector_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: FrameFile, _frame: object, _attributes: object) -> int:
        raise OSError(28, "No space left on device")

    async def scene(executor: Executor) -> None:
        detector = detector_of(executor)
        writer = detector._writer
        await detector.prepare()
        await writer.FilePath.write(str(tmp_path))
        await writer.Capture.write(1)
        assert writer.Capture_RBV.value == "Capture"
        with monkeypatch.context() as patch:
            patch.setattr(FrameFile, "add", full)
            await detector.acquire()
        assert detector.DetectorState_RBV.value == "Error"
        assert detector.Acquire.value == "Done"
        assert writer.WriteStatus.value == "Write error"
        assert "No space left on device" in writer.WriteMessage.value
        assert writer.Capture_RBV.value == "Done"
        assert detector.ArrayCounter.value == 0
        await writer.Capture.write(1)
        await detector.acquire()
        assert detector.DetectorState_RBV.value == "Idle"
        assert writer.NumCaptured_RBV.value == 1
        assert detector.ArrayCounter_RBV.value == 1
        await writer.Capture.write(0)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scene(executor))


def test_a_train_that_the_clock_has_left_behind_is_taken_at_once_and_wholly(tmp_path: Path) -> None:
    """The clock goes on by 100 s between two looks; exposures of 1 s lie 1 s apart."""

    async def scene(executor: Executor) -> Detector:
        detector = detector_of(executor)
        await detector.prepare()
        await detector._writer.FilePath.write(str(tmp_path))
        await detector._writer.Capture.write(1)
        await detector.ImageMode.write("Multiple")
        await detector.NumImages.write(150)
        await detector.acquire()
        await detector._writer.Capture.write(0)
        return detector

    with ThreadPoolExecutor(1) as executor:
        detector = asyncio.run(scene(executor))
    assert detector.NumImagesCounter_RBV.value == detector.ArrayCounter_RBV.value == 150
    assert detector._writer.ArrayCounter_RBV.value == detector._writer.NumCaptured_RBV.value == 150
    with h5py.File(detector._writer.FullFileName_RBV.value, "r") as file:
        numbers = file[f"{ATTRIBUTES}/NDArrayUniqueId"][:]
        stamps = file[f"{ATTRIBUTES}/NDArrayTimeStamp"][:]
    assert numbers.tolist() == list(range(1, 151))
    np.testing.assert_allclose(np.diff(stamps), 1.0, atol=1e-3)


def test_files_are_numbered_by_the_template(tmp_path: Path) -> None:
    async def scene(executor: Executor) -> list[str]:
        writer = Writer("T:HDF1:", executor=executor, shape=(8, 8))
        await writer.prepare()
        await writer.FilePath.write(str(tmp_path))
        await writer.FileName.write("scan")
        names = []
        for template in ("%s%s_%3.3d.h5", "%s%s_%3.3d.h5", "%s%s.h5"):
            await writer.FileTemplate.write(template)
            await writer.Capture.write(1)
            names.append(Path(writer.FullFileName_RBV.value).name)
            await writer.Capture.write(0)
        return names

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(scene(executor)) == ["scan_000.h5", "scan_001.h5", "scan.h5"]


def test_a_directory_is_made_when_that_is_asked_for(tmp_path: Path) -> None:
    async def scene(executor: Executor) -> tuple[str, str]:
        writer = Writer("T:HDF1:", executor=executor, shape=(8, 8))
        await writer.FilePath.write(str(tmp_path / "a" / "b"))
        before = writer.FilePathExists_RBV.value
        await writer.CreateDirectory.write(-3)
        await writer.FilePath.write(str(tmp_path / "a" / "b"))
        return before, writer.FilePathExists_RBV.value

    with ThreadPoolExecutor(1) as executor:
        assert asyncio.run(scene(executor)) == ("No", "Yes")
