import ast
import inspect
import json
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from battbeam.cli import app
from battbeam.devices.fake_spectroscopy import with_spectroscopy
from battbeam.devices.fakes import fake_beamline
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.protocol import Protocol

TOP = Path(__file__).parents[1]
RECIPES = sorted((TOP / "plans").glob("*.py"))
NAMES = ("plan", "describe")
#: Photons are counted.
WITHOUT_FRAMES = ("calibrate_edxrd", "calibrate_energy", "edxrd_layers", "nmc811_xanes")
STRICT = 'ChargeStep(fraction=0.05), measure="pattern", smear_max=0.001'
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


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("heated_cathodes", "furnace"),
        ("pouch_plating_maps", "fly_detector"),
        ("three_techniques", "fly_camera"),
        ("tin_oxide_tomography", "fly_camera"),
    ],
)
def test_a_beamline_without_what_a_recipe_needs_is_refused_before_anything_is_done(
    name, missing, tmp_path
):
    held = replace(fake_beamline(tmp_path), **{missing: None})
    plan = runpy.run_path(str(TOP / "plans" / f"{name}.py"))["plan"](held)
    with pytest.raises(
        PreflightError, match=rf"{name}: [^-]*- this beamline declares no {missing}"
    ):
        next(plan)


@pytest.mark.parametrize("name", ["four_cells_xrd", "ni_rich_collapse"])
def test_a_beamline_with_fewer_cells_than_a_recipe_needs_is_told(name, tmp_path):
    plan = runpy.run_path(str(TOP / "plans" / f"{name}.py"))["plan"](fake_beamline(tmp_path))
    with pytest.raises(DeviceError, match=r"the beamline has no cell2, it has cell1; every cell"):
        next(plan)


def test_the_content_of_an_end_member_is_by_charge_or_has_to_be_given(tmp_path):
    """A third of the theoretical capacity has gone out: 0.98 - 0.33."""
    recipe = runpy.run_path(str(TOP / "plans" / "measure_end_members.py"))
    by_charge = recipe["content_by_charge"]
    held = fake_beamline(tmp_path, passport=EXAMPLE)
    capacity = CellPassport.read(EXAMPLE).theoretical_capacity
    held.potentiostat.charge.sim_put(0.33 * capacity)
    assert by_charge(held, "working") == pytest.approx(EXAMPLE["initial_lithium_content"] - 0.33)
    with pytest.raises(PreflightError, match="host is 'counter': give it"):
        next(recipe["plan"](held, host="counter"))
    with pytest.raises(PreflightError, match="no cell is mounted: give it"):
        by_charge(fake_beamline(tmp_path), "working")


def test_an_alignment_is_told_in_sentences():
    centre = {"position": 0.1312, "position_error": 0.002, "size": 15.01, "size_error": 0.004}
    document = {"x": centre, "tilt": {"tilt": 1.314, "tilt_error": 0.05, "residual": 1.1}}
    told = runpy.run_path(str(TOP / "plans" / "align_cell.py"))["sentences"](json.dumps(document))
    assert told == [
        "x of the middle: 0.131 +- 0.002 mm, 15.010 mm from edge to edge",
        "perpendicular at 1.31 +- 0.05 degree",
    ]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_describes_itself_with_the_parameters_of_its_plan(path):
    recipe = runpy.run_path(str(path))
    asked = [list(inspect.signature(recipe[name]).parameters.values()) for name in NAMES]
    assert asked[0][1:] == asked[1][1:]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_forecast_by_the_command(path):
    answer = CliRunner().invoke(app, ["forecast", str(path), "--json"])
    found = json.loads(answer.stdout)
    assert (answer.exit_code, found["faults"]) == (0, [])
    assert found["duration"] > 60
    assert (found["n_frames"] > 0) == (path.stem not in WITHOUT_FRAMES)


def test_parameters_reach_the_recipe_and_what_cannot_fit_ends_with_status_1(tmp_path):
    path = TOP / "plans" / "lfp_xrd_series.py"
    asked = ["--parameters", "exposure=60,interval=600", "--json"]
    found = json.loads(CliRunner().invoke(app, ["forecast", str(path), *asked]).stdout)
    (kind,) = found["cells"][0]["measurements"]
    assert kind["exposure"] == 60.0 * kind["n_served"]
    strict = path.read_text().replace('ChargeStep(fraction=0.05), measure="pattern"', STRICT)
    (tmp_path / "strict.py").write_text(strict)
    answer = CliRunner().invoke(app, ["forecast", str(tmp_path / "strict.py")])
    assert answer.exit_code == 1
    assert "its smear budget is 0.001: what fits is" in answer.stdout


@pytest.mark.parametrize(
    ("text", "parameters", "told"),
    [
        (None, "", "the file is missing"),
        ("plan = 1", "", r"no function describe\(site, ...\)"),
        (
            "def describe(site, exposure=1.0): ...",
            "speed=3",
            "no parameter speed; it has exposure",
        ),
    ],
)
def test_what_is_no_description_is_refused(tmp_path, text, parameters, told):
    path = tmp_path / "recipe.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PreflightError, match=told):
        CliRunner().invoke(
            app, ["forecast", str(path), "--parameters", parameters], catch_exceptions=False
        )


@pytest.mark.parametrize(
    ("recipe", "parameters", "told"),
    [
        ("lfp_xrd_map", "exposure=-1", "exposure must be greater than 0 s, got -1 s"),
        ("lfp_xrd_map", "exposure=nan", "exposure must be a finite number, got 'nan'"),
        ("lfp_xrd_map", '{"half_width": NaN}', "half_width must be a finite number, got nan"),
        ("lfp_xrd_map", "n_points=0", "n_points must be a whole number, at least 1, got 0"),
        ("lfp_xrd_series", "interval=0", "period: Input should be greater than 0, got 0"),
        ("calibrate", "n_frames=0", "n_frames must be at least 1, got 0"),
        ("pouch_plating_maps", "exposure=0", "exposure must be greater than 0 s, got 0 s"),
        ("pouch_plating_maps", "n_points=1", "x: a row that is flown needs at least two points"),
        ("edxrd_layers", "exposure=-2", "exposure must be greater than 0 s, got -2 s"),
        ("ni_rich_collapse", "cell=cell7", "cell must be one of 'cell1', 'cell2', got 'cell7'"),
        ("heated_cathodes", "step=0", "step must be above 0 K, got 30 to 450 degC every 0 K"),
        ("heated_cathodes", "ramp=0", "ramp must be greater than 0 K/min, got 0"),
        ("heated_cathodes", "lithium_content=3", "lithium_content must be 0 to 1, got 3"),
    ],
)
def test_what_cannot_be_measured_is_not_forecast(recipe, parameters, told):
    asked = ["forecast", str(TOP / "plans" / f"{recipe}.py"), "--parameters", parameters]
    with pytest.raises(PreflightError, match=re.escape(told)):
        CliRunner().invoke(app, asked, catch_exceptions=False)


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"start": 300.0, "stop": 200.0}, "start must not lie above stop"),
        ({"step": 0.0}, "step must be above 0 K, got 30 to 450 degC every 0 K"),
        ({"lithium_content": 3.0}, "lithium_content must be 0 to 1, got 3"),
        ({"ramp": -1.0}, "ramp must be greater than 0 K/min, got -1"),
        ({"exposure": 0.0}, "exposure must be greater than 0 s"),
        ({"oxide": "NMC9"}, "phase 'NMC9' is not known"),
        ({}, "run calibrate_geometry first"),
    ],
)
def test_a_ramp_that_cannot_be_is_refused_before_any_gas_is_let_in(tmp_path, asked, fault):
    held = with_spectroscopy(fake_beamline(tmp_path))
    held.furnace.readback.sim_put(25.0)
    plan = runpy.run_path(str(TOP / "plans" / "heated_cathodes.py"))["plan"](held, **asked)
    with pytest.raises(PreflightError, match=fault):
        next(plan)


def test_a_recipe_that_is_missing_is_told_before_a_beamline_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, ["run", "none.py"])
    assert isinstance(ran.exception, PreflightError)
    assert "recipe none.py" in str(ran.exception)
    assert list(tmp_path.iterdir()) == []
