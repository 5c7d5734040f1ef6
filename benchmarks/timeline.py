"""Where the cell was at each frame: battbeam's timeline, against matching frames to the nearest row of the log.

A day of 1C up and down, recorded every 10 s by a cycler whose clock is 120 s ahead, drifts by 50 ppm and jitters; two
thousand exposures of 20 s. Nearest neighbour is what groups do afterwards today, both clocks taken for the same; a
second time with the offset taken off that somebody noted at the start. The deviation is the timeline's largest error
in state of charge at mid-exposure, the notes hold the others'.
"""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.nearest_neighbour import matched
from battbeam.experiment.timeline import CellTimeline
from benchmarks.compare import Comparison, in_turn

TITLE = "Timeline: state of charge at mid-exposure"
START, LEG, EXPOSURE = 1_750_000_000.0, 3000.0, 20.0
OFFSET, DRIFT, JITTER = 120.0, 50e-6, 0.1
CAPACITY = EXAMPLE["nominal_capacity"]


def run(*, small: bool = False) -> list[Comparison]:
    """A day and two thousand exposures, or an hour and fifty for a first look."""
    length, n_frames, n_turns = (7200.0, 50, 1) if small else (86_400.0, 2000, 3)
    rng = np.random.default_rng(1)
    middles = np.sort(rng.uniform(600.0, length - 600.0, n_frames))
    with TemporaryDirectory(prefix="battbeam-bench-") as directory:
        log = _log(Path(directory) / "log.jsonl", length)
    found: dict[str, np.ndarray] = {}
    ways: dict[str, Callable[[], object]] = {
        "battbeam timeline": lambda: found.update(own=_timeline(log, middles)),
        "nearest row": lambda: found.update(naive=_nearest(log, middles, 0.0)),
        "nearest row, offset noted once": lambda: found.update(
            noted=_nearest(log, middles, OFFSET)
        ),
    }
    timings = in_turn(ways, n_turns=n_turns)
    truth = _state_of_charge(middles)
    errors = {name: float(np.abs(values - truth).max()) for name, values in found.items()}
    names = dict(zip(ways, ("own", "naive", "noted"), strict=True))
    return [
        Comparison(
            case=f"{n_frames} exposures in {length / 3600:.0f} h",
            ways=timings,
            deviation=errors["own"],
            bound=1e-3,
            reference="in state of charge, from the truth",
            notes={way: f"off by {errors[name]:.1e} at most" for way, name in names.items()},
        )
    ]


def _state_of_charge(time: np.ndarray) -> np.ndarray:
    into = time % (2 * LEG)
    return np.where(into < LEG, into, 2 * LEG - into) / 3600.0


def _device(time: np.ndarray) -> np.ndarray:
    return START + time + OFFSET + DRIFT * time


def _log(path: Path, length: float) -> CellLog:
    rng = np.random.default_rng(2)
    edges = np.arange(LEG, length, LEG)
    times = np.sort(np.concatenate([np.arange(0.0, length, 10.0), edges - 1e-3]))
    charges, devices = _state_of_charge(times) * CAPACITY, _device(times)
    mount = {"kind": "mount", "time": START, "cell_run": "run", "passport": dict(EXAMPLE)}
    with path.open("w") as file:
        file.write(json.dumps(mount) + "\n")
        for k, time in enumerate(times):
            current = CAPACITY * 1e-3 * (1 if (time // LEG) % 2 == 0 else -1)
            sample = {"source": "file", "time": devices[k], "voltage": 3.4, "current": current}
            sample |= {"charge": charges[k], "step_index": 0, "step_count": 1 + int(time // LEG)}
            file.write(json.dumps({"kind": "sample", **sample, "cycle_number": 1}) + "\n")
            session = START + time
            if k % 3 == 0:
                shown = devices[k] + JITTER * rng.standard_normal()
                compared = {"device_time": shown, "session_time": session, "uncertainty": JITTER}
                file.write(json.dumps({"kind": "clock", "time": session, **compared}) + "\n")
            mark = {"kind": "watermark", "time": session, "complete_to": session}
            file.write(json.dumps(mark) + "\n")
    log = CellLog(path)
    log.refresh()
    return log


def _timeline(log: CellLog, middles: np.ndarray) -> np.ndarray:
    timeline = CellTimeline(log)
    found = [
        timeline.at(START + middle - EXPOSURE / 2, START + middle + EXPOSURE / 2)
        for middle in middles
    ]
    return np.array([during.middle.state_of_charge for during in found])


def _nearest(log: CellLog, middles: np.ndarray, noted: float) -> np.ndarray:
    rows = matched(log.samples["time"] - noted, START + middles)
    return np.asarray(log.samples["charge"][rows] / CAPACITY)
