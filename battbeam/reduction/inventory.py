"""This file is where the lithium of a whole cell is counted and held against the charge that passed.

Everything is in mAh: an electrode that takes one lithium a formula unit holds `capacity_of` its moles
when full. Charge > 0 takes lithium out of the working electrode and brings it to the counter electrode.
"""

from dataclasses import dataclass, field

import numpy as np

from battbeam.materials import FARADAY
from battbeam.units import FloatArray

_COULOMB_PER_MAH = 3.6


def capacity_of(moles: float) -> float:
    """mAh of so many moles of lithium.

    >>> round(capacity_of(1.0), 1)
    26801.5
    """
    return moles * FARADAY / _COULOMB_PER_MAH


@dataclass(frozen=True)
class Measured:
    """A number at each of n states with its error; NaN where it is not known.

    Attributes:
        value: Shape (n,).
        error: One standard deviation, shape (n,).
    """

    value: FloatArray
    error: FloatArray


@dataclass(frozen=True)
class Host:
    """An electrode that takes lithium in.

    Attributes:
        content: Lithium a formula unit, mean over the electrode, at each state.
        capacity: mAh that change its content by 1.
        capacity_error: One standard deviation, mAh: it grows with the change of content and is the
            same mistake in all states.
    """

    content: Measured
    capacity: float
    capacity_error: float = 0.0


@dataclass(frozen=True)
class Inventory:
    """Lithium of a cell at each of n states, mAh, shape (n,) each; errors are one standard deviation.

    Attributes:
        cathode: In the working electrode.
        graphite: In the counter electrode's grains.
        plated: As metal; dead metal diffracts as well and is counted.
        total: Of all three.
        closure: Lithium that came (> 0) or went since the reference state, over the cell's capacity.
        closure_error: Of it.
        missing: What went, mAh.
        missing_error: Of it.
        cathode_gap: What left the working electrode less the charge, mAh: < 0 where charge passed
            that took no lithium out.
        cathode_gap_error: Of it.
        counter_gap: What reached the counter electrode (metal included) less the charge, mAh: < 0
            where lithium was lost to a film, or to metal that no longer diffracts.
        counter_gap_error: Of it.
        reference: Index of the state that the others are compared with.
    """

    cathode: FloatArray
    graphite: FloatArray
    plated: FloatArray
    total: FloatArray
    closure: FloatArray
    closure_error: FloatArray
    missing: FloatArray
    missing_error: FloatArray
    cathode_gap: FloatArray = field(repr=False)
    cathode_gap_error: FloatArray = field(repr=False)
    counter_gap: FloatArray = field(repr=False)
    counter_gap_error: FloatArray = field(repr=False)
    reference: int = 0

    def closes_within(self, share: float) -> bool:
        """Whether at every state that is known no more than a share of the cell's capacity came or
        went; whether that means anything, `closure_error` says.
        """
        known = np.isfinite(self.closure)
        return bool(known.any() and (np.abs(self.closure[known]) <= share).all())


def lithium_inventory(
    *,
    cathode: Host,
    graphite: Host,
    plated: Measured,
    charge: FloatArray,
    cell_capacity: float,
    reference: int = 0,
) -> Inventory:
    """Count the lithium at each state and compare it with one of them and with the charge.

    The states share the mistake of the reference state and of the electrodes' amounts of material; the
    errors hold both.

    Args:
        cathode: The working electrode.
        graphite: The counter electrode; its formula unit has six carbon.
        plated: Lithium metal, mAh, over the whole electrode.
        charge: That passed since the reference state, or any other zero, mAh, > 0 charges, shape (n,).
        cell_capacity: That gaps are divided by, mAh.
        reference: Index of the state to compare with.

    Raises:
        ValueError: If the series are not of one length, or the capacity is not positive.
    """
    series = (cathode.content, graphite.content, plated)
    if len({len(each.value) for each in series} | {len(charge)}) != 1:
        sizes = ", ".join(str(len(each.value)) for each in series)
        raise ValueError(
            f"states of cathode, graphite, plated: {sizes}; of the charge {len(charge)}"
        )
    if not cell_capacity > 0:
        raise ValueError(f"capacity of the cell must be greater than 0 mAh, got {cell_capacity}")
    in_cathode, in_graphite = (_Part.of(each, reference) for each in (cathode, graphite))
    as_metal = _Part.of(Host(plated, 1.0), reference)
    at_counter = in_graphite + as_metal
    everything = in_cathode + at_counter
    passed = np.asarray(charge, dtype=float) - charge[reference]
    return Inventory(
        cathode=in_cathode.amount,
        graphite=in_graphite.amount,
        plated=as_metal.amount,
        total=everything.amount,
        closure=everything.change / cell_capacity,
        closure_error=everything.error / cell_capacity,
        missing=-everything.change,
        missing_error=everything.error,
        cathode_gap=-in_cathode.change - passed,
        cathode_gap_error=in_cathode.error,
        counter_gap=at_counter.change - passed,
        counter_gap_error=at_counter.error,
        reference=reference,
    )


@dataclass(frozen=True)
class _Part:
    """Lithium in one place, its change since the reference state, and the change's error."""

    amount: FloatArray
    change: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, host: Host, reference: int) -> "_Part":
        content = np.asarray(host.content.value, dtype=float)
        own = np.asarray(host.content.error, dtype=float)
        moved = content - content[reference]
        error = np.hypot(own, own[reference])
        error[reference] = 0.0
        return cls(
            host.capacity * content,
            host.capacity * moved,
            np.hypot(host.capacity * error, host.capacity_error * moved),
        )

    def __add__(self, other: "_Part") -> "_Part":
        return _Part(
            self.amount + other.amount,
            self.change + other.change,
            np.hypot(self.error, other.error),
        )
