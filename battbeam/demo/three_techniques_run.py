"""This file is where the demo of three techniques is put together: one cell, three kinds of measurement, one axis."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import samples_kept
from battbeam.demo.checks import Check
from battbeam.demo.show import Demo, show
from battbeam.demo.three_techniques import (
    CATHODE,
    RECIPE,
    ThreeTechniquesOptions,
    hidden_truth,
)
from battbeam.demo.three_techniques_experiment import prepare
from battbeam.demo.three_techniques_outcome import ThreeOutcome, read
from battbeam.demo.three_techniques_verdict import judged
from battbeam.demo.verdict import Measured
from battbeam.devices.beamline import Beamline
from battbeam.plots_three import ThreePicture, Trend, three_techniques
from battbeam.session import Session, example_path
from battbeam.sim.scenario import Scenario
from battbeam.sim.scenario_phantom import Coin


def run_three_techniques_demo(
    options: ThreeTechniquesOptions, console: Console | None = None
) -> bool:
    """Run the demo and say whether every check holds.

    Raises:
        PreflightError: For options that cannot work.
    """
    options.check()
    scenario = hidden_truth(options)
    recipe = runpy.run_path(str(example_path(RECIPE)))
    put_back: dict[str, tuple[float, float]] = {}

    def judge(connection: Connection, outcome: ThreeOutcome) -> list[Check]:
        found = judged(
            outcome,
            recipe["PASSPORT"],
            n_states=n_states(recipe["protocol"]()),
            layer=cathode_layer(scenario),
            put_back=put_back,
        )
        return found + samples_kept(connection, [outcome.cell])

    demo = Demo(
        options=options,
        about="NMC811 cell: diffraction maps, Ni spectra, tomograms",
        scenario=scenario,
        measure=lambda session: _measure(session, scenario, put_back),
        read=read,
        judge=judge,
        draw=lambda outcome: draw(options.out, outcome, cathode_layer(scenario)),
    )
    return show(demo, console)


def n_states(protocol: Mapping[str, Any]) -> int:
    """Rests of a protocol: in each the cell is measured."""
    return sum(step["step"] == "open_circuit_voltage" for step in protocol["method"])


def cathode_layer(scenario: Scenario) -> int:
    """Which of the phantom's layers is the cathode."""
    phantom = scenario.cells[0].phantom
    layers = phantom.layers if isinstance(phantom, Coin) else ()
    return [sheet.material for sheet in layers].index(CATHODE)


def _measure(session: Session, scenario: Scenario, put_back: dict[str, tuple[float, float]]) -> str:
    """Calibrate, then the recipe; the uid of the experiment."""
    prepare(session, scenario)
    before = _places(session.beamline)
    uid = session.run_recipe(example_path(RECIPE))[0]
    after = _places(session.beamline)
    put_back |= {name: (place, after[name]) for name, place in before.items()}
    return uid


def _places(beamline: Beamline) -> dict[str, float]:
    """How what was moved stands."""
    stage = beamline.sample_stage
    return {
        "energy": beamline.monochromator.position,
        "x": stage.x.position,
        "y": stage.y.position,
        "rotation": beamline.rotation_stage.position,
        "shutter": float(beamline.beam.shutter.position),
    }


def draw(out: Path, outcome: ThreeOutcome, layer: int) -> Path:
    """The picture; its path."""
    tomograms = [each for each in outcome.tomograms if each.row["valid"]]
    return three_techniques(
        ThreePicture(
            trends=[_lattice(outcome), _nickel(outcome), _layers(outcome, layer)],
            maps=[_map(each.valid) for each in outcome.maps],
            spectra=[each.row for each in outcome.spectra.where(valid=1).spectra],
            slices=[each.seen for each in tomograms],
            cathodes=[(each.begin, each.begin + each.thickness) for each in tomograms],
        ),
        path=out / "three_techniques.png",
        title="One NMC811 cell, three techniques, one axis of state of charge; simulated",
    )


def _lattice(outcome: ThreeOutcome) -> tuple[Trend, Trend]:
    """Means of the maps; the error bar is what differs within one."""

    def edge(name: str) -> Trend:
        valid, column = [each.valid for each in outcome.maps], f"lattice_NMC811_{name}"
        return Trend(
            f"{name} (Å)",
            np.array([each.of("state_of_charge").mean() for each in valid]),
            np.array([each.of(column).mean() for each in valid]),
            np.array([each.of(column).std() for each in valid]),
            np.array([each.true("lattice", "NMC811", name).mean() for each in valid]),
        )

    return edge("c"), edge("a")


def _nickel(outcome: ThreeOutcome) -> tuple[Trend, None]:
    nickel = outcome.spectra.where(valid=1)
    trend = Trend(
        "valence of Ni",
        nickel.of("state_of_charge"),
        nickel.of("oxidation_state"),
        nickel.of("oxidation_state_error"),
        nickel.true("valence"),
    )
    return trend, None


def _layers(outcome: ThreeOutcome, layer: int) -> tuple[Trend, Trend]:
    tomograms = [each for each in outcome.tomograms if each.row["valid"]]
    charge = np.array([each.row["state_of_charge"] for each in tomograms], dtype=float)
    unknown = np.full(len(charge), np.nan)
    thick = np.array([[each.thickness, each.true_size("thickness", layer)] for each in tomograms])
    begin = np.array([[each.begin, each.true_size("begin", layer)] for each in tomograms])
    plated, thick = (begin - begin[0]) * 1e3, thick * 1e3
    return (
        Trend("plated lithium (µm)", charge, plated[:, 0], unknown, plated[:, 1]),
        Trend("thickness of the cathode (µm)", charge, thick[:, 0], unknown, thick[:, 1]),
    )


def _map(measured: Measured) -> xr.Dataset:
    """c over the grid of a map; NaN where no pattern is valid."""
    places = [np.round(measured.of(f"sample_stage_{axis}"), 3) for axis in "xy"]
    x, y = (np.unique(each) for each in places)
    value = np.full((len(y), len(x)), np.nan)
    column, row = (np.searchsorted(axis, each) for axis, each in zip((x, y), places, strict=True))
    value[row, column] = measured.of("lattice_NMC811_c")
    charge = float(measured.of("state_of_charge").mean())
    return xr.Dataset({"value": (("y", "x"), value)}, {"x": x, "y": y}, {"state_of_charge": charge})
