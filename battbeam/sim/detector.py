"""This file is where the simulated detector exposes: the ``cam1:`` records of areaDetector.

An exposure begins at the session clock's time when Acquire is put and lasts AcquireTime of that
clock; the exposures of a train begin AcquirePeriod apart on absolute times. A frame is stamped at
readout, which is ReadoutDelay wall seconds (times the clock's rate) after its exposure, by the clock
of the detector's computer. Acquire
goes back to 0, and its put completes, once everything is written and counted.
"""

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.errors import BattbeamError
from battbeam.experiment.clock import Clock
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.records import choice, setting, shown, shown_text
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import Camera, Request, Shot
from battbeam.sim.writer import EPICS_EPOCH, Writer

#: Longest wall time between two looks at the clock, s: its rate may change meanwhile.
_LONGEST_NAP, _SHORTEST_NAP = 0.05, 0.001
_IMAGE_MODES = ("Single", "Multiple", "Continuous")

#: Where the stage is (x, y in mm) and the true photon energy (eV).
Setup = Callable[[], tuple[float, float, float]]
#: Publishes the counters of a shot, with the stamp.
ShowCounters = Callable[[Shot, float], Awaitable[None]]


async def _put_acquire(detector: "Detector", _instance: Any, value: Any) -> Any:
    if str(value) in ("1", "Acquire"):
        await detector.acquire()
    else:
        await detector.abort()
    raise SkipWrite


class Detector(PVGroup):  # type: ignore[misc]
    """One camera."""

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
    TriggerMode, TriggerMode_RBV = choice("Internal")
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
        scenario: Scenario,
        camera: Camera,
        clock: Clock,
        writer: Writer,
        executor: Executor,
        preparer: Executor,
        setup: Setup,
        show_counters: ShowCounters,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._scenario, self._camera, self._clock, self._writer = scenario, camera, clock, writer
        self._executor, self._preparer = executor, preparer
        self._setup, self._show_counters = setup, show_counters
        self._train: asyncio.Task[None] | None = None
        self._n_taken = 0
        self.device_clock = DeviceClock.of_detector(scenario.detector, start=scenario.start)
        self._rate = scenario.rate

    async def prepare(self) -> None:
        """Fill in what does not change."""
        detector = self._scenario.detector
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
        exposure = float(self.AcquireTime.value)
        period = max(float(self.AcquirePeriod.value), exposure)
        n_frames, state, message = self._n_frames(), "Idle", "Idle"
        try:
            await self._show_busy(True)
            await self.DetectorState_RBV.write("Acquire")
            await self.NumImagesCounter_RBV.write(0)
            await self.StatusMessage_RBV.write("exposing")
            for index in itertools.count() if n_frames is None else range(n_frames):
                begin = start + index * period
                await self._expose(begin, begin + exposure)
                await self.NumImagesCounter_RBV.write(index + 1)
        except asyncio.CancelledError:
            message = "aborted"
        except (BattbeamError, OSError, RuntimeError, ValueError) as error:
            # The real camera goes on serving after a fault; so does this one.
            state, message = "Error", str(error)
            await self._writer.failed(error)
        await self.StatusMessage_RBV.write(message)
        await self.DetectorState_RBV.write(state)
        await self._show_busy(False)

    async def _show_busy(self, is_busy: bool) -> None:
        # Acquire last: it tells a client that everything else is there.
        await self.AcquireBusy.write("Acquiring" if is_busy else "Done")
        for record in (self.Acquire_RBV, self.Acquire):
            await record.write("Acquire" if is_busy else "Done", verify_value=False)

    async def _expose(self, start: float, end: float) -> None:
        await self._until(start)
        x, y, energy = self._setup()
        await self._in_worker(lambda: self._camera.ready(x, y, energy, self._preparer))
        await self._until(end)
        number = self._n_taken + 1
        readout = end + self._scenario.detector.readout_delay * self._rate
        stamp = self.device_clock.at(readout)
        request = Request(start, end, x, y, energy, number)
        work = asyncio.ensure_future(
            self._in_worker(
                lambda: self._camera.take(request, lambda shot: self._writer.keep(shot, stamp))
            )
        )
        self._n_taken = number
        # A frame that is being written is finished, or its file and its counter would differ.
        cancelled = False
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                cancelled = True
        await self._publish(work.result(), stamp)
        if cancelled:
            raise asyncio.CancelledError

    async def _publish(self, shot: Shot, stamp: float) -> None:
        await self._show_counters(shot, stamp)
        await self.UniqueId_RBV.write(shot.request.number, timestamp=stamp)
        await self.TimeStamp_RBV.write(stamp - EPICS_EPOCH, timestamp=stamp)
        await self._writer.kept(shot.request.number, stamp)
        await self.ArrayCounter.write(self.ArrayCounter.value + 1)

    async def _until(self, time: float) -> None:
        while (left := time - self._clock.now()) > 0:
            rate = self._clock.rate
            # The delay of the readout is wall time; it is told at the rate while nothing is frozen.
            self._rate = rate if rate > 0 else self._rate
            nap = left / rate if rate > 0 else _LONGEST_NAP
            await asyncio.sleep(min(max(nap, _SHORTEST_NAP), _LONGEST_NAP))

    async def _in_worker(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
