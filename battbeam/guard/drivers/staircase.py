"""This file is where a load and a ramp become constant currents, for instruments that know nothing
else.

A constant resistance R is a ladder: on each rung the current is that of the rung's middle voltage,
V/R, until the voltage has left the rung below. The deviation of the current from V/R is half a
rung, and what the voltage jumps up by when the current changes (the cell's own resistance over R
times a rung): below `LARGEST_DEVIATION` for a cell of up to a third of R. A ramp is a staircase of
equal times, each at the ramp's mean current there, so the charge is exact.
"""

from dataclasses import dataclass

#: Of the current of a constant resistance from V/R, relative.
LARGEST_DEVIATION = 0.005
#: Half a rung, relative to its voltage; see above.
HALF_RUNG = 0.003
#: Stairs of a ramp: the current is within 1/40 of the ramp's span of a straight line. As many steps
#: as one CPLIMIT holds.
N_STAIRS = 20
#: Rungs beyond which a ladder is cut; 10^5 in voltage.
_MOST_RUNGS = 2000


@dataclass(frozen=True)
class Rung:
    """One constant current of a ladder.

    Attributes:
        current: A, negative: a load discharges.
        until_voltage: V, below which the next rung follows.
    """

    current: float
    until_voltage: float


def ladder(*, resistance: float, voltage: float, until_voltage: float) -> tuple[Rung, ...]:
    """The rungs of a load from a voltage down to another, both V; at least one.

    >>> [round(rung.until_voltage, 3) for rung in ladder(resistance=100.0, voltage=3.0,
    ...                                                  until_voltage=2.95)]
    [2.982, 2.964, 2.95]
    """
    rungs: list[Rung] = []
    upper = max(voltage, until_voltage)
    while not rungs or (upper > until_voltage and len(rungs) < _MOST_RUNGS):
        middle = upper / (1 + HALF_RUNG)
        lower = max(middle * (1 - HALF_RUNG), until_voltage)
        rungs.append(Rung(-middle / resistance, lower))
        upper = lower
    return tuple(rungs)


def stairs(*, current: float, current_end: float, n_stairs: int = N_STAIRS) -> tuple[float, ...]:
    """The currents of a ramp, A, each for the same time.

    >>> stairs(current=0.0, current_end=4.0, n_stairs=4)
    (0.5, 1.5, 2.5, 3.5)
    """
    width = (current_end - current) / n_stairs
    return tuple(current + (stair + 0.5) * width for stair in range(n_stairs))
