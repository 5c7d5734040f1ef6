"""Time inside the RunEngine's subscriber for each document, against a plain ``json.dump`` and ``fsync`` a document.

The plain way is what somebody writes who wants every document on disk before going on: each one waits for the disk.
The spool hands the line to the operating system at once and syncs in a thread of its own, ten times a second.
Documents come in bursts, as fast as they are taken; between bursts everything is synced, outside the timing. All
documents must read back from both files: the deviation counts those that do not.
"""

import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from battbeam.storage.spool import Spool
from benchmarks.compare import Comparison, median, timed

TITLE = "Spool: time inside the subscriber, a document"
N_KEYS = 30

Documents = list[tuple[str, dict[str, Any]]]


def run(*, small: bool = False) -> list[Comparison]:
    """Bursts of events of 30 keys."""
    n_bursts, n_events = (2, 20) if small else (10, 200)
    documents = _documents(n_bursts * n_events)
    with TemporaryDirectory(prefix="battbeam-bench-") as directory:
        return [_compared(documents, n_bursts, Path(directory))]


def _documents(n_events: int) -> Documents:
    rng, run_uid, descriptor = np.random.default_rng(1), str(uuid.uuid4()), str(uuid.uuid4())
    keys = [f"quantity_{index}" for index in range(N_KEYS)]
    data_keys = {key: {"source": "bench", "dtype": "number", "shape": []} for key in keys}
    described = {"uid": descriptor, "run_start": run_uid, "name": "primary", "time": 1.0}
    documents: Documents = [
        ("start", {"uid": run_uid, "time": 1.0}),
        ("descriptor", {**described, "data_keys": data_keys}),
    ]
    for number in range(1, n_events + 1):
        event = {"uid": str(uuid.uuid4()), "descriptor": descriptor, "seq_num": number}
        data = dict(zip(keys, rng.normal(size=N_KEYS).tolist(), strict=True))
        stamps = dict.fromkeys(keys, 1.7e9 + number)
        documents.append(
            ("event", {**event, "time": 1.7e9 + number, "data": data, "timestamps": stamps})
        )
    ended = {"uid": str(uuid.uuid4()), "run_start": run_uid, "exit_status": "success"}
    return [*documents, ("stop", {**ended, "time": 2.0})]


def _compared(documents: Documents, n_bursts: int, directory: Path) -> Comparison:
    spooled, plain = directory / "spool", directory / "plain.jsonl"
    seconds: dict[str, list[float]] = {"battbeam spool": [], "json.dump and fsync": []}
    timings: dict[str, list[Any]] = {name: [] for name in seconds}
    size = -(-len(documents) // n_bursts)
    with Spool(spooled, minimum_free=0) as spool, plain.open("w") as file:

        def dump(name: str, document: dict[str, Any]) -> None:
            json.dump({"name": name, "doc": document}, file)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())

        ways = {"battbeam spool": spool, "json.dump and fsync": dump}
        for begin in range(0, len(documents), size):
            burst = documents[begin : begin + size]
            for name, way in ways.items():
                timings[name].append(timed(_handing(way, burst, seconds[name])))
                spool.sync()
    n_lost = sum(_n_differing(path, documents) for path in (next(spooled.iterdir()), plain))
    return Comparison(
        case=f"{len(documents)} documents, {size} a burst",
        ways={name: _each(median(values), size) for name, values in timings.items()},
        deviation=float(n_lost),
        bound=0.0,
        reference="documents that do not read back",
        notes={name: _percentiles(values) for name, values in seconds.items()},
    )


def _handing(
    way: Callable[..., None], burst: Documents, seconds: list[float]
) -> Callable[[], None]:
    def hand() -> None:
        for name, document in burst:
            begin = time.perf_counter()
            way(name, document)
            seconds.append(time.perf_counter() - begin)

    return hand


def _each(timing: Any, n: int) -> Any:
    return type(timing)(timing.wall / n, timing.cpu / n)


def _percentiles(seconds: list[float]) -> str:
    p50, p99, largest = 1e3 * np.percentile(seconds, [50, 99, 100])
    return f"p50 {p50:.3g}, p99 {p99:.3g}, max {largest:.3g} ms"


def _n_differing(path: Path, documents: Documents) -> int:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    same = sum(
        (line["name"], line["doc"]) == wanted
        for line, wanted in zip(lines, documents, strict=False)
    )
    return len(documents) - same + max(0, len(lines) - len(documents))
