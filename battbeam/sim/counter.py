"""This file is where the electrode opposite the working electrode is: lithium, or graphite.

Its potentials are against lithium metal. Charging the cell brings lithium to it. A value without
state: what changes (charge stored, lag) is handed in by the cell.
"""

import math
from dataclasses import dataclass

from battbeam.sim import kinetics, scenario
from battbeam.sim.open_circuit import OpenCircuit, open_circuit
from battbeam.sim.plating import Metal, metal_after


@dataclass(frozen=True)
class Counter:
    """A counter electrode at one temperature.

    Attributes:
        truth: What it is.
        curve: Of graphite; None for lithium, whose potential at rest is 0 V.
        capacity: C that change graphite's lithium content by one; infinite for lithium.
        exchange_current: At half content (lithium: always), A; 0 without kinetics.
        thermal_voltage: k T / e, V.
        diffusion_time: s.
        plating: How lithium plates on it, or not.
        working_capacity: C that change the mean content of the fresh working electrode by one.
    """

    truth: scenario.CounterElectrode
    curve: OpenCircuit | None
    capacity: float
    exchange_current: float
    thermal_voltage: float
    diffusion_time: float
    plating: scenario.Plating | None
    working_capacity: float

    @classmethod
    def of(cls, cell: scenario.Cell, *, working_capacity: float, temperature: float) -> "Counter":
        """Of a cell whose working electrode holds ``working_capacity`` C, at degC."""
        truth, law = cell.counter, cell.temperature_law
        is_graphite = truth.material == "graphite"
        reference = kinetics.thermal_voltage(kinetics.REFERENCE_TEMPERATURE)
        resistance = truth.kinetic_resistance
        exchange = reference / resistance if resistance > 0 else 0.0
        return cls(
            truth,
            open_circuit("graphite") if is_graphite else None,
            working_capacity * truth.capacity_ratio if is_graphite else math.inf,
            exchange * kinetics.arrhenius(law.kinetic, temperature),
            kinetics.thermal_voltage(temperature),
            truth.diffusion_time / kinetics.arrhenius(law.diffusion, temperature),
            cell.plating,
            working_capacity,
        )

    def stored(self, charge: float) -> float:
        """C of a charge (> 0 charges the cell) that the electrode stores, or gives back."""
        if self.curve is None or charge <= 0:
            return charge
        return charge * self.truth.coulombic_efficiency

    def content(self, stored: float) -> float:
        """Mean lithium content with so much C stored since the start; NaN for lithium metal."""
        if self.curve is None:
            return math.nan
        return self.truth.initial_lithium_content + stored / self.capacity

    def metal_after(
        self, passed: float, metal: Metal, *, stored: float, cycles: float, cycle_charge: float
    ) -> Metal:
        """What has plated after ``passed`` C more.

        Args:
            passed: > 0 charges the cell.
            metal: Before.
            stored: C in graphite's grains since the start.
            cycles: Equivalent full cycles so far.
            cycle_charge: C that pass in one more.
        """
        law = self.plating
        if law is None:
            return metal
        return metal_after(
            metal,
            self.stored(passed),
            law=law,
            capacity=self.working_capacity,
            room=(law.from_content - self.content(stored)) * self.capacity,
            cycles=cycles,
            per_cycle=abs(self.stored(math.copysign(cycle_charge, passed))),
        )

    def rest_potential(self, stored: float) -> float:
        """V without current, its grains even."""
        return 0.0 if self.curve is None else self.curve.voltage(self.content(stored))

    def lag_after(self, duration: float, rate: float, lag: float) -> float:
        """Lithium content at the surface minus the mean, after a step; exact for a constant rate, A
        that its grains store.
        """
        if self.curve is None:
            return 0.0
        steady = rate / self.capacity * self.diffusion_time
        return steady + (lag - steady) * math.exp(-duration / self.diffusion_time)

    def potential_after(
        self, duration: float, current: float, rate: float, stored: float, lag: float
    ) -> float:
        """V at the end of a step that ends with ``current`` and in which grains store ``rate`` A; falls
        with both, infinite beyond the range.
        """
        exchange, rest = self.exchange_current, 0.0
        if self.curve is not None:
            content = self.content(stored + rate * duration)
            surface = content + self.lag_after(duration, rate, lag)
            rest = self.curve.voltage(surface)
            if math.isinf(rest):
                return rest
            exchange *= 2 * math.sqrt(surface * (1 - surface))
        if exchange == 0:
            return rest
        return rest - kinetics.overpotential(current, exchange, self.thermal_voltage)

    def impedance(self, current: float, stored: float, lag: float, omega: float) -> complex:
        """ohm, at an angular frequency in rad/s."""
        total, exchange = 0j, self.exchange_current
        if self.curve is not None:
            surface = self.content(stored) + lag
            exchange *= 2 * math.sqrt(surface * (1 - surface))
            capacitance = -self.capacity / self.curve.slope(surface)
            total = kinetics.diffusion_impedance(capacitance, self.diffusion_time, omega)
        if exchange > 0:
            resistance = kinetics.charge_transfer_resistance(
                current, exchange, self.thermal_voltage
            )
            capacitance = self.truth.double_layer_capacitance
            total += kinetics.charge_transfer_impedance(resistance, capacitance, omega)
        return total
