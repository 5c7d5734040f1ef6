"""One whole demo for all tests that replay it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from battbeam.demo.options import DemoOptions
from battbeam.processes import ONE_THREAD


def run_demo(
    out: Path, *arguments: str, timeout: float = 400.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "battbeam", "demo", "--out", str(out), *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=timeout,
        cwd=out.parent,
        env={**os.environ, **ONE_THREAD, "COLUMNS": "160"},
    )


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> DemoOptions:
    """The options of a demo that was run, with what it left in ``out``."""
    options = DemoOptions(seed=11, out=tmp_path_factory.mktemp("demo") / "out")
    finished = run_demo(options.out, "--seed", str(options.seed))
    assert finished.returncode == 0, finished.stderr
    return options
