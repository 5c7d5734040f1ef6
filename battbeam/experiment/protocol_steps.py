"""This file is where the steps are that a protocol may hold: aurora-unicycler's, which may end in
more ways here, and those that unicycler lacks.

Names carry units, as in unicycler: mA, mAh, V, s. A step that is written in unicycler's own words
means here what it means there. Endings are alternatives: the first that is met ends the step.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from aurora_unicycler import ConstantCurrent as UnicyclerConstantCurrent  # type: ignore[import-untyped]
from aurora_unicycler import ConstantVoltage as UnicyclerConstantVoltage
from aurora_unicycler import ImpedanceSpectroscopy, Loop, Tag
from aurora_unicycler import OpenCircuitVoltage as UnicyclerOpenCircuitVoltage
from aurora_unicycler import Step as UnicyclerStep
from aurora_unicycler import VoltageScan as UnicyclerVoltageScan
from pydantic import BaseModel, BeforeValidator, Field, model_validator

_RATE = re.compile(r"([+-]?[\d.]*(?:e[+-]?\d+)?)\s*([CD]?)\s*(?:/\s*([\d.]+))?", re.IGNORECASE)


def c_rate_from_text(value: Any) -> Any:
    """1/h of what people write for a C-rate; anything else as it came.

    >>> [c_rate_from_text(text) for text in ("C/10", "D/2", "2C", "1/5", "0.3", 1)]
    [0.1, -0.5, 2.0, 0.2, 0.3, 1]
    """
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    found = _RATE.fullmatch(value.strip())
    if found is None or not any(character.isalnum() for character in value):
        raise ValueError("a C-rate is a number or text such as C/10, D/2, 2C")
    number, letter, divisor = found.groups()
    rate = float(number + "1" if number in ("", "+", "-") else number)
    if divisor is not None and float(divisor) == 0:
        raise ValueError("a C-rate cannot be divided by zero")
    rate /= float(divisor) if divisor is not None else 1.0
    return -rate if letter.upper() == "D" else rate


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


_Finite = Annotated[float, Field(allow_inf_nan=False)]
_AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: A number that may be left out or left empty.
Value = Annotated[_Finite | None, BeforeValidator(_empty_is_none)]
#: The same, greater than 0.
Positive = Annotated[_AboveZero | None, BeforeValidator(_empty_is_none)]
#: 1/h, or text such as "C/10"; negative or with D discharges.
Rate = Annotated[_Finite | None, BeforeValidator(c_rate_from_text)]
#: The same, greater than 0.
PositiveRate = Annotated[_AboveZero | None, BeforeValidator(c_rate_from_text)]


class ChargeEnding(BaseModel):
    """Ends by charge, whatever its sign.

    Attributes:
        until_charge_mAh: Passed in this step.
        until_charge_fraction: The same over the passport's nominal capacity.
    """

    until_charge_mAh: Positive = None
    until_charge_fraction: Positive = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "ChargeEnding":
        if self.until_charge_mAh is not None and self.until_charge_fraction is not None:
            raise ValueError("give until_charge_mAh or until_charge_fraction, not both")
        return self


#: The endings of `ChargeEnding`.
_BY_CHARGE = ("until_charge_mAh", "until_charge_fraction")


def _ends_by(*names: str) -> Any:
    """A check of a step that it has one of these endings."""

    def check(step: BaseModel) -> BaseModel:
        if not any(getattr(step, name) for name in names):
            raise ValueError(f"needs an end: {', '.join(names[:-1])} or {names[-1]}, not 0")
        return step

    return model_validator(mode="after")(check)


class OpenCircuitVoltage(UnicyclerOpenCircuitVoltage):  # type: ignore[misc]
    """A rest. ``until_time_s`` is its longest duration.

    Attributes:
        until_voltage_rate_mV_per_h: Ends once the voltage changes less than this.
    """

    until_voltage_rate_mV_per_h: Positive = None


class ConstantCurrent(ChargeEnding, UnicyclerConstantCurrent):  # type: ignore[misc]
    """A current.

    Attributes:
        until_voltage_rate_mV_per_h: Ends once the voltage changes less than this.
    """

    until_voltage_rate_mV_per_h: Positive = None

    # Unicycler's own check by this name knows time and voltage only.
    _ensure_stop_condition = _ends_by(
        "until_time_s", "until_voltage_V", *_BY_CHARGE, "until_voltage_rate_mV_per_h"
    )


class ConstantVoltage(ChargeEnding, UnicyclerConstantVoltage):  # type: ignore[misc]
    """A voltage.

    Attributes:
        until_current_rate_mA_per_h: Ends once the current changes less than this.
    """

    until_current_rate_mA_per_h: Positive = None

    # Unicycler's own check by this name knows time and current only.
    _check_stop_condition = _ends_by(
        "until_time_s",
        "until_rate_C",
        "until_current_mA",
        *_BY_CHARGE,
        "until_current_rate_mA_per_h",
    )


class VoltageScan(ChargeEnding, UnicyclerVoltageScan):  # type: ignore[misc]
    """A linear sweep of the voltage; a cyclic voltammogram is several."""


class ConstantResistance(ChargeEnding, UnicyclerStep):  # type: ignore[misc]
    """A discharge through a resistance.

    Attributes:
        resistance_ohm: Greater than 0.
        until_time_s: Longest duration.
        until_voltage_V: Ends once the voltage is below.
        until_rate_C: Ends once the current's magnitude is below.
        until_current_mA: The same.
    """

    step: Literal["constant_resistance"] = "constant_resistance"
    resistance_ohm: float = Field(gt=0, allow_inf_nan=False)
    until_time_s: Positive = None
    until_voltage_V: Value = None
    until_rate_C: Rate = None
    until_current_mA: Value = None

    _has_an_end = _ends_by(
        "until_time_s", "until_voltage_V", "until_rate_C", "until_current_mA", *_BY_CHARGE
    )


class CurrentRamp(ChargeEnding, UnicyclerStep):  # type: ignore[misc]
    """A current that changes linearly with time.

    Attributes:
        start_rate_C: Where it begins; 0 is allowed.
        start_current_mA: The same.
        end_rate_C: Where it ends.
        end_current_mA: The same.
        until_time_s: How long it takes from start to end.
        until_voltage_V: Ends there earlier; only for a ramp that does not change its sign.
    """

    step: Literal["current_ramp"] = "current_ramp"
    start_rate_C: Rate = None
    start_current_mA: Value = None
    end_rate_C: Rate = None
    end_current_mA: Value = None
    until_time_s: float = Field(gt=0, allow_inf_nan=False)
    until_voltage_V: Value = None

    @model_validator(mode="after")
    def _goes_somewhere(self) -> "CurrentRamp":
        for end in ("start", "end"):
            rate, current = getattr(self, f"{end}_rate_C"), getattr(self, f"{end}_current_mA")
            if (rate is None) == (current is None):
                raise ValueError(f"give either {end}_rate_C or {end}_current_mA")
        starts = (self.start_rate_C, self.start_current_mA)
        if starts == (self.end_rate_C, self.end_current_mA):
            raise ValueError("start and end are the same: take constant_current")
        return self


class Temperature(UnicyclerStep):  # type: ignore[misc]
    """A temperature, waited for while the circuit is open.

    Attributes:
        temperature_degC: Set-point of the cell's thermostat.
        tolerance_K: Within which it counts as reached.
        until_time_s: Longest wait; then the protocol goes on.
    """

    step: Literal["temperature"] = "temperature"
    temperature_degC: float = Field(ge=-100, le=200)
    tolerance_K: float = Field(default=0.5, gt=0, le=10)
    until_time_s: float = Field(default=7200.0, gt=0, allow_inf_nan=False)


#: Steps that run as they are, by their name in a protocol.
PRIMITIVES: Mapping[str, type[Any]] = {
    "open_circuit_voltage": OpenCircuitVoltage,
    "constant_current": ConstantCurrent,
    "constant_voltage": ConstantVoltage,
    "constant_resistance": ConstantResistance,
    "current_ramp": CurrentRamp,
    "voltage_scan": VoltageScan,
    "impedance_spectroscopy": ImpedanceSpectroscopy,
    "temperature": Temperature,
}
#: What steers.
STEERING: Mapping[str, type[Any]] = {"loop": Loop, "tag": Tag}
