"""Spectra as measurements of an operando experiment."""

import json

import pytest

from battbeam.devices.fake_spectroscopy import with_spectroscopy
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.conditions import AbsoluteClock
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.experiment.forecast_spectrum import xanes_cost
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.operando import operando
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import multi_edge_xas, spectrum, xanes

#: Thin enough for every edge.
THIN = {**EXAMPLE, "stack": [{"material": "active", "thickness": 0.02}]}
GRID = EnergyGrid.of("Ni K", [Region(-10, 10, 5, 1.0)])
COBALT = EnergyGrid.of("Co K", [Region(-10, 10, 5, 1.0)])


@pytest.fixture
def bench(cycling):
    cycling.potentiostat.passport.sim_put(json.dumps({"passport": THIN}))
    cycling.clock.cycle(cycling.potentiostat, ("constant_current", 2.9e-3, 300.0))
    cycling.potentiostat.state.sim_put("Running")
    return with_spectroscopy(cycling)


def run(bench, engine, measurement, **options):
    rule = Rule(name="clock", when=AbsoluteClock(period=100.0), measure="spectrum")
    engine(
        operando(
            Schedule(rules=(rule,)),
            {"spectrum": measurement},
            potentiostat=bench.potentiostat,
            beam=bench.beam,
            clock=bench.clock,
            **options,
        )
    )


def starts(documents):
    return [start for start in documents.of("start") if start["kind"] == "measurement"]


def test_a_spectrum_is_a_run_of_its_own_that_says_which_rule_wanted_it(bench, engine, documents):
    found = bench.monochromator.bragg.position
    cost = xanes_cost(SiteFacts(), GRID)
    run(bench, engine, spectrum(xanes, GRID, Station.of(bench), cost=cost))
    made = starts(documents)
    assert len(made) >= 3
    assert {start["technique"] for start in made} == {"XANES"}
    assert [start["operando"]["index"] for start in made] == list(range(len(made)))
    assert {start["operando"]["rule"] for start in made} == {"clock"}
    assert bench.monochromator.bragg.position == found
    assert bench.beam.shutter.position == 0


def test_a_spectrum_is_where_the_cell_is_and_at_its_spot_on_it(bench, engine, documents):
    stage, places = bench.sample_stage, []
    bench.beam.shutter.status.subscribe(
        lambda value, **_: places.append((stage.x.position, stage.y.position)) if value else None,
        run=False,
    )
    measurement = spectrum(
        multi_edge_xas, [GRID, COBALT], Station.of(bench), stage=stage, spot=(0.5, -0.25)
    )
    positions = {"cell1": (4.0, 2.0)}
    run(bench, engine, measurement, stage=stage, cell_positions=positions)
    assert set(places) == {(4.5, 1.75)}
    assert (stage.x.position, stage.y.position) == (0.0, 0.0)


def test_a_spectrum_that_is_refused_is_contained(bench, engine, documents):
    broken = EnergyGrid.of("Ni K", [Region(10, -10, 5, 1.0)])
    run(bench, engine, spectrum(xanes, broken, Station.of(bench), cost=Cost(duration=1.0)))
    errors = {event["rules_error"] for event in documents.events("rules")}
    assert any("energies must ascend" in error for error in errors)
    outer = next(start for start in documents.of("start") if start["kind"] == "operando")
    ends = {stop["run_start"]: stop["exit_status"] for stop in documents.of("stop")}
    assert ends[outer["uid"]] == "success"
