"""This file is where the working electrode is: the active material of a cell at one temperature.

Like `battbeam.sim.counter.Counter` a value without state: what changes is handed in by the cell.
"""

import math
from dataclasses import dataclass

from battbeam.sim import fatigue, kinetics, scenario
from battbeam.sim.lithium import full_capacity
from battbeam.sim.open_circuit import OpenCircuit, open_circuit

#: Share of the lithium range over which LiFePO4 goes from one branch of its hysteresis to the
#: other; chosen.
HYSTERESIS_WIDTH = 0.02
COULOMB_PER_MAH = 3.6


@dataclass(frozen=True)
class Working:
    """A working electrode at one temperature.

    Attributes:
        truth: The cell that it is of.
        curve: Of the active material.
        fresh_capacity: C that change the mean content by one before anything has faded.
        scales: Of resistances and diffusion, those of the whole cell too.
    """

    truth: scenario.Cell
    curve: OpenCircuit
    fresh_capacity: float
    scales: kinetics.Scales

    @classmethod
    def of(cls, cell: scenario.Cell, *, temperature: float) -> "Working":
        """Of a cell at degC."""
        fresh = full_capacity(cell) * COULOMB_PER_MAH
        scales = kinetics.Scales.at(temperature, cell)
        return cls(cell, open_circuit(cell.chemistry), fresh, scales)

    def capacity(self, cycles: float) -> float:
        """C that change the mean content of the material that is still connected by one."""
        left = float((1 - self.truth.ageing.capacity_fade) ** cycles)
        return self.fresh_capacity * left

    def lag_after(self, duration: float, rate: float, lag: float, *, cycles: float) -> float:
        """Mean content minus that at the grains' surface, after a step; exact for a constant rate, A
        that is stored: a first-order lag of the surface behind the mean.
        """
        tau = self.scales.diffusion_time
        steady = rate / self.capacity(cycles) * tau
        return steady + (lag - steady) * math.exp(-duration / tau)

    def branch_after(
        self, duration: float, mean_current: float, branch: float, *, cycles: float
    ) -> float:
        """Place between the branches of the hysteresis after a step."""
        passed = abs(mean_current) * duration / self.capacity(cycles) / HYSTERESIS_WIDTH
        target = math.copysign(1.0, mean_current)
        return target + (branch - target) * math.exp(-passed)

    def rest(self, content: float, *, cycles: float) -> float:
        """Content of what is not fatigued where all the connected material has ``content``."""
        law = self.truth.fatigue
        if law is None:
            return content
        fraction = fatigue.fatigued_fraction(law, cycles)
        return float(fatigue.rest_content(content, fraction, law))

    def _rest_share(self, content: float, cycles: float) -> float:
        """By what the content of what is not fatigued changes with that of all."""
        law = self.truth.fatigue
        if law is None or content >= law.lowest_content:
            return 1.0
        return 1 / (1 - float(fatigue.fatigued_fraction(law, cycles)))

    def exchange_current(self, surface: float) -> float:
        """As the square root of lithium and vacancies at the surface, A."""
        place = (surface - self.curve.low) / (self.curve.high - self.curve.low)
        return self.scales.exchange_current * 2 * math.sqrt(place * (1 - place))

    def impedance(
        self, current: float, content: float, lag: float, omega: float, *, cycles: float
    ) -> complex:
        """ohm, electrolyte and leads included, at an angular frequency in rad/s.

        Args:
            current: A.
            content: Mean over the connected material.
            lag: Mean content minus that at the grains' surface.
            omega: rad/s.
            cycles: Equivalent full cycles so far.
        """
        scales, capacity = self.scales, self.capacity(cycles)
        surface = self.rest(content, cycles=cycles) - lag
        total = complex(scales.ohmic)
        exchange = self.exchange_current(surface)
        if exchange > 0:
            transfer = kinetics.charge_transfer_resistance(
                current, exchange, scales.thermal_voltage
            )
            capacitance = self.truth.double_layer_capacitance
            total += kinetics.charge_transfer_impedance(transfer, capacitance, omega)
        steepness = -self.curve.slope(surface) / capacity * self._rest_share(content, cycles)
        total += kinetics.diffusion_impedance(1 / steepness, scales.diffusion_time, omega)
        if self.truth.chemistry == "lfp":
            # A small loop about any point of the hysteresis climbs and falls with this slope.
            loop = self.truth.hysteresis / HYSTERESIS_WIDTH / capacity
            total += loop / (1j * omega)
        return total
