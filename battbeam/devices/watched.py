"""This file is where it is said what is watched of a guard to know how its cell does."""

from collections.abc import Mapping

#: What a reading of the cell is made of, by the name of the potentiostat's signal.
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
