"""Reading a guard's log of a week (one sample a second), against ``json.loads`` a line and against pandas.

`battbeam.experiment.cell_log.CellLog` checks and sorts every line into growing columns while the file may still
grow. The plain way keeps a dictionary a line and makes arrays of them in the end; pandas reads all lines into one
table; both hold the whole file in memory first. The deviation is the largest difference of any column from what was
written: JSON gives every double back to the bit.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from battbeam.experiment.cell_log import CellLog
from benchmarks.compare import Comparison, in_turn

TITLE = "Cell log: reading it whole"
COLUMNS = ("time", "voltage", "current", "charge")
BEGIN = 1.79e9
#: One line in this many is a watermark, one a comparison of clocks.
MARK_EVERY, COMPARE_EVERY = 10, 50


def run(*, small: bool = False) -> list[Comparison]:
    """600,000 lines, and a few for a first look."""
    n_lines, n_turns = (2_000, 1) if small else (600_000, 3)
    with TemporaryDirectory(prefix="battbeam-bench-") as directory:
        path = Path(directory) / "log.jsonl"
        written = _write(path, n_lines)
        logs: list[CellLog] = []
        ways: dict[str, Callable[[], object]] = {
            "battbeam CellLog": lambda: logs.append(_read(path)),
            "json.loads a line": lambda: _by_hand(path),
            "pandas.read_json": lambda: pd.read_json(path, lines=True, convert_dates=False),
        }
        timings = in_turn(ways, n_turns=n_turns)
        size = path.stat().st_size
    rates = {name: f"{n_lines / timing.wall:.3g} lines/s" for name, timing in timings.items()}
    return [
        Comparison(
            case=f"{n_lines} lines, {size / 1e6:.0f} MB",
            ways=timings,
            deviation=_difference(logs.pop(), written),
            bound=0.0,
            reference="of any sample, from what was written",
            notes=rates,
        )
    ]


def _write(path: Path, n_lines: int) -> np.ndarray:
    """Lines as a guard writes them; the samples among them, shape (4, n)."""
    rng = np.random.default_rng(1)
    time = BEGIN + np.arange(n_lines) + 0.25
    voltage = 3.4 + 0.1 * rng.normal(size=n_lines)
    current = 1e-3 * rng.normal(size=n_lines)
    samples = np.stack([time, voltage, current, np.cumsum(current) / 3.6])
    step = {"step_index": 2, "step_type": "constant_current", "step_count": 7, "cycle_number": 3}
    is_sample = np.ones(n_lines, dtype=bool)
    with path.open("w") as file:
        for n, values in enumerate(samples.T.tolist()):
            line: dict[str, object] = {"n": n}
            if n % COMPARE_EVERY == 1:
                clocks = {"device_time": values[0], "session_time": values[0] + 0.5}
                line |= {"kind": "clock", **clocks, "uncertainty": 0.01}
            elif n % MARK_EVERY == 0:
                line |= {"kind": "watermark", "time": values[0], "complete_to": values[0] - 1.0}
            else:
                known = dict(zip(COLUMNS, values, strict=True))
                line |= {"kind": "sample", "source": "file", **known, "sequence": n, **step}
            is_sample[n] = line["kind"] == "sample"
            file.write(json.dumps(line) + "\n")
    return samples[:, is_sample]


def _read(path: Path) -> CellLog:
    log = CellLog(path)
    log.refresh()
    return log


def _by_hand(path: Path) -> np.ndarray:
    with path.open() as file:
        entries = [json.loads(line) for line in file]
    samples = [entry for entry in entries if entry["kind"] == "sample"]
    return np.array([[sample[name] for sample in samples] for name in COLUMNS])


def _difference(log: CellLog, written: np.ndarray) -> float:
    if len(log.samples) != written.shape[1] or log.n_unreadable or log.n_unknown:
        return math.inf
    pairs = zip(COLUMNS, written, strict=True)
    return max(float(np.abs(log.samples[name] - values).max()) for name, values in pairs)
