"""The demo of plating: its cell, how maps are judged, and the whole of it."""

import dataclasses
import json
import math
import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from battbeam.demo.checks import all_passed
from battbeam.demo.plating import N_CYCLES, RECIPE, PlatingDemoOptions, hidden_truth
from battbeam.demo.plating_outcome import PlatingOutcome
from battbeam.demo.plating_run import believed, draw, together
from battbeam.demo.plating_verdict import judged
from battbeam.demo.truth import Truth
from battbeam.demo.verdict import Measured
from battbeam.errors import PreflightError
from battbeam.experiment.protocol import Protocol
from battbeam.plots_maps import _image, shown_cycles
from battbeam.processes import ONE_THREAD
from battbeam.reduction.inventory import capacity_of
from battbeam.session import example_path
from battbeam.sim.cell import HalfCell
from battbeam.sim.graphite import local_content
from battbeam.sim.history import HiddenState
from battbeam.sim.lithium import full_capacity, local_lithium_content
from battbeam.sim.plating import spread

SEEDS = range(1, 9)
PASSPORT = believed(example_path(RECIPE))
AXIS = np.linspace(-5, 5, 11)
N_MAPS = 2 * N_CYCLES + 1
ERRORS = {
    "plated_areal_capacity": 0.035,
    "lithium_content_counter": 5e-4,
    "lithium_content_xray": 5e-4,
}


def scenario(seed=1):
    return hidden_truth(PlatingDemoOptions(seed=seed))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"speed": 500.0}, "speed must lie in 1 to 240, got 500"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_what_no_demo_can_do_is_refused(asked, told):
    with pytest.raises(PreflightError, match=told):
        PlatingDemoOptions(**asked).check()


@pytest.mark.parametrize("seed", SEEDS)
def test_spots_of_metal_end_within_the_map_and_the_cell_is_as_believed(seed):
    (cell,) = scenario(seed).cells
    for spot in cell.plating.spots:
        assert max(abs(spot.x), abs(spot.y)) + spot.radius <= 5.0
    assert full_capacity(cell) == pytest.approx(PASSPORT.theoretical_capacity, rel=0.005)
    assert cell.electrode_area == pytest.approx(PASSPORT.electrode_area, rel=1e-3)
    layers = [(layer.material, layer.depth) for layer in scenario(seed).stack]
    for (material, depth), layer in zip(layers, PASSPORT.stack, strict=True):
        assert (material, depth) == (layer.material, pytest.approx(layer.depth, abs=1e-6))


def test_seeds_differ_and_each_is_itself_again():
    assert scenario(1) == scenario(1)
    assert len({scenario(seed).cells[0] for seed in SEEDS}) == len(SEEDS)


def test_every_rest_of_the_recipe_keeps_its_map():
    recipe = runpy.run_path(str(example_path(RECIPE)))
    protocol = recipe["protocol"](N_CYCLES)
    assert Protocol.read(protocol).faults(PASSPORT) == []
    rests = [step for step in protocol["method"] if step["step"] == "open_circuit_voltage"]
    assert len(rests) == N_MAPS
    (rule,) = recipe["schedule"]().rules
    assert rule.coupling == "step_then_measure"


# An outcome that is as the truth, but for the noise of its errors.


def hidden_course(cell):
    """The hidden cell before the first charge and after each half cycle."""
    half, looks = HalfCell(cell), []

    def look():
        looks.append(
            {
                "time": half.age,
                "lithium_content": half.lithium_content,
                "counter_content": half.counter_lithium_content,
                "charge": half.charge / 3.6,
                "cycles": half.cycles,
                "plated": half.metal.plated / 3.6,
                "dead": half.metal.dead / 3.6,
            }
        )

    look()
    for _ in range(N_CYCLES):
        for sign, stop in ((1, 4.2), (-1, 2.8)):
            while (half.voltage - stop) * sign < 0:
                half.step(15.0, current=sign * 0.0124)
            half.step(300.0, current=0.0)
            look()
    names = list(HiddenState.__dataclass_fields__)
    return HiddenState(
        *(np.array([each.get(name, 0.0) for each in looks], dtype=float) for name in names)
    )


def made_up(tmp_path, seed=1, noise=1.0):
    """Maps of 121 points, their truth beside them."""
    (cell,) = scenario(seed).cells
    hidden, rng = hidden_course(cell), np.random.default_rng(seed)
    x, y = (each.ravel() for each in np.meshgrid(AXIS, AXIS))
    x = x.reshape(11, 11)
    x[1::2] = x[1::2, ::-1]
    x, lines, maps = x.ravel(), [], []
    for number in range(N_MAPS):
        metal = hidden.metal[number] / cell.electrode_area * spread(x, y, cell)
        true = {
            "plated_areal_capacity": metal,
            "lithium_content_counter": local_content(
                hidden.counter_content[number], 0.0, x, y, 0.0, cell
            ),
            "lithium_content_xray": local_lithium_content(
                hidden.lithium_content[number], x, y, 0.0, cell
            ),
        }
        columns = {
            name: each + noise * ERRORS[name] * rng.normal(size=121) for name, each in true.items()
        }
        columns |= {f"{name}_error": np.full(121, error) for name, error in ERRORS.items()}
        columns |= {
            "point": np.arange(121),
            "valid": np.ones(121, dtype=int),
            "capacity": np.full(121, hidden.charge[number]),
            "active_amount": np.ones(121),
            "counter_amount": np.full(121, cell.counter.capacity_ratio),
            "sample_stage_x": x,
            "sample_stage_y": y,
            "time_start": hidden.time[number] + np.arange(121.0),
            "frame_index": np.arange(121),
            "frame_file": np.array([f"map_{number}.h5"] * 121),
        }
        maps.append({name: ("time", each) for name, each in columns.items()})
        for index in range(121):
            lines.append(
                {
                    "file": f"map_{number}.h5",
                    "index": index,
                    "areal_moles": {"Li": metal[index] / capacity_of(1.0)},
                    "lithium_content_counter": true["lithium_content_counter"][index],
                    "lithium_content": true["lithium_content_xray"][index],
                }
            )
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    truth = Truth(path)
    start = np.array([0.0, 1.0])
    return cell, PlatingOutcome(
        maps=tuple(Measured(xr.Dataset(each), truth) for each in maps),
        cell=xr.Dataset({"voltage": ("time", np.array([3.0, 4.0]))}, {"time": start}),
        hidden=hidden,
        course=hidden,
    )


def verdict(cell, outcome):
    return judged(outcome, cell, whole=together(outcome, PASSPORT), n_maps=N_MAPS, n_points=121)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_outcome_as_the_truth_passes(tmp_path, seed):
    found = verdict(*made_up(tmp_path, seed))
    assert all_passed(found), [check for check in found if not check.passed]


def changed(outcome, number, **columns):
    """With columns of one map, or of all, made by functions of what they were."""
    maps = list(outcome.maps)
    for k in range(len(maps)) if number is None else [number]:
        rows = maps[k].rows.copy(deep=True)
        for name, change in columns.items():
            rows[name] = ("time", change(rows[name].to_numpy()))
        maps[k] = Measured(rows, maps[k].truth)
    return dataclasses.replace(outcome, maps=tuple(maps))


def moved(values):
    return np.roll(values, 14)


WRONG = {
    "maps with each": lambda o: changed(o, 2, point=lambda p: np.where(p == 7, 6, p)),
    "reduced rows": lambda o: dataclasses.replace(o, maps=o.maps[:-1]),
    "valid patterns": lambda o: changed(o, 1, valid=lambda v: np.where(np.arange(121) == 3, 0, v)),
    "lithium metal of a pixel (mAh/cm2), worst": lambda o: changed(
        o, 3, plated_areal_capacity=lambda p: p + 0.3 * (np.arange(121) == 60)
    ),
    "lithium metal of a pixel (mAh/cm2): spread": lambda o: changed(
        o, None, plated_areal_capacity_error=lambda e: 2 * e
    ),
    "lithium in graphite, y in LiyC6, worst": lambda o: changed(
        o, 3, lithium_content_counter=lambda y: y + 0.006
    ),
    "lithium in the cathode": lambda o: changed(o, 3, lithium_content_xray=lambda x: x + 0.006),
    "lithium metal in the cell": lambda o: changed(o, 5, plated_areal_capacity=lambda p: 1.07 * p),
    "r of the metal's map": lambda o: changed(o, 5, plated_areal_capacity=moved),
    "r of the metal with": lambda o: changed(o, 5, lithium_content_counter=lambda y: -y),
    "decay of the stripping": lambda o: changed(o, 6, plated_areal_capacity=lambda p: 0.8 * p),
    "lithium missing": lambda o: changed(o, None, counter_amount=lambda c: 0.95 * c),
    "charge that took no": lambda o: changed(o, 4, capacity=lambda c: c + 0.25),
    "charge that brought none": lambda o: changed(o, 4, capacity=lambda c: c + 0.25),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_fails_in_the_check_of_its_name(tmp_path, name):
    cell, outcome = made_up(tmp_path)
    failed = [check.name for check in verdict(cell, WRONG[name](outcome)) if not check.passed]
    assert [each for each in failed if each.startswith(name)], failed


def test_nothing_measured_passes_nothing(tmp_path):
    cell, outcome = made_up(tmp_path)
    assert not all_passed(verdict(cell, dataclasses.replace(outcome, maps=())))


@pytest.mark.parametrize("n_cycles", [1, N_CYCLES])
def test_the_picture_is_drawn_of_any_number_of_cycles(tmp_path, n_cycles):
    """One cycle shows no law: what there is is drawn without it."""
    _, outcome = made_up(tmp_path)
    few = dataclasses.replace(outcome, maps=outcome.maps[: 2 * n_cycles + 1])
    assert draw(tmp_path, few, PASSPORT).stat().st_size > 100_000


@pytest.mark.parametrize("n_cycles", [1, 3, 6, 7, 12, 40])
def test_of_many_cycles_the_first_the_last_and_some_between_are_shown(n_cycles):
    shown = shown_cycles(n_cycles)
    assert (shown[0], shown[-1]) == (1, n_cycles)
    assert len(shown) == len(set(shown)) == min(n_cycles, 6)
    assert np.ptp(np.diff(shown)) <= 1 if n_cycles > 2 else True


def test_a_pixel_that_is_not_known_has_no_colour_of_the_scale(tmp_path):
    _, outcome = made_up(tmp_path)
    lost = changed(outcome, 5, valid=lambda v: np.where(np.arange(121) == 60, 0, v))
    shown = together(lost, PASSPORT).over_lithiation[5]
    for colours in ("PuOr_r", "inferno"):
        axes = Figure().subplots()
        image = _image(axes, shown, cmap=colours)
        drawn = image.to_rgba(image.get_array())
        assert drawn[5, 5, 3] == 0
        behind = np.array(axes.get_facecolor())[:3]
        scale = image.get_cmap()(np.linspace(0, 1, 256))[:, :3]
        assert np.abs(scale - behind).max(axis=1).min() > 0.1


@pytest.mark.ioc
@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2])
def test_every_check_holds(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "battbeam", "demo", "plating"]
    done = subprocess.run(
        [*command, "--seed", str(seed), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, **ONE_THREAD},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("metal", "graphite", "pull", "decay", "missing", "r of the metal"):
        assert wanted in names
    assert all(math.isfinite(check["recovered"]) for check in result["checks"])
    assert (out / "plating_maps.png").stat().st_size > 150_000
