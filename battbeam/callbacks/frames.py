"""This file is where frames are read from HDF5 while their detector still writes it."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import h5py
import hdf5plugin  # noqa: F401  registers the filters that frames are compressed with
import numpy as np

from battbeam.units import AnyArray, FloatArray

#: areaDetector stamps frames in s since 1990-01-01 UTC; documents count from 1970-01-01.
EPICS_EPOCH = 631_152_000.0
#: Where NDFileHDF5 keeps one value a frame of each attribute.
ATTRIBUTES = "/entry/instrument/NDAttributes"


class FrameFile:
    """One file of frames; what is not in it yet is None or NaN, and asked for again later."""

    def __init__(self, path: Path, dataset: str) -> None:
        self.path = path
        self._dataset = dataset
        self._file: Any = None

    @classmethod
    def of_resource(cls, resource: Mapping[str, Any]) -> "FrameFile":
        """The file that a stream_resource document speaks of.

        Raises:
            ValueError: If it is no HDF5 file on this machine's file system.
        """
        address = urlparse(str(resource["uri"]))
        if resource["mimetype"] != "application/x-hdf5" or address.scheme != "file":
            raise ValueError(
                f"frames at {resource['uri']} ({resource['mimetype']}): only HDF5 files are read"
            )
        return cls(Path(unquote(address.path)), str(resource["parameters"]["dataset"]))

    def holds(self, index: int) -> bool:
        """Whether a frame is there, and all that the detector notes beside it."""
        frames = self._open(self._dataset)
        if frames is None or not 0 <= index < len(frames):
            return False
        beside = self._open(ATTRIBUTES)
        return beside is None or all(
            len(values) > index for name in beside if (values := self._open(f"{ATTRIBUTES}/{name}"))
        )

    def frame(self, index: int) -> AnyArray | None:
        """One frame, shape (n_rows, n_columns); None while it is not there."""
        values = self._open(self._dataset)
        if values is None or not 0 <= index < len(values):
            return None
        with suppress(OSError):
            frame: AnyArray = values[index]
            return frame
        self.close()
        return None

    def attribute(self, name: str, index: int) -> float:
        """What the detector noted beside a frame; NaN if nothing."""
        values = self._open(f"{ATTRIBUTES}/{name}")
        if values is None or not 0 <= index < len(values):
            return math.nan
        with suppress(OSError, TypeError, ValueError):
            return float(values[index])
        return math.nan

    def frames(self, indices: Sequence[int]) -> AnyArray:
        """Several frames, shape (n, n_rows, n_columns).

        Raises:
            OSError: If one is not there.
        """
        values = self._open(self._dataset)
        wanted = np.asarray(indices, dtype=int)
        if values is None or (wanted.size and not 0 <= wanted.min() <= wanted.max() < len(values)):
            raise OSError(f"{self.path}: it holds not all of {len(wanted)} frames")
        if wanted.size and np.array_equal(wanted, np.arange(wanted[0], wanted[0] + wanted.size)):
            together: AnyArray = values[wanted[0] : wanted[0] + wanted.size]
            return together
        return np.stack([values[index] for index in wanted])

    def attributes(self, name: str, indices: Sequence[int]) -> FloatArray:
        """What was noted beside several frames, shape (n,); NaN where nothing is."""
        found = np.full(len(indices), math.nan)
        values = self._open(f"{ATTRIBUTES}/{name}")
        if values is None:
            return found
        with suppress(OSError, TypeError, ValueError):
            there = np.asarray(values[:], dtype=float)
            wanted = np.asarray(indices, dtype=int)
            known = (wanted >= 0) & (wanted < len(there))
            found[known] = there[wanted[known]]
        return found

    def _open(self, dataset: str) -> Any:
        try:
            if self._file is None:
                self._file = h5py.File(self.path, "r", libver="latest", swmr=True)
            values = self._file.get(dataset)
            if isinstance(values, h5py.Dataset):
                values.refresh()
            return values
        except (OSError, RuntimeError):
            # The writer is about to make it, or changes its index: look again later.
            self.close()
            return None

    def close(self) -> None:
        """Close it; asking again opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
