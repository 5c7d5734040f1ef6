"""This file is where the row of a reduced diffraction frame is defined, column by column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    STRING,
    array_key,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.frame_columns import FRAME_COLUMNS, frame_values
from battbeam.callbacks.xrd_columns import PhaseColumns, with_errors
from battbeam.experiment.timeline import CellDuring
from battbeam.reduction.xrd import ScatteringPhase, XrdResult

#: Of the whole pattern, each with its error: name in a row, name of an `XrdResult`, unit.
_MEASURED = (
    ("lithium_content_xray", "lithium_content", "1"),
    ("active_amount", "active_amount", "mol/cm2"),
    ("lithium_content_counter", "lithium_content_counter", "1"),
    ("counter_amount", "counter_amount", "mol/cm2"),
    ("displacement", "displacement", "mm"),
    ("reference_strain", "reference_strain", "1"),
    ("broadening", "broadening", "degree"),
)
_RESULT_COLUMNS = {
    "temperature": (NUMBER, "degC"),
    "dark_age": (NUMBER, "s"),
    "flags": (STRING, ""),
    "residual": (NUMBER, "1"),
    "residual_deviation": (NUMBER, "1"),
    "unexplained": (NUMBER, "1"),
    "unexplained_two_theta": (NUMBER, "degree"),
    "counts": (NUMBER, "count"),
    "n_saturated": (INTEGER, ""),
}
#: Of those what the pattern does not say.
_OF_THE_RUN = ("temperature", "dark_age", "flags")
#: One value a bin.
PATTERNS = ("intensity", "intensity_error", "model")


@dataclass(frozen=True)
class FrameContext:
    """What is known of one frame besides its pixels.

    Attributes:
        point: Of the plan.
        seq_num: Of its event.
        frame: Index within its event.
        file: Name of the file that it lies in; empty without one.
        index: In that file.
        time_start: Of the exposure, s since the Unix epoch, session clock.
        time_end: s.
        exposure: s.
        i0: Counts; NaN if not known.
        transmission_counts: NaN if not known.
        ring_current: mA; NaN if not known.
        measurement: Of which it is a repeat; -1 if it is none of several.
        repeat: Its number within the measurement; -1 likewise.
        spot_x: Middle of the footprint in the cell's frame, mm; NaN if not known.
        spot_y: mm.
        fluence: On the spot after its event, photons per mm2; NaN without a dose meter.
        positions: By motor.
        faults: Why it may not be used.
    """

    point: int
    seq_num: int
    frame: int
    time_start: float
    time_end: float
    exposure: float
    i0: float
    transmission_counts: float
    ring_current: float
    file: str = ""
    index: int = -1
    measurement: int = -1
    repeat: int = -1
    spot_x: float = math.nan
    spot_y: float = math.nan
    fluence: float = math.nan
    positions: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def time(self) -> float:
        """Middle of the exposure."""
        return 0.5 * (self.time_start + self.time_end)


class RowSchema:
    """The columns of one run's reduced rows.

    Args:
        phases: That are looked for.
        reflections: Followed ones, as "hkl".
        n_bins: Of a pattern.
        positions: Names and units of the motors whose positions are kept.
        free: Of each phase the reflections that have an intensity of their own, as "hkl".
        end_members: Names of measured ones.
        full_areal_capacity: Of the working electrode, that moves its x by 1, mAh/cm2: by it lithium
            metal is counted; None where lithium does not plate.
        checks: Type and unit of the columns of `battbeam.callbacks.frame_checks`.
    """

    def __init__(
        self,
        phases: Sequence[ScatteringPhase],
        *,
        reflections: Sequence[str],
        n_bins: int,
        positions: Mapping[str, str],
        free: Mapping[str, Sequence[str]] | None = None,
        end_members: Sequence[str] = (),
        full_areal_capacity: float | None = None,
        checks: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self._checks = dict(checks or {})
        self._positions, self._n_bins = dict(positions), n_bins
        self._phases = PhaseColumns(
            phases,
            reflections=reflections,
            free=free or {},
            end_members=end_members,
            full_areal_capacity=full_areal_capacity,
        )

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """For the descriptor."""
        scalars = {
            **FRAME_COLUMNS,
            **{name: (NUMBER, unit) for name, unit in self._positions.items()},
            **CELL_COLUMNS,
            **_RESULT_COLUMNS,
            **with_errors({name: unit for name, _, unit in _MEASURED}),
            **self._phases.columns,
            **self._checks,
        }
        pattern = array_key([self._n_bins], "count", ["two_theta"])
        return scalar_keys(scalars) | {name: dict(pattern) for name in PATTERNS}

    def row(
        self,
        context: FrameContext,
        cell: CellDuring,
        result: XrdResult | None,
        *,
        transmission: float,
        state_at_start: bool,
        dark_age: float = math.nan,
        temperature: float = math.nan,
        flags: Sequence[str] = (),
        checked: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The values of one row, in the order of `data_keys`.

        Args:
            context: Of the frame.
            cell: During its exposure.
            result: What the frame says; None if it was not reduced.
            transmission: Of the cell, NaN if not measured.
            state_at_start: Whether the start of the exposure passes for its middle.
            dark_age: From the dark to the frame, s; NaN if it is not known.
            temperature: Of the sample in the furnace, degC; NaN without one.
            flags: What to know of the frame.
            checked: Values of the columns of checks.
        """
        said = [] if result is None or result.valid else [result.reason]
        values: dict[str, Any] = {
            **frame_values(
                context,
                self._positions,
                transmission=transmission,
                faults=[*context.faults, cell.fault, *said],
                is_reduced=result is not None,
            ),
            **cell_values(cell, cell.start if state_at_start else cell.middle),
            **_result_values(result),
            **self._phases.values(result),
            "dark_age": dark_age,
            "temperature": temperature,
            "flags": "; ".join(flags),
            **(checked or {}),
        }
        for name in PATTERNS:
            pattern = np.full(self._n_bins, np.nan) if result is None else getattr(result, name)
            values[name] = np.asarray(pattern, dtype=float).tolist()
        return values


def _result_values(result: XrdResult | None) -> dict[str, Any]:
    names = [column for column in _RESULT_COLUMNS if column not in _OF_THE_RUN]
    values: dict[str, Any] = {
        name: (-1 if _RESULT_COLUMNS[name][0] == INTEGER else math.nan)
        if result is None
        else (int if _RESULT_COLUMNS[name][0] == INTEGER else float)(getattr(result, name))
        for name in names
    }
    for name, field_name, _ in _MEASURED:
        for end in ("", "_error"):
            found = math.nan if result is None else getattr(result, field_name + end)
            values[name + end] = float(found)
    return values
