"""This file is where what live reductions of an area detector's frames have in common is."""

import math
from collections.abc import Sequence

from battbeam.callbacks.frame_request import FrameRequest
from battbeam.callbacks.live_run import Document, LiveRun
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.raw_run import RawRun
from battbeam.callbacks.xrd_row import FrameContext


class LiveFrames(LiveRun[RawFrame]):
    """Reduces the frames of one run; `_open` takes the run and makes the request."""

    _raw: RawRun
    _request: FrameRequest

    def _take(self, name: str, doc: Document) -> Sequence[RawFrame]:
        if name == "event":
            return self._raw.frames(doc)
        if name in ("descriptor", "stream_resource", "stream_datum"):
            getattr(self._raw, name)(doc)
        return ()

    def _time_end(self, item: RawFrame) -> float:
        return self._raw.time_end(item)

    def _is_there(self, item: RawFrame) -> bool:
        return item.file is None or item.file.holds(item.index)

    def _close(self) -> None:
        self._raw.close()

    def _named(self, item: RawFrame) -> str:
        return f"event {item.event['seq_num']}, frame {item.position}"

    def _transmission(self, context: FrameContext) -> float:
        """Of the cell; NaN where no reference is known."""
        reference = self._request.transmission_reference
        if reference is None or not context.i0 > 0:
            return math.nan
        return context.transmission_counts / context.i0 / reference
