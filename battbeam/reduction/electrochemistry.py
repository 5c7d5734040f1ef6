"""This file is where current and voltage become charge, capacity, rates and lithium content.

Positive current and positive charge oxidise the working electrode: they charge a full cell.
"""

from dataclasses import dataclass

import numpy as np

from battbeam.materials import FARADAY
from battbeam.units import AnyArray, FloatArray

#: Coulomb in one mAh.
COULOMB_PER_MAH = 3.6


def charge_from_current(*, time: FloatArray, current: FloatArray) -> FloatArray:
    """Charge passed since the first sample: the trapezoidal integral, exact across recorded edges.

    Two samples at one time, one on each side of a step of the current, add nothing.

    Args:
        time: s, ascending (equal at edges), shape (n,).
        current: A, shape (n,).

    Returns:
        mAh, shape (n,); from a NaN current on NaN, for what passed then nobody knows.

    Raises:
        ValueError: If time goes back.

    >>> charge_from_current(time=np.array([0.0, 3600.0]), current=np.array([1e-3, 1e-3])).round(6)
    array([0., 1.])
    """
    time, current = np.asarray(time, dtype=float), np.asarray(current, dtype=float)
    steps = np.diff(time)
    if np.any(steps < 0):
        index = int(np.argmax(steps < 0))
        raise ValueError(
            f"time must ascend: {time[index]} s is followed by {time[index + 1]} s"
            f" (index {index + 1})"
        )
    passed = 0.5 * (current[1:] + current[:-1]) * steps / COULOMB_PER_MAH
    return np.concatenate([np.zeros(min(len(time), 1)), np.cumsum(passed)])


def c_rate_from_current(*, current: FloatArray, capacity: float) -> FloatArray:
    """1/h: current in A over the current that passes the capacity, mAh, in one hour.

    Raises:
        ValueError: If the capacity is not positive.

    >>> c_rate_from_current(current=np.array([1.45e-3, -2.9e-3]), capacity=2.9).round(6)
    array([ 0.5, -1. ])
    """
    return np.asarray(current) * 1e3 / _positive(capacity, "capacity", "mAh")


def state_of_charge_from_charge(
    *, charge: FloatArray, capacity: float, initial: float = 0.0
) -> FloatArray:
    """State of charge after a charge in mAh, from a declared reference on.

    Raises:
        ValueError: If the capacity is not positive.
    """
    return initial + np.asarray(charge) / _positive(capacity, "capacity", "mAh")


def specific_capacity_from_charge(*, charge: FloatArray, active_mass: float) -> FloatArray:
    """mAh/g, of a charge in mAh and an active mass in mg.

    Raises:
        ValueError: If the mass is not positive.

    >>> float(specific_capacity_from_charge(charge=np.array(1.7), active_mass=10.0).round(6))
    170.0
    """
    return np.asarray(charge) * 1e3 / _positive(active_mass, "active_mass", "mg")


def areal_charge_from_charge(*, charge: FloatArray, area: float) -> FloatArray:
    """C/cm2, of a charge in mAh and an electrode area in cm2.

    Raises:
        ValueError: If the area is not positive.
    """
    return np.asarray(charge) * COULOMB_PER_MAH / _positive(area, "area", "cm2")


def theoretical_capacity_from_molar_mass(molar_mass: float, n_electrons: float = 1.0) -> float:
    """mAh/g, by Faraday's law, of a material in g/mol that exchanges n electrons a formula unit.

    >>> round(theoretical_capacity_from_molar_mass(157.76), 1)  # LiFePO4
    169.9
    """
    return n_electrons * FARADAY / COULOMB_PER_MAH / _positive(molar_mass, "molar_mass", "g/mol")


def lithium_content_from_charge(*, charge: FloatArray, amount: float, initial: float) -> FloatArray:
    """Lithium content by charge balance alone: charging takes lithium out of the working electrode.

    Args:
        charge: Passed, mAh, > 0 charges.
        amount: Of the active material, mol of formula units.
        initial: Content before any charge passed.

    Raises:
        ValueError: If the amount is not positive.
    """
    moles = np.asarray(charge) * COULOMB_PER_MAH / FARADAY
    return initial - moles / _positive(amount, "amount", "mol")


def capacity_by_step(*, charge: FloatArray, step_count: AnyArray) -> FloatArray:
    """Charge passed since the step began, mAh: starts from zero wherever the step count changes.

    Args:
        charge: Passed since anything, mAh, shape (n,).
        step_count: Shape (n,).
    """
    charge, count = np.asarray(charge, dtype=float), np.asarray(step_count)
    if not len(charge):
        return np.zeros(0)
    is_first = np.concatenate([[True], count[1:] != count[:-1]])
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(charge)), 0))
    return charge - charge[first]


@dataclass(frozen=True)
class DifferentialCapacity:
    """How much charge goes in per volt.

    Attributes:
        voltage: Middle of each bin, V, shape (n_bins,).
        charge_per_voltage: dQ/dV, mAh/V, > 0 where both go the same way; NaN where the cell
            never was, shape (n_bins,).
    """

    voltage: FloatArray
    charge_per_voltage: FloatArray


def differential_capacity(
    *, voltage: FloatArray, charge: FloatArray, voltage_step: float
) -> DifferentialCapacity:
    """dQ/dV on a grid of voltages, of one half cycle.

    The charge between two samples is shared out over the bins that the straight line between them
    crosses, so that the integral over all bins is the charge passed, noise in the voltage or not.

    Args:
        voltage: V, shape (n,).
        charge: mAh, shape (n,).
        voltage_step: Width of a bin, V.

    Raises:
        ValueError: If the step is not positive or there are fewer than two samples.
    """
    _positive(voltage_step, "voltage_step", "V")
    voltage, charge = np.asarray(voltage, dtype=float), np.asarray(charge, dtype=float)
    if len(voltage) < 2:
        raise ValueError(f"dQ/dV needs at least 2 samples, got {len(voltage)}")
    low = np.floor(voltage.min() / voltage_step)
    n_bins = max(int(np.ceil(voltage.max() / voltage_step) - low), 1)
    edges = (low + np.arange(n_bins + 1)) * voltage_step
    passed = np.diff(charge)
    first, last = voltage[:-1], voltage[1:]
    lower, upper = np.minimum(first, last), np.maximum(first, last)
    reached = np.clip(edges[None, :], lower[:, None], upper[:, None])
    width = upper - lower
    share = np.diff(reached, axis=1) / np.where(width > 0, width, 1.0)[:, None]
    still = np.flatnonzero(width == 0)
    inside = np.clip(np.searchsorted(edges, first[still], side="right") - 1, 0, n_bins - 1)
    share[still, inside] = 1.0
    total = share.T @ passed
    direction = 1.0 if voltage[-1] >= voltage[0] else -1.0
    seen = share.any(axis=0)
    per_voltage = np.where(seen, direction * total / voltage_step, np.nan)
    return DifferentialCapacity(0.5 * (edges[1:] + edges[:-1]), per_voltage)


def _positive(value: float, name: str, unit: str) -> float:
    if not value > 0:
        raise ValueError(f"{name} must be greater than 0 {unit}, got {value}")
    return value
