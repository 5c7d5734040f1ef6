import ast
import runpy
from pathlib import Path

import pytest

from battbeam.devices.fakes import fake_beamline
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol

TOP = Path(__file__).parents[1]
RECIPES = sorted((TOP / "plans").glob("*.py"))
PLANS = [*RECIPES, *sorted((TOP / "battbeam" / "plans").glob("*.py"))]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_has_a_docstring_and_a_plan(path):
    tree = ast.parse(path.read_text())
    assert len(ast.get_docstring(tree)) > 60
    (plan,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "plan"
    ]
    assert plan.args.args[0].arg == "beamline"
    assert len(plan.args.defaults) == len(plan.args.args) - 1


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_the_queue_server_can_read_it(path):
    assert "from __future__ import annotations" not in path.read_text()


@pytest.mark.parametrize(
    "path", [path for path in RECIPES if "series" in path.stem], ids=lambda path: path.stem
)
def test_passport_and_protocol_of_a_recipe_go_together(path):
    recipe = runpy.run_path(str(path))
    passport = CellPassport.read(recipe["PASSPORT"])
    assert Protocol.read(recipe["PROTOCOL"]).faults(passport) == []
    assert set(passport.phases) <= set(recipe["PHASES"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_makes_a_plan_without_touching_anything(path, tmp_path):
    held = fake_beamline(tmp_path)
    plan = runpy.run_path(str(path))["plan"](held)
    assert hasattr(plan, "send")
    assert held.beam.shutter.position == 0
    plan.close()
