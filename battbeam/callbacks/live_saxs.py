"""This file is where small-angle frames are reduced while their run goes on, or afterwards."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from battbeam.callbacks.live_frames import LiveFrames
from battbeam.callbacks.live_run import Document
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.raw_run import RawRun
from battbeam.callbacks.saxs_request import METHOD, SaxsRequest
from battbeam.callbacks.small_angle_row import SmallAngleSchema
from battbeam.callbacks.xrd_row import FrameContext
from battbeam.errors import ReductionError
from battbeam.reduction.saxs import SaxsResult
from battbeam.units import AnyArray, q_from_two_theta


class LiveSaxs(LiveFrames):
    """Reduces the small-angle frames of one run and publishes a reduced run, a row a frame.

    A frame at another energy than the geometry's has its own q.
    """

    method: ClassVar[str] = METHOD
    _request: SaxsRequest

    def _open(self, start: Document) -> Mapping[str, Any]:
        asked = dict(start.get("reduction") or {})
        self._raw = RawRun(start, detector=str(asked.get("detector", METHOD)))
        self._request = SaxsRequest.of_start(start)
        return self._request.parameters

    def _reduce(self, item: RawFrame) -> None:
        context = self._raw.context(item, minimum_i0=self._request.minimum_i0)
        if not self._run.is_described:
            self._describe()
        if self._fault:
            return
        pixels = None if item.file is None else item.file.frame(item.index)
        energy = self._energy(item)
        faults: list[str] = [] if pixels is not None else ["frame missing"]
        n_full, result = -1, None
        if pixels is not None:
            n_full = self._n_full(pixels)
            faults += [f"{n_full} pixels saturated"] if n_full > 0 else []
        if pixels is not None and not faults and not context.faults:
            try:
                result = self._result(pixels, context, energy)
            except ReductionError as fault:
                faults.append(str(fault))
        row = self._schema.row(
            context,
            self._cell.during(context.time_start, context.time_end),
            result,
            transmission=self._transmission(context),
            energy=energy,
            pixels=pixels,
            n_saturated=n_full,
            faults=faults,
        )
        self._run.add(self._raw.event_time(item, context), row)

    def _describe(self) -> None:
        try:
            self._reducer = self._request.reducer(self._raw.shape)
            self._dark = self._request.read_dark()
        except (ReductionError, OSError) as fault:
            self._fail(fault)
            return
        two_theta, energy = self._reducer.two_theta, self._reducer.energy
        self._schema = SmallAngleSchema(n_bins=len(two_theta), positions=self._raw.position_units)
        axes: dict[str, tuple[Any, str]] = {
            "two_theta": (two_theta.tolist(), "degree"),
            "q_of_geometry": (
                q_from_two_theta(two_theta=two_theta, energy=energy).tolist(),
                "1/angstrom",
            ),
        }
        self._run.describe(self._schema.data_keys(), axes)

    def _result(self, pixels: AnyArray, context: FrameContext, energy: float) -> SaxsResult:
        transmission = self._transmission(context)
        return self._reducer.reduce(
            pixels,
            monitor=context.i0 - self._raw.dark_i0(context.exposure),
            transmission=None if math.isnan(transmission) else transmission,
            exposure=context.exposure,
            dark=self._dark,
            energy=energy,
        )

    def _energy(self, item: RawFrame) -> float:
        """As the monochromator said it beside the frame, else that of the geometry, eV."""
        noted = item.attribute("Energy")
        return noted if math.isfinite(noted) and noted > 0 else self._reducer.energy

    def _n_full(self, pixels: AnyArray) -> int:
        limit = self._request.saturation
        return 0 if limit is None else int(np.count_nonzero(pixels >= limit))
