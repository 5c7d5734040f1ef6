"""This file is where the words are in which a cell guard says how its cell and its owner stand.

The guard writes them into its log and its record; sessions, forecasts and readers of the log know
them by these names.
"""

from enum import StrEnum


class GuardState(StrEnum):
    """What the guard has the cell do."""

    UNMOUNTED = "Unmounted"
    OPEN_CIRCUIT = "OpenCircuit"
    LOADED = "Loaded"
    RUNNING = "Running"
    HOLDING = "Holding"
    TRIPPED = "Tripped"
    FINISHED = "Finished"
    UNREACHABLE = "Unreachable"


#: States in which a protocol is under way and current may flow.
UNDER_WAY = (GuardState.RUNNING, GuardState.HOLDING)
#: States in which no current flows; of a cell that is unreachable nothing is known.
IDLE = frozenset(GuardState) - {*UNDER_WAY, GuardState.UNREACHABLE}


class OwnerState(StrEnum):
    """How the cell stands with its owner."""

    NONE = "none"
    OWNED = "owned"
    LAPSED = "lapsed"
