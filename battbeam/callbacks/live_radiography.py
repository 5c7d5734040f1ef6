"""This file is where radiographs are reduced while their run goes on, or afterwards: a row a frame."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    STRING,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.live_run import Document, LiveRun
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.tomogram import ImagingRun, Stack, point_of
from battbeam.errors import ReductionError
from battbeam.reduction.fronts import Edges, fronts_of
from battbeam.reduction.projections import Projections
from battbeam.reduction.radiography import Radiograph, RadiographyOptions, RadiographyReducer

_COLUMNS = {
    "point": (INTEGER, ""),
    "frame": (INTEGER, ""),
    "frame_file": (STRING, ""),
    "frame_index": (INTEGER, ""),
    "time_start": (NUMBER, "s"),
    "time_end": (NUMBER, "s"),
    "omega": (NUMBER, "degree"),
    "i0": (NUMBER, "count"),
    "transmission": (NUMBER, "1"),
    "opaque": (NUMBER, "1"),
    "front_left": (NUMBER, "mm"),
    "front_right": (NUMBER, "mm"),
    "front_bottom": (NUMBER, "mm"),
    "front_top": (NUMBER, "mm"),
    "change": (NUMBER, "1"),
    "valid": (INTEGER, ""),
    "invalid_reason": (STRING, ""),
}
_FRONT_COLUMNS = {
    "lateral_speed": (NUMBER, "mm/s"),
    "lateral_speed_error": (NUMBER, "mm/s"),
    "vertical_speed": (NUMBER, "mm/s"),
    "vertical_speed_error": (NUMBER, "mm/s"),
    "anisotropy": (NUMBER, "1"),
    "fill_time": (NUMBER, "s"),
    "n_frames": (INTEGER, ""),
}
#: Radiographs with a front from which on a speed is told.
LEAST = 3


class LiveRadiography(LiveRun[RawFrame]):
    """Reduces the radiographs of one run and publishes a reduced run, a row a frame.

    At the end comes one row in the stream ``front``: how fast the edges of what grew have moved.
    Options of the start document's ``reduction`` are those of `RadiographyOptions`.

    Args:
        publish: Takes the documents of the reduced run.
        cell_logs: Of the guards.
    """

    method: ClassVar[str] = "radiography"
    noun: ClassVar[str] = "radiograph"

    # Documents in.

    def _open(self, start: Document) -> Mapping[str, Any]:
        self._imaging = ImagingRun(start)
        self._fields: tuple[Projections, float] | None = None
        self._followed: dict[tuple[int, int], tuple[float, Edges]] = {}
        said = dict(start.get("radiography") or {})
        self._pixel_size = float(said.get("pixel_size", math.nan))
        asked = dict(start.get("reduction") or {})
        self._reducer = RadiographyReducer(RadiographyOptions.read(asked))
        return {"method": self.method, **asked}

    def _take(self, name: str, doc: Document) -> Sequence[RawFrame]:
        frames = [each for each in self._imaging.take(name, doc) if each.stream == "primary"]
        return frames if self._is_live else ()

    @property
    def _is_live(self) -> bool:
        """Whether all darks and flats come before the radiographs."""
        fields = self._imaging.start.get("fields") or {}
        return all("end" not in field.get("at", ()) for field in fields.values())

    def _rest(self) -> Sequence[RawFrame]:
        return () if self._is_live else self._imaging.frames("primary")

    def _time_end(self, item: RawFrame) -> float:
        return self._imaging.time_end([item])

    def _is_there(self, item: RawFrame) -> bool:
        fields = [*self._imaging.frames("dark"), *self._imaging.frames("flat")]
        return self._imaging.is_there([item, *fields])

    def _close(self) -> None:
        self._imaging.close()

    def _named(self, item: RawFrame) -> str:
        return f"point {point_of(item)}, frame {item.position}"

    # One call of the reduction.

    def _reduce(self, item: RawFrame) -> None:
        if not self._run.is_described:
            pixel = {"pixel_size": (self._pixel_size, "mm")}
            self._run.describe(scalar_keys({**_COLUMNS, **CELL_COLUMNS}), pixel)
        stack = self._imaging.stack([item])
        self._row(item, stack, self._radiograph(stack))

    def _radiograph(self, stack: Stack) -> Radiograph:
        if stack.faults[0]:
            return Radiograph(valid=False, reason=stack.faults[0])
        try:
            fields, open_i0 = self._fields or self._of_run(stack)
        except ReductionError as fault:
            return Radiograph(valid=False, reason=str(fault))
        frame = replace(fields, counts=stack.counts, omega=stack.omega, time=stack.time)
        return self._reducer.reduce(frame, beam=float(stack.i0[0]) / open_i0)

    def _of_run(self, stack: Stack) -> tuple[Projections, float]:
        """Darks and flats, and counts before the sample with them; NaN where nobody counted."""
        i0 = self._imaging.field("flat").i0
        open_i0 = float(np.median(i0[i0 > 0])) if (i0 > 0).any() else math.nan
        # The beam of each radiograph is told beside it.
        self._fields = replace(self._imaging.projections(stack), i0=None), open_i0
        return self._fields

    def _row(self, item: RawFrame, stack: Stack, result: Radiograph) -> None:
        time, half = float(stack.time[0]), self._imaging.exposure / 2
        cell = self._cell.during(time - half, time + half)
        faults = [each for each in (result.reason, cell.fault) if each]
        edges = result.edges
        if result.valid:
            self._followed[point_of(item), item.position] = time, edges
        n_rows, n_columns = self._imaging.shape
        left, right = self._places(edges.columns, n_columns)
        bottom, top = self._places(edges.rows, n_rows)
        row = {
            "point": point_of(item),
            "frame": item.position,
            "frame_file": "" if item.file is None else item.file.path.name,
            "frame_index": item.index,
            "time_start": time - half,
            "time_end": time + half,
            "omega": float(stack.omega[0]),
            "i0": float(stack.i0[0]),
            "transmission": result.transmission,
            "opaque": result.opaque,
            "front_left": left,
            "front_right": right,
            "front_bottom": bottom,
            "front_top": top,
            "change": edges.change,
            "valid": int(not faults),
            "invalid_reason": "; ".join(faults),
            **cell_values(cell),
        }
        self._run.add(time if math.isfinite(time) else self._raw_time, row)

    def _places(self, edges: Any, n: int) -> tuple[float, float]:
        """mm from the outer edge of the first pixel; what goes on beyond the field ends with it."""
        first, last = np.clip(edges, 0, n) * self._pixel_size
        return float(first), float(last)

    def _end(self, stop: Document) -> None:
        self._fronts()
        super()._end(stop)

    def _fronts(self) -> None:
        """How fast the edges have moved, if any was seen often enough."""
        followed = [each for _, each in sorted(self._followed.items())]
        seen = [edges for _, edges in followed if np.isfinite(edges.columns).any()]
        if self._fault or len(seen) < LEAST:
            return
        found = fronts_of(
            [edges for _, edges in followed],
            np.array([time for time, _ in followed]),
            pixel_size=self._pixel_size,
            n_columns=self._imaging.shape[1],
        )
        self._run.describe(scalar_keys(_FRONT_COLUMNS), {}, stream="front")
        row = {
            "lateral_speed": found.lateral.speed,
            "lateral_speed_error": found.lateral.speed_error,
            "vertical_speed": found.vertical.speed,
            "vertical_speed_error": found.vertical.speed_error,
            "anisotropy": found.anisotropy if math.isfinite(found.anisotropy) else math.nan,
            "fill_time": found.fill_time,
            "n_frames": len(followed),
        }
        self._run.add(followed[-1][0], row, stream="front")
