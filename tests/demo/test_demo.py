"""The demo as a newcomer runs it: other cells and geometries, a wrong argument, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from battbeam.processes import ONE_THREAD, wait_for

pytestmark = [pytest.mark.ioc]


def processes_of(out: Path) -> list[str]:
    """Command lines of running processes that name a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(out) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


VARIANTS = [
    ("--solid-solution", "--seed", "4"),
    ("--chemistry", "nmc811", "--seed", "5"),
    ("--seed", "6", "--frame-size", "256"),
    ("--seed", "7", "--frame-size", "1024", "--distance", "180"),
    ("--chemistry", "nmc811", "--seed", "8", "--frame-size", "1024", "--distance", "150"),
]


@pytest.mark.acceptance
@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
def test_every_check_holds_for_other_cells_and_geometries(variant, tmp_path):
    out = tmp_path / "out"
    finished = subprocess.run(
        [sys.executable, "-m", "battbeam", "demo", "--out", str(out), *variant],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **ONE_THREAD, "COLUMNS": "160"},
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads((out / "result.json").read_text())
    assert all(check["passed"] for check in result["checks"])
    assert (out / "operando_xrd.png").stat().st_size > 20_000
    assert processes_of(out) == []


#: Ctrl-C is heard as at a terminal, also where the tests themselves run in the background.
AT_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from battbeam.cli import main
main()
"""


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("battbeam demo", id="while it starts"),
        pytest.param("catalogue serve", id="while it calibrates", marks=pytest.mark.acceptance),
        pytest.param("constant current", id="while the cell charges", marks=pytest.mark.acceptance),
    ],
)
def test_ctrl_c_ends_the_demo_and_leaves_nothing_running(moment, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    with log.open("w") as written:
        demo = subprocess.Popen(
            [sys.executable, "-c", AT_A_TERMINAL, "demo", "--out", str(out), "--frame-size", "128"],
            stdout=written,
            stderr=written,
            env={**os.environ, **ONE_THREAD, "COLUMNS": "160"},
        )
        try:
            wait_for(lambda: moment in log.read_text(), timeout=120, what=moment)
            demo.send_signal(signal.SIGINT)
            assert demo.wait(timeout=40) == 130, log.read_text()
        finally:
            demo.kill()
            demo.wait()
    assert "Traceback" not in log.read_text()
    assert "broken off" in log.read_text()
    wait_for(lambda: processes_of(out) == [], timeout=10, what="every process to end")
