"""This file is where the simulated cell is: a working electrode of one mean grain, no clock.

Opposite stand lithium or graphite (`battbeam.sim.counter`). Positive current takes lithium out of
the working electrode (charges the cell). The hidden state is the mean lithium content of the
material that takes part; where it is in the electrode, and in which phases, follows from it by
arithmetic (`battbeam.sim.lithium`).

Where capacity fades, connected material drops out with the lithium that it holds, so the content of
the rest goes on as it was. Lithium may plate on graphite (`battbeam.sim.plating`), and fatigued
material stop before the rest (`battbeam.sim.fatigue`). A cell that has become a short stores nothing
any more.

What it does not imitate: heat of reaction, growth of resistance with age, rate-dependent widening
of the two-phase region, lag of fatigued material; the double layer shows in the impedance only.
"""

import math
from dataclasses import dataclass, field

from scipy.optimize import brentq

from battbeam.sim import kinetics, motion, scenario
from battbeam.sim.counter import Counter
from battbeam.sim.plating import NO_METAL, Metal
from battbeam.sim.working import COULOMB_PER_MAH, Working

#: V that the simulated potentiostat can apply; beyond, a set current is not reached. A symmetric
#: cell is driven both ways.
COMPLIANCE = (0.0, 5.0)
SYMMETRIC_COMPLIANCE = (-5.0, 5.0)
#: Of a cell that lithium has shorted, ohm: chosen.
SHORT_RESISTANCE = 0.5


@dataclass
class HalfCell:
    """One cell under current, at a voltage, or at rest.

    Lithium is conserved by construction: the content falls by the charge stored over the capacity.

    Attributes:
        truth: What the cell is.
        charge: C passed since the start, > 0 on charge.
        side_charge: C of it that went into the side reaction instead of the electrode.
        counter_side_charge: C of it that a graphite counter electrode lost to its film.
        lag: Mean lithium content minus that at the grains' surface.
        counter_lag: Lithium content at graphite's surface minus its mean.
        metal: Lithium that has plated on graphite.
        branch: Where the cell is between the two branches of its hysteresis, -1 (discharge) to 1
            (charge).
        current: A, now.
        voltage: Of the cell, V, now: working minus counter electrode.
        is_limited: Whether a set current was not reached, at the compliance of the potentiostat.
        age: s since the start.
        cycles: Equivalent full cycles so far: charge passed either way over twice the capacity that
            there was.
        drawn: By how much the mean lithium content has fallen since the start.
        is_short: Whether lithium connects both electrodes.
    """

    truth: scenario.Cell
    charge: float = 0.0
    side_charge: float = 0.0
    counter_side_charge: float = 0.0
    lag: float = 0.0
    counter_lag: float = 0.0
    metal: Metal = NO_METAL
    branch: float = 0.0
    current: float = 0.0
    voltage: float = field(init=False)
    is_limited: bool = False
    age: float = 0.0
    cycles: float = 0.0
    drawn: float = 0.0
    is_short: bool = False

    def __post_init__(self) -> None:
        symmetric = self.truth.chemistry == "lithium"
        self._compliance = SYMMETRIC_COMPLIANCE if symmetric else COMPLIANCE
        self._control: tuple[str, float] = ("current", 0.0)
        self.temperature = self.truth.temperature
        self._counter_potential = self._counter_after(0.0, 0.0)
        self.voltage = self._voltage_after(0.0, 0.0)

    @property
    def temperature(self) -> float:
        """degC; a new one changes resistances and diffusion from the next step on."""
        return self._temperature

    @temperature.setter
    def temperature(self, temperature: float) -> None:
        self._temperature = temperature
        self._working = Working.of(self.truth, temperature=temperature)
        fresh = self._working.fresh_capacity
        self._counter = Counter.of(self.truth, working_capacity=fresh, temperature=temperature)

    @property
    def _capacity(self) -> float:
        """C that change the mean content of the material that is still connected by one."""
        return self._working.capacity(self.cycles)

    @property
    def capacity(self) -> float:
        """mAh that change the mean content of the material that is still connected by one."""
        return self._capacity / COULOMB_PER_MAH

    @property
    def lithium_content(self) -> float:
        """x, mean over the connected material."""
        return self.truth.initial_lithium_content - self.drawn

    @property
    def rest_lithium_content(self) -> float:
        """x, mean over the connected material that is not fatigued."""
        return self._working.rest(self.lithium_content, cycles=self.cycles)

    @property
    def counter_lithium_content(self) -> float:
        """y in LiyC6, mean over a graphite counter electrode; NaN for lithium."""
        return self._counter.content(self._counter_stored)

    @property
    def displacement(self) -> float:
        """Of the cell along the beam since the start, mm downstream."""
        law, capacity = self.truth.motion, self._working.fresh_capacity
        return motion.displacement(law, charge=self.charge, capacity=capacity, age=self.age)

    @property
    def counter_voltage(self) -> float:
        """Of the counter electrode against the reference electrode, V; NaN without one."""
        reference = self.truth.reference
        if reference is None:
            return math.nan
        drop = self.current * self._working.scales.ohmic * (1 - reference.place)
        return self._counter_potential - drop - self.reference_potential

    @property
    def working_voltage(self) -> float:
        """Of the working electrode against the reference electrode, V; NaN without one."""
        return self.voltage + self.counter_voltage

    @property
    def reference_potential(self) -> float:
        """Of the reference electrode against lithium, V; it drifts. NaN without one."""
        reference = self.truth.reference
        if reference is None:
            return math.nan
        return reference.offset + reference.drift * self.age / 3600

    @property
    def heat(self) -> float:
        """W that current and overpotentials give off."""
        counter = self._counter.rest_potential(self._counter_stored)
        rest = self._working.curve.voltage(self.rest_lithium_content) - counter
        return max(self.current * (self.voltage - rest), 0.0)

    def impedance(self, frequency: float) -> complex:
        """Small-signal impedance of the cell at its present state and current, ohm.

        Electrolyte and leads, charge transfer beside a double layer, and diffusion in grains, of
        both electrodes in series; imaginary part below 0 (capacitive). Towards low frequency it is
        that of the model that `step` follows.

        Args:
            frequency: Hz, greater than 0.

        Raises:
            ValueError: If the frequency is not greater than 0.
        """
        if not frequency > 0:
            raise ValueError(f"frequency must be greater than 0 Hz, got {frequency}")
        if self.is_short:
            return complex(SHORT_RESISTANCE)
        omega = 2 * math.pi * frequency
        total = self._working.impedance(
            self.current, self.lithium_content, self.lag, omega, cycles=self.cycles
        )
        stored = self._counter_stored
        return total + self._counter.impedance(self.current, stored, self.counter_lag, omega)

    def step(
        self,
        duration: float,
        *,
        current: float | None = None,
        voltage: float | None = None,
        ramps: bool = False,
    ) -> None:
        """Go on for ``duration`` s at a current (A) or at a voltage (V); 0 s only switches.

        At a voltage the current is the one with which the voltage is met at the end of the step,
        and changes linearly meanwhile: steps of up to some seconds are accurate. A voltage that
        ``ramps`` is gone to over the step, instead of at its beginning.

        Raises:
            ValueError: If the duration is negative, or not exactly one of current and voltage is
                given.
        """
        if duration < 0:
            raise ValueError(f"duration must not be negative, got {duration} s")
        if (current is None) == (voltage is None):
            raise ValueError("give either a current or a voltage")
        control = ("current", current) if current is not None else ("voltage", voltage or 0.0)
        if control != self._control:
            self._control = control
            if duration == 0 or not ramps:
                self._go_on(0.0, *control)
        if duration > 0:
            self._go_on(duration, *control)

    def _go_on(self, duration: float, control: str, value: float) -> None:
        self.is_limited = False
        if control == "current":
            reached = self._voltage_after(duration, value)
            low, high = self._compliance
            self.is_limited = not low <= reached <= high
            if self.is_limited:
                value = self._current_for(duration, high if value > 0 else low)
        else:
            value = self._current_for(duration, value)
        mean = self._mean_current(duration, value)
        self.voltage = self._voltage_after(duration, value)
        self._counter_potential = self._counter_after(duration, value)
        self.lag, self.branch = self._lag_after(duration, mean), self._branch_after(duration, mean)
        passed = mean * duration
        rate = self._counter_rate(duration, mean)
        self.counter_lag = self._counter.lag_after(duration, rate, self.counter_lag)
        self.metal = self._metal_after(passed)
        self.counter_side_charge += passed - self._counter.stored(passed)
        self.charge += passed
        self.side_charge += passed - self._stored(passed)
        capacity = self._capacity
        self.drawn += self._stored(passed) / capacity
        self.cycles += abs(passed) / (2 * capacity)
        self.age += duration
        self.current = value
        limit = self.truth.short_charge
        if limit is not None and abs(self.charge) >= limit * self.truth.electrode_area:
            self.is_short = True

    def _mean_current(self, duration: float, current: float) -> float:
        return (self.current + current) / 2 if duration > 0 else current

    def _stored(self, current: float) -> float:
        if self.is_short:
            return 0.0
        return current * self.truth.coulombic_efficiency if current > 0 else current

    def _lag_after(self, duration: float, mean_current: float) -> float:
        rate = self._stored(mean_current)
        return self._working.lag_after(duration, rate, self.lag, cycles=self.cycles)

    def _branch_after(self, duration: float, mean_current: float) -> float:
        branch, cycles = self.branch, self.cycles
        return self._working.branch_after(duration, mean_current, branch, cycles=cycles)

    @property
    def _counter_stored(self) -> float:
        """C that graphite's grains have stored since the start."""
        return self.charge - self.counter_side_charge - self.metal.total

    def _metal_after(self, passed: float) -> Metal:
        """Of the counter electrode after so many C more."""
        return self._counter.metal_after(
            passed,
            self.metal,
            stored=self._counter_stored,
            cycles=self.cycles,
            cycle_charge=2 * self._capacity,
        )

    def _counter_rate(self, duration: float, mean_current: float) -> float:
        """A that the counter electrode's grains store in such a step."""
        rate = self._counter.stored(mean_current)
        if self.truth.plating is None or duration == 0:
            return rate
        plated = self._metal_after(mean_current * duration).total - self.metal.total
        return rate - plated / duration

    def _counter_after(self, duration: float, current: float) -> float:
        """Potential of the counter electrode against lithium at the end of such a step, V."""
        rate = self._counter_rate(duration, self._mean_current(duration, current))
        stored, lag = self._counter_stored, self.counter_lag
        return self._counter.potential_after(duration, current, rate, stored, lag)

    def _voltage_after(self, duration: float, current: float) -> float:
        """V at the end of a step that ends with ``current``; rises strictly with it, infinite
        beyond the range.

        Source: ohmic drop and Butler-Volmer with equal transfer coefficients.
        """
        if self.is_short:
            return current * SHORT_RESISTANCE
        working, mean = self._working, self._mean_current(duration, current)
        content = self.lithium_content - self._stored(mean) * duration / self._capacity
        surface = working.rest(content, cycles=self.cycles) - self._lag_after(duration, mean)
        voltage = working.curve.voltage(surface) - self._counter_after(duration, current)
        if math.isinf(voltage):
            return voltage
        if self.truth.chemistry == "lfp":
            voltage += self.truth.hysteresis * self._branch_after(duration, mean)
        voltage += current * working.scales.ohmic
        if working.scales.exchange_current > 0:
            exchange = working.exchange_current(surface)
            voltage += kinetics.overpotential(current, exchange, working.scales.thermal_voltage)
        return voltage

    def _current_for(self, duration: float, voltage: float) -> float:
        """The current with which ``voltage`` is met at the end of a step, A."""

        def miss(current: float) -> float:
            return max(-1e3, min(1e3, self._voltage_after(duration, current) - voltage))

        here = miss(self.current)
        if here == 0.0:
            return self.current
        width = 1e-5
        near, far = self.current, self.current - math.copysign(width, here)
        while miss(far) * here > 0:
            width *= 4
            near, far = far, self.current - math.copysign(width, here)
        return float(brentq(miss, near, far, xtol=1e-12, rtol=1e-13))
