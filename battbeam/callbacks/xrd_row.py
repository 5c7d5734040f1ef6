"""This file is where the row of a reduced diffraction frame is defined, column by column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gemmi
import numpy as np

from battbeam import materials
from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    STRING,
    array_key,
    cell_values,
    scalar_keys,
)
from battbeam.experiment.timeline import CellDuring
from battbeam.reduction.xrd import PhaseResult, ScatteringPhase, XrdResult

#: name: (type, unit).
_FRAME_COLUMNS = {
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
_RESULT_COLUMNS = {
    "lithium_content_xray": (NUMBER, "1"),
    "lithium_content_xray_error": (NUMBER, "1"),
    "active_amount": (NUMBER, "mol/cm2"),
    "active_amount_error": (NUMBER, "mol/cm2"),
    "residual": (NUMBER, "1"),
    "residual_deviation": (NUMBER, "1"),
    "unexplained": (NUMBER, "1"),
    "unexplained_two_theta": (NUMBER, "degree"),
    "counts": (NUMBER, "count"),
    "n_saturated": (INTEGER, ""),
}
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
    """

    def __init__(
        self,
        phases: Sequence[ScatteringPhase],
        *,
        reflections: Sequence[str],
        n_bins: int,
        positions: Mapping[str, str],
    ) -> None:
        self._positions, self._n_bins = dict(positions), n_bins
        self._phases = {phase.phase: phase for phase in phases}
        self._followed = {
            name: followed_reflections(name, reflections) if phase.is_active else ()
            for name, phase in self._phases.items()
        }

    def data_keys(self) -> dict[str, dict[str, Any]]:
        """For the descriptor."""
        scalars = {
            **_FRAME_COLUMNS,
            **{name: (NUMBER, unit) for name, unit in self._positions.items()},
            **CELL_COLUMNS,
            **_RESULT_COLUMNS,
            **self._phase_columns(),
        }
        pattern = array_key([self._n_bins], "count", ["two_theta"])
        return scalar_keys(scalars) | {name: dict(pattern) for name in PATTERNS}

    def _phase_columns(self) -> dict[str, tuple[str, str]]:
        columns: dict[str, tuple[str, str]] = {}
        for name, phase in self._phases.items():
            edges = materials.structure(name).free_edges
            single = {f"amount_{name}": "mol/cm2"}
            single |= {f"lattice_{name}_{edge}": "angstrom" for edge in edges}
            if phase.is_active:
                single |= {f"phase_fraction_{name}": "1", f"lithium_content_{name}": "1"}
            single |= {f"two_theta_{name}_{hkl}": "degree" for hkl in self._followed[name]}
            for column, unit in single.items():
                columns[column] = columns[f"{column}_error"] = (NUMBER, unit)
        return columns

    def row(
        self,
        context: FrameContext,
        cell: CellDuring,
        result: XrdResult | None,
        *,
        transmission: float,
        state_at_start: bool,
    ) -> dict[str, Any]:
        """The values of one row, in the order of `data_keys`.

        Args:
            context: Of the frame.
            cell: During its exposure.
            result: What the frame says; None if it was not reduced.
            transmission: Of the cell, NaN if not measured.
            state_at_start: Whether the start of the exposure passes for its middle.
        """
        faults = [fault for fault in (*context.faults, cell.fault) if fault]
        if result is not None and not result.valid:
            faults.append(result.reason)
        values: dict[str, Any] = {
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
            "valid": int(not faults and result is not None),
            "invalid_reason": "; ".join(faults),
            **{name: context.positions.get(name, math.nan) for name in self._positions},
            **cell_values(cell, cell.start if state_at_start else cell.middle),
            **_result_values(result),
            **self._phase_values(result),
        }
        for name in PATTERNS:
            pattern = np.full(self._n_bins, np.nan) if result is None else getattr(result, name)
            values[name] = np.asarray(pattern, dtype=float).tolist()
        return values

    def _phase_values(self, result: XrdResult | None) -> dict[str, float]:
        found = {} if result is None else result.phases
        values: dict[str, float] = {}
        for name in self._phases:
            if name in found:
                values |= _phase_row(name, found[name])
        return {column: values.get(column, math.nan) for column in self._phase_columns()}


def _result_values(result: XrdResult | None) -> dict[str, Any]:
    if result is None:
        return {
            name: -1 if dtype == INTEGER else math.nan
            for name, (dtype, _) in _RESULT_COLUMNS.items()
        }
    return {
        "lithium_content_xray": float(result.lithium_content),
        "lithium_content_xray_error": float(result.lithium_content_error),
        "active_amount": float(result.active_amount),
        "active_amount_error": float(result.active_amount_error),
        "residual": float(result.residual),
        "residual_deviation": float(result.residual_deviation),
        "unexplained": float(result.unexplained),
        "unexplained_two_theta": float(result.unexplained_two_theta),
        "counts": float(result.counts),
        "n_saturated": int(result.n_saturated),
    }


def _phase_row(name: str, phase: PhaseResult) -> dict[str, float]:
    values = {
        f"amount_{name}": phase.amount,
        f"amount_{name}_error": phase.amount_error,
        f"phase_fraction_{name}": phase.fraction,
        f"phase_fraction_{name}_error": phase.fraction_error,
        f"lithium_content_{name}": phase.lithium_content,
        f"lithium_content_{name}_error": phase.lithium_content_error,
    }
    for edge in phase.lattice:
        values[f"lattice_{name}_{edge}"] = phase.lattice[edge]
        values[f"lattice_{name}_{edge}_error"] = phase.lattice_error[edge]
    for hkl in phase.two_theta:
        values[f"two_theta_{name}_{hkl}"] = phase.two_theta[hkl]
        values[f"two_theta_{name}_{hkl}_error"] = phase.two_theta_error[hkl]
    return {column: float(value) for column, value in values.items()}


def followed_reflections(phase: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the reflections, as "hkl", that the phase's space group does not forbid.

    >>> followed_reflections("NMC811", ("311", "101", "003"))
    ('101', '003')
    """
    group = gemmi.SpaceGroup(materials.structure(phase).space_group).operations()
    return tuple(
        name for name in names if not group.is_systematically_absent([int(digit) for digit in name])
    )
