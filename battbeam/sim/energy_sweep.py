"""This file is where the energy is swept while counters are read at a steady pace: ``SWEEP1:``.

The crystal's axis runs up before START, passes from START to STOP at constant angular speed in
DURATION, and comes to rest behind it. Meanwhile N gates of equal length follow each other without a
gap. A sample's BRAGG is the mean reading of the encoder in its gate and TIME the gate's end; its
counts are those of a gate that lies a little earlier: the counters are behind the encoder.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.errors import BattbeamError, DeviceError
from battbeam.experiment.clock import Clock
from battbeam.sim.count_request import Reading, Request
from battbeam.sim.monochromator import angle_at
from battbeam.sim.motor import Motor
from battbeam.sim.records import shown
from battbeam.sim.scaler import FAULT_LENGTH, Ask, Take, until
from battbeam.sim.trajectory import Move
from battbeam.units import FloatArray

#: Samples that one sweep can hold.
MOST_SAMPLES = 4000
#: s at constant speed before the first gate and behind the last.
_SETTLING = 0.05


@dataclass(frozen=True)
class Sweep:
    """What is asked for.

    Attributes:
        first: Angle at the beginning of the first gate, degree.
        last: At the end of the last.
        duration: s from one to the other.
        n_samples: Gates.
        acceleration_time: s from rest to full speed.
    """

    first: float
    last: float
    duration: float
    n_samples: int
    acceleration_time: float

    @classmethod
    def of(
        cls, start: float, stop: float, duration: float, n_samples: int, acceleration_time: float
    ) -> "Sweep":
        """From and to an energy, eV.

        Raises:
            ValueError: If there is no such sweep.
        """
        if not 2 <= n_samples <= MOST_SAMPLES:
            raise ValueError(f"N must be 2 to {MOST_SAMPLES}, got {n_samples}")
        if not (duration > 0 and math.isfinite(duration)):
            raise ValueError(f"DURATION must be > 0 s, got {duration:g}")
        if start == stop:
            raise ValueError(f"START and STOP are both {start:g} eV")
        return cls(angle_at(start), angle_at(stop), duration, n_samples, acceleration_time)

    @property
    def velocity(self) -> float:
        """Degree per s."""
        return abs(self.last - self.first) / self.duration

    @property
    def taxi(self) -> tuple[float, float]:
        """Where the axis starts and where it comes to rest, degree."""
        run_up = self.velocity * (self.acceleration_time / 2 + _SETTLING)
        run_up = math.copysign(run_up, self.last - self.first)
        return self.first - run_up, self.last + run_up

    def edges(self, move: Move) -> FloatArray:
        """Of the gates while the axis makes that move, s, shape (n_samples + 1,)."""
        begin = move.time_at(self.first)
        return begin + self.duration * np.arange(self.n_samples + 1) / self.n_samples


async def _put_go(group: "EnergySweep", _instance: Any, value: Any) -> Any:
    if str(value) in ("1", "Go"):
        await group.sweep()
    else:
        await group.abort()
    raise SkipWrite


def _samples(name: str, units: str, doc: str) -> Any:
    return shown(
        [0.0], name=name, max_length=MOST_SAMPLES, dtype=ChannelType.DOUBLE, units=units, doc=doc
    )


class EnergySweep(PVGroup):  # type: ignore[misc]
    """The records of sweeps."""

    Start = pvproperty(value=8300.0, name="START", units="eV", precision=3)
    Stop = pvproperty(value=8400.0, name="STOP", units="eV", precision=3)
    Duration = pvproperty(value=1.0, name="DURATION", units="s", precision=4)
    NSamples = pvproperty(value=500, name="N")
    Go = pvproperty(
        value="Done",
        name="GO",
        enum_strings=("Done", "Go"),
        dtype=ChannelType.ENUM,
        put=_put_go,
    )
    Time = _samples("TIME", "s", "end of each gate, s since the Unix epoch")
    Bragg = _samples("BRAGG", "deg", "mean encoder reading in each gate")
    I0 = _samples("I0", "count", "before the sample")
    Transmitted = _samples("IT", "count", "behind it")
    Reference = _samples("IR", "count", "behind the foil")
    Fluorescence = _samples("IF", "count", "output, with dead time")
    FluorescenceInput = _samples("IF_INPUT", "count", "of the fast channel")
    StampStart = shown(0.0, name="STAMP_START", units="s", precision=6, doc="since the Unix epoch")
    StampEnd = shown(0.0, name="STAMP_END", units="s", precision=6, doc="since the Unix epoch")
    EncoderPeriod = shown(0.0, name="ENCODER_PERIOD", units="s", precision=7, doc="its time step")
    Number = shown(0, name="NUMBER", doc="of the last sweep")
    Fault = shown("", name="FAULT", dtype=ChannelType.STRING, doc="empty if sound")

    def __init__(
        self,
        prefix: str,
        *,
        axis: Motor,
        clock: Clock,
        encoder_period: float,
        ask: Ask,
        take: Take,
    ) -> None:
        """Sweeps of ``axis``; ``ask`` says what a sweep is of, ``take`` counts it when it is over."""
        super().__init__(prefix)
        self._axis, self._clock, self._ask, self._take = axis, clock, ask, take
        self._encoder_period = encoder_period
        self._task: asyncio.Task[None] | None = None
        self._n_taken = 0

    async def prepare(self) -> None:
        """Fill in what does not change."""
        await self.EncoderPeriod.write(self._encoder_period)

    async def sweep(self) -> None:
        """Sweep once, and come back when it is over; a sweep that runs goes on."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())
        await asyncio.wait([self._task])

    async def abort(self) -> None:
        """End a sweep now; it is lost, and the axis stands."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    def _asked(self) -> Sweep:
        fields = self._axis.record.field_inst
        sweep = Sweep.of(
            float(self.Start.value),
            float(self.Stop.value),
            float(self.Duration.value),
            int(self.NSamples.value),
            float(fields.seconds_to_velocity.value),
        )
        for end in sweep.taxi:
            if not self._axis.may_go(end):
                raise ValueError(f"taxi to {end:.4f} deg is out of limits")
        return sweep

    async def _run(self) -> None:
        fault = ""
        try:
            await self.Go.write("Go", verify_value=False)
            sweep = self._asked()
            request = await self._move(sweep)
            self._n_taken = request.number
            reading = await self._take(request)
            await self._publish(request, reading)
            await self._axis.arrive()
            fault = reading.fault
        except asyncio.CancelledError:
            await self._axis.halt()
            fault = "aborted"
        except (BattbeamError, OSError, RuntimeError, ValueError) as error:
            fault = str(error)
        await self.Fault.write(fault[:FAULT_LENGTH])
        await self.Go.write("Done", verify_value=False)

    async def _move(self, sweep: Sweep) -> Request:
        """Go there and through; comes back when the last gate is over."""
        fields, (begin, end) = self._axis.record.field_inst, sweep.taxi
        way_there = await self._axis.travel(
            begin,
            velocity=float(fields.velocity.value),
            acceleration_time=sweep.acceleration_time,
        )
        await self._axis.arrive()
        self._check(way_there)
        move = await self._axis.travel(
            end, velocity=sweep.velocity, acceleration_time=sweep.acceleration_time
        )
        request = self._ask(self._n_taken + 1, sweep.edges(move))

        async def look() -> None:
            self._check(move)

        await until(self._clock, request.end, look)
        self._check(move)
        return request

    def _check(self, move: Move) -> None:
        if self._axis.move is not move:
            raise DeviceError("axis stopped or sent elsewhere")

    async def _publish(self, request: Request, reading: Reading) -> None:
        counts, stamp = reading.counts, request.end
        arrays = (
            (self.Time, request.edges[1:]),
            (self.Bragg, reading.bragg),
            (self.I0, counts.i0),
            (self.Transmitted, counts.transmitted),
            (self.Reference, counts.reference),
            (self.Fluorescence, counts.fluorescence),
            (self.FluorescenceInput, counts.fluorescence_input),
        )
        for record, values in arrays:
            await record.write(values, timestamp=stamp)
        await self.StampStart.write(request.start, timestamp=stamp)
        await self.StampEnd.write(stamp, timestamp=stamp)
        await self.Number.write(request.number, timestamp=stamp)
