"""The house: which room may import which, and that importing battbeam is quick and connects to nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_import_contracts_hold():
    # In a process of its own: it silences every logger that there is, for all tests after it.
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_every_module_stands_in_a_layer():
    contract = (ROOT / "pyproject.toml").read_text().split("layers = [")[1].split("]")[0]
    rooms = {
        path.stem
        for path in (ROOT / "battbeam").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    missing = {
        room for room in rooms - {"__init__", "__main__"} if f"battbeam.{room}" not in contract
    }
    assert not missing


def test_no_recipe_knows_the_simulation():
    for folder in ("plans", "profile_collection"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "battbeam.sim" not in path.read_text(), path


def test_importing_battbeam_brings_no_control_system():
    code = "import sys, battbeam; print([m for m in ('bluesky','ophyd','caproto','tiled','pyFAI') if m in sys.modules])"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_plans_can_be_read_by_a_queue_server():
    for folder in ("battbeam/plans", "plans"):
        for path in (ROOT / folder).glob("*.py"):
            assert "from __future__ import annotations" not in path.read_text(), path
