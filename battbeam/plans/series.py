"""This file is where the single patterns of one rule become the events of one run.

A run costs the catalogue half a second, an event a millisecond. The detectors are staged while
points of the series are taken and given up when another measurement needs them; each staging is a
file of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.notes import PointNotes
from battbeam.plans.exposure import take_point
from battbeam.plans.measurements import Pattern
from battbeam.plans.stubs import Plan, prepared
from battbeam.plans.xrd_series import xrd_metadata


class SeriesRun:
    """One series run inside an experiment, under a run key of its own.

    Args:
        key: The run key.
        pattern: What each point is.
    """

    def __init__(self, key: str, pattern: Pattern) -> None:
        self.pattern = pattern
        self.uid = ""
        self.n_points = 0
        self._key = key
        self._notes = PointNotes()
        self._is_staged = False

    @property
    def is_open(self) -> bool:
        """Whether its run has begun."""
        return bool(self.uid)

    @property
    def is_staged(self) -> bool:
        """Whether it has the detectors."""
        return self._is_staged

    def get_ready(self) -> Plan:
        """Stage the detectors and set them up, so that a point can begin at once."""
        if self._is_staged:
            return
        exposure = self.pattern.exposure
        for detector in exposure.detectors:
            yield from bps.stage(detector, wait=True)
        self._is_staged = True
        yield from prepared(exposure.detectors, exposure.train)

    def take(self, moves: Sequence[tuple[Any, float]], md: Mapping[str, Any]) -> Plan:
        """Take one more point; its number, and why the beam was away.

        Args:
            moves: (motor, position) to be at; all of them arrive before the shutter opens.
            md: What the start document says besides, if it is the first: experiment and rule.
        """
        return (yield from bpp.set_run_key_wrapper(self._take(moves, md), self._key))

    def _take(self, moves: Sequence[tuple[Any, float]], md: Mapping[str, Any]) -> Plan:
        if not self.uid:
            self.uid = str((yield from bps.open_run(self._said(md))))
        yield from self.get_ready()
        point = self.n_points
        if moves:
            yield from bps.mv(*[part for pair in moves for part in pair])
        taken = yield from take_point(self.pattern.exposure, self._notes, point)
        self.n_points += taken.n_points
        return point, taken.lost

    def _said(self, md: Mapping[str, Any]) -> dict[str, Any]:
        said = xrd_metadata(
            self.pattern.exposure,
            plan_name="xrd_series",
            reduction=self.pattern.reduction,
            n_points=None,
        )
        sentinel = self.pattern.sentinel
        if sentinel is not None:
            said["sentinel"] = sentinel.model_dump(mode="json")
        return {**said, **self.pattern.md, **md}

    def give_up(self) -> Plan:
        """Unstage the detectors, so that another measurement can have them."""
        if not self._is_staged:
            return
        self._is_staged = False
        for detector in self.pattern.exposure.detectors:
            yield from bps.unstage(detector, wait=True)

    def close(self, *, exit_status: str = "success", reason: str = "") -> Plan:
        """End the run, if it has begun."""
        yield from self.give_up()
        if self.uid:
            closing = bps.close_run(exit_status=exit_status, reason=reason)
            yield from bpp.set_run_key_wrapper(closing, self._key)


def give_up_all(series: Sequence[SeriesRun], but: SeriesRun | None = None) -> Plan:
    """Unstage every series but one."""
    for one in series:
        if one is not but:
            yield from one.give_up()
