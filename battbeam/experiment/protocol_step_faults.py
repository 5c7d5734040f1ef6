"""This file is where every fault of one step of a protocol is found, for one cell."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from aurora_unicycler import ImpedanceSpectroscopy  # type: ignore[import-untyped]

from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.protocol_compile import current_of, ramp_ends
from battbeam.experiment.protocol_presets import CurrentPulse, Gitt, blocks_of
from battbeam.experiment.protocol_steps import ConstantResistance, CurrentRamp, Temperature

#: Charge that a train of pulses may pass over the nominal capacity; more is a slip in its count.
MOST_TRAIN_CHARGE = 1.5

#: Pairs of fields (C-rate, current) that set a current.
_CURRENTS = (
    ("rate_C", "current_mA"),
    ("start_rate_C", "start_current_mA"),
    ("end_rate_C", "end_current_mA"),
    ("base_rate_C", "base_current_mA"),
    ("charge_rate_C", None),
)
_VOLTAGES = (
    "voltage_V",
    "until_voltage_V",
    "start_voltage_V",
    "end_voltage_V",
    "max_voltage_V",
    "min_voltage_V",
    "first_vertex_V",
    "second_vertex_V",
)


def step_faults(
    step: Any, passport: CellPassport, window: Window, signed: tuple[float, float]
) -> list[str]:
    """Every fault of one step, one sentence each.

    Args:
        step: A model that could be read; a bare `Step` has no faults left to find.
        passport: Of the cell.
        window: Of voltage and current that counts: the cell's, the guard's, the protocol's own.
        signed: Lowest and highest current that the protocol allows itself, A.
    """
    faults = [
        f"{name} must be finite, got {value}"
        for name, value in vars(step).items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if faults:
        return faults
    duration = getattr(step, "until_time_s", None)
    if duration is not None and duration < 0:
        faults.append(f"until_time_s must be positive, got {duration} s")
    for current in currents_of(step, passport):
        faults += _current_faults(current, window, signed)
    for name in _VOLTAGES:
        faults += _voltage_faults(name, getattr(step, name, None), window)
    for kind, check in _CHECKS.items():
        if isinstance(step, kind):
            faults += check(step, passport, window)
    return faults


def currents_of(step: Any, passport: CellPassport) -> Iterator[float]:
    """A, every current that a step sets by itself."""
    fields = type(step).model_fields
    for rate, current in _CURRENTS:
        if rate in fields:
            value = current_of(getattr(step, rate), getattr(step, current or "", None), passport)
            if value:
                yield value
    for rate in getattr(step, "rates_C", ()):
        yield -passport.current_from_c_rate(rate)
    if "cycles" in fields and "rate_C" in fields:
        yield -passport.current_from_c_rate(step.rate_C)


def _current_faults(current: float, window: Window, signed: tuple[float, float]) -> list[str]:
    if abs(current) > window.current_max:
        return [
            f"current {current * 1e3:.4g} mA is beyond the largest allowed,"
            f" {window.current_max * 1e3:.4g} mA"
        ]
    if signed[0] <= current <= signed[1]:
        return []
    return [
        f"current {current * 1e3:.4g} mA is outside the protocol's own safety,"
        f" {signed[0] * 1e3:.4g} to {signed[1] * 1e3:.4g} mA"
    ]


def _voltage_faults(name: str, voltage: float | None, window: Window) -> list[str]:
    if not voltage or window.voltage_min <= voltage <= window.voltage_max:
        # A 0 is no end, as in unicycler; where it is a set-point it is checked below.
        is_set_point = voltage == 0 and name != "until_voltage_V"
        if not is_set_point or window.voltage_min <= 0 <= window.voltage_max:
            return []
    return [
        f"{name} {voltage:.4g} V is outside the cell's window,"
        f" {window.voltage_min:.4g} to {window.voltage_max:.4g} V"
    ]


def _resistance_faults(
    step: ConstantResistance, passport: CellPassport, window: Window
) -> list[str]:
    faults = []
    largest = window.voltage_max / step.resistance_ohm
    if largest > window.current_max:
        least = window.voltage_max / window.current_max
        faults.append(
            f"resistance_ohm {step.resistance_ohm:.4g} would draw up to {largest * 1e3:.4g} mA, more"
            f" than the largest allowed, {window.current_max * 1e3:.4g} mA: take {least:.4g} or more"
        )
    return faults


def _ramp_faults(step: CurrentRamp, passport: CellPassport, window: Window) -> list[str]:
    start, end = ramp_ends(step, passport)
    if start * end < 0 and step.until_voltage_V:
        return [
            f"until_voltage_V {step.until_voltage_V:.4g} V of a ramp through zero, from"
            f" {start * 1e3:.4g} to {end * 1e3:.4g} mA: from which side it ends is not known;"
            " make two ramps of it"
        ]
    return [] if start != end else ["start and end are the same current: take constant_current"]


def _train_faults(step: Any, passport: CellPassport, window: Window) -> list[str]:
    charge = step.count * _pulse_charge(step, passport)
    if charge <= MOST_TRAIN_CHARGE * passport.nominal_capacity:
        return []
    return [
        f"{step.count} pulses pass {charge:.4g} mAh, the cell's nominal capacity is"
        f" {passport.nominal_capacity:.4g} mAh: correct count, current or length"
    ]


def _pulse_charge(step: Any, passport: CellPassport) -> float:
    """mAh that one pulse takes with what lies between it and the next."""
    fraction = getattr(step, "pulse_charge_fraction", None)
    if fraction is not None:
        return float(fraction) * passport.nominal_capacity
    pulse = current_of(step.rate_C, step.current_mA, passport) * step.pulse_time_s
    base = 0.0
    if isinstance(step, CurrentPulse):
        base = current_of(step.base_rate_C, step.base_current_mA, passport) * step.rest_time_s
    return float(abs(pulse + base) / 3.6)


def _impedance_faults(
    step: ImpedanceSpectroscopy, passport: CellPassport, window: Window
) -> list[str]:
    faults = []
    if step.amplitude_mA is not None:
        faults.append(
            f"amplitude_mA {step.amplitude_mA:.4g}: galvanostatic spectra cannot be run; give"
            " amplitude_V, for example 0.01"
        )
    elif not 0 < step.amplitude_V <= (window.voltage_max - window.voltage_min) / 2:
        faults.append(
            f"amplitude_V must lie in 0 to {(window.voltage_max - window.voltage_min) / 2:.4g} V,"
            f" got {step.amplitude_V:.4g} V"
        )
    if step.drift_correction:
        faults.append("drift_correction cannot be run: leave it out, or rest before the spectrum")
    return faults


def _temperature_faults(step: Temperature, passport: CellPassport, window: Window) -> list[str]:
    low, high = passport.limits.temperature_min, passport.limits.temperature_max
    is_allowed = (low is None or step.temperature_degC >= low) and (
        high is None or step.temperature_degC <= high
    )
    if is_allowed:
        return []
    return [
        f"temperature_degC {step.temperature_degC:.4g} is outside the cell's limits,"
        f" {'none' if low is None else f'{low:.4g}'} to {'none' if high is None else f'{high:.4g}'} degC"
    ]


_CHECKS: Mapping[type[Any], Any] = {
    ConstantResistance: _resistance_faults,
    CurrentRamp: _ramp_faults,
    CurrentPulse: _train_faults,
    Gitt: _train_faults,
    ImpedanceSpectroscopy: _impedance_faults,
    Temperature: _temperature_faults,
}


def does_something(step: Any) -> bool:
    """Whether anything of a step runs."""
    return bool(blocks_of(step))
