"""The demo of nickel-rich cathodes: its hidden cells, the verdict on charges that are made up, and the whole of it."""

import dataclasses
import json
import runpy
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from battbeam.demo.checks import all_passed
from battbeam.demo.ni_rich import OXIDES, RECIPE, NiRichOptions, hidden_truth
from battbeam.demo.ni_rich_outcome import Charge
from battbeam.demo.ni_rich_run import _picture
from battbeam.demo.ni_rich_verdict import judged
from battbeam.demo.verdict import Measured
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.materials import lattice_edges
from battbeam.plots_ni_rich import nickel_rich_charges
from battbeam.session import example_path
from battbeam.sim.cell import HalfCell
from battbeam.sim.fatigue import fatigued_fraction, rest_content
from battbeam.sim.history import History, HistoryWriter
from battbeam.sim.lithium import full_capacity
from battbeam.units import two_theta_from_d_spacing

SEEDS = (1, 2, 3)
STOPPED = 0.25


def scenario(seed=1):
    return hidden_truth(NiRichOptions(seed=seed))


def test_a_demo_that_is_too_fast_for_its_patterns_is_refused():
    with pytest.raises(PreflightError, match="speed must lie in 1 to 75, got 120"):
        NiRichOptions(speed=120).check()


def test_seeds_differ_and_each_is_itself_again():
    assert scenario(1) == scenario(1)
    assert len({scenario(seed).cells for seed in SEEDS}) == len(SEEDS)


def test_the_recipes_protocol_is_right_for_its_cells_and_the_same_for_both():
    recipe = runpy.run_path(str(example_path(RECIPE)))
    assert {cell: name for cell, (name, _) in OXIDES.items()} == recipe["MATERIALS"]
    for cell in recipe["MATERIALS"]:
        believed = CellPassport.read(recipe["passport"](cell))
        assert Protocol.read(recipe["PROTOCOL"]).faults(believed) == []
        assert "while voltage > 4.1 V" in recipe["RULE"].format(cell)


# Charges that are exactly as the truth.


@pytest.fixture(scope="module")
def charges(tmp_path_factory):
    hidden, recipe = scenario(), runpy.run_path(str(example_path(RECIPE)))
    directory = tmp_path_factory.mktemp("charges")
    return tuple(
        charge(hidden.cells[index], name, recipe, directory / f"{name}.jsonl")
        for index, name in enumerate(OXIDES)
    )


def charge(cell, name, recipe, path):
    """A cell's charge by the recipe, each row what the hidden cell says."""
    oxide, current = OXIDES[name][0], full_capacity(cell) * 1e-3
    half, writer, time = HalfCell(cell), HistoryWriter(path), 0.0
    writer.add(time, half)
    steps = ((4.0, {"current": 1.5 * current}), (4.3, {"current": 0.5 * current}))
    for until, control in steps:
        while half.voltage < until:
            half.step(5.0, **control)
            time += 5.0
            writer.add(time, half)
    slow = time
    for _ in range(120):
        half.step(5.0, voltage=4.3)
        time += 5.0
        writer.add(time, half)
    writer.close()
    history = History(path)
    dues = [0.0]
    while dues[-1] < time - 60:
        at = history.at(np.array([dues[-1] + 5.0])).voltage[0]
        dues.append(dues[-1] + (40.0 if at > 4.1 else 200.0))
    state = history.at(np.array(dues) + 10.0)
    rows, truth = rows_of(cell, oxide, state)
    return Charge(
        name=name,
        oxide=oxide,
        start={"protocol": recipe["PROTOCOL"]},
        measured=Measured(rows, truth),
        rules=xr.Dataset({"due": ("time", np.array(dues))}),
        cell=xr.Dataset(),
        history=history,
        current=0.5 * current if slow else np.nan,
    )


class Made:
    """Truth of made up frames, in their order."""

    def __init__(self, columns):
        self.columns = columns

    def column(self, frames, *keys):
        return np.array([self.columns[keys][index] for _, index in frames], dtype=float)


def rows_of(cell, oxide, state):
    share = fatigued_fraction(cell.fatigue, state.cycles)
    content = rest_content(state.lithium_content, share, cell.fatigue)
    held = np.maximum(state.lithium_content, STOPPED)
    others, stopped = (lattice_edges(oxide, x)[:, 1] for x in (content, held))
    angles = [two_theta_from_d_spacing(d_spacing=c / 3, energy=22163.0) for c in (others, stopped)]
    apart = np.abs(angles[0] - angles[1]) > 0.0885
    mean = (1 - share) * others + share * stopped
    rng, n = np.random.default_rng(3), len(content)
    columns = {
        "valid": np.ones(n, dtype=int),
        "frame_file": np.full(n, "frames.h5"),
        "frame_index": np.arange(n),
        "time_start": state.time - 4.0,
        "time_end": state.time + 4.0,
        "voltage": state.voltage,
        "current": state.current,
        "displacement": state.displacement + 5e-3 * rng.normal(size=n),
        "displacement_error": np.full(n, 5e-3),
        # Aluminium is not quite what it was taken for: all rows are off by 5e-4 alike.
        f"lattice_{oxide}_c": np.where(apart, others, mean) + 5e-4 + 3e-4 * rng.normal(size=n),
        f"lattice_{oxide}_c_error": np.full(n, 5e-4),
        f"lattice_{oxide}_c_shared_error": np.full(n, 4e-4),
        f"fatigued_fraction_{oxide}": np.where(apart, share + 1e-3 * rng.normal(size=n), np.nan),
        f"fatigued_fraction_{oxide}_error": np.where(apart, 1e-3, np.nan),
        f"lattice_{oxide}_c_fatigued": np.where(apart, stopped, np.nan),
        f"lattice_{oxide}_c_fatigued_error": np.where(apart, 1e-3, np.nan),
    }
    made = {
        ("beam",): np.ones(n),
        ("displacement",): state.displacement,
        ("voltage_middle",): state.voltage,
        ("lattice", oxide, "c"): others,
        ("fatigued", "lattice", oxide, "c"): stopped,
        ("fatigued", "phase_fraction", oxide): share,
        ("two_theta", oxide, "003"): angles[0],
        ("fatigued", "two_theta", oxide, "003"): angles[1],
    }
    rows = xr.Dataset({name: ("time", values) for name, values in columns.items()})
    return rows.assign_coords(time=state.time), Made(made)


def judge(charges):
    hidden = scenario()
    return judged(charges, hidden.cells, hidden.detector, 4.3)


def failed(charges):
    return [check.name for check in judge(charges) if not check.passed]


def changed(charges, number, **columns):
    """The same charges, one with other columns of its rows."""
    found = list(charges)
    rows = found[number].measured.rows.assign(
        {name: ("time", values) for name, values in columns.items()}
    )
    part = Measured(rows, found[number].measured.truth)
    found[number] = dataclasses.replace(found[number], measured=part)
    return tuple(found)


def test_charges_as_the_truth_has_them_pass(charges):
    assert all_passed(judge(charges)), failed(charges)


def test_c_against_voltage_is_drawn_with_its_collapse(charges, tmp_path):
    drawn = []
    for each in charges:
        time = each.measured.rows["time_start"].to_numpy()
        volts = ("time", each.history.at(time).voltage)
        drawn.append(
            _picture(dataclasses.replace(each, cell=xr.Dataset({"voltage": volts}, {"time": time})))
        )
    poor, rich = drawn
    assert rich.collapse.depth > 5 * poor.collapse.depth
    bare = [dataclasses.replace(each, truth={}) for each in drawn]
    for name, pictures in (("both", drawn), ("bare", bare), ("one", drawn[1:])):
        path = nickel_rich_charges(pictures, path=tmp_path / f"{name}.png", title=name)
        assert path.stat().st_size > 50_000


def test_a_cell_whose_move_was_not_taken_out_fails(charges):
    rows = charges[1].measured.rows
    wrong = rows["lattice_NMC90_c"].to_numpy() + 0.11 * rows["displacement"].to_numpy()
    assert "NMC90: c, worst row (angstrom)" in failed(changed(charges, 1, lattice_NMC90_c=wrong))


def test_a_share_that_is_said_where_lines_do_not_tell_it_fails(charges):
    n = charges[0].measured.rows.sizes["time"]
    said = changed(charges, 0, fatigued_fraction_NMC622=np.full(n, 0.1))
    assert "NMC622: rows that say more than their lines do" in failed(said)


def test_a_share_that_is_wrong_fails(charges):
    share = charges[1].measured.rows["fatigued_fraction_NMC90"].to_numpy() + 0.03
    found = failed(changed(charges, 1, fatigued_fraction_NMC90=share))
    assert "NMC90: share of grains that stopped, worst row" in found


def test_patterns_that_are_not_denser_fail(charges):
    even = xr.Dataset({"due": ("time", np.arange(0.0, 3000.0, 100.0))})
    sparse = (charges[0], dataclasses.replace(charges[1], rules=even))
    assert "NMC90: patterns above 4.1 V, times as dense as below" in failed(sparse)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_every_check_holds(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "battbeam", "demo", "ni-rich", "--seed", "1"]
    done = subprocess.run(
        [*command, "--out", str(out)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("collapse", "share of grains", "displacement", "times as dense", "c, worst row"):
        assert wanted in names
    assert (out / "ni_rich.png").stat().st_size > 50_000
