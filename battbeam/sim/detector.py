"""This file is where a simulated camera exposes: the ``cam1:`` records of areaDetector.

An exposure begins at the session clock's time when Acquire is put and lasts AcquireTime of that
clock; the exposures of a train begin AcquirePeriod apart on absolute times, or, with an External
trigger, each at a pulse; a pulse that comes before the camera has read out is missed. A frame is
stamped at readout, which is ReadoutDelay wall seconds (times the clock's rate) after its exposure, by the clock
of the detector's computer. Acquire
goes back to 0, and its put completes, once everything is written and counted.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.errors import BattbeamError
from battbeam.experiment.clock import Clock
from battbeam.sim import scenario
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.exposure_times import ExposureTimes, Pulsed, Timed
from battbeam.sim.motor import Motor
from battbeam.sim.pulse_queue import PulseQueue
from battbeam.sim.records import choice, setting, shown, shown_text
from battbeam.sim.shots import Camera, Kept, Pose, Request, Shot, Turn
from battbeam.sim.writer import EPICS_EPOCH, Writer

#: Longest wall time between two looks at the clock, s: its rate may change meanwhile.
_LONGEST_NAP, _SHORTEST_NAP = 0.05, 0.001
#: Frames that are taken one after the other before they are shown: a client sees the last, as those
#: of a fast camera do. On a busy machine they must not take so long that they are given up for lost.
_MOST_AT_ONCE = 16
_IMAGE_MODES = ("Single", "Multiple", "Continuous")

#: Publishes the counters of a shot, with the stamp.
ShowCounters = Callable[[Shot, float], Awaitable[None]]
#: Writes a shot with its stamp (in the worker thread), now or later; what was written now.
KeepShot = Callable[[Shot, float], Sequence[Kept]]


async def _put_acquire(detector: "Detector", _instance: Any, value: Any) -> Any:
    if str(value) in ("1", "Acquire"):
        await detector.acquire()
    else:
        await detector.abort()
    raise SkipWrite


class Detector(PVGroup):  # type: ignore[misc]
    """One camera.

    Args:
        settings: What it is.
        start: Of the session, s since the Unix epoch.
        rate: Of the session's clock at the start.
        camera: Takes its frames.
        clock: The session's.
        writer: Its HDF5 plugin.
        executor: In which frames are taken, one at a time.
        preparer: In which it is worked out what frames share.
        pose: How everything that moves stands at a time of the session clock, s.
        rotation: Turns the sample, in session time.
        show_counters: Publishes what was counted beside a frame.
        keep: Writes a shot; by default to the writer, at once.
        readout: s of session clock from the end of an exposure to the next one's earliest start.
        pulses: That trigger it from outside, if any.
        began: Told when each of its exposures began, session clock, s: it can trigger another one.
    """

    PortName_RBV = shown("CAM", dtype=ChannelType.STRING)
    Manufacturer_RBV = shown("battbeam", dtype=ChannelType.STRING)
    Model_RBV = shown("simulated pixel detector", dtype=ChannelType.STRING)
    SerialNumber_RBV = shown("1", dtype=ChannelType.STRING)
    BootId_RBV = shown("", dtype=ChannelType.STRING)
    Acquire = pvproperty(
        value="Done", enum_strings=("Done", "Acquire"), dtype=ChannelType.ENUM, put=_put_acquire
    )
    Acquire_RBV = shown("Done", enum_strings=("Done", "Acquire"), dtype=ChannelType.ENUM)
    AcquireBusy = shown("Done", enum_strings=("Done", "Acquiring"), dtype=ChannelType.ENUM)
    WaitForPlugins = pvproperty(value="Yes", enum_strings=("No", "Yes"), dtype=ChannelType.ENUM)
    AcquireTime, AcquireTime_RBV = setting(1.0, units="s", precision=4)
    AcquirePeriod, AcquirePeriod_RBV = setting(1.0, units="s", precision=4)
    NumImages, NumImages_RBV = setting(1)
    NumExposures, NumExposures_RBV = setting(1)
    ImageMode, ImageMode_RBV = choice(*_IMAGE_MODES)
    TriggerMode, TriggerMode_RBV = choice("Internal", "External")
    NumImagesCounter_RBV, NumExposuresCounter_RBV = shown(0), shown(0)
    ArrayCounter, ArrayCounter_RBV = setting(0)
    ArrayRate_RBV = shown(0.0)
    ArrayCallbacks, ArrayCallbacks_RBV = choice("Disable", "Enable")
    ArraySizeX_RBV, ArraySizeY_RBV, ArraySizeZ_RBV = shown(0), shown(0), shown(0)
    ArraySize_RBV = shown(0)
    MaxSizeX_RBV, MaxSizeY_RBV = shown(0), shown(0)
    MinX, MinX_RBV = setting(0)
    MinY, MinY_RBV = setting(0)
    SizeX, SizeX_RBV = setting(0)
    SizeY, SizeY_RBV = setting(0)
    BinX, BinX_RBV = setting(1)
    BinY, BinY_RBV = setting(1)
    ReverseX, ReverseX_RBV = choice("No", "Yes")
    ReverseY, ReverseY_RBV = choice("No", "Yes")
    ColorMode, ColorMode_RBV = choice("Mono")
    # A record with fields: ophyd asks for DataType_RBV.DISA.
    DataType, DataType_RBV = choice("UInt32", record="mbbi")
    FrameType, FrameType_RBV = choice("Normal", "Background", "FlatField")
    Gain, Gain_RBV = setting(1.0)
    Temperature, Temperature_RBV = setting(25.0, units="degC")
    TemperatureActual = shown(25.0, units="degC")
    ShutterMode, ShutterMode_RBV = choice("None", "EPICS PV", "Detector output")
    ShutterControl, ShutterControl_RBV = choice("Close", "Open")
    DetectorState_RBV = shown(
        "Idle", enum_strings=("Idle", "Acquire", "Readout", "Error"), dtype=ChannelType.ENUM
    )
    StatusMessage_RBV = shown_text("Idle")
    TimeRemaining_RBV = shown(0.0, units="s")
    TimeStamp_RBV = shown(0.0, units="s", precision=6, doc="readout, s since 1990-01-01 UTC")
    UniqueId_RBV = shown(0)
    Saturation_RBV = shown(0, units="count", doc="highest count a pixel holds")
    ReadoutDelay_RBV = shown(0.0, units="s", precision=6, doc="wall s, end of exposure to stamp")

    def __init__(
        self,
        *args: Any,
        settings: scenario.Detector | scenario.Imaging | scenario.SmallAngle,
        start: float,
        rate: float,
        camera: Camera,
        clock: Clock,
        writer: Writer,
        executor: Executor,
        preparer: Executor,
        pose: Callable[[float], Pose],
        rotation: Motor,
        show_counters: ShowCounters,
        keep: KeepShot | None = None,
        readout: float = 0.0,
        pulses: PulseQueue | None = None,
        began: Callable[[float], Awaitable[None]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._settings, self._camera, self._clock, self._writer = settings, camera, clock, writer
        self._executor, self._preparer = executor, preparer
        self._pose, self._rotation, self._show_counters = pose, rotation, show_counters
        self._keep: KeepShot = keep or (lambda shot, stamp: (writer.keep(shot, stamp),))
        self._readout, self._pulses, self._began = readout, pulses, began
        self._train: asyncio.Task[None] | None = None
        self._n_taken = 0
        self.device_clock = DeviceClock.of_detector(settings, start=start)
        self._rate = rate

    async def prepare(self) -> None:
        """Fill in what does not change."""
        detector = self._settings
        for record in (self.ArraySizeX_RBV, self.MaxSizeX_RBV, self.SizeX):
            await record.write(detector.n_columns)
        for record in (self.ArraySizeY_RBV, self.MaxSizeY_RBV, self.SizeY):
            await record.write(detector.n_rows)
        await self.ArraySize_RBV.write(4 * detector.n_columns * detector.n_rows)
        await self.ReadoutDelay_RBV.write(detector.readout_delay)
        await self.Saturation_RBV.write(detector.saturation)
        await self.Gain.write(detector.gain)
        await self.ArrayCallbacks.write("Enable")
        await self.BootId_RBV.write(uuid.uuid4().hex)
        await self._writer.prepare()

    @property
    def is_busy(self) -> bool:
        """Whether a train of exposures runs."""
        return self._train is not None and not self._train.done()

    async def acquire(self) -> None:
        """Expose a train, and come back when it is over; a train that runs goes on."""
        if self._train is None or self._train.done():
            self._train = asyncio.ensure_future(self._run_train(self._clock.now()))
        await asyncio.wait([self._train])

    async def abort(self) -> None:
        """End a train now; the exposure that runs is lost."""
        if self._train is not None and not self._train.done():
            self._train.cancel()
            await asyncio.wait([self._train])

    def _n_frames(self) -> int | None:
        mode = self.ImageMode.value
        return (
            None if mode == "Continuous" else 1 if mode == "Single" else int(self.NumImages.value)
        )

    async def _run_train(self, start: float) -> None:
        state, message, n_taken = "Idle", "Idle", 0
        try:
            await self._show_busy(True)
            await self.DetectorState_RBV.write("Acquire")
            await self.NumImagesCounter_RBV.write(0)
            await self.StatusMessage_RBV.write("exposing")
            exposure, n_frames = float(self.AcquireTime.value), self._n_frames()
            times = self._times(start, exposure)
            while n_frames is None or n_taken < n_frames:
                most = _MOST_AT_ONCE if n_frames is None else n_frames - n_taken
                n_taken += await self._expose(times, exposure, min(most, _MOST_AT_ONCE))
                await self.NumImagesCounter_RBV.write(n_taken)
        except asyncio.CancelledError:
            message = "aborted"
        except (BattbeamError, OSError, RuntimeError, ValueError) as error:
            # The real camera goes on serving after a fault; so does this one.
            state, message = "Error", str(error)
            await self._writer.failed(error)
        await self.StatusMessage_RBV.write(message)
        await self.DetectorState_RBV.write(state)
        await self._show_busy(False)

    def _times(self, start: float, exposure: float) -> ExposureTimes:
        """When each exposure of a train begins."""
        if self.TriggerMode.value == "Internal":
            period = max(float(self.AcquirePeriod.value), exposure + self._readout)
            return Timed(start, period=period, exposure=exposure)
        if self._pulses is None:
            raise ValueError("no pulses come to this camera: TriggerMode External has no source")
        return Pulsed(self._pulses, exposure=exposure, readout=self._readout)

    async def _show_busy(self, is_busy: bool) -> None:
        # Acquire last: it tells a client that everything else is there.
        await self.AcquireBusy.write("Acquiring" if is_busy else "Done")
        for record in (self.Acquire_RBV, self.Acquire):
            await record.write("Acquire" if is_busy else "Done", verify_value=False)

    async def _expose(self, times: ExposureTimes, exposure: float, n_most: int) -> int:
        """Take the next frame, and what others are over by then; how many they were."""
        begin = await times.next()
        await self._until(begin)
        await self._tell_began(begin)
        pose = self._pose(begin)
        await self._in_worker(
            lambda: self._camera.ready(pose.x, pose.y, pose.energy, self._preparer)
        )
        await self._until(begin + exposure)
        begins, now = [begin], self._clock.now()
        while len(begins) < n_most and (another := await times.next_over(now)) is not None:
            begins.append(another)
            await self._tell_began(another)
        requests = [
            self._request(each, each + exposure, self._n_taken + number)
            for number, each in enumerate(begins, start=1)
        ]
        self._n_taken += len(requests)
        await self._take(requests)
        return len(requests)

    async def _tell_began(self, time: float) -> None:
        if self._began is not None:
            await self._began(time)

    async def _take(self, requests: Sequence[Request]) -> None:
        work = asyncio.ensure_future(
            self._in_worker(
                lambda: self._camera.take(
                    requests, lambda shot: self._keep(shot, self._stamp(shot.request))
                )
            )
        )
        # A frame that is being written is finished, or its file and its counter would differ.
        cancelled = False
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                cancelled = True
        await self._publish(work.result(), len(requests))
        if cancelled:
            raise asyncio.CancelledError

    def _stamp(self, request: Request) -> float:
        """Of its readout, by the camera's own clock, s since the Unix epoch."""
        return self.device_clock.at(request.end + self._settings.readout_delay * self._rate)

    def _request(self, start: float, end: float, number: int) -> Request:
        """Of an exposure that is over."""
        pose, last_pose = self._pose(start), self._pose(end)
        first, last = self._rotation.position_at(np.array([start, end]))
        reading = float(self._rotation.reading_at((start + end) / 2))
        turn = Turn(float(first), float(last), reading)
        return Request(
            start,
            end,
            pose.x,
            pose.y,
            pose.energy,
            number,
            pose.nominal_energy,
            turn,
            last_pose.x,
            last_pose.y,
            pose.tilt,
        )

    async def _publish(self, shot: Shot, n: int) -> None:
        """Show the last of n frames."""
        stamp = self._stamp(shot.request)
        await self._show_counters(shot, stamp)
        await self.UniqueId_RBV.write(shot.request.number, timestamp=stamp)
        await self.TimeStamp_RBV.write(stamp - EPICS_EPOCH, timestamp=stamp)
        await self._writer.kept(shot.request.number, stamp, n=n)
        await self.ArrayCounter.write(self.ArrayCounter.value + n)

    async def _until(self, time: float) -> None:
        while (left := time - self._clock.now()) > 0:
            rate = self._clock.rate
            # The delay of the readout is wall time; it is told at the rate while nothing is frozen.
            self._rate = rate if rate > 0 else self._rate
            nap = left / rate if rate > 0 else _LONGEST_NAP
            await asyncio.sleep(min(max(nap, _SHORTEST_NAP), _LONGEST_NAP))

    async def _in_worker(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
