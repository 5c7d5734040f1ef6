"""This file is where the sweeps of a run wait until it is known how far the counters are behind."""

import math
from collections.abc import Sequence

from battbeam.callbacks.spectrum_events import Axis, Scan, sweep_of
from battbeam.errors import ReductionError
from battbeam.reduction.sweeps import LagCalibration, Sweep
from battbeam.units import FloatArray

#: Sweeps that wait for a pair at most; those that follow are taken with a lag of 0.
_PATIENCE = 8


class Sweeps:
    """Keeps sweeps back until the first pair, up and down over one edge, has said the lag.

    Args:
        lag: s; None: it is not known.
        repeatability: eV; how well two sweeps agree in energy.

    Attributes:
        lag: s, in use.
        lag_error: s; NaN where it was given, or is not known.
        fault: Why it is not known; empty if it is.
    """

    def __init__(self, lag: float | None, repeatability: float = 0.0) -> None:
        self._repeatability = repeatability
        self.lag, self.lag_error, self.fault = lag or 0.0, math.nan, ""
        self._is_known = lag is not None
        self._kept: list[Scan] = []

    def released(self, scan: Scan, axis: Axis) -> Sequence[Scan]:
        """Take a sweep that has ended; those that can be reduced now, in their order."""
        if self._is_known:
            return [scan]
        self._kept.append(scan)
        try:
            self._look(axis)
        except ReductionError as fault:
            self.fault = f"the counters' lag is not known: {fault}"
        if self._is_known or len(self._kept) > _PATIENCE:
            self._is_known = True
            return self.rest()
        return ()

    def rest(self) -> Sequence[Scan]:
        """All that wait; nothing more will come that says the lag."""
        kept, self._kept = self._kept, []
        if kept and not self._is_known:
            self.fault = self.fault or "the counters' lag is not known: no sweep went back"
        return kept

    def _look(self, axis: Axis) -> None:
        last = self._kept[-1]
        others = [each for each in self._kept[:-1] if each.edge == last.edge]
        newest = sweep_of(last, axis)
        for other in reversed(others):
            before = sweep_of(other, axis)
            if before.is_up != newest.is_up:
                up, down = (newest, before) if newest.is_up else (before, newest)
                found = LagCalibration.of(
                    [(up, down)], window=_window(up), repeatability=self._repeatability
                )
                self.lag, self.lag_error = found.lag, found.error
                self._is_known, self.fault = True, ""
                return


def _window(sweep: Sweep) -> tuple[float, float]:
    """All but the ends, where bins of the two are not filled alike, eV."""
    energy: FloatArray = sweep.spectrum.energy
    low, high = float(energy.min()), float(energy.max())
    margin = 0.05 * (high - low)
    return low + margin, high - margin
