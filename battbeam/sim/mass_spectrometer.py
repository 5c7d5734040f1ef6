"""This file is where gas that a heated cell sets free is seen, late: the ``MS1:`` records.

The spectrometer goes over its masses at a period of its own, on the session's clock. Gas needs a time
through the capillary and mixes in the volume before the spectrometer; a valve lets argon in at the cell,
from which both can be told.

What it does not imitate: fragments (all of a gas is at its own mass), a capillary that blurs, a cycle
that takes time, and gas of a cell that is charged once it was heated: what leaves goes by the lithium
content at the start.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from caproto import SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.experiment.clock import Clock
from battbeam.sim.heated_phases import Gas, released
from battbeam.sim.records import shown, shown_text
from battbeam.sim.scenario import Scenario
from battbeam.sim.scenario_mass_spectrometer import MassSpectrometer
from battbeam.units import FloatArray

#: m/z at which each gas is seen; of argon its isotope 36, because 40 is everywhere.
OXYGEN, CARBON_DIOXIDE, ARGON = 32, 44, 36
#: s that a pulse of argon may last, and a cycle.
PULSES, PERIODS = (0.1, 600.0), (0.5, 600.0)
#: Time constants after which gas is gone, and into how many pieces they are cut.
_FORGOTTEN, _N_PIECES = 12.0, 60
#: Tells the random numbers of ion currents from those of frames, counts and sweeps.
_STREAM = 0x6D73
#: Wall seconds between two looks at the clock: shortest and longest.
_NAPS = (0.002, 0.1)


class MassSpectrometerModel:
    """What a mass spectrometer reads; time is an argument.

    Args:
        settings: Of the scenario.
        freed: Gas that was set free until a time, mol.
        seed: Of the noise.
        start: When the first cycle is, s since the epoch.
    """

    def __init__(
        self, settings: MassSpectrometer, *, freed: Callable[[float], Gas], seed: int, start: float
    ) -> None:
        self.settings, self._freed = settings, freed
        self._seed, self._pulses = seed, [(-math.inf, 0.0)]
        self.period = settings.period
        self._number, self._next = 0, start
        ages = np.linspace(0.0, _FORGOTTEN * settings.mixing, _N_PIECES + 1)
        self._ages = ages
        # Share of what came in each piece that is still seen, over the length of the piece.
        seen = np.exp(-ages / settings.mixing)
        self._weights = (seen[:-1] - seen[1:]) / np.diff(ages)

    def pulse(self, time: float, duration: float) -> None:
        """Open the valve of the argon at ``time`` for ``duration`` s.

        Raises:
            ValueError: If that is no duration that the valve can have, or it is open.
        """
        if not PULSES[0] <= duration <= PULSES[1]:
            raise ValueError(
                f"a pulse must last {PULSES[0]:g} to {PULSES[1]:g} s, got {duration:g}"
            )
        begin, length = self._pulses[-1]
        if time < begin + length:
            raise ValueError(f"the valve is open for another {begin + length - time:.1f} s")
        self._pulses.append((time, duration))

    def set_period(self, period: float) -> None:
        """Time from one cycle to the next, from the next one on.

        Raises:
            ValueError: If it is none that the spectrometer can have.
        """
        if not PERIODS[0] <= period <= PERIODS[1]:
            raise ValueError(
                f"period must lie in {PERIODS[0]:g} to {PERIODS[1]:g} s, got {period:g}"
            )
        self.period = period

    def flows(self, time: float) -> dict[int, float]:
        """Of each gas as the spectrometer sees it, by mass, mol/s."""
        times = time - self.settings.lag - self._ages
        gases = [self._freed(float(each)) for each in times]
        oxygen = np.array([gas.oxygen for gas in gases])
        dioxide = np.array([gas.carbon_dioxide for gas in gases])
        let_in = self.settings.argon * self._open_until(times)
        return {
            mass: float(-np.diff(amount) @ self._weights)
            for mass, amount in ((OXYGEN, oxygen), (CARBON_DIOXIDE, dioxide), (ARGON, let_in))
        }

    def _open_until(self, times: FloatArray) -> FloatArray:
        """s that the valve was open until each time."""
        open_for = np.zeros(len(times))
        for begin, duration in self._pulses[1:]:
            open_for += np.clip(times - begin, 0.0, duration)
        return open_for

    def currents(self, time: float, number: int) -> FloatArray:
        """Ion currents of the cycle ``number`` at ``time``, A, one a mass."""
        rng = np.random.default_rng([self._seed, _STREAM, number])
        noise = rng.normal(0.0, self.settings.noise, len(self.settings.masses))
        flows = self.flows(time)
        signal = [self.settings.sensitivity * flows.get(m, 0.0) for m in self.settings.masses]
        return np.asarray(np.array(self.settings.background) + signal + noise)

    def due(self, now: float) -> Iterator[tuple[float, FloatArray]]:
        """Every cycle since the last call, up to ``now``: when, and its ion currents."""
        while self._next <= now:
            time, number = self._next, self._number
            self._number, self._next = number + 1, time + self.period
            yield time, self.currents(time, number)

    @property
    def next_cycle(self) -> float:
        """When it is, s since the epoch."""
        return self._next


def freed_by(scenario: Scenario, heated_to: Callable[[float], float]) -> Callable[[float], Gas]:
    """Gas that all cells of a scenario have set free until a time, by the furnace's highest
    temperature until then.
    """

    def freed(time: float) -> Gas:
        highest = heated_to(time)
        gases = [
            released(cell, lithium_content=cell.initial_lithium_content, heated_to=highest)
            for cell in scenario.cells
        ]
        return Gas(sum(gas.oxygen for gas in gases), sum(gas.carbon_dioxide for gas in gases))

    return freed


def station_of(
    scenario: Scenario, prefix: str, *, clock: Clock, heated_to: Callable[[float], float]
) -> "MassSpectrometerGroup | None":
    """The records of a scenario's mass spectrometer, which begins now; None where it has none.

    Args:
        scenario: What is simulated.
        prefix: Of the beamline's PVs.
        clock: The session's.
        heated_to: Highest temperature of the furnace until a time, degC.
    """
    if scenario.mass_spectrometer is None:
        return None
    model = MassSpectrometerModel(
        scenario.mass_spectrometer,
        freed=freed_by(scenario, heated_to),
        seed=scenario.seed,
        start=clock.now(),
    )
    return MassSpectrometerGroup(f"{prefix}MS1:", model=model, clock=clock)


async def _put_pulse(group: "MassSpectrometerGroup", _instance: Any, value: Any) -> float:
    return await group.pulse(float(value))


async def _put_period(group: "MassSpectrometerGroup", _instance: Any, value: Any) -> float:
    return await group.set_period(float(value))


class MassSpectrometerGroup(PVGroup):  # type: ignore[misc]
    """The records of the mass spectrometer."""

    Cycle = shown([0.0], name="CYCLE", max_length=64, units="A", doc="ion currents, one a mass")
    Masses = shown([0.0], name="MASSES", max_length=64, doc="m/z of each ion current")
    Number = shown(0, name="N", doc="ion currents in a cycle")
    Period = pvproperty(
        value=2.0, name="PERIOD", put=_put_period, units="s", precision=2, doc="of the cycles"
    )
    Pulse = pvproperty(
        value=0.0,
        name="PULSE",
        put=_put_pulse,
        units="s",
        precision=2,
        doc="put opens the argon valve at the cell for so long",
    )
    PulseStart = shown(0.0, name="PULSE_START", units="s", doc="of the last pulse, since 1970")
    LastError = shown_text("", doc="the last refusal")

    def __init__(self, prefix: str, *, model: MassSpectrometerModel, clock: Clock) -> None:
        super().__init__(prefix)
        self.model, self._clock = model, clock

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.Masses.write([float(mass) for mass in self.model.settings.masses])
        await self.Number.write(len(self.model.settings.masses))
        await self.Period.write(self.model.period, verify_value=False)
        await self.show()

    async def run(self) -> None:
        """Go over the masses, for ever."""
        while True:
            await self.show()
            left, rate = self.model.next_cycle - self._clock.now(), self._clock.rate
            nap = left / rate if rate > 0 else _NAPS[1]
            await asyncio.sleep(min(max(nap, _NAPS[0]), _NAPS[1]))

    async def show(self) -> None:
        """Every cycle that is over and was not shown, each with its own time."""
        for time, currents in self.model.due(self._clock.now()):
            await self.Cycle.write(currents.tolist(), timestamp=time)

    async def pulse(self, duration: float) -> float:
        """Let argon in, from now on."""
        now = self._clock.now()
        await self._told(lambda: self.model.pulse(now, duration))
        await self.PulseStart.write(now, timestamp=now)
        return duration

    async def set_period(self, period: float) -> float:
        """Go at another pace."""
        await self._told(lambda: self.model.set_period(period))
        return period

    async def _told(self, change: Callable[[], None]) -> None:
        try:
            change()
        except ValueError as error:
            await self.LastError.write(f"mass spectrometer: {error}")
            raise SkipWrite from error
        await self.LastError.write("")
