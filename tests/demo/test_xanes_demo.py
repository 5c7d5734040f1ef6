"""The demo of spectra: its cell and grids, how truth is laid beside spectra, and the whole of it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from battbeam.demo.xanes import (
    COMPOUNDS,
    XanesDemoOptions,
    hidden_truth,
    oxidation_states,
    passport,
    protocol,
)
from battbeam.demo.xanes_experiment import (
    COBALT,
    EXAFS,
    K_MAX,
    K_RANGE,
    NICKEL,
    far_behind,
    near_edge,
    schedule,
)
from battbeam.demo.xanes_outcome import MeasuredSpectrum, Spectra
from battbeam.errors import PreflightError
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.forecast_spectrum import EdgeAbsorption
from battbeam.experiment.protocol import Protocol
from battbeam.reduction.exafs_reducer import ExafsRequest

SEEDS = (1, 2, 3)


def scenario(seed):
    return hidden_truth(XanesDemoOptions(seed=seed))


def test_a_demo_that_is_too_fast_for_steps_is_refused():
    with pytest.raises(PreflightError, match="speed must lie in 1 to 90, got 200"):
        XanesDemoOptions(speed=200).check()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_protocol_is_right_for_the_cell_and_light_comes_through_it(seed):
    believed = CellPassport.read(passport(XanesDemoOptions(seed=seed), scenario(seed)))
    assert Protocol.read(protocol()).faults(believed) == []
    for edge in (NICKEL, COBALT):
        found = EdgeAbsorption.of(believed, AbsorptionEdge.of(edge))
        assert found.faults(believed, "transmission") == []


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_chemist_knows_of_the_compounds_follows_from_charges_that_add_up(seed):
    made = scenario(seed)
    for name, cell in zip(COMPOUNDS, made.cells[1:], strict=True):
        lithium = cell.initial_lithium_content
        # Li + 0.8 Ni + 0.1 Mn4+ + 0.1 Co3+ against two O2-.
        nickel = (4 - lithium - 0.4 - 0.3) / 0.8
        assert oxidation_states(made)[name] == pytest.approx(nickel, abs=1e-4)


def test_seeds_differ_and_each_is_itself_again():
    assert scenario(1) == scenario(1)
    drawn = {(scenario(s).spectroscopy.lag, scenario(s).cells[0].resistance) for s in SEEDS}
    assert len(drawn) == len(SEEDS)


def test_the_grids_are_sound_and_reach_as_far_as_the_exafs_asks():
    for grid in (near_edge(NICKEL), near_edge(COBALT, step=1.0), far_behind(NICKEL)):
        assert grid.faults() == []
    assert K_RANGE[1] < K_MAX
    request = ExafsRequest.read(EXAFS, "Ni")
    assert [shell.label for shell in request.shells] == ["O", "metal"]


def test_scans_keep_the_rest_that_they_are_made_in():
    kept = {rule.name for rule in schedule().rules if rule.coupling == "step_then_measure"}
    assert kept == {"scan at start", "scan at rest"}


def step_lines():
    """Three counts a second apart; the encoder is 0.5 eV too high."""
    for number, energy in enumerate((8320.0, 8333.0, 8345.0)):
        yield {
            "start": float(number),
            "end": number + 1.0,
            "energy": energy,
            "nominal_energy": energy + 0.5,
            "edge_position": 8344.0,
            "valence": 3.0,
            "charge_start": 0.1 * number,
            "charge_end": 0.1 * (number + 1),
            "shells": [{"neighbour": "O", "distance": 1.9 + 0.03 * number}],
        }


def test_the_truth_of_a_scan_is_that_of_its_counts():
    row = {"direction": 0, "time_start": 0.0, "time_end": 3.0}
    scan = MeasuredSpectrum(row, tuple(step_lines()))
    assert scan.true_edge["energy"] == 8345.0
    assert scan.true_shift(8333.0) == pytest.approx(-0.5)
    assert scan.true_charge() == pytest.approx((0.0, 0.15, 0.3))
    assert scan.true_distance("O") == pytest.approx(1.93)


@pytest.mark.parametrize("direction", [1, -1])
def test_the_lag_of_a_sweep_is_no_error_of_the_monochromator(direction):
    # 40 eV in 2 s, counters 10 ms behind: they see 0.2 eV less far.
    n, lag, speed = 200, 0.01, 20.0 * direction
    read = 8333.0 + speed * (np.arange(n) / 100 - 1)
    line = {
        "start": 0.0,
        "end": 2.0,
        "lag": lag,
        "energy": (read - speed * lag - 0.5).tolist(),
        "nominal_energy": read.tolist(),
    }
    swept = MeasuredSpectrum({"direction": direction, "time_start": 0.0, "time_end": 2.0}, (line,))
    assert swept.true_shift(8333.0) == pytest.approx(-0.5, abs=1e-9)


def test_spectra_are_in_the_order_of_time_and_chosen_by_their_rows():
    rows = [{"time_start": t, "direction": d, "edge": e} for t, d, e in ((2, 1, "a"), (1, 0, "b"))]
    both = Spectra(MeasuredSpectrum(row, ()) for row in rows)
    assert both.of("time_start").tolist() == [1, 2]
    assert len(both.where(edge="a").swept) == 1
    assert len(both.stepped) == 1


@pytest.mark.ioc
@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2])
def test_every_check_holds(tmp_path, seed):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "battbeam", "demo", "xanes", "--seed", str(seed)]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("Ni edge", "Ni valence", "Co edge", "Ni-O distance", "energy scale", "lag"):
        assert wanted in names
    assert np.isfinite([check["recovered"] for check in result["checks"]]).all()
    assert (out / "operando_xanes.png").stat().st_size > 50_000
