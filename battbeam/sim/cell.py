"""This file is where the simulated half cell is: lithium against the electrode, one mean grain, no
clock.

Positive current takes lithium out of the electrode (charges it). The hidden state is the mean
lithium content of the material that takes part; where it is in the electrode, and in which phases,
follows from it by arithmetic.

What it does not imitate: temperature, ageing of the electrode, rate-dependent widening of the
    two-phase region, the
lithium counter electrode's own polarization.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from battbeam.materials import FARADAY, LITHIUM_RANGE, MISCIBILITY_GAP, structure
from battbeam.sim import scenario
from battbeam.sim.open_circuit import OpenCircuit, open_circuit
from battbeam.units import FloatArray

#: k T / e at 25 degC, V.
THERMAL_VOLTAGE = 0.025693
#: V that the simulated potentiostat can apply; beyond, a set current is not reached.
COMPLIANCE = (0.0, 5.0)
#: Share of the lithium range over which LiFePO4 goes from one branch of its hysteresis to the
#: other; chosen.
HYSTERESIS_WIDTH = 0.02
#: Series resistance of the leads, ohm: keeps constant voltage solvable for a cell without any
#: resistance.
LEAD_RESISTANCE = 0.01
_COULOMB_PER_MAH = 3.6


def active_phase(cell: scenario.Cell) -> str:
    """Name of the active material's structure when it is one phase."""
    return "LixFePO4" if cell.chemistry == "lfp" else "NMC811"


def lithium_range(cell: scenario.Cell) -> tuple[float, float]:
    """Lowest and highest lithium content of the active material."""
    return LITHIUM_RANGE[active_phase(cell)]


def active_areal_moles(cell: scenario.Cell) -> float:
    """All active formula units per electrode area, mol/cm2, inactive ones too."""
    return cell.active_loading * 1e-3 / structure(active_phase(cell), 1.0).molar_mass


def connected_fraction(cell: scenario.Cell) -> float:
    """Share of the active material that takes part: neither inactive nor in the dead spot."""
    return (1 - cell.inactive_fraction) * (1 - _dead_area_fraction(cell))


def full_capacity(cell: scenario.Cell) -> float:
    """mAh that change the mean lithium content of the connected material by one."""
    moles = active_areal_moles(cell) * cell.electrode_area * connected_fraction(cell)
    return moles * FARADAY / _COULOMB_PER_MAH


def is_dead(*, x: FloatArray, y: FloatArray, cell: scenario.Cell) -> "np.typing.NDArray[np.bool_]":
    """Whether points of the electrode (mm, in the cell's frame) lie in the dead spot."""
    spot = cell.dead_spot
    if spot is None:
        return np.zeros(np.broadcast(x, y).shape, dtype=bool)
    return np.asarray(np.hypot(np.asarray(x) - spot.x, np.asarray(y) - spot.y) <= spot.radius)


def local_lithium_content(
    mean: FloatArray | float,
    x: FloatArray | float,
    y: FloatArray | float,
    depth: FloatArray | float,
    cell: scenario.Cell,
) -> FloatArray:
    """Lithium content of the connected material at points of the electrode.

    The gradients are scaled by 4 f (1 - f), f the mean's place in the lithium range, so that they
    vanish at both ends, and by so much more, where they are steep, that no point leaves the range.
    They are taken about the middle of the material that takes part, so the mean over the electrode
    is ``mean``. The dead spot stays as it was at the start.

    Args:
        mean: Of the connected material.
        x: mm, in the cell's frame.
        y: mm.
        depth: Through the electrode, -0.5 (separator) to 0.5 (collector).
        cell: The hidden truth about the cell.

    Returns:
        Shape of the four broadcast together.
    """
    low, high = lithium_range(cell)
    place = (np.asarray(mean, dtype=float) - low) / (high - low)
    middle_x, middle_y = _connected_middle(cell)
    deviation = (
        cell.gradient_x * (np.asarray(x, dtype=float) - middle_x)
        + cell.gradient_y * (np.asarray(y, dtype=float) - middle_y)
        + cell.gradient_depth * np.asarray(depth, dtype=float)
    )
    steepest = (
        math.hypot(cell.gradient_x, cell.gradient_y)
        * (cell.electrode_radius + math.hypot(middle_x, middle_y))
        + abs(cell.gradient_depth) / 2
    )
    # 4 f (1 - f) D stays within both ends for every f when D is at most a quarter of the range.
    within = min(1.0, 0.25 * (high - low) / steepest) if steepest > 0 else 1.0
    local = np.asarray(mean, dtype=float) + 4 * place * (1 - place) * within * deviation
    dead = is_dead(x=np.asarray(x), y=np.asarray(y), cell=cell)
    return np.where(dead, cell.initial_lithium_content, np.clip(local, low, high))


def phase_composition(
    local: FloatArray, cell: scenario.Cell
) -> list[tuple[str, FloatArray, FloatArray]]:
    """The phases at each local lithium content.

    Args:
        local: Lithium content, any shape.
        cell: The hidden truth about the cell.

    Returns:
        Each phase's name, its mole fraction and the lithium content in it, both of the shape of
        ``local``.

    Source:
        Lever rule between the edges of the miscibility gap of LixFePO4; one phase outside it, and
        for NMC811.
    """
    content = np.asarray(local, dtype=float)
    if cell.chemistry != "lfp" or cell.solid_solution:
        return [(active_phase(cell), np.ones_like(content), content)]
    poor, rich = MISCIBILITY_GAP
    fraction = np.clip((content - poor) / (rich - poor), 0.0, 1.0)
    return [
        ("LiFePO4", fraction, np.maximum(content, rich)),
        ("FePO4", 1 - fraction, np.minimum(content, poor)),
    ]


def _dead_area_fraction(cell: scenario.Cell) -> float:
    return 0.0 if cell.dead_spot is None else (cell.dead_spot.radius / cell.electrode_radius) ** 2


def _connected_middle(cell: scenario.Cell) -> tuple[float, float]:
    """Centre of area of the electrode without its dead spot, mm."""
    if cell.dead_spot is None:
        return 0.0, 0.0
    share = _dead_area_fraction(cell)
    weight = -share / (1 - share)
    return weight * cell.dead_spot.x, weight * cell.dead_spot.y


@dataclass
class HalfCell:
    """One half cell under current, at a voltage, or at rest.

    Lithium is conserved by construction: the content is the initial one minus the charge stored
        over the capacity.

    Attributes:
        truth: What the cell is.
        charge: C passed since the start, > 0 on charge.
        side_charge: C of it that went into the side reaction instead of the electrode.
        lag: Mean lithium content minus that at the grains' surface.
        branch: Where the cell is between the two branches of its hysteresis, -1 (discharge) to 1
            (charge).
        current: A, now.
        voltage: V, now.
        is_limited: Whether a set current was not reached, at the compliance of the potentiostat.
    """

    truth: scenario.Cell
    charge: float = 0.0
    side_charge: float = 0.0
    lag: float = 0.0
    branch: float = 0.0
    current: float = 0.0
    voltage: float = field(init=False)
    is_limited: bool = False

    def __post_init__(self) -> None:
        self._curve: OpenCircuit = open_circuit(self.truth.chemistry)
        self._capacity = full_capacity(self.truth) * _COULOMB_PER_MAH
        self._control: tuple[str, float] = ("current", 0.0)
        self.voltage = self._voltage_after(0.0, 0.0)

    @property
    def lithium_content(self) -> float:
        """x, mean over the connected material."""
        stored = self.charge - self.side_charge
        return self.truth.initial_lithium_content - stored / self._capacity

    def step(
        self, duration: float, *, current: float | None = None, voltage: float | None = None
    ) -> None:
        """Go on for ``duration`` s at a current (A) or at a voltage (V); 0 s only switches.

        At a voltage the current is the one with which the voltage is met at the end of the step,
        and changes linearly
        meanwhile: steps of up to some seconds are accurate.

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
            self._go_on(0.0, *control)
        if duration > 0:
            self._go_on(duration, *control)

    def _go_on(self, duration: float, control: str, value: float) -> None:
        self.is_limited = False
        if control == "current":
            reached = self._voltage_after(duration, value)
            self.is_limited = not COMPLIANCE[0] <= reached <= COMPLIANCE[1]
            if self.is_limited:
                value = self._current_for(duration, COMPLIANCE[1] if value > 0 else COMPLIANCE[0])
        else:
            value = self._current_for(duration, value)
        mean = self._mean_current(duration, value)
        self.voltage = self._voltage_after(duration, value)
        self.lag, self.branch = self._lag_after(duration, mean), self._branch_after(duration, mean)
        self.charge += mean * duration
        self.side_charge += (mean - self._stored(mean)) * duration
        self.current = value

    def _mean_current(self, duration: float, current: float) -> float:
        return (self.current + current) / 2 if duration > 0 else current

    def _stored(self, current: float) -> float:
        return current * self.truth.coulombic_efficiency if current > 0 else current

    def _lag_after(self, duration: float, mean_current: float) -> float:
        """Exact for a constant current: a first-order lag of the surface behind the mean."""
        tau = self.truth.diffusion_time
        steady = self._stored(mean_current) / self._capacity * tau
        return steady + (self.lag - steady) * math.exp(-duration / tau)

    def _branch_after(self, duration: float, mean_current: float) -> float:
        passed = abs(mean_current) * duration / self._capacity / HYSTERESIS_WIDTH
        target = math.copysign(1.0, mean_current)
        return target + (self.branch - target) * math.exp(-passed)

    def _voltage_after(self, duration: float, current: float) -> float:
        """V at the end of a step that ends with ``current``; rises strictly with it, infinite
        beyond the range.

        Source: ohmic drop and Butler-Volmer with equal transfer coefficients, exchange current as
            the square root of
        lithium and vacancies at the surface.
        """
        mean = self._mean_current(duration, current)
        content = self.lithium_content - self._stored(mean) * duration / self._capacity
        surface = content - self._lag_after(duration, mean)
        voltage = self._curve.voltage(surface)
        if math.isinf(voltage):
            return voltage
        if self.truth.chemistry == "lfp":
            voltage += self.truth.hysteresis * self._branch_after(duration, mean)
        voltage += current * (self.truth.resistance + LEAD_RESISTANCE)
        if self.truth.kinetic_resistance > 0:
            place = (surface - self._curve.low) / (self._curve.high - self._curve.low)
            exchange = (
                THERMAL_VOLTAGE / self.truth.kinetic_resistance * 2 * math.sqrt(place * (1 - place))
            )
            voltage += 2 * THERMAL_VOLTAGE * math.asinh(current / (2 * exchange))
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
