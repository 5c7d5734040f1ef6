"""This file is where the columns are that every row of a reduced frame has, whatever it shows."""

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from battbeam.callbacks.cell_columns import INTEGER, NUMBER, STRING

if TYPE_CHECKING:
    from battbeam.callbacks.xrd_row import FrameContext

#: name: (type, unit).
FRAME_COLUMNS = {
    "point": (INTEGER, ""),
    "raw_seq_num": (INTEGER, ""),
    "frame": (INTEGER, ""),
    "frame_file": (STRING, ""),
    "frame_index": (INTEGER, ""),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "exposure": (NUMBER, "s"),
    "i0": (NUMBER, "count"),
    "transmission": (NUMBER, "1"),
    "ring_current": (NUMBER, "mA"),
    "measurement": (INTEGER, ""),
    "repeat": (INTEGER, ""),
    "spot_x": (NUMBER, "mm"),
    "spot_y": (NUMBER, "mm"),
    "fluence": (NUMBER, "1/mm2"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
}


def frame_values(
    context: "FrameContext",
    positions: Mapping[str, str],
    *,
    transmission: float,
    faults: Iterable[str],
    is_reduced: bool,
) -> dict[str, Any]:
    """Values of `FRAME_COLUMNS`, and of the motors whose positions are kept.

    Args:
        context: Of the frame.
        positions: Units of those motors by name.
        transmission: Of the cell, NaN if not measured.
        faults: Why the row may not be used.
        is_reduced: Whether the frame gave a result.
    """
    found = [fault for fault in faults if fault]
    return {
        "point": context.point,
        "raw_seq_num": context.seq_num,
        "frame": context.frame,
        "frame_file": context.file,
        "frame_index": context.index,
        "time_start": context.time_start,
        "time_end": context.time_end,
        "exposure": context.exposure,
        "i0": context.i0,
        "transmission": transmission,
        "ring_current": context.ring_current,
        "measurement": context.measurement,
        "repeat": context.repeat,
        "spot_x": context.spot_x,
        "spot_y": context.spot_y,
        "fluence": context.fluence,
        "valid": int(not found and is_reduced),
        "invalid_reason": "; ".join(found),
        **{name: context.positions.get(name, math.nan) for name in positions},
    }
