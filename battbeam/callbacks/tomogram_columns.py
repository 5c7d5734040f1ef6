"""This file is where it is said what a reduced tomogram holds, and which projections one is made of."""

import math
from collections.abc import Sequence
from typing import Any

from battbeam.callbacks.cell_columns import INTEGER, NUMBER, STRING, array_key
from battbeam.errors import ReductionError
from battbeam.reduction.tomography_result import TomographyResult

#: Of a volume: name: (type, unit).
COLUMNS = {
    "volume_number": (INTEGER, ""),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "n_projections": (INTEGER, ""),
    "n_left_out": (INTEGER, ""),
    "partial": (INTEGER, ""),
    "missing_wedge": (NUMBER, "degree"),
    "axis": (NUMBER, "pixel"),
    "axis_error": (NUMBER, "pixel"),
    "voxel_size": (NUMBER, "mm"),
    "motion_x": (NUMBER, "voxel"),
    "motion_y": (NUMBER, "voxel"),
    "motion_z": (NUMBER, "voxel"),
    "noise": (NUMBER, "1/mm"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
}
#: Of `TomographyResult.metrics`; NaN where an option leaves one out.
METRICS = {
    "opaque": (NUMBER, "1"),
    "beam_drift": (NUMBER, "1"),
    "ring_level": (NUMBER, "1"),
    "axis_agreement": (NUMBER, "1"),
    "angle_step": (NUMBER, "degree"),
}
PROJECTION_COLUMNS = {
    "volume_number": (INTEGER, ""),
    "omega": (NUMBER, "degree"),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "i0": (NUMBER, "count"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
}


def window_of(asked: Any) -> slice | None:
    """Of projections, (first, stop).

    Raises:
        ReductionError: If it is none.
    """
    if asked is None:
        return None
    is_pair = isinstance(asked, Sequence) and [type(each) for each in asked] == [int, int]
    if not is_pair or not 0 <= asked[0] < asked[1]:
        raise ReductionError(
            f"projections must be (first, stop) with 0 <= first < stop, got {asked!r}"
        )
    return slice(*asked)


def result_values(result: TomographyResult) -> dict[str, Any]:
    """What a reduction found, as it stands in the row of a volume."""
    return {
        "n_projections": int(result.n_projections),
        "n_left_out": int(result.n_left_out),
        "missing_wedge": float(result.missing_wedge),
        "axis": float(result.axis),
        "axis_error": float(result.axis_error),
        "voxel_size": float(result.voxel_size),
        **{f"motion_{axis}": float(result.motion[k]) for k, axis in enumerate("xyz")},
        "noise": float(result.noise),
        **{name: float(result.metrics.get(name, math.nan)) for name in METRICS},
    }


def external(name: str, array: Any) -> dict[str, dict[str, Any]]:
    """The data key of an array like this one, which lies in a file of its own."""
    dims = ["row", "z", "x"][-array.ndim :]
    key = array_key(list(array.shape), "1/mm", dims)
    return {name: {**key, "dtype_numpy": "<f4", "external": "STREAM:"}}
