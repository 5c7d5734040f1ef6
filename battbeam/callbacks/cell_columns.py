"""This file is where the columns are that say, in every reduced row, where the cell was."""

import math
from typing import Any

from battbeam.experiment.timeline import CellDuring, CellState

NUMBER, INTEGER, STRING = "number", "integer", "string"
#: name: (type, unit).
CELL_COLUMNS = {
    **{
        f"{name}{suffix}": (NUMBER, unit)
        for name, unit in (
            ("voltage", "V"),
            ("current", "A"),
            ("capacity", "mAh"),
            ("state_of_charge", "1"),
        )
        for suffix in ("_start", "", "_end")
    },
    "voltage_mean": (NUMBER, "V"),
    "current_mean": (NUMBER, "A"),
    "smear": (NUMBER, "1"),
    "lithium_content_charge": (NUMBER, "1"),
    "step_index": (INTEGER, ""),
    "step_count": (INTEGER, ""),
    "cycle_number": (INTEGER, ""),
    "live_flag": (INTEGER, ""),
    "clock_offset": (NUMBER, "s"),
    "clock_uncertainty": (NUMBER, "s"),
}


def cell_values(cell: CellDuring, middle: CellState | None = None) -> dict[str, Any]:
    """The values of `CELL_COLUMNS`.

    Args:
        cell: During the exposure.
        middle: What passes for its middle; by default its middle.
    """
    middle = cell.middle if middle is None else middle
    values: dict[str, Any] = {}
    for suffix, state in (("_start", cell.start), ("", middle), ("_end", cell.end)):
        values[f"voltage{suffix}"] = state.voltage
        values[f"current{suffix}"] = state.current
        values[f"capacity{suffix}"] = state.charge
        values[f"state_of_charge{suffix}"] = state.state_of_charge
    clock = cell.clock
    uncertainty = math.nan if clock is None else clock.uncertainty(cell.middle.time)
    ordered = {name: values[name] for name in CELL_COLUMNS if name in values}
    return ordered | {
        "voltage_mean": cell.voltage,
        "current_mean": cell.current,
        "smear": cell.smear,
        "lithium_content_charge": middle.lithium_content,
        "step_index": cell.step_index,
        "step_count": cell.step_count,
        "cycle_number": cell.cycle_number,
        "live_flag": int(cell.is_live),
        "clock_offset": math.nan if clock is None else clock.offset,
        "clock_uncertainty": uncertainty,
    }


def scalar_keys(columns: dict[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Columns of one value a row, for a descriptor.

    >>> scalar_keys({"point": ("integer", "")})["point"]["dtype"]
    'integer'
    """
    return {
        name: {"source": "battbeam", "dtype": dtype, "shape": [], "units": unit}
        for name, (dtype, unit) in columns.items()
    }


def array_key(shape: list[int], unit: str, dims: list[str]) -> dict[str, Any]:
    """A column of one array a row, for a descriptor."""
    return {
        "source": "battbeam",
        "dtype": "array",
        "dtype_numpy": "<f8",
        "shape": shape,
        "units": unit,
        "dims": dims,
    }
