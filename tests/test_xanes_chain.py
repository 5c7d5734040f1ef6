"""Spectra through the whole chain: foil and compound are stored, a cell is swept and scanned beside them,
and what is reduced from the spool is the hidden truth.
"""

import numpy as np
import pytest

from battbeam.callbacks.live_run import reduced
from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.demo.xanes_outcome import MeasuredSpectrum, truth_lines
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import quick_xanes, xanes
from battbeam.session import Session
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import (
    Beam,
    Cell,
    Detector,
    Scenario,
    Spectroscopy,
    spectroscopy_stack,
)
from battbeam.storage.tail import documents
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

NICKEL, FOIL_ENERGY = "Ni K", 8333.0
#: Lithium of the cell that is measured, and of the one that is known.
CONTENT, KNOWN = 0.5, 0.95
VALENCE = 2.875 + 1.25 * (1 - KNOWN)
#: As few energies as the edge can be had from to 0.02 eV.
GRID = EnergyGrid.of(
    NICKEL,
    [Region(-80, -20, 12, 1.0), Region(-6, 18, 0.75, 1.0), Region(25, 150, 25, 1.0)],
)


def even(content):
    """A cell that is everywhere the same."""
    return Cell(
        chemistry="nmc811",
        active_loading=8.0,
        initial_lithium_content=content,
        inactive_fraction=0.0,
        gradient_x=0.0,
        gradient_depth=0.0,
        dead_spot=None,
    )


SCENARIO = Scenario(
    name="xanes_chain",
    prefix=own_prefix(),
    seed=5,
    rate=60.0,
    cells=(even(CONTENT), even(KNOWN)),
    stack=spectroscopy_stack(),
    beam=Beam(energy=8300.0, flux=2e9, size_x=1.0, size_y=0.5),
    spectroscopy=Spectroscopy(bragg_offset=-0.002, energy_drift=0.1, lag=0.008),
    detector=Detector(
        n_rows=64, n_columns=64, pixel_size=1.376, centre_row=31.4, centre_column=32.8
    ),
)


#: V/A that bear this light.
GAINS = dict.fromkeys(("i0", "it", "ir"), 1e7)


def at(beamline, cell):
    x, y = beamline.cell_positions[cell]
    return [(beamline.sample_stage.x, x), (beamline.sample_stage.y, y)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Spectra of the calibration, of a scan, and of sweeps, each with its truth."""
    with SimulatedBeamline(SCENARIO, tmp_path_factory.mktemp("chain")) as simulated:
        connection = simulated.start()
        with Session(connection) as session:
            here = session.beamline
            # No passport is mounted: the known cell is not the guard's.
            station = Station.of(here, potentiostat=None)

            def plan():
                yield from calibrate_energy(
                    [GRID],
                    station,
                    calibration=here.calibration,
                    compound="known",
                    oxidation_states={NICKEL: VALENCE},
                    gains={NICKEL: GAINS},
                    positions=at(here, "cell2"),
                )
                how = {
                    "gains": GAINS,
                    "positions": at(here, "cell1"),
                    "reduction": xanes_reduction(here.calibration, [NICKEL]),
                }
                yield from xanes(GRID, station, **how)
                yield from quick_xanes(NICKEL, station, duration=20.0, **how)

            uids = session.run(plan())
            kept = sorted(path.name for path in here.calibration.iterdir())
        lines = truth_lines(connection.directory / "sim" / "truth.jsonl")
        runs = [documents(connection.spool / f"{uid}.jsonl") for uid in uids]
    assert kept == ["foil_Ni_K.json", "standard_known_Ni_K.json"]
    return [[spectrum(row, lines) for row in rows_of(run)] for run in runs]


def rows_of(lines):
    found = reduced(LiveXanes, [(line.name, line.doc) for line in lines])
    return [doc["data"] for name, doc in found if name == "event"]


def spectrum(row, lines):
    first, last = row["time_start"] - 1e-3, row["time_end"] + 1e-3
    own = (line for line in lines if line["start"] >= first and line["end"] <= last)
    return MeasuredSpectrum(row, tuple(own))


def own_error(row):
    """Of an edge, without what is shared by all that are compared with the same curves."""
    return np.sqrt(row["edge_position_error"] ** 2 - row["edge_position_shared_error"] ** 2)


def test_every_spectrum_is_valid_and_has_the_truth_of_all_its_counts(measured):
    (known,), (scan,), sweeps = measured
    for each in (known, scan, *sweeps):
        assert each.row["valid"] == 1, each.row["invalid_reason"]
        assert each.row["flags"] == ""
    assert [len(known.lines), len(scan.lines)] == [len(GRID)] * 2
    assert [(len(each.lines), each.row["direction"]) for each in sweeps] == [(1, 1), (1, -1)]


def test_the_foil_of_each_scan_says_where_the_monochromator_is(measured):
    _, (scan,), sweeps = measured
    for each in (scan, *sweeps):
        away = each.row["energy_shift"] - each.true_shift(FOIL_ENERGY)
        # 1.2 eV and more: an axis that is 0.002 degree off.
        assert abs(each.row["energy_shift"]) > 0.5
        # What is left of the lag moves sample and foil alike.
        left = abs(each.row["lag"] - 0.008) * 20.0 if each.is_sweep else 0.0
        assert abs(away) < 5 * each.row["energy_shift_error"] + left


def test_scan_and_sweeps_find_how_far_the_edge_has_moved_from_the_known_one(measured):
    (known,), (scan,), sweeps = measured
    expected = scan.true_edge["edge_position"] - known.true_edge["edge_position"]
    # 0.45 Li gone, a valence of 0.5625 at 1.8 eV.
    assert expected == pytest.approx(1.0125, abs=0.01)
    for each in (scan, *sweeps):
        moved = each.row["edge_position"] - known.row["edge_position"]
        # The known one was measured as the scan was.
        error = np.hypot(own_error(each.row), own_error(scan.row))
        assert error < 0.05
        assert abs(moved - expected) < max(5 * error, 0.02)


def test_the_lag_of_the_counters_is_found(measured):
    sweeps = measured[2]
    for each in sweeps:
        assert abs(each.row["lag"] - 0.008) < 5 * each.row["lag_error"]
        assert each.row["lag_error"] < 2e-3
