"""This file is where a sample in the beam is heated: the furnace's model and its records.

A programme goes to the set-point at an even ramp, the sample follows it with a lag of its own.
Everything is exact, so the temperature can be asked for at any time that is past.

What it does not imitate: overshoot of a controller, gradients in the sample, and the cell's
electrochemistry, which knows its own holder only.
"""

import math
from dataclasses import dataclass
from typing import Any

from caproto import SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.experiment.clock import Clock
from battbeam.sim.records import shown_text
from battbeam.sim.scenario_spectroscopy import Furnace

#: Lowest set-point, degC; it does not cool below the room.
LOWEST = 20.0
#: K/min that can be asked for.
RAMPS = (0.1, 600.0)


@dataclass(frozen=True)
class _Segment:
    """Since ``begin`` (s) the programme goes from ``programme`` to ``setpoint`` at ``ramp`` K/s."""

    begin: float
    programme: float
    temperature: float
    setpoint: float
    ramp: float
    tau: float

    @property
    def slope(self) -> float:
        """K/s while the programme moves."""
        return math.copysign(self.ramp, self.setpoint - self.programme)

    @property
    def ramping(self) -> float:
        """s until the programme has arrived."""
        return abs(self.setpoint - self.programme) / self.ramp

    def programme_at(self, time: float) -> float:
        """degC."""
        since = time - self.begin
        return self.setpoint if since >= self.ramping else self.programme + self.slope * since

    def temperature_at(self, time: float) -> float:
        """degC: a first-order lag behind a ramp, then behind a constant, in closed form."""
        on_ramp = min(max(time - self.begin, 0.0), self.ramping)
        behind = self.slope * self.tau if self.ramping > 0 else 0.0
        away = (self.temperature - self.programme + behind) * math.exp(-on_ramp / self.tau)
        reached = self.programme_at(self.begin + on_ramp) - behind + away
        settled = max(time - self.begin - self.ramping, 0.0)
        if settled == 0:
            return reached
        return self.setpoint + (reached - self.setpoint) * math.exp(-settled / self.tau)

    def highest_until(self, time: float) -> float:
        """degC; behind a ramp that turned round the sample turns where it meets the programme."""
        behind = self.slope * self.tau if self.ramping > 0 else 0.0
        away = self.temperature - self.programme + behind
        turning = -self.tau * math.log(behind / away) if 0 < behind / (away or math.inf) < 1 else 0
        candidates = (0.0, turning, self.ramping, math.inf)
        return max(self.temperature_at(min(self.begin + after, time)) for after in candidates)


class FurnaceModel:
    """The furnace of a scenario; time is an argument and does not go back."""

    def __init__(self, settings: Furnace, *, start: float) -> None:
        self.settings = settings
        self.setpoint, self.ramp = settings.temperature, settings.ramp
        self._segments = [self._segment(start, settings.temperature, settings.temperature)]
        self._hottest = [settings.temperature]

    def _segment(self, time: float, programme: float, temperature: float) -> _Segment:
        tau = self.settings.time_constant
        return _Segment(time, programme, temperature, self.setpoint, self.ramp / 60, tau)

    def set(self, time: float, *, setpoint: float | None = None, ramp: float | None = None) -> None:
        """Go to another temperature, degC, or at another ramp, K/min, from ``time`` on.

        Raises:
            ValueError: If either lies outside what the furnace can do; then nothing changes.
        """
        wanted = self.setpoint if setpoint is None else setpoint
        speed = self.ramp if ramp is None else ramp
        if not LOWEST <= wanted <= self.settings.highest:
            raise ValueError(
                f"furnace: set-point must lie in {LOWEST:g} to {self.settings.highest:g} degC, "
                f"got {wanted:g}"
            )
        if not RAMPS[0] <= speed <= RAMPS[1]:
            raise ValueError(
                f"furnace: ramp must lie in {RAMPS[0]:g} to {RAMPS[1]:g} K/min, got {speed:g}"
            )
        last = self._segments[-1]
        time = max(time, last.begin)
        self.setpoint, self.ramp = wanted, speed
        self._hottest.append(max(self._hottest[-1], last.highest_until(time)))
        segment = self._segment(time, last.programme_at(time), last.temperature_at(time))
        self._segments.append(segment)

    def temperature_at(self, time: float) -> float:
        """Of the sample, degC."""
        return self._at(time)[0].temperature_at(time)

    def programme_at(self, time: float) -> float:
        """Of the programme, which the sample follows, degC."""
        return self._at(time)[0].programme_at(time)

    def highest_until(self, time: float) -> float:
        """Highest temperature of the sample so far, degC."""
        segment, hottest = self._at(time)
        return max(hottest, segment.highest_until(time))

    def _at(self, time: float) -> tuple[_Segment, float]:
        """The segment of a time, and the highest temperature before it."""
        for segment, hottest in zip(reversed(self._segments), reversed(self._hottest), strict=True):
            if segment.begin <= time:
                return segment, hottest
        return self._segments[0], self._hottest[0]


async def _put_setpoint(furnace: "FurnaceGroup", _instance: Any, value: Any) -> float:
    return await furnace.set(setpoint=float(value))


async def _put_ramp(furnace: "FurnaceGroup", _instance: Any, value: Any) -> float:
    return await furnace.set(ramp=float(value))


async def _get_temperature(furnace: "FurnaceGroup", _instance: Any) -> None:
    await furnace.show()


async def _get_programme(furnace: "FurnaceGroup", _instance: Any) -> None:
    await furnace.show_programme()


class FurnaceGroup(PVGroup):  # type: ignore[misc]
    """The furnace's records. A put that it cannot follow changes nothing and stands in LastError."""

    Setpoint = pvproperty(value=25.0, name="SP", put=_put_setpoint, units="degC", precision=2)
    Temperature = pvproperty(
        value=25.0,
        name="RBV",
        get=_get_temperature,
        read_only=True,
        units="degC",
        precision=2,
        doc="of the sample",
    )
    Programme = pvproperty(
        value=25.0,
        name="WSP",
        get=_get_programme,
        read_only=True,
        units="degC",
        precision=2,
        doc="working set-point, which goes to the set-point at the ramp",
    )
    Ramp = pvproperty(value=5.0, name="RAMP", put=_put_ramp, units="K/min", precision=2)
    LastError = shown_text("", doc="the last refusal")

    def __init__(self, prefix: str, *, model: FurnaceModel, clock: Clock) -> None:
        super().__init__(prefix)
        self.model, self._clock = model, clock

    async def prepare(self) -> None:
        """Fill in the record."""
        await self.Setpoint.write(self.model.setpoint, verify_value=False)
        await self.Ramp.write(self.model.ramp, verify_value=False)
        await self.show()
        await self.show_programme()

    async def set(self, *, setpoint: float | None = None, ramp: float | None = None) -> float:
        """Change one of both; answers it."""
        try:
            self.model.set(self._clock.now(), setpoint=setpoint, ramp=ramp)
        except ValueError as error:
            await self.LastError.write(str(error))
            raise SkipWrite from error
        await self.LastError.write("")
        return self.model.setpoint if ramp is None else self.model.ramp

    async def show(self) -> None:
        """The sample's temperature now."""
        now = self._clock.now()
        # Also where it is the same: a record says when it was looked at.
        await self.Temperature.write(self.model.temperature_at(now), timestamp=now)

    async def show_programme(self) -> None:
        """Where the programme is now."""
        now = self._clock.now()
        await self.Programme.write(self.model.programme_at(now), timestamp=now)
