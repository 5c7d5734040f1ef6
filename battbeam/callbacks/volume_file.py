"""This file is where reduced volumes go to HDF5: a file each, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from battbeam.units import AnyArray


def write_volume(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Write arrays as single precision, each a dataset of its name whose first axis has one entry.

    Who reads meanwhile sees the file as it was, or as it is then.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    with h5py.File(scratch, "w", libver="latest") as file:
        for name, array in arrays.items():
            file.create_dataset(
                name,
                data=np.asarray(array, dtype="<f4")[None],
                chunks=(1, *((1,) if array.ndim == 3 else ()), *array.shape[-2:]),
                **hdf5plugin.Bitshuffle(nelems=0, cname="lz4"),
            )
    scratch.replace(path)
