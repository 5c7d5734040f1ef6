"""This file is where it is said what a cell guard tells of its cell, and in which words."""

from collections.abc import Mapping
from enum import StrEnum

from battbeam.errors import GuardError


class GuardState(StrEnum):
    """What a guard says about its cell."""

    UNMOUNTED = "Unmounted"
    OPEN_CIRCUIT = "OpenCircuit"
    LOADED = "Loaded"
    RUNNING = "Running"
    HOLDING = "Holding"
    TRIPPED = "Tripped"
    FINISHED = "Finished"
    UNREACHABLE = "Unreachable"


#: What a guard says of an owner that it has heard no beat of for too long.
LAPSED = "lapsed"
#: States in which a protocol is under way.
UNDER_WAY = (GuardState.RUNNING, GuardState.HOLDING)


class SilentGuardError(GuardError):
    """A guard has not answered."""


#: Of what it tells, what a reading of the cell is made of, by the name of the signal.
WATCHED: Mapping[str, type[float] | type[int] | type[str]] = {
    "voltage": float,
    "voltage_working": float,
    "voltage_counter": float,
    "current": float,
    "charge": float,
    "temperature": float,
    "step_start": float,
    "step_end": float,
    "step_count": int,
    "cycle_number": int,
    "step_type": str,
    "state": str,
}
