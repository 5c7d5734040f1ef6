"""This file is where it is said what a count of a spectrum is asked for, and what it gives."""

from dataclasses import dataclass
from typing import Literal, Protocol

from battbeam.sim.counters import Counts
from battbeam.units import FloatArray

Kind = Literal["count", "sweep"]


class Axis(Protocol):
    """What a spectrum needs of the crystal's axis (`battbeam.sim.motor.Motor`)."""

    def position_at(self, time: FloatArray | float) -> FloatArray:
        """Degree."""
        ...

    def reading_at(self, time: FloatArray | float) -> FloatArray:
        """Degree, in whole counts of the encoder."""
        ...


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        kind: A count of the scaler, or a sweep.
        number: Unique among its kind.
        edges: Of the gates, session clock, s, ascending, shape (n_gates + 1,).
        x: Of the stage, mm.
        y: mm.
        gains: Index in `GAINS` of each of the `CHAMBERS`.
        foil: Element of the foil that is in the beam; empty: none.
        axis: Of the crystal; it remembers where it was.
        n_turns: How often the axis has turned round.
        lag: By which the counters are behind the encoder, s.
    """

    kind: Kind
    number: int
    edges: FloatArray
    x: float
    y: float
    gains: tuple[int, int, int]
    foil: str
    axis: Axis
    n_turns: int
    lag: float = 0.0

    @property
    def start(self) -> float:
        """s."""
        return float(self.edges[0])

    @property
    def end(self) -> float:
        """s."""
        return float(self.edges[-1])


@dataclass(frozen=True)
class Reading:
    """What was counted.

    Attributes:
        counts: In each gate.
        bragg: Mean reading of the encoder in each gate, degree, shape (n_gates,).
        fault: Empty if sound.
    """

    counts: Counts
    bragg: FloatArray
    fault: str
