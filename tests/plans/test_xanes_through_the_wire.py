"""Spectra through the wire: what was counted is what the hidden cell lets through."""

import json

import numpy as np
import pytest

from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import quick_xanes, xanes
from battbeam.session import Session
from battbeam.sim.scenario_spectroscopy import Spectroscopy
from tests.rows.wire import events

pytestmark = pytest.mark.ioc

#: Where no other test looks, mm.
SPOT = (-3.6, 2.2)
GRID = EnergyGrid.of("Fe K", [Region(-30, -10, 10, 1.0), Region(-10, 20, 5, 1.0)])
#: Of the chambers, as the simulation has them where a scenario does not say otherwise.
CHAMBERS = Spectroscopy()
#: Share of photons of three times the energy, of which the cell lets nearly all through, and by how
#: much more than that they may be: they are absorbed less in the chambers too.
HARMONICS = 1.5 * CHAMBERS.harmonics


def truth_of(session, kind):
    """By the end of the count or sweep."""
    path = session.connection.directory / "sim" / "truth.jsonl"
    found = map(json.loads, path.read_text().splitlines())
    return {line["end"]: line for line in found if kind in line}


def absorbance(i0, it, dark, dwell):
    """From counts behind amplifiers at one gain; the chambers' efficiencies divided out."""
    before = (np.asarray(i0) - dark["counters_i0"] / dark["dwell"] * dwell) / CHAMBERS.i0_efficiency
    behind = np.asarray(it) - dark["counters_it"] / dark["dwell"] * dwell
    return np.log(before * CHAMBERS.transmission_efficiency / behind), np.sqrt(1 / behind)


def place(stage: SampleStage):
    return [(stage.x, SPOT[0]), (stage.y, SPOT[1])]


def test_steps_and_sweeps_through_an_edge_count_what_the_cell_lets_through(connection):
    with Session(connection) as session:
        b = session.beamline
        found = b.monochromator.position
        # The passport's can is too thick for this edge in transmission: nobody is told of it.
        station = Station.of(b, potentiostat=None)
        here = place(b.sample_stage)
        (stepped,) = session.run(xanes(GRID, station, positions=here, require_foil=True))
        (swept,) = session.run(
            quick_xanes(
                "Fe K",
                station,
                duration=4.0,
                ends=(-40.0, 40.0),
                n_samples=80,
                positions=here,
                repeats=Repeats(n_max=2),
            )
        )
        assert b.beam.shutter.position == 0
        assert b.monochromator.position == pytest.approx(found, abs=0.02)
        assert b.foil.position == ""
        assert b.dose_meter.ledger.unsettled() == ()
        check_steps(session, stepped)
        check_sweeps(session, swept)


def check_steps(session, uid):
    truth, (dark,) = truth_of(session, "count"), events(session, uid, "dark")
    assert (dark["shutter"], dark["fault"], truth[dark["counters_stamp"]]["in_beam"]) == (
        0,
        "",
        "dark",
    )
    points = events(session, uid, "primary")
    assert [point["energy"] for point in points] == GRID.energies.tolist()
    for point in points:
        assert (point["shutter"], point["fault"], point["beam_lost"]) == (1, "", "")
        assert point["monochromator_energy"] == pytest.approx(point["energy"], abs=0.02)
        true = truth[point["counters_stamp"]]
        assert true["foil"] == "Fe"
        assert true["end"] - true["start"] == pytest.approx(point["dwell"], abs=1e-6)
        measured, error = absorbance(point["counters_i0"], point["counters_it"], dark, 1.0)
        off = abs(measured - true["absorbance"])
        assert off < 5 * error + HARMONICS * np.exp(true["absorbance"])
    (end,) = events(session, uid, "spectra")
    assert end["n_points"] == len(GRID)
    assert end["photons"] > 0


def check_sweeps(session, uid):
    truth, (dark,) = truth_of(session, "sweep"), events(session, uid, "dark")
    up, down = events(session, uid, "primary")
    for sweep, direction in ((up, 1), (down, -1)):
        assert (sweep["sweep_direction"], sweep["fault"], sweep["shutter"]) == (direction, "", 1)
        true = truth[sweep["sweep_stamp_end"]]
        assert len(sweep["sweep_i0"]) == len(true["energy"]) == 80
        assert np.all(np.diff(sweep["sweep_bragg"]) * direction < 0)
        measured, error = absorbance(sweep["sweep_i0"], sweep["sweep_it"], dark, sweep["dwell"])
        expected = np.array(true["absorbance"])
        off = np.abs(measured - expected)
        assert np.all(off < 5 * error + HARMONICS * np.exp(expected))
