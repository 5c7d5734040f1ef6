"""This file is where diffraction frames are reduced while their run goes on, or afterwards."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from event_model import unpack_event_page

from battbeam.callbacks.raw_run import RawFrame, RawRun
from battbeam.callbacks.reduced_run import Publish, ReducedRun
from battbeam.callbacks.reducers import CellLogs, MakeReducer, Reducers
from battbeam.callbacks.xrd_request import Choices, XrdRequest
from battbeam.callbacks.xrd_row import FrameContext, RowSchema
from battbeam.errors import ReductionError, StorageError
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.timeline import CellDuring, CellTimeline, unknown_cell
from battbeam.reduction.xrd import XrdResult
from battbeam.units import AnyArray, q_from_two_theta

#: Wall s after the end of an exposure within which the cell's log must have covered it, as the log
#: itself says: so the answer is the same when the run is reduced again.
LOG_DEADLINE = 30.0
#: Wall s that a frame waits for the cell's log, longer than that, and for its own pixels.
LOG_PATIENCE, FRAME_DEADLINE = 40.0, 30.0
#: Share of saturated pixels from which on a frame is not used: hot pixels are fewer, a saturated
#: line is more. Chosen here.
SATURATED = 1e-4
NO_CELL_LOG = "no cell log"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Waiting:
    raw: RawFrame
    since: float


class LiveXrd:
    """Reduces the diffraction frames of one run and publishes a reduced run.

    Call it with the raw run's documents in their order, and `poll` it in between: a frame waits
    until its pixels are in the file and the cell's log covers its exposure. Rows come in the order
    of the frames.

    Args:
        publish: Takes the documents of the reduced run.
        choices: How it departs from what the start document asks.
        make_reducer: Of a request; give the same to several runs, and it is made once.
        cell_logs: Of the guards; likewise.

    Attributes:
        n_skipped: Frames that could not be reduced for a reason that nobody foresaw.
        uid: Of the reduced run; empty before its start.
        is_finished: Whether the reduced run is closed.
    """

    def __init__(
        self,
        publish: Publish,
        *,
        choices: Choices | None = None,
        make_reducer: MakeReducer | None = None,
        cell_logs: Callable[[Path], CellLog] | None = None,
    ) -> None:
        self._publish, self._choices = publish, choices
        self._make_reducer = make_reducer or Reducers()
        self._cell_logs = cell_logs or CellLogs()
        self._waiting: deque[_Waiting] = deque()
        self._stop: Mapping[str, Any] | None = None
        self._log_file: CellLog | None = None
        self._timeline: CellTimeline | None = None
        self._monitor = math.nan
        self._fault = self._no_cell = self.uid = ""
        self.n_skipped = 0
        self.is_finished = False

    @staticmethod
    def wants(start: Mapping[str, Any]) -> bool:
        """Whether a run asks for its diffraction frames to be reduced."""
        asked = dict(start.get("reduction") or {})
        return bool(asked) and asked.get("method", "xrd") == "xrd"

    @property
    def n_pending(self) -> int:
        """Frames that wait for pixels or for the cell's log."""
        return len(self._waiting)

    def __call__(self, name: str, doc: Mapping[str, Any], *, wall: float | None = None) -> None:
        """Take one document of the raw run.

        Args:
            name: Of the document.
            doc: The document.
            wall: Monotonic wall time, s.
        """
        if name == "start":
            self._start(doc)
        elif name in ("descriptor", "stream_resource", "stream_datum"):
            getattr(self._raw, name)(doc)
        elif name in ("event", "event_page"):
            now = time.monotonic() if wall is None else wall
            events = [doc] if name == "event" else unpack_event_page(doc)
            frames = [raw for event in events for raw in self._raw.frames(event)]
            self._waiting.extend(_Waiting(raw, now) for raw in frames)
        elif name == "stop":
            self._stop = doc

    def poll(self, wall: float | None = None) -> int:
        """Reduce what can be reduced now; never waits.

        Args:
            wall: Monotonic wall time, s.

        Returns:
            Frames that were dealt with.
        """
        return self._work(time.monotonic() if wall is None else wall)

    def finish(self) -> None:
        """Deal with everything at once: what is not there by now will not come."""
        self._work(math.inf)

    def _start(self, doc: Mapping[str, Any]) -> None:
        self._raw = RawRun(doc)
        try:
            self._request = XrdRequest.of_start(doc, self._choices)
            parameters = self._request.parameters
        except ReductionError as fault:
            self._fail(fault)
            parameters = {"refused": self._fault}
        self._run = ReducedRun(doc, parameters, self._publish)
        self.uid = self._run.uid
        guard = doc.get("guard") or {}
        if not guard or doc.get("kind") == "calibration":
            return
        if not guard.get("log"):
            self._no_cell = NO_CELL_LOG
            return
        self._log_file = self._cell_logs(Path(guard["log"]))
        self._timeline = CellTimeline(self._log_file)

    def _fail(self, fault: Exception) -> None:
        self._fault = str(fault)
        _log.error("run %s cannot be reduced: %s", self._raw.start["uid"], fault)

    def _work(self, wall: float) -> int:
        if self.is_finished:
            return 0
        if self._log_file is not None and self._waiting:
            self._refresh(self._log_file)
        n_done = 0
        while self._waiting and self._deal_with(self._waiting[0], wall):
            self._waiting.popleft()
            n_done += 1
        if self._stop is not None and not self._waiting:
            self._end(self._stop)
        return n_done

    def _refresh(self, log: CellLog) -> None:
        try:
            log.refresh()
        except StorageError as fault:
            _log.warning("run %s: %s", self._raw.start["uid"], fault)

    def _deal_with(self, waiting: _Waiting, wall: float) -> bool:
        """Whether the frame is done with."""
        raw, age = waiting.raw, wall - waiting.since
        if self._fault:
            return True
        if raw.file is not None and age < FRAME_DEADLINE and not raw.file.holds(raw.index):
            return False
        end = self._raw.time_end(raw)
        covered = self._timeline is None or math.isnan(end) or self._timeline.covers(end)
        if not covered and age < LOG_PATIENCE:
            return False
        try:
            self._reduce(raw)
        except Exception:
            # The edge of a live callback: one frame that nobody foresaw must not end the beamtime.
            self.n_skipped += 1
            uid, number = self._raw.start["uid"], raw.event["seq_num"]
            _log.exception("run %s, event %s, frame %d: skipped", uid, number, raw.position)
        return True

    def _reduce(self, raw: RawFrame) -> None:
        context = self._raw.context(raw, minimum_i0=self._request.minimum_i0)
        if not self._run.is_described:
            self._describe()
        if self._fault:
            return
        faults = list(context.faults)
        pixels = None if raw.file is None else raw.file.frame(raw.index)
        result = None
        if pixels is None:
            faults.append("frame missing")
        if not faults and pixels is not None:
            try:
                result = self._result(pixels, context)
            except ReductionError as fault:
                faults.append(str(fault))
        if result is not None and result.n_saturated > SATURATED * math.prod(self._raw.shape):
            faults.append(f"{result.n_saturated} pixels saturated")
        row = self._schema.row(
            replace(context, faults=tuple(faults)),
            self._cell(context),
            result,
            transmission=self._transmission(context),
            state_at_start=self._request.choices.state_of_charge_at == "start",
        )
        self._run.add(self._raw.event_time(raw, context), row)

    def _describe(self) -> None:
        try:
            self._reducer = self._make_reducer(self._request, self._raw.shape)
            self._dark = self._request.read_dark()
        except (ReductionError, OSError) as fault:
            self._fail(fault)
            return
        two_theta = self._reducer.two_theta
        self._schema = RowSchema(
            self._request.phases,
            reflections=self._request.options.reflections,
            n_bins=len(two_theta),
            positions=self._raw.position_units,
        )
        axes: dict[str, tuple[Any, str]] = {"two_theta": (two_theta.tolist(), "degree")}
        energy = self._request.energy
        if energy is not None:
            q = q_from_two_theta(two_theta=two_theta, energy=energy)
            axes["q"] = (q.tolist(), "1/angstrom")
        self._run.describe(self._schema.data_keys(), axes)

    def _result(self, pixels: AnyArray, context: FrameContext) -> XrdResult:
        monitor = context.i0 - self._raw.dark_i0(context.exposure)
        if not self._request.choices.normalise:
            self._monitor = monitor if math.isnan(self._monitor) else self._monitor
            monitor = self._monitor
        transmission = self._transmission(context)
        return self._reducer.reduce(
            pixels,
            monitor=monitor,
            transmission=None if math.isnan(transmission) else transmission,
            exposure=context.exposure,
            dark=self._dark,
        )

    def _transmission(self, context: FrameContext) -> float:
        reference = self._request.transmission_reference
        if reference is None or not context.i0 > 0:
            return math.nan
        return context.transmission_counts / context.i0 / reference

    def _cell(self, context: FrameContext) -> CellDuring:
        start, end = context.time_start, context.time_end
        if self._timeline is None:
            return unknown_cell(start, end, self._no_cell)
        if math.isnan(end):
            return unknown_cell(start, end, "time of the exposure not known")
        if self._timeline.lateness(end) > LOG_DEADLINE:
            return unknown_cell(start, end, NO_CELL_LOG)
        return self._timeline.at(start, end)

    def _end(self, stop: Mapping[str, Any]) -> None:
        self.is_finished = True
        self._raw.close()
        failed = self._fault or (stop["exit_status"] != "success" and "the raw run did not succeed")
        reason = self._fault or str(stop.get("reason", ""))
        if self.n_skipped:
            reason = f"{reason}; {self.n_skipped} frame(s) skipped".removeprefix("; ")
        self._run.stop(float(stop["time"]), "fail" if failed else "success", reason)


def reduce_run(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    guard_log: Path | None = None,
    *,
    choices: Choices | None = None,
    make_reducer: MakeReducer | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """Reduce a recorded run; the same documents as it gave live, to the bit.

    Args:
        documents: Of the raw run, in the order in which it wrote them.
        guard_log: In place of the one that its start document names.
        choices: Departures from what the start document asks; they give the result another uid.
        make_reducer: Of a request.

    Returns:
        The documents of the reduced run.
    """
    found: list[tuple[str, dict[str, Any]]] = []
    logs = CellLogs()
    live = LiveXrd(
        lambda name, doc: found.append((name, doc)),
        choices=choices,
        make_reducer=make_reducer,
        cell_logs=lambda path: logs(guard_log or path),
    )
    for name, doc in documents:
        live(name, doc)
    live.finish()
    return found
