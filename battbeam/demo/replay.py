"""This file is where a recorded demo is reduced again, with or without a mistake in how."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from battbeam.callbacks.live_xrd import LiveXrd, reduce_run
from battbeam.callbacks.xrd_request import Choices
from battbeam.demo.checks import Check
from battbeam.demo.options import DemoOptions, hidden_truth, passport
from battbeam.demo.truth import Truth
from battbeam.demo.verdict import Measured, verdict
from battbeam.storage.tail import documents


def replayed_verdict(options: DemoOptions, choices: Choices | None = None) -> list[Check]:
    """The verdict on a demo that was recorded in ``options.out``, reduced again.

    Args:
        options: As the demo was run.
        choices: Departures from what its start documents ask.
    """
    truth = Truth(options.out / "sim" / "truth.jsonl")
    series: list[xr.Dataset] = []
    maps: list[xr.Dataset] = []
    for path in sorted((options.out / "spool").glob("*.jsonl")):
        lines = documents(path)
        if not LiveXrd.wants(lines[0].doc):
            continue
        rows = rows_of(reduce_run([(line.name, line.doc) for line in lines], choices=choices))
        (maps if lines[0].doc["plan_name"] == "xrd_map" else series).append(rows)
    maps.sort(key=lambda rows: float(rows["time"][0]))
    return verdict(
        Measured(xr.concat(series, dim="time").sortby("time"), truth),
        [Measured(rows, truth) for rows in maps],
        options=options,
        passport=passport(options, hidden_truth(options)),
    )


def rows_of(reduced: Iterable[tuple[str, Mapping[str, Any]]]) -> xr.Dataset:
    """The rows of a reduced run along ``time``, patterns along ``bin`` besides."""
    events = [doc for name, doc in reduced if name == "event"]
    rows = xr.Dataset(coords={"time": ("time", [event["time"] for event in events])})
    for name in events[0]["data"] if events else ():
        values = np.array([event["data"][name] for event in events])
        rows[name] = (("time", "bin")[: values.ndim], values)
    return rows


def shifted_geometry(geometry: Path, to: Path, **changes: float) -> Path:
    """A copy of a .poni in which some entries are other numbers, e.g. ``Wavelength=5.6e-11``."""
    lines = []
    for line in geometry.read_text().splitlines():
        key = line.partition(":")[0].strip()
        lines.append(f"{key}: {changes[key]!r}" if key in changes else line)
    to.write_text("\n".join(lines) + "\n")
    return to


def geometry_entry(geometry: Path, key: str) -> float:
    """One number of a .poni."""
    found = [
        line.partition(":")[2] for line in geometry.read_text().splitlines() if line.startswith(key)
    ]
    return float(found[-1])
