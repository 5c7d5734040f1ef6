"""This file is where frames go to HDF5, laid out as areaDetector's NDFileHDF5 does it.

``/entry/data/data`` (n, rows, columns), uint32, one frame a chunk, bitshuffle and LZ4; one dataset
per attribute under ``/entry/instrument/NDAttributes``. Single writer, multiple readers; flushed
after each frame, attributes before the frame, so that a reader who sees n frames finds n of each
attribute.
"""

from collections.abc import Mapping
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

DATASET = "/entry/data/data"
ATTRIBUTES = "/entry/instrument/NDAttributes"
#: Kept for each frame: its time (s since 1990-01-01 UTC, at readout), its number, and the
#: beamline's values: Omega is the encoder's in the middle of the exposure, Energy the monochromator's;
#: the stage at the start of the exposure and, as ..End, at its end.
FLOAT_ATTRIBUTES = (
    "NDArrayTimeStamp",
    "I0",
    "IT",
    "RingCurrent",
    "SampleX",
    "SampleY",
    "SampleXEnd",
    "SampleYEnd",
    "Shutter",
    "Omega",
    "Energy",
)
_ATTRIBUTE_CHUNK = 64


class FrameFile:
    """One open file.

    Raises:
        OSError: If it cannot be made.
    """

    def __init__(self, path: Path, *, shape: tuple[int, int]) -> None:
        self.path = path
        self.n_frames = 0
        self._file = h5py.File(path, "w", libver="latest")
        entry = self._file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        self._frames = self._file.create_dataset(
            DATASET,
            shape=(0, *shape),
            maxshape=(None, *shape),
            chunks=(1, *shape),
            dtype="<u4",
            **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"),
        )
        entry["data"].attrs["NX_class"] = "NXdata"
        entry["data"].attrs["signal"] = "data"
        self._attributes = {name: self._attribute(name, "<f8") for name in FLOAT_ATTRIBUTES}
        self._attributes["NDArrayUniqueId"] = self._attribute("NDArrayUniqueId", "<i4")
        self._file.swmr_mode = True

    def _attribute(self, name: str, dtype: str) -> h5py.Dataset:
        return self._file.create_dataset(
            f"{ATTRIBUTES}/{name}",
            shape=(0,),
            maxshape=(None,),
            chunks=(_ATTRIBUTE_CHUNK,),
            dtype=dtype,
        )

    def add(self, frame: npt.NDArray[np.uint32], attributes: Mapping[str, float]) -> int:
        """Write a frame; its index in the file.

        Raises:
            OSError: If the disk takes no more.
        """
        index = self.n_frames
        for name, dataset in self._attributes.items():
            dataset.resize(index + 1, axis=0)
            dataset[index] = attributes[name]
            dataset.flush()
        self._frames.resize(index + 1, axis=0)
        self._frames[index] = frame
        self._frames.flush()
        self.n_frames += 1
        return index

    def close(self) -> None:
        """Close it for good."""
        self._file.close()
