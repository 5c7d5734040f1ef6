"""This file is where steps are that stand for several: pulse trains, GITT, PITT, formation, rate
test, cyclic voltammetry.

Each answers ``blocks()``: groups of plain steps, each group to be run so many times in a row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aurora_unicycler import Step as UnicyclerStep  # type: ignore[import-untyped]
from pydantic import BeforeValidator, Field, model_validator

from battbeam.experiment.protocol_steps import (
    PRIMITIVES,
    ConstantCurrent,
    ConstantVoltage,
    OpenCircuitVoltage,
    Positive,
    PositiveRate,
    Rate,
    Value,
    VoltageScan,
    c_rate_from_text,
)

#: Steps of a PITT; more is a slip in the unit of voltage_step_mV.
MAX_VOLTAGE_STEPS = 1000
#: Longest constant voltage of a preset that ends by current, s: five hours.
LONGEST_HOLD = 18_000.0

_Rate = Annotated[float, BeforeValidator(c_rate_from_text), Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Block:
    """Plain steps that follow each other.

    Attributes:
        steps: Models of `battbeam.experiment.protocol_steps`.
        count: How many times in a row.
    """

    steps: tuple[Any, ...]
    count: int = 1


class Preset(UnicyclerStep):  # type: ignore[misc]
    """A step that stands for several."""

    def blocks(self) -> tuple[Block, ...]:
        """The plain steps that it stands for."""
        raise NotImplementedError


class _Train(Preset):
    """Pulses of one current.

    Attributes:
        rate_C: Of a pulse; counts before the current.
        current_mA: The same.
        count: Of pulses.
        until_voltage_V: Ends a pulse early; the train goes on.
    """

    rate_C: Rate = None
    current_mA: Value = None
    count: int = Field(gt=0, le=10_000)
    until_voltage_V: Value = None

    @model_validator(mode="after")
    def _has_a_current(self) -> "_Train":
        if not (self.rate_C or self.current_mA):
            raise ValueError("Either rate_C or current_mA must be set and non-zero.")
        return self


class CurrentPulse(_Train):
    """A train of pulses, each followed by a rest or by another current.

    Attributes:
        pulse_time_s: Length of a pulse.
        rest_time_s: Between two pulses, and after the last.
        base_rate_C: What flows between pulses instead of nothing.
        base_current_mA: The same.
    """

    step: Literal["current_pulse"] = "current_pulse"
    pulse_time_s: float = Field(gt=0, allow_inf_nan=False)
    rest_time_s: float = Field(gt=0, allow_inf_nan=False)
    base_rate_C: Rate = None
    base_current_mA: Value = None

    def blocks(self) -> tuple[Block, ...]:
        """A pulse and what follows it, ``count`` times."""
        pulse = ConstantCurrent(
            rate_C=self.rate_C,
            current_mA=self.current_mA,
            until_time_s=self.pulse_time_s,
            until_voltage_V=self.until_voltage_V,
        )
        if not (self.base_rate_C or self.base_current_mA):
            return (Block((pulse, OpenCircuitVoltage(until_time_s=self.rest_time_s)), self.count),)
        base = ConstantCurrent(
            rate_C=self.base_rate_C,
            current_mA=self.base_current_mA,
            until_time_s=self.rest_time_s,
        )
        return (Block((pulse, base), self.count),)


class Gitt(_Train):
    """Galvanostatic intermittent titration: pulses, each followed by a relaxation.

    Attributes:
        pulse_time_s: Length of a pulse; this or the next.
        pulse_charge_fraction: Charge of a pulse over the nominal capacity.
        rest_time_s: Longest relaxation.
        until_voltage_rate_mV_per_h: Ends a relaxation once the voltage changes less than this.
    """

    step: Literal["gitt"] = "gitt"
    pulse_time_s: Positive = None
    pulse_charge_fraction: Positive = None
    rest_time_s: float = Field(gt=0, allow_inf_nan=False)
    until_voltage_rate_mV_per_h: Positive = None

    @model_validator(mode="after")
    def _has_a_length(self) -> "Gitt":
        if (self.pulse_time_s is None) == (self.pulse_charge_fraction is None):
            raise ValueError("give either pulse_time_s or pulse_charge_fraction")
        return self

    def blocks(self) -> tuple[Block, ...]:
        """A pulse and a relaxation, ``count`` times."""
        pulse = ConstantCurrent(
            rate_C=self.rate_C,
            current_mA=self.current_mA,
            until_time_s=self.pulse_time_s,
            until_charge_fraction=self.pulse_charge_fraction,
            until_voltage_V=self.until_voltage_V,
        )
        rest = OpenCircuitVoltage(
            until_time_s=self.rest_time_s,
            until_voltage_rate_mV_per_h=self.until_voltage_rate_mV_per_h,
        )
        return (Block((pulse, rest), self.count),)


class Pitt(Preset):
    """Potentiostatic intermittent titration: a staircase of voltages.

    Attributes:
        start_voltage_V: First voltage.
        end_voltage_V: Last voltage; the last stair is lower where the height does not fit.
        voltage_step_mV: Height of a stair.
        until_time_s: Longest stay on a stair.
        until_rate_C: Leaves it once the current's magnitude is below.
        until_current_mA: The same.
        until_current_rate_mA_per_h: Leaves it once the current changes less than this.
        rest_time_s: At open circuit after each stair; none if left out.
    """

    step: Literal["pitt"] = "pitt"
    start_voltage_V: float = Field(allow_inf_nan=False)
    end_voltage_V: float = Field(allow_inf_nan=False)
    voltage_step_mV: float = Field(gt=0, allow_inf_nan=False)
    until_time_s: float = Field(gt=0, allow_inf_nan=False)
    until_rate_C: Rate = None
    until_current_mA: Value = None
    until_current_rate_mA_per_h: Positive = None
    rest_time_s: Positive = None

    @model_validator(mode="after")
    def _goes_somewhere(self) -> "Pitt":
        span = abs(self.end_voltage_V - self.start_voltage_V)
        if span == 0 or span / self.voltage_step_mV * 1e3 > MAX_VOLTAGE_STEPS:
            raise ValueError(
                f"from {self.start_voltage_V} to {self.end_voltage_V} V in stairs of"
                f" {self.voltage_step_mV} mV must be 1 to {MAX_VOLTAGE_STEPS} stairs"
            )
        return self

    def voltages(self) -> tuple[float, ...]:
        """V, of every stair, both ends included."""
        span, height = self.end_voltage_V - self.start_voltage_V, self.voltage_step_mV * 1e-3
        n_stairs = math.ceil(abs(span) / height - 1e-9)
        sign = math.copysign(1.0, span)
        inner = [round(self.start_voltage_V + sign * height * k, 9) for k in range(n_stairs)]
        return (*inner, self.end_voltage_V)

    def blocks(self) -> tuple[Block, ...]:
        """One constant voltage a stair, with its rest."""
        rest = (
            () if self.rest_time_s is None else (OpenCircuitVoltage(until_time_s=self.rest_time_s),)
        )
        return tuple(Block((self._stair(voltage), *rest)) for voltage in self.voltages())

    def _stair(self, voltage: float) -> ConstantVoltage:
        return ConstantVoltage(
            voltage_V=voltage,
            until_time_s=self.until_time_s,
            until_rate_C=self.until_rate_C,
            until_current_mA=self.until_current_mA,
            until_current_rate_mA_per_h=self.until_current_rate_mA_per_h,
        )


class _Cycling(Preset):
    """Charges and discharges between two voltages.

    Attributes:
        max_voltage_V: Where a charge ends.
        min_voltage_V: Where a discharge ends.
        hold_until_rate_C: Every charge is followed by its voltage, until the current is below.
        rest_time_s: After each charge and each discharge; none if left out.
    """

    max_voltage_V: float = Field(allow_inf_nan=False)
    min_voltage_V: float = Field(allow_inf_nan=False)
    hold_until_rate_C: PositiveRate = None
    rest_time_s: Positive = None

    @model_validator(mode="after")
    def _has_a_window(self) -> "_Cycling":
        if self.min_voltage_V >= self.max_voltage_V:
            raise ValueError("min_voltage_V must be below max_voltage_V")
        return self

    def _cycles(self, charge: float, discharge: float, count: int) -> Block:
        up = ConstantCurrent(rate_C=abs(charge), until_voltage_V=self.max_voltage_V)
        down = ConstantCurrent(rate_C=-abs(discharge), until_voltage_V=self.min_voltage_V)
        rest = (
            () if self.rest_time_s is None else (OpenCircuitVoltage(until_time_s=self.rest_time_s),)
        )
        hold: tuple[ConstantVoltage, ...] = ()
        if self.hold_until_rate_C is not None:
            hold = (
                ConstantVoltage(
                    voltage_V=self.max_voltage_V,
                    until_rate_C=self.hold_until_rate_C,
                    until_time_s=LONGEST_HOLD,
                ),
            )
        return Block((up, *hold, *rest, down, *rest), count)


class Formation(_Cycling):
    """The first cycles of a cell, slow.

    Attributes:
        rate_C: Of charge and discharge.
        cycles: How many.
    """

    step: Literal["formation"] = "formation"
    rate_C: _Rate = 0.1
    cycles: int = Field(default=2, gt=0, le=1000)

    def blocks(self) -> tuple[Block, ...]:
        """Charge, hold, rest, discharge, rest; ``cycles`` times."""
        return (self._cycles(self.rate_C, self.rate_C, self.cycles),)


class RateTest(_Cycling):
    """Discharges at one rate after the other.

    Attributes:
        rates_C: Of the discharges, in order.
        cycles: At each rate.
        charge_rate_C: Of all charges; without it each charges as it discharges.
    """

    step: Literal["rate_test"] = "rate_test"
    rates_C: tuple[_Rate, ...]
    cycles: int = Field(default=3, gt=0, le=1000)
    charge_rate_C: PositiveRate = None

    @model_validator(mode="after")
    def _has_rates(self) -> "RateTest":
        if not self.rates_C:
            raise ValueError("rates_C must hold at least one rate")
        return self

    def blocks(self) -> tuple[Block, ...]:
        """Cycles at each rate."""
        return tuple(
            self._cycles(self.charge_rate_C or rate, rate, self.cycles) for rate in self.rates_C
        )


class CyclicVoltammetry(Preset):
    """Scans from a start to one vertex, to the other, and back to the start.

    Attributes:
        start_voltage_V: Where it begins and ends.
        first_vertex_V: Where the first scan ends.
        second_vertex_V: Where the second scan ends.
        scan_rate_mV_per_s: Greater than 0.
        cycles: How many.
    """

    step: Literal["cyclic_voltammetry"] = "cyclic_voltammetry"
    start_voltage_V: float = Field(allow_inf_nan=False)
    first_vertex_V: float = Field(allow_inf_nan=False)
    second_vertex_V: float = Field(allow_inf_nan=False)
    scan_rate_mV_per_s: float = Field(gt=0, allow_inf_nan=False)
    cycles: int = Field(default=1, gt=0, le=10_000)

    @model_validator(mode="after")
    def _has_vertices(self) -> "CyclicVoltammetry":
        if self.first_vertex_V == self.second_vertex_V:
            raise ValueError("the two vertices must differ")
        return self

    def blocks(self) -> tuple[Block, ...]:
        """Two or three scans, ``cycles`` times."""
        turns = (self.start_voltage_V, self.first_vertex_V, self.second_vertex_V)
        ends = (self.first_vertex_V, self.second_vertex_V, self.start_voltage_V)
        scans = tuple(
            VoltageScan(
                start_voltage_V=start,
                end_voltage_V=end,
                scan_rate_mV_per_s=self.scan_rate_mV_per_s,
            )
            for start, end in zip(turns, ends, strict=True)
            if start != end
        )
        return (Block(scans, self.cycles),)


#: Steps that stand for several, by their name in a protocol.
PRESETS: Mapping[str, type[Any]] = {
    "current_pulse": CurrentPulse,
    "gitt": Gitt,
    "pitt": Pitt,
    "formation": Formation,
    "rate_test": RateTest,
    "cyclic_voltammetry": CyclicVoltammetry,
}


def blocks_of(step: Any) -> tuple[Block, ...]:
    """The plain steps of any step of a method; a plain step is one block of its own."""
    if isinstance(step, Preset):
        return step.blocks()
    return (Block((step,)),) if getattr(step, "step", None) in PRIMITIVES else ()
