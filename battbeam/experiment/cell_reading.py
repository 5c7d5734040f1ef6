"""This file is where it is said what is known of a cell at one time."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CellReading:
    """What is known of a cell at one time; NaN, None and the empty string are not known.

    Attributes:
        time: s since the Unix epoch, session clock.
        voltage: V.
        charge: Passed since the cell was mounted, mAh, > 0 charges.
        step_count: Of the guard; never repeats.
        step_type: Of the step under way.
        state: Of the guard.
        current: A, > 0 charges.
        temperature: degC.
        cycle_number: Of the protocol.
        step_elapsed: s of cell time that the step has lasted.
        step_remaining: s of cell time until the step's longest duration is over; infinity when it
            has none.
        voltage_working: Of the working electrode against the reference electrode, V.
        voltage_counter: Of the counter electrode against the reference electrode, V.
    """

    time: float
    voltage: float = math.nan
    charge: float = math.nan
    step_count: int | None = None
    step_type: str = ""
    state: str = ""
    current: float = math.nan
    temperature: float = math.nan
    cycle_number: int | None = None
    step_elapsed: float = math.nan
    step_remaining: float = math.nan
    voltage_working: float = math.nan
    voltage_counter: float = math.nan
