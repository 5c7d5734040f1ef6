"""Frames of 4 million pixels: made and reduced in the memory that a beamline's computer has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: kB: of the simulation, or the reduction, of one detector.
MOST = 3_000_000
BENCH = """
import json, sys
from pathlib import Path
import numpy as np
from tests.reduction.simulated_bench import Bench
bench = Bench(
    Path(sys.argv[2]), n=2048, pixel=0.075, centre=(1003.3, 1042.8), peak_width=0.085, flux=2.2e8
)
def show(**found):
    # Not ru_maxrss: a process inherits that of the one that started it.
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(json.dumps({"memory": int(line.split()[1]), **found}))
"""
SIMULATE = """
hidden = bench.scenario()
light = bench.expected(hidden)
np.save(sys.argv[1], bench.frame(hidden, 1))
show(counts=float(light.photons.sum()), transmission=light.transmission)
"""
REDUCE = """
reducer, frame = bench.reducer("Al"), np.load(sys.argv[1])
for _ in range(2):
    found = reducer.reduce(frame, monitor=2.2e9, transmission=float(sys.argv[3]))
oxide = found.phases["NMC811"]
show(
    valid=found.valid,
    reason=found.reason,
    residual=found.residual,
    deviation=found.residual_deviation,
    lattice=dict(oxide.lattice),
    error=dict(oxide.lattice_error),
)
"""


def in_a_process(code, *arguments):
    """What a process of its own says last; memory in kB."""
    command = [sys.executable, "-c", BENCH + code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.acceptance
def test_a_frame_of_4_million_pixels_is_made_and_reduced_within_3_gb(tmp_path):
    made = in_a_process(SIMULATE, tmp_path / "frame.npy", tmp_path)
    found = in_a_process(REDUCE, tmp_path / "frame.npy", tmp_path, made["transmission"])
    print(f"{made}\n{found}")
    assert made["memory"] < MOST
    assert found["memory"] < MOST
    assert found["valid"], found["reason"]
    assert found["residual"] == pytest.approx(1.0, abs=5 * found["deviation"])
    for edge, true in {"a": 2.831, "c": 14.45}.items():
        assert abs(found["lattice"][edge] - true) < 4 * found["error"][edge]
    assert found["lattice"]["c"] == pytest.approx(14.45, abs=0.003)
