"""This file is where measured patterns are kept: end members that frames are compared with, and blanks.

A measured pattern is a frame, or the sum of some, with what is needed to set it beside another one:
counts of the monitor and transmission. It was taken by the same detector in the same place. Its own
noise goes with it into every fit.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.pixels import Bins
from battbeam.units import FloatArray

_FIELDS = ("counts", "variance", "i0", "transmission")
_HOSTS = ("working", "counter")


@dataclass(frozen=True)
class MeasuredPattern:
    """A frame to compare others with.

    Attributes:
        counts: Dark subtracted, shape (n_rows, n_columns).
        variance: Of them, shape (n_rows, n_columns).
        i0: Counts of the monitor.
        transmission: Of the cell, 0 to 1.
        lithium_content: Of an end member, NaN of a blank.
        host: ``working`` or ``counter``, the electrode that this is the content of.
    """

    counts: FloatArray = field(repr=False)
    variance: FloatArray = field(repr=False)
    i0: float
    transmission: float
    lithium_content: float = float("nan")
    host: str = "working"

    def __post_init__(self) -> None:
        if self.counts.shape != self.variance.shape or self.counts.ndim != 2:
            raise ReductionError(
                f"a measured pattern has counts of {self.counts.shape} pixels "
                f"and variances of {self.variance.shape}"
            )
        if not (self.i0 > 0 and self.transmission > 0):
            raise ReductionError(
                f"a measured pattern needs a beam: i0 {self.i0}, transmission {self.transmission}"
            )
        if self.host not in _HOSTS:
            raise ReductionError(f"host of a measured pattern: {self.host!r}, not one of {_HOSTS}")

    @property
    def light(self) -> float:
        """Monitor counts times transmission, what amounts are stated by."""
        return self.i0 * self.transmission

    @classmethod
    def read(cls, path: Path) -> "MeasuredPattern":
        """From its .npz.

        Raises:
            ReductionError: If the file is missing or malformed.
        """
        try:
            with np.load(path) as stored:
                found = dict(stored)
        except (OSError, ValueError, TypeError, BadZipFile) as fault:
            raise ReductionError(f"measured pattern {path} cannot be read: {fault}") from fault
        missing = [name for name in _FIELDS if name not in found]
        if missing:
            raise ReductionError(f"measured pattern {path} has no {', '.join(missing)}")
        return cls(
            counts=np.asarray(found["counts"], dtype=float),
            variance=np.asarray(found["variance"], dtype=float),
            i0=float(found["i0"]),
            transmission=float(found["transmission"]),
            lithium_content=float(found.get("lithium_content", np.nan)),
            host=str(found.get("host", "working")),
        )

    def write(self, path: Path) -> None:
        """As .npz."""
        np.savez_compressed(
            path,
            counts=self.counts,
            variance=self.variance,
            i0=self.i0,
            transmission=self.transmission,
            lithium_content=self.lithium_content,
            host=self.host,
        )

    def in_bins(self, bins: Bins, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
        """Counts per `light` and their variance, shape (n_bins,) each.

        Raises:
            ReductionError: If the frame has another shape than ``shape``.
        """
        if self.counts.shape != shape:
            raise ReductionError(
                f"a measured pattern has {self.counts.shape} pixels, the frames {shape}"
            )
        return bins.sum(self.counts) / self.light, bins.sum(self.variance) / self.light**2


def fingerprints(paths: Mapping[str, Path]) -> dict[str, str]:
    """Hash of each file's bytes."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
