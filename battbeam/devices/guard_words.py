"""This file is where it is said what is heard of a cell guard."""

from collections.abc import Mapping

from battbeam.errors import GuardError


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
