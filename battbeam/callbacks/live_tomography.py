"""This file is where projections become volumes while their run goes on, or afterwards.

A volume lies in a file of its own; its row says what it is and where the cell was meanwhile. A
tomogram takes long: previews of it, from the projections so far, stand in the stream ``preview``,
and where the cell was in each projection in the stream ``projection``.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from battbeam.callbacks.cell_columns import (
    CELL_COLUMNS,
    INTEGER,
    NUMBER,
    cell_values,
    scalar_keys,
)
from battbeam.callbacks.live_run import Document, LiveRun
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.reduced_run import Publish
from battbeam.callbacks.tomogram import ImagingRun, Stack
from battbeam.callbacks.tomogram_columns import (
    COLUMNS,
    METRICS,
    PROJECTION_COLUMNS,
    external,
    result_values,
    window_of,
)
from battbeam.callbacks.volume_file import write_volume
from battbeam.errors import ReductionError
from battbeam.experiment.cell_log import CellLog
from battbeam.reduction.tomography import TomographyReducer
from battbeam.reduction.tomography_result import (
    TomographyOptions,
    TomographyPreview,
    TomographyResult,
)

#: Previews of a tomogram that is being taken: after each so many parts of it.
PREVIEWS = 4
VOLUME, SLICE = "volume", "centre_slice"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """Projections that become a volume, or a preview of one.

    Attributes:
        number: Of the volume in its run.
        frames: Projections in their order.
        is_preview: Whether more are to come.
        fault: What was wrong with the rotation; empty if nothing was.
    """

    number: int
    frames: tuple[RawFrame, ...]
    is_preview: bool = False
    fault: str = ""


class LiveTomography(LiveRun[Part]):
    """Reduces the tomograms of one run and publishes a reduced run, a row a volume.

    Options of the start document's ``reduction`` are those of `TomographyOptions`, and
    ``arcs_per_volume``: of rotations that are put together, all of a run by default; or
    ``projections``: (first, stop), the window of a run's projections that becomes one volume,
    counted from 0 in the order in which they were taken, the last not included.

    Args:
        publish: Takes the documents of the reduced run.
        cell_logs: Of the guards.
        volumes: Directory in which volumes are written.
    """

    method: ClassVar[str] = "tomography"
    noun: ClassVar[str] = "tomogram"

    def __init__(
        self,
        publish: Publish,
        *,
        cell_logs: Callable[[Path], CellLog] | None = None,
        volumes: Path,
    ) -> None:
        super().__init__(publish, cell_logs=cell_logs)
        self._volumes = volumes
        self._n_volumes = self._n_previews = self._n_previewed = self._n_arcs_done = 0
        self._reducer: TomographyReducer | None = None

    # Documents in.

    def _open(self, start: Document) -> Mapping[str, Any]:
        self._imaging = ImagingRun(start)
        # Documents come although the run cannot be reduced.
        self._said = dict(start.get("tomography") or {})
        self._arcs_per_volume = self._window = None
        asked = dict(start.get("reduction") or {})
        grouped = {name: asked.pop(name, None) for name in ("arcs_per_volume", "projections")}
        self._arcs_per_volume = grouped["arcs_per_volume"]
        self._window = window_of(grouped["projections"])
        self._options = TomographyOptions.read(asked)
        return {"method": self.method, **asked, **grouped}

    def _take(self, name: str, doc: Document) -> Sequence[Part]:
        n_arcs = len(self._imaging.arcs)
        self._imaging.take(name, doc)
        if self._window is not None:
            return ()
        if len(self._imaging.arcs) > n_arcs and self._is_live and self._arcs_per_volume:
            wanted = self._n_arcs_done + self._arcs_per_volume
            return [self._volume(wanted)] if len(self._imaging.arcs) >= wanted else []
        if name in ("stream_datum", "event"):
            return self._previews()
        return ()

    @property
    def _is_live(self) -> bool:
        """Whether all darks and flats come before the projections, and nothing after them."""
        fields = self._imaging.start.get("fields") or {}
        at_end = any("end" in field.get("at", ()) for field in fields.values())
        return not (at_end or self._n_repeated)

    @property
    def _n_repeated(self) -> int:
        """Projections that the plan meant to take once more after its rotation."""
        return len(self._said.get("repeats") or ())

    @property
    def _n_expected(self) -> int:
        """Projections that the plan meant to take; 0 of one without end."""
        return int(self._said.get("n_projections") or 0)

    def _previews(self) -> list[Part]:
        """Of projections so far, each time another part of them has come."""
        expected = self._n_expected
        frames = self._imaging.frames("primary")
        found = []
        while self._n_previews < PREVIEWS - 1:
            n = expected * (self._n_previews + 1) // PREVIEWS
            if n == 0 or len(frames) < n:
                break
            self._n_previews += 1
            found.append(Part(self._n_volumes, tuple(frames[:n]), is_preview=True))
        return found

    def _volume(self, to_arc: int) -> Part:
        arcs = slice(self._n_arcs_done, to_arc)
        frames = tuple(frame for arc in self._imaging.arcs[arcs] for frame in arc)
        fault = "; ".join(filter(None, self._imaging.train_faults[arcs]))
        self._n_arcs_done, self._n_volumes = to_arc, self._n_volumes + 1
        return Part(self._n_volumes - 1, frames, fault=fault)

    def _rest(self) -> Sequence[Part]:
        imaging, found = self._imaging, []
        if self._window is not None:
            return [self._part_of_window(self._window)]
        if not imaging.arcs:
            frames = tuple(imaging.frames("primary"))
            return [Part(0, frames)] if frames else []
        step = self._arcs_per_volume or len(imaging.arcs)
        while self._n_arcs_done < len(imaging.arcs):
            found.append(self._volume(min(self._n_arcs_done + step, len(imaging.arcs))))
        return found

    def _part_of_window(self, window: slice) -> Part:
        frames = tuple(self._imaging.frames("primary")[window])
        faults = [
            fault
            for arc, fault in zip(self._imaging.arcs, self._imaging.train_faults, strict=True)
            if not set(map(id, arc)).isdisjoint(map(id, frames))
        ]
        return Part(0, frames, fault="; ".join(filter(None, faults)))

    def _time_end(self, item: Part) -> float:
        return math.nan if item.is_preview else self._imaging.time_end(item.frames)

    def _is_there(self, item: Part) -> bool:
        fields = [*self._imaging.frames("dark"), *self._imaging.frames("flat")]
        return self._imaging.is_there(item.frames) and self._imaging.is_there(fields)

    def _close(self) -> None:
        self._imaging.close()

    def _named(self, item: Part) -> str:
        return f"volume {item.number}, {len(item.frames)} projections"

    # One call of the reduction.

    def _reduce(self, item: Part) -> None:
        if self._reducer is None:
            self._reducer = TomographyReducer(self._options, self._imaging.shape)
        stack = self._imaging.stack(item.frames)
        try:
            projections = self._imaging.projections(stack)
        except ReductionError as fault:
            result = TomographyResult(valid=False, reason=str(fault))
        else:
            if item.is_preview:
                self._preview(self._reducer.preview(projections), stack)
                return
            result = self._reducer.reduce(projections)
        if item.is_preview:
            return
        if not self._run.is_described:
            self._describe(result)
        self._row(item, stack, result)
        self._projection_rows(item, stack)

    def _preview(self, preview: TomographyPreview, stack: Stack) -> None:
        if preview.reason:
            _log.info("run %s: no preview: %s", self._raw_uid, preview.reason)
            return
        if self._n_previewed == 0:
            keys = scalar_keys({"n_projections": (INTEGER, ""), "axis": (NUMBER, "pixel")})
            keys |= external(SLICE, preview.centre_slice) | external(VOLUME, preview.volume)
            self._run.describe(keys, {"voxel_size": (preview.voxel_size, "mm")}, stream="preview")
        row = {"n_projections": preview.n_projections, "axis": preview.axis}
        time = float(np.nanmax(stack.time))
        number = f"preview_{self._n_previewed}"
        files = self._write(number, {SLICE: preview.centre_slice, VOLUME: preview.volume})
        self._run.add(time, row, stream="preview", files=files)
        self._n_previewed += 1

    def _describe(self, result: TomographyResult) -> None:
        n_rows, n_columns = self._imaging.shape
        keys = scalar_keys({**COLUMNS, **CELL_COLUMNS, **METRICS})
        self._shape = result.volume.shape if result.volume.size else (n_rows, n_columns, n_columns)
        keys |= external(VOLUME, np.empty(self._shape, np.float32))
        keys |= external(SLICE, np.empty(self._shape[1:], np.float32))
        self._run.describe(keys, {"pixel_size": (self._said.get("pixel_size", math.nan), "mm")})
        columns = scalar_keys({**PROJECTION_COLUMNS, **CELL_COLUMNS})
        self._run.describe(columns, {}, stream="projection")

    def _row(self, item: Part, stack: Stack, result: TomographyResult) -> None:
        half = self._imaging.exposure / 2
        known = stack.time[np.isfinite(stack.time)]
        start, end = (known.min() - half, known.max() + half) if len(known) else (math.nan,) * 2
        cell = self._cell.during(float(start), float(end))
        short = self._short_of(item)
        faults = [fault for fault in (item.fault, short, cell.fault) if fault]
        if not result.valid:
            faults.append(result.reason)
        row: dict[str, Any] = {
            "volume_number": item.number,
            "time_start": float(start),
            "time_end": float(end),
            **result_values(result),
            "partial": int(result.partial or bool(short)),
            "valid": int(not faults),
            "invalid_reason": "; ".join(faults),
            **cell_values(cell),
        }
        volume = result.volume if result.volume.size else np.full(self._shape, np.nan, np.float32)
        files = self._write(
            f"volume_{item.number}", {VOLUME: volume, SLICE: volume[len(volume) // 2]}
        )
        self._run.add(float((start + end) / 2), row, files=files)

    def _short_of(self, item: Part) -> str:
        """Why there are fewer projections than the plan meant to take; empty if there are not."""
        expected = self._n_expected + self._n_repeated
        if self._window is not None:
            expected = self._window.stop - self._window.start
        elif self._imaging.arcs:
            n_arcs = len(self._imaging.arcs) if not self._arcs_per_volume else self._arcs_per_volume
            expected = n_arcs * int(self._said.get("n_per_arc", 0)) + self._n_repeated
        missing = expected - len(item.frames)
        return f"{len(item.frames)} of {expected} projections came" if missing > 0 else ""

    def _projection_rows(self, item: Part, stack: Stack) -> None:
        half = self._imaging.exposure / 2
        for omega, time, i0, fault in zip(
            stack.omega, stack.time, stack.i0, stack.faults, strict=True
        ):
            cell = self._cell.during(float(time) - half, float(time) + half)
            faults = [each for each in (fault, cell.fault) if each]
            row = {
                "volume_number": item.number,
                "omega": float(omega),
                "time_start": float(time) - half,
                "time_end": float(time) + half,
                "i0": float(i0),
                "valid": int(not faults),
                "invalid_reason": "; ".join(faults),
                **cell_values(cell),
            }
            self._run.add(float(time), row, stream="projection")

    def _write(self, name: str, arrays: Mapping[str, Any]) -> dict[str, Path]:
        path = self._volumes / self.uid / f"{name}.h5"
        write_volume(path, arrays)
        return dict.fromkeys(arrays, path)
