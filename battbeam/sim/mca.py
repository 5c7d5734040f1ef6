"""This file is where the energy-dispersive detector is served: the records of ``MCA1:``, the axis across
the layers, and the shutter of the white beam.

A spectrum begins at the session clock's time when EraseStart is put and lasts PRTM of that clock. The put
completes once everything is there. What went wrong stands in FAULT: a put that raises would look like a
time-out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor
from typing import Any

from caproto import ChannelData, ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.errors import BattbeamError
from battbeam.experiment.clock import Clock
from battbeam.sim.analyser import Analyser, Counted, Request
from battbeam.sim.beam import BeamLog
from battbeam.sim.energy_dispersive import N_CHANNELS
from battbeam.sim.motor import Motor
from battbeam.sim.records import shown
from battbeam.sim.scaler import FAULT_LENGTH, SHORTEST_COUNT, until
from battbeam.sim.scenario_energy_dispersive import EnergyDispersive

#: mm that the axis across the layers travels to either side, and at most a s of the session's clock.
_TRAVEL, _VELOCITY = 5.0, 1.0
#: Of its encoder, counts per mm.
_ENCODER = 1e5


async def _put_start(mca: "Mca", _instance: Any, value: Any) -> Any:
    if int(value):
        await mca.count()
    raise SkipWrite


async def _put_stop(mca: "Mca", _instance: Any, value: Any) -> Any:
    if int(value):
        mca.stop()
    raise SkipWrite


async def _put_shutter(shutter: "WhiteShutter", _instance: Any, value: Any) -> Any:
    await shutter.open(str(value) in ("1", "Open"))
    return value


class WhiteShutter(PVGroup):  # type: ignore[misc]
    """Lets the white beam through, or not; it works at once."""

    Command = pvproperty(
        value="Close",
        name="CMD",
        enum_strings=("Close", "Open"),
        dtype=ChannelType.ENUM,
        put=_put_shutter,
    )
    Status = shown("Closed", name="STATUS", enum_strings=("Closed", "Open"), dtype=ChannelType.ENUM)

    def __init__(self, prefix: str, *, clock: Clock, log: BeamLog) -> None:
        super().__init__(prefix)
        self._clock, self._log = clock, log

    async def open(self, is_open: bool) -> None:
        """Open or close it."""
        now = self._clock.now()
        self._log.change(now, is_open=is_open)
        await self.Status.write("Open" if is_open else "Closed", timestamp=now)


class Mca(PVGroup):  # type: ignore[misc]
    """A multichannel analyser behind a germanium detector: the fields of a mca record that clients use."""

    EraseStart = pvproperty(value=0, name="EraseStart", put=_put_start, doc="put 1 to count")
    Stop = pvproperty(
        value=0, name="Stop", put=_put_stop, doc="put 1: what was counted so far stays"
    )
    Acquiring = shown(
        "Done", name="ACQG", enum_strings=("Done", "Acquiring"), dtype=ChannelType.ENUM
    )
    Preset = pvproperty(value=10.0, name="PRTM", units="s", precision=4, doc="preset real time")
    RealTime = shown(0.0, name="ERTM", units="s", precision=4, doc="real time of the spectrum")
    LiveTime = shown(0.0, name="ELTM", units="s", precision=4, doc="of it the analyser was free")
    Spectrum = shown(
        [0] * N_CHANNELS, name="VAL", dtype=ChannelType.LONG, max_length=N_CHANNELS, units="count"
    )
    Used = shown(N_CHANNELS, name="NUSE", doc="channels in use")
    Offset = shown(
        0.0, name="CALO", units="eV", precision=2, doc="energy of channel 0, by its maker"
    )
    Slope = shown(0.0, name="CALS", units="eV", precision=5, doc="eV a channel, by its maker")
    Angle = shown(0.0, name="TWOTH", units="deg", precision=4, doc="of the detector, by a ruler")
    Stamp = shown(0.0, name="STAMP", units="s", precision=6, doc="end, s since the Unix epoch")
    Number = shown(0, name="NUMBER", doc="of the last spectrum")
    Fault = shown("", name="FAULT", dtype=ChannelType.STRING, doc="empty if sound")

    def __init__(
        self,
        prefix: str,
        *,
        settings: EnergyDispersive,
        clock: Clock,
        ask: Callable[[int, float, float], Request],
        take: Callable[[Request], Awaitable[Counted]],
    ) -> None:
        """An analyser; ``ask`` says what the spectrum ``number`` from start to end is of, ``take`` counts
        it when it is over.
        """
        super().__init__(prefix)
        self._settings, self._clock, self._ask, self._take = settings, clock, ask, take
        self._task: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        settings = self._settings
        await self.Offset.write(settings.offset)
        await self.Slope.write(settings.slope * (1 + settings.slope_offset))
        await self.Angle.write(settings.two_theta + settings.angle_offset)

    async def count(self) -> None:
        """Count one spectrum, and come back when it is over; one that runs goes on."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run(self._clock.now()))
        await asyncio.wait([self._task])

    def stop(self) -> None:
        """End the spectrum that runs now."""
        if self._waiting is not None:
            self._waiting.cancel()

    async def _run(self, start: float) -> None:
        duration, fault = max(float(self.Preset.value), SHORTEST_COUNT), ""
        try:
            await self.Acquiring.write("Acquiring", verify_value=False)
            await self.Fault.write("")
            end = await self._wait(start, start + duration)
            request = self._ask(int(self.Number.value) + 1, start, end)
            await self._publish(await self._take(request), request)
        except (BattbeamError, OSError, RuntimeError, ValueError) as error:
            # A real analyser goes on serving after a fault; so does this one.
            fault = str(error)
        await self.Fault.write(fault[:FAULT_LENGTH])
        await self.Acquiring.write("Done", verify_value=False)

    async def _wait(self, start: float, end: float) -> float:
        """Until it is over; when that was."""

        async def show_elapsed() -> None:
            await self.RealTime.write(max(self._clock.now() - start, 0.0))

        self._waiting = asyncio.ensure_future(until(self._clock, end, show_elapsed))
        await asyncio.wait([self._waiting])
        if self._waiting.cancelled():
            return min(max(self._clock.now(), start + SHORTEST_COUNT), end)
        self._waiting.result()
        return end

    async def _publish(self, counted: Counted, request: Request) -> None:
        stamp = request.end
        await self.Spectrum.write(counted.counts.tolist(), timestamp=stamp)
        for record, value in (
            (self.RealTime, counted.real_time),
            (self.LiveTime, counted.live_time),
            (self.Stamp, stamp),
        ):
            await record.write(value, timestamp=stamp)
        await self.Number.write(request.number, timestamp=stamp)


class EnergyDispersiveStation:
    """Everything that a beamline serves for energy-dispersive diffraction.

    Args:
        prefix: Of the beamline's PVs.
        analyser: What counts.
        clock: The session's.
        executor: In which spectra are worked out, after what else it does.
        stage: Where the sample stage is, (x, y) in mm.

    Attributes:
        axis: Across the layers: what is at its position, mm from the electrode's middle, is in the gauge.
    """

    def __init__(
        self,
        prefix: str,
        *,
        analyser: Analyser,
        clock: Clock,
        executor: Executor,
        stage: Callable[[], tuple[float, float]],
    ) -> None:
        self._analyser, self._executor, self._stage = analyser, executor, stage
        self.axis = Motor(
            f"{prefix}SAMPLE:Z",
            units="mm",
            limits=(-_TRAVEL, _TRAVEL),
            velocity=_VELOCITY,
            encoder=_ENCODER,
            clock=clock,
        )
        self.shutter = WhiteShutter(f"{prefix}WHITE:SHUTTER:", clock=clock, log=analyser.white)
        self.mca = Mca(
            f"{prefix}MCA1:",
            settings=analyser.beam.settings,
            clock=clock,
            ask=self._request,
            take=self._take,
        )

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        groups = (self.axis, self.shutter, self.mca)
        return (item for group in groups for item in group.pvdb.items())

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.axis.prepare()
        await self.mca.prepare()

    def _request(self, number: int, start: float, end: float) -> Request:
        x, y = self._stage()
        z = float(self.axis.position_at((start + end) / 2))
        return Request(number, start, end, x, y, z)

    async def _take(self, request: Request) -> Counted:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._analyser.take, request)
