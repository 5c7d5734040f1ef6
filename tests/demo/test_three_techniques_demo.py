"""The demo of three techniques: its cell, how truth is laid beside tomograms, and the whole of it."""

import json
import runpy
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from battbeam.callbacks.xrd_request import scattering_phases
from battbeam.demo import checks
from battbeam.demo.report import progress_line
from battbeam.demo.three_techniques import RECIPE, ThreeTechniquesOptions, hidden_truth
from battbeam.demo.three_techniques_outcome import (
    TECHNIQUES,
    MeasuredTomogram,
    ThreeOutcome,
    cathode,
)
from battbeam.demo.three_techniques_run import cathode_layer, n_states
from battbeam.demo.three_techniques_verdict import judged
from battbeam.demo.xanes_outcome import Spectra
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.plots_three import ThreePicture, Trend, _legend, three_techniques
from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.xrd import XrdReducer
from battbeam.session import example_path
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.phantom import PhantomState, inside_of, volume_truth
from battbeam.sim.truth import frame_truth

SEEDS = (1, 2, 3)
#: mm.
VOXEL = 0.002
PASSPORT = {"nominal_capacity": 2.8, "electrode_area": 1.767, "initial_state_of_charge": 0.0}


@pytest.fixture(scope="module")
def recipe():
    return runpy.run_path(str(example_path(RECIPE)))


def scenario(seed=1):
    return hidden_truth(ThreeTechniquesOptions(seed=seed))


def test_every_wrong_option_is_named():
    with pytest.raises(PreflightError, match="speed must lie in 1 to 90, got 200") as refused:
        ThreeTechniquesOptions(speed=200, seed=-1).check()
    assert "seed must not be negative" in str(refused.value)


def test_seeds_differ_and_each_is_itself_again():
    assert scenario() == scenario()
    drawn = {(scenario(s).spectroscopy.lag, scenario(s).cells[0].phantom) for s in SEEDS}
    assert len(drawn) == len(SEEDS)


def test_the_protocol_stays_inside_the_passport(recipe):
    believed = CellPassport.read(recipe["PASSPORT"])
    assert Protocol.read(recipe["protocol"]()).faults(believed) == []


def test_the_schedule_names_all_three_at_each_rest_in_their_order(recipe):
    rules = recipe["schedule"]().rules
    assert [rule.name for rule in rules] == ["map", "spectra", "tomogram"]
    assert {rule.coupling for rule in rules} == {"step_then_measure"}
    assert n_states(recipe["protocol"]()) == 1 + len(recipe["STEPS"])


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_believed_of_the_cell_is_little_beside_the_truth(recipe, seed):
    (cell, *_), believed = scenario(seed).cells, recipe["PASSPORT"]
    mass = cell.active_loading * cell.electrode_area
    assert believed["active_mass"] == pytest.approx(mass, rel=0.01)
    assert believed["initial_lithium_content"] == pytest.approx(
        cell.initial_lithium_content, abs=0.02
    )
    layers = [each["material"] for each in believed["stack"]]
    assert layers == [sheet.material for sheet in cell.phantom.layers]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("content", [0.97, 0.3])
def test_cathode_and_plated_lithium_are_found_in_a_volume_without_noise(seed, content):
    hidden = scenario(seed)
    cell, layer = hidden.cells[0], cathode_layer(hidden)
    charge = (cell.initial_lithium_content - content) * 2.2 * 1.767
    state = PhantomState.of(cell, lithium_content=content, charge=charge)
    sizes = inside_of(hidden, state).sizes
    volume = volume_truth(hidden, state, energy=22163.0, shape=(4, 256, 64), voxel=VOXEL)
    found = cathode(volume, VOXEL)
    # Either end lies on a straight line between voxels, which sharp edges are not: a tenth of one.
    assert found.mean == pytest.approx(sizes["thickness"][layer], abs=VOXEL / 5)
    begin = float(np.nanmean(found.start)) - 128 * VOXEL
    assert begin == pytest.approx(sizes["begin"][layer], abs=VOXEL / 5)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """Frames of the demo's cell without noise, and the geometry that the standard's give.

    Pixels are twice as wide as the demo's: a quarter of the work, and the same angles.
    """
    whole = scenario(2)
    detector = whole.detector.model_copy(
        update={
            "n_rows": 256,
            "n_columns": 256,
            "pixel_size": whole.detector.pixel_size * 2,
            "centre_row": whole.detector.centre_row / 2,
            "centre_column": whole.detector.centre_column / 2,
        }
    )
    hidden = whole.model_copy(update={"detector": detector})
    model, directory = FrameModel(hidden), tmp_path_factory.mktemp("calibration")
    standard = exposed(model, hidden.standard_position, content=0.5)[1].photons
    guess = GeometryGuess(
        detector.distance,
        (detector.centre_row, detector.centre_column),
        (detector.pixel_size, detector.pixel_size),
        hidden.beam.energy,
    )
    found = calibrate_geometry(standard, calibrant=hidden.standard, guess=guess, time=0.0)
    files = directory / "detector.poni", directory / "detector.json"
    found.write(*files)
    return model, files


def exposed(model, position, *, content):
    exposure = Exposure(
        0.0, 12.0, *position, model.scenario.beam.energy, Instants(np.arange(2.0), np.full(2, 2e9))
    )
    return exposure, model.expected(exposure, lambda times: np.full(len(times), content))


def off(calibrated, stack, recipe, content):
    """By how many parts in a million a and c come out too long."""
    model, files = calibrated
    passport = CellPassport.read({**recipe["PASSPORT"], "stack": stack})
    phases = [{"phase": name} for name in recipe["PHASES"]]
    listed = scattering_phases(phases, passport, model.scenario.beam.energy)
    reducer = XrdReducer(*files, listed, shape=(256, 256))
    exposure, expected = exposed(model, (0.0, 0.0), content=content)
    result = reducer.reduce(expected.photons, monitor=4e7, transmission=expected.transmission)
    true = frame_truth(exposure, expected, model.scenario, None)["lattice"]["NMC811"]
    found = result.phases["NMC811"].lattice
    return {edge: (found[edge] / true[edge] - 1) * 1e6 for edge in "ac"}


@pytest.mark.acceptance
def test_lattices_without_noise_are_true_where_all_layers_are_believed_to_lie(calibrated, recipe):
    stack = recipe["PASSPORT"]["stack"]
    # A fifth of what counting leaves open in one pattern of the demo, 7 and 10 millionths.
    assert off(calibrated, stack, recipe, 0.78) == pytest.approx({"a": 0, "c": 0}, abs=1.4)
    # Lithium and collector in the electrode's own plane: their lines, drawn beside where they
    # are, push those of the cathode that they overlap; in all patterns alike.
    wrong = off(calibrated, [{**layer, "depth": 0.0} for layer in stack], recipe, 0.78)
    assert wrong["a"] > 2.8
    assert wrong["c"] < -2.1


def tomogram(*, thickness=0.03, begin=0.09, charge=0.0):
    """One whose truth is a cathode of 30 um that begins at 90 um, and 0.5 C/cm2 more at its end."""
    lines = tuple(
        {
            "exposure_start": float(number),
            "exposure_end": number + 1.0,
            "axis": 129.0,
            "areal_charge": charge + 0.25 * number,
            "sizes": {"begin": [0.0, 0.09], "thickness": [0.09, 0.03]},
        }
        for number in range(3)
    )
    row = {
        "valid": 1,
        "time_start": 0.0,
        "time_end": 3.0,
        "axis": 129.1,
        "state_of_charge": (charge + 0.25) * 1.767 / 3.6 / 2.8,
    }
    return MeasuredTomogram(row, xr.DataArray(np.zeros((2, 2))), lines, thickness, begin)


def test_the_truth_of_a_tomogram_is_that_of_its_middle():
    made = tomogram()
    assert made.true_size("thickness", 1) == 0.03
    assert made.true_charge(1.767) == pytest.approx(0.25 * 1.767 / 3.6)


def outcome(*tomograms, order=TECHNIQUES, energies=(22163.0, 22163.0)):
    return ThreeOutcome((), Spectra([]), tomograms, order, np.array(energies), xr.Dataset())


def verdict(left, **put_back):
    found = judged(left, PASSPORT, n_states=1, layer=1, put_back=put_back)
    return {check.name: check.passed for check in found}


@pytest.mark.parametrize(
    ("left", "put_back", "name"),
    [
        (outcome(tomogram(thickness=0.0306)), {}, "thickness of the cathode, worst tomogram (mm)"),
        (outcome(tomogram(), tomogram(begin=0.0906)), {}, "plated lithium, worst tomogram (mm)"),
        (outcome(order=TECHNIQUES[::-1]), {}, "runs in its order: map, spectra, tomogram"),
        (outcome(order=TECHNIQUES[:2]), {}, "runs, of those that the schedule asks for"),
        (
            outcome(energies=(22163.0, 8333.0)),
            {},
            "energy put back for maps and tomograms (eV)",
        ),
        (outcome(), {"x": (0.0, 19.0)}, "instruments not put back"),
    ],
)
def test_what_is_wrong_fails_its_check(left, put_back, name):
    assert verdict(outcome(tomogram(), tomogram()), x=(0.0, 0.0))[name]
    assert not verdict(left, **put_back)[name]


def test_a_state_of_charge_beside_the_axis_fails():
    late = tomogram()
    late.row["state_of_charge"] += 2 * checks.STATE_OF_CHARGE
    assert verdict(outcome(tomogram()))["state of charge of all three techniques"]
    assert not verdict(outcome(late))["state of charge of all three techniques"]


def test_progress_says_when_a_cell_is_kept_and_not_that_it_is_calibrated():
    def line(**reading):
        values = {"step_type": "", "voltage": 3.9, "charge": 1.2, "state": "", **reading}
        cell = SimpleNamespace(
            cell_reading=lambda now: SimpleNamespace(**values),
            expected_end=SimpleNamespace(value_now=lambda: np.nan),
        )
        clock = SimpleNamespace(now=lambda: 0.0, rate=60.0)
        return progress_line(SimpleNamespace(clock=clock, potentiostats={"cell1": cell}))

    assert line(state="Unmounted") == "calibrating"
    assert line(state="OpenCircuit") == "cell1: at open circuit, 3.900 V, +1.200 mAh"
    assert line(state="Running", step_type="open_circuit_voltage").startswith("cell1: rest")


def test_the_picture_is_drawn_of_what_little_there_is(tmp_path):
    charge, nothing = np.array([0.0, 0.5]), np.array([])
    trend = Trend("c (Å)", charge, charge + 14.2, charge * 0 + 0.01, nothing)
    grid = {"x": [-1.0, 1.0], "y": [-1.0, 1.0]}
    square = xr.Dataset(
        {"value": (("y", "x"), np.array([[14.2, 14.3], [14.2, np.nan]]))},
        grid,
        {"state_of_charge": 0.5},
    )
    row = {
        "state_of_charge": 0.5,
        "edge_position": 8344.0,
        "energy": np.linspace(8300, 8400, 50),
        "normalized_absorbance": np.linspace(0, 1, 50),
    }
    axis = np.linspace(-0.2, 0.2, 20)
    seen = xr.DataArray(
        np.ones((20, 20)), {"z": axis, "x": axis}, ("z", "x"), attrs={"state_of_charge": 0.5}
    )
    drawn = ThreePicture(
        [(trend, trend), (trend, None), (trend, trend)], [square], [row], [seen], [(0.09, 0.12)]
    )
    path = three_techniques(drawn, path=tmp_path / "picture.png", title="three")
    assert path.stat().st_size > 30_000


@pytest.mark.parametrize("has_truth", [True, False])
def test_hidden_truth_is_in_the_legend_only_where_there_is_one(has_truth):
    axes = Figure().subplots()
    _legend(axes, has_truth)
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["charge", "discharge", *["hidden truth"] * has_truth]


@pytest.mark.ioc
@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2])
def test_every_check_holds(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "battbeam", "demo", "three-techniques", "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("NMC811 c", "Ni valence", "plated lithium", "energy put back", "in its order"):
        assert wanted in names
    assert np.isfinite([check["recovered"] for check in result["checks"]]).all()
    assert (out / "three_techniques.png").stat().st_size > 100_000
