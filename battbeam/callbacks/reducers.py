"""This file is where what reductions of several runs share is kept: reducers, and guards' logs."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from battbeam.callbacks.xrd_request import XrdRequest
from battbeam.experiment.cell_log import CellLog
from battbeam.reduction.xrd import Dark, XrdReducer, XrdResult
from battbeam.units import AnyArray, FloatArray

#: Reducers that are kept; each holds the geometry of one detector.
KEPT_REDUCERS = 4


class Reducer(Protocol):
    """What is asked of `battbeam.reduction.xrd.XrdReducer`."""

    @property
    def two_theta(self) -> FloatArray:
        """Of the bins, degree, shape (n_bins,)."""
        ...

    @property
    def free_reflections(self) -> Mapping[str, tuple[str, ...]]:
        """Of every phase with intensities of its own the reflections that have one, as "hkl"."""
        ...

    def reduce(
        self,
        frame: AnyArray,
        *,
        monitor: float,
        transmission: float | None,
        exposure: float | None = None,
        dark: Dark | None = None,
    ) -> XrdResult:
        """Phase fractions, amounts and lattice parameters of one frame."""
        ...


#: Makes a reducer for frames of a shape (rows, columns).
MakeReducer = Callable[[XrdRequest, tuple[int, int]], Reducer]


class Reducers:
    """Makes reducers and keeps the last few: making one takes seconds."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Reducer] = OrderedDict()

    def __call__(self, request: XrdRequest, shape: tuple[int, int]) -> Reducer:
        """The reducer of a request.

        Raises:
            ReductionError: If one of its files is missing or malformed.
        """
        key = repr((request.parameters, shape))
        if key not in self._kept:
            self._kept[key] = XrdReducer(
                request.geometry,
                request.instrument,
                request.phases,
                shape=shape,
                options=request.options,
                mask=request.read_mask(),
            )
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_REDUCERS:
            self._kept.popitem(last=False)
        return self._kept[key]


class CellLogs:
    """Guards' logs by path, each read once for all runs."""

    def __init__(self) -> None:
        self._logs: dict[Path, CellLog] = {}

    def __call__(self, path: Path) -> CellLog:
        """The log at a path, as far as it was read."""
        return self._logs.setdefault(path, CellLog(path))
