"""This file is where ring, shutter and attenuator of the simulated beamline are served."""

import math
from typing import Any

import numpy as np
from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.experiment.clock import Clock
from battbeam.sim.beam import BeamLog
from battbeam.sim.records import shown

#: What the attenuator can put in.
FILTERS = (1.0, 0.3, 0.1, 0.03, 0.01)


async def _put_shutter(front_end: "FrontEnd", _instance: Any, value: Any) -> Any:
    await front_end.open_shutter(str(value) in ("1", "Open"))
    return value


async def _put_fault(front_end: "FrontEnd", instance: Any, value: Any) -> Any:
    name = instance.enum_strings[int(value)] if str(value).isdigit() else str(value)
    await front_end.set_fault(name)
    return value


async def _put_filter(front_end: "FrontEnd", _instance: Any, value: Any) -> int:
    index = min(max(int(value), 0), len(FILTERS) - 1)
    await front_end.set_filter(index)
    return index


async def _put_transmission(front_end: "FrontEnd", _instance: Any, value: Any) -> float:
    wanted = min(max(float(value), FILTERS[-1]), FILTERS[0])
    index = int(np.argmin(np.abs(np.log(np.array(FILTERS) / wanted))))
    await front_end.FilterIndex.write(index)
    return float(value)


async def _get_next_top_up(front_end: "FrontEnd", _instance: Any) -> None:
    await front_end.show_top_up()


class FrontEnd(PVGroup):  # type: ignore[misc]
    """What light the beamline has.

    Args:
        clock: The session's.
        beam_log: Of the beam on the sample.
        white: Of the white beam, which has neither this shutter nor these filters.
    """

    RingCurrent = shown(0.0, name="RING:CURRENT", units="mA", precision=3)
    RingFault = pvproperty(
        value="None",
        name="RING:FAULT",
        enum_strings=("None", "NaN", "Down"),
        dtype=ChannelType.ENUM,
        put=_put_fault,
        doc="NaN: the reading fails; Down: the beam is lost",
    )
    ShutterCommand = pvproperty(
        value="Close",
        name="SHUTTER:CMD",
        enum_strings=("Close", "Open"),
        dtype=ChannelType.ENUM,
        put=_put_shutter,
    )
    ShutterStatus = shown(
        "Closed", name="SHUTTER:STATUS", enum_strings=("Closed", "Open"), dtype=ChannelType.ENUM
    )
    FilterTransmission = pvproperty(
        value=1.0,
        name="ATT:SP",
        put=_put_transmission,
        doc="asked for; the nearest filter is taken",
    )
    FilterIndex = pvproperty(value=0, name="ATT:INDEX", put=_put_filter)
    Transmission = shown(1.0, name="ATT:TRANSMISSION", precision=4)
    Filters = shown(list(FILTERS), name="ATT:FILTERS", max_length=len(FILTERS))
    TopUp = shown(
        "Idle", name="RING:TopUp", enum_strings=("Idle", "Injecting"), dtype=ChannelType.ENUM
    )
    NextTopUp = pvproperty(
        value=math.nan,
        name="RING:NextTopUp",
        get=_get_next_top_up,
        read_only=True,
        units="s",
        precision=2,
        doc="of the session's clock until the next injection, 0 while one lasts; NaN: none",
    )
    TopUpLength = shown(0.0, name="RING:TopUpLength", units="s", precision=2)

    def __init__(self, prefix: str, *, clock: Clock, beam_log: BeamLog, white: BeamLog) -> None:
        super().__init__(prefix)
        self._beam, self._clock, self._beam_log, self._white = beam_log.beam, clock, beam_log, white

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        if self._beam.top_up_interval is not None:
            await self.TopUpLength.write(self._beam.top_up_length)

    async def show(self, now: float) -> None:
        """The ring at a time of the session clock, s."""
        await self.show_ring(now, is_readable=self.RingFault.value != "NaN")
        await self.show_top_up()

    async def open_shutter(self, is_open: bool) -> None:
        """Open or close it; at once."""
        now = self._clock.now()
        self._beam_log.change(now, is_open=is_open)
        await self.ShutterStatus.write("Open" if is_open else "Closed", timestamp=now)

    async def set_fault(self, name: str) -> None:
        """A fault of the ring, or none."""
        for log in (self._beam_log, self._white):
            log.change(self._clock.now(), is_down=name == "Down")
        await self.show_ring(self._clock.now(), is_readable=name != "NaN")

    async def set_filter(self, index: int) -> None:
        """Put a filter in."""
        now = self._clock.now()
        self._beam_log.change(now, transmission=FILTERS[index])
        await self.Transmission.write(FILTERS[index], timestamp=now)

    async def show_ring(self, now: float, *, is_readable: bool) -> None:
        """Its current at a time of the session clock, s."""
        current = self._beam_log.ring_current(now) if is_readable else math.nan
        await self.RingCurrent.write(current, timestamp=now)

    async def show_top_up(self) -> None:
        """Say when the ring is filled up next."""
        now = self._clock.now()
        if self._beam.top_up_interval is not None:
            is_injecting = self._beam_log.is_injecting(now)
            await self.TopUp.write("Injecting" if is_injecting else "Idle", timestamp=now)
            await self.NextTopUp.write(self._beam_log.next_top_up(now), timestamp=now)
