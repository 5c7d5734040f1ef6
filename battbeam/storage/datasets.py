"""This file is where runs of the catalogue become arrays along time.

A point taken twice, after a pause that went back to it, has two rows in the catalogue; the last one
counts. That is decided here, on reading, and never stored.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
import numpy as np
import xarray as xr

from battbeam.errors import StorageError

#: Times to look again at an array that grew between two requests, and wall seconds in between.
N_TRIES, RETRY_PAUSE = 5, 0.2
#: Axes of arrays that stand once for a run, and their units.
AXES = {"two_theta": "degree", "k": "1/angstrom", "r": "angstrom"}
#: What lies along the rows beside the results.
COORDINATES = (
    *(f"time{end}" for end in ("", "_start", "_end")),
    *(f"voltage{end}" for end in ("", "_start", "_end")),
    *(f"state_of_charge{end}" for end in ("", "_start", "_end")),
    "current",
    "capacity",
    "temperature",
    "smear",
    "valid",
    "point",
    "frame",
    "measurement",
    "repeat",
    "spot_x",
    "spot_y",
    "fluence",
    "sample_stage_x",
    "sample_stage_y",
)

_T = TypeVar("_T")


def stream_dataset(run: Any, stream: str) -> xr.Dataset:
    """Every row of one stream, and the arrays that belong to it, along ``time``.

    Raises:
        StorageError: If the run has no such stream.
    """
    return _again(lambda: _stream_dataset(run, stream))


def _stream_dataset(run: Any, stream: str) -> xr.Dataset:
    base = run.base
    if stream not in base:
        raise StorageError(f"run {run.start['uid']} has no stream {stream!r}; it has {list(base)}")
    node = base[stream].base
    columns = node.metadata["data_keys"]
    parts = set(node)
    if "internal" not in parts:
        return xr.Dataset(coords={"time": ("time", np.empty(0))})
    rows = node["internal"].read()
    dataset = xr.Dataset(coords={"time": ("time", rows["time"].to_numpy(dtype=float))})
    for key, column in columns.items():
        name = "time" if key == "time_" else key
        if key in rows:
            values = rows[key].to_numpy()
            dataset[name] = (
                "time",
                values.astype(object) if column["dtype"] == "string" else values,
            )
        elif key in parts and "external" not in column:
            # The array may be ahead of the table by the rows that are just being written.
            values = node[key].read()[: len(rows)]
            inner = [_inner_dimension(columns, key, axis) for axis in range(1, values.ndim)]
            dataset[name] = (("time", *inner), values)
        if name in dataset and column.get("units"):
            dataset[name].attrs["units"] = column["units"]
    return dataset


def volume_array(node: Any, number: int, row: xr.Dataset) -> xr.DataArray:
    """A volume with its axes in mm about the rotation axis, rows from the bottom."""
    values = _again(lambda: np.asarray(node["volume"][number]))
    size = float(row["voxel_size"])
    n_rows, n_z, n_x = values.shape
    return xr.DataArray(
        values,
        dims=("row", "z", "x"),
        coords={
            "row": np.arange(n_rows) * size,
            "z": (np.arange(n_z) - (n_z - 1) / 2) * size,
            "x": (np.arange(n_x) - (n_x - 1) / 2) * size,
        },
        name="attenuation",
        attrs={"units": "1/mm", **{name: row[name].item() for name in row.variables}},
    )


def _inner_dimension(columns: dict[str, Any], key: str, axis: int) -> str:
    declared = columns[key].get("dims") or []
    if len(declared) >= axis:
        return str(declared[axis - 1])
    return f"{key}_{axis}"


def reduced_dataset(run: Any) -> xr.Dataset:
    """A reduced run as `Catalog.reduced` gives it."""
    dataset = last_of_each_point(stream_dataset(run, "primary"))
    dataset = dataset.set_coords([name for name in COORDINATES if name in dataset])
    for axis, unit in AXES.items():
        values = _found(run, axis)
        if values is not None and axis in dataset.dims:
            dataset = dataset.assign_coords({axis: (axis, np.asarray(values, dtype=float))})
            dataset[axis].attrs["units"] = unit
    q = _found(run, "q")
    if q is not None and "two_theta" in dataset.dims:
        dataset = dataset.assign_coords(q=("two_theta", np.asarray(q, dtype=float)))
        dataset["q"].attrs["units"] = "1/angstrom"
    dataset.attrs.update({key: value for key, value in run.start.items() if key != "two_theta"})
    return dataset


def _found(run: Any, key: str) -> Any:
    """A quantity that stands once for a run: in its start document or its configuration."""
    if key in run.start:
        return run.start[key]
    configuration = run.base["primary"].metadata.get("configuration", {})
    for part in configuration.values():
        if key in part.get("data", {}):
            return part["data"][key]
    return None


def last_of_each_point(dataset: xr.Dataset) -> xr.Dataset:
    """Without the rows of a point that was taken again later.

    A taking is one event: one row, or the frames of one train, whose ``frame`` counts up from 0.
    """
    if "point" not in dataset or dataset.sizes["time"] == 0:
        return dataset
    points = dataset["point"].to_numpy().tolist()
    frames = dataset["frame"].to_numpy().tolist() if "frame" in dataset else [0] * len(points)
    taking, takings = 0, [0]
    for row in range(1, len(points)):
        taking += points[row] != points[row - 1] or frames[row] <= frames[row - 1]
        takings.append(taking)
    last = dict(zip(points, takings, strict=True))
    keep = [row for row, point in enumerate(points) if takings[row] == last[point]]
    return dataset.isel(time=keep)


def _again(read: Callable[[], _T]) -> _T:
    """What ``read`` gives, also of an array that grows while it is read: tiled answers 500 then."""
    for attempt in range(N_TRIES):
        try:
            return read()
        except httpx.HTTPStatusError as error:
            if error.response.status_code < 500 or attempt == N_TRIES - 1:
                raise StorageError(f"the catalogue answers {error.response.status_code}") from error
        except ValueError:
            if attempt == N_TRIES - 1:
                raise
        time.sleep(RETRY_PAUSE)
    raise StorageError("the catalogue was never asked")
