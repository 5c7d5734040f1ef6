"""Rows A7 and A8, and what is refused: spectra in steps, with their foil, through the wire."""

import numpy as np
import pytest
from scipy import constants

from battbeam.errors import PreflightError
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import mounted
from battbeam.plans.xanes import xanes, xas
from tests.rows.spectra import Offline, foil_curve, near_edge, scenario, standard
from tests.rows.wire import events, measured, passport, session_on

NICKEL = "Ni K"
#: eV by which the aged cell's edge lies above a fresh one's, and by which a pair may be off: row A7.
AGED, PAIR = 0.40, 0.03
#: eV, of the monochromator from scan to scan: the scenario's.
REPEATABILITY = 0.02


def judge_pair(rows, offset):
    """A fresh and an aged cell, each against its foil."""
    fresh, aged = rows.of("edge_position")
    print(f"offset {offset:g} eV: {aged - fresh:.4f} eV, errors {rows.of('edge_position_error')}")
    assert rows.of("valid").all()
    assert rows.of("counts").min() > 1e6
    assert [row["flags"] for row in rows.rows] == ["", ""]
    assert np.diff(rows.true("edge_position")) == pytest.approx(AGED, abs=1e-6)
    assert aged - fresh == pytest.approx(AGED, abs=PAIR)
    # The axis said so much less, or more, than the photons had.
    assert rows.of("energy_shift") == pytest.approx(offset, abs=0.2)


def judge_without_foil(rows):
    """The same pair, its foil forgotten."""
    (fresh, aged), errors = rows.of("edge_position"), rows.of("edge_position_error")
    print(f"without foil {aged - fresh:.4f} eV, errors {errors}")
    assert all(row["flags"].startswith("no foil") for row in rows.rows)
    # No better than the monochromator, and what counting adds is less than that.
    assert np.all((errors > 0.9 * REPEATABILITY) & (errors < 2 * REPEATABILITY))
    # Four standard deviations of what it says of itself.
    assert aged - fresh == pytest.approx(AGED, abs=4 * np.hypot(*errors))


@pytest.mark.parametrize(
    ("seed", "offset"), [(11, 1.0), (12, -1.0), pytest.param(13, 0.3, marks=pytest.mark.acceptance)]
)
def test_an_aged_cells_shift_is_seen_over_any_offset_of_the_monochromator(tmp_path, seed, offset):
    grid = near_edge(NICKEL, dwell=1.0, fine=0.5)
    before = Offline(scenario("fresh_and_aged", seed=seed), tmp_path / "before")
    before.steps(grid)
    (first,) = before.measured().rows
    known = {"foil": foil_curve(first, NICKEL), "standards": [standard(first)]}
    moved = {"energy_offset": offset}
    after = Offline(scenario("fresh_and_aged", seed=seed + 1, beam=moved), tmp_path / "after")
    for cell in (2, 3):
        after.steps(grid, cell=cell)
    judge_pair(after.measured(known), offset)
    bare = Offline(scenario("fresh_and_aged", seed=seed + 2), tmp_path / "bare")
    for cell in (2, 3):
        bare.steps(grid, cell=cell, foil="")
    judge_without_foil(bare.measured(known))


@pytest.mark.ioc
@pytest.mark.acceptance
def test_fifty_cycles_shift_the_nickel_edge_by_0_4_ev(tmp_path):
    """Row A7."""
    grid = near_edge(NICKEL, dwell=1.0, fine=0.5)

    def pair(session, station, reduction):
        stage, uids = session.beamline.sample_stage, []
        for cell in ("cell2", "cell3"):
            x, y = session.beamline.cell_positions[cell]
            here = [(stage.x, x), (stage.y, y)]
            uids += session.run(xanes(grid, station, positions=here, reduction=reduction))
        return measured(session, *uids)

    before = scenario("fresh_and_aged", seed=21, prefix="A7A:")
    with session_on(before, tmp_path / "before") as session:
        b = session.beamline
        # No cell of the guard's is in the beam.
        station = Station.of(b, potentiostat=None)
        session.run(calibrate_energy([grid], station, calibration=b.calibration, compound="fresh"))
        known = xanes_reduction(b.calibration, [NICKEL])
        judge_pair(pair(session, station, known), 0.0)
        bare = Station.of(b, potentiostat=None, foil=None)
        judge_without_foil(pair(session, bare, known))
    after = scenario("fresh_and_aged", seed=22, prefix="A7B:", beam={"energy_offset": 1.0})
    with session_on(after, tmp_path / "after") as session:
        station = Station.of(session.beamline, potentiostat=None)
        judge_pair(pair(session, station, known), 1.0)


# A8.

#: Valence of nickel in LixNi0.8Mn0.1Co0.1O2, Mn 4+ and Co 3+: by neutrality, what is asked of row A8.
CONTENTS = {"full": 0.97, "half": 0.65, "empty": 0.35, "unknown": 0.5}
VALENCE = 0.05
#: s for which the fluorescence detector is blind after each photon: half of them are lost above the
#: edge, hardly any below it.
SLOW_DETECTOR = 1e-5
#: Photons that came over those that were counted: what is above is flagged, what is below is not.
DOUBTED, BELIEVED = 1.35, 1.25
#: s of a count in which nobody is there to be counted.
SHORT = 1e-3


def valence(content):
    """Of nickel, by the compound's formula."""
    return 2.875 + (1 - content) / 0.8


def four_regions(dwell):
    """Before, across and behind the edge in eV, far behind it in k."""
    regions = [
        Region(-100, -20, 10.0, dwell),
        Region(-10, 26.6, 0.6, dwell),
        Region(30, 60, 5.0, dwell),
        Region(4.5, 8.0, 0.25, dwell, "k", 1.0),
    ]
    return EnergyGrid.of(NICKEL, regions)


def table(dwell):
    """The same, written out."""
    k = 4.5 + 0.25 * np.arange(15)
    edge = 8333.0
    energies = [
        -100 + 10.0 * np.arange(9),
        -10 + 0.6 * np.arange(62),
        30 + 5.0 * np.arange(7),
        # Of a free electron, hbar^2 k^2 / 2 m in eV.
        1e20 * constants.hbar**2 * k**2 / (2 * constants.m_e * constants.e),
    ]
    dwells = [np.full(9 + 62 + 7, dwell), dwell * k / 4.5]
    return edge + np.concatenate(energies), np.concatenate(dwells)


def four_cells(**changes):
    """Three compounds, and one whose valence is asked for."""
    found = scenario("fresh_and_aged", **changes)
    cells = [
        found.cells[0].model_copy(update={"initial_lithium_content": content})
        for content in CONTENTS.values()
    ]
    return type(found).model_validate(found.model_dump() | {"cells": cells})


def judge_valence(rows, contents):
    """On the line through three compounds."""
    found, errors = rows.of("oxidation_state"), rows.of("oxidation_state_error")
    true = np.array([valence(content) for content in contents])
    print(f"valence {found.round(3)} +- {errors.round(3)}, true {true.round(3)}")
    assert rows.of("valid").all()
    assert np.abs(found - true).max() < VALENCE
    # What the simulation says of itself: the beam meets a few % that take no part.
    assert np.abs(rows.true("valence") - true).max() < VALENCE


def judge_grid(points, dwell):
    """Every point of the table, and no other."""
    energies, dwells = table(dwell)
    asked = np.array([point["energy"] for point in points])
    np.testing.assert_allclose(asked, energies, rtol=0, atol=1e-6)
    np.testing.assert_allclose([point["dwell"] for point in points], dwells, rtol=1e-9)
    went = np.array([point["monochromator_energy"] for point in points])
    # The axis comes to rest within a few counts of its encoder, 5e-3 eV each.
    assert np.abs(went - energies).max() < 0.02


def test_a_grid_of_four_regions_is_its_table():
    grid = four_regions(1.0)
    energies, dwells = table(1.0)
    np.testing.assert_allclose(grid.energies, energies, rtol=0, atol=1e-6)
    np.testing.assert_allclose(grid.dwells, dwells, rtol=1e-9)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.acceptance)])
def test_three_compounds_say_the_valence_of_a_fourth(tmp_path, seed):
    cells, grid = four_cells(seed=seed), four_regions(1.0)
    offline = Offline(cells, tmp_path)
    offline.steps(grid, cell=1)
    foil = foil_curve(offline.measured().rows[0], NICKEL)
    standards = []
    for number, (name, content) in enumerate(list(CONTENTS.items())[:3], start=1):
        offline.steps(grid, cell=number)
        (row,) = offline.measured({"foil": foil}).rows
        standards.append(standard(row, name, oxidation_state=valence(content)))
    offline.steps(grid, cell=4)
    rows = offline.measured({"foil": foil, "standards": standards})
    judge_valence(rows, [CONTENTS["unknown"]])


def judge_flagged(row, points):
    """Points that count nothing, and points in which too much was not counted, are left out."""
    points = sorted(points, key=lambda point: point["counters_bragg"], reverse=True)
    came, counted = (
        np.array([point[f"counters_{name}"] for point in points]) for name in ("if_input", "if")
    )
    shown = np.isfinite(row["energy"])
    kept = np.isfinite(row["absorbance"])[shown]
    assert len(kept) == len(points)
    is_empty = counted == 0
    is_dead = came > DOUBTED * counted + 1
    is_sound = (came < BELIEVED * counted) & (counted > 100)
    print(
        f"{is_empty.sum()} without counts, {is_dead.sum()} dead, {is_sound.sum()} sound, "
        f"{row['n_flagged']} left out"
    )
    assert min(is_empty.sum(), is_dead.sum(), is_sound.sum()) > 0
    assert not kept[is_empty | is_dead].any()
    assert kept[is_sound].all()
    assert row["n_flagged"] == len(kept) - kept.sum()


def slow_detector(**changes):
    """A cell whose fluorescence is too much for its detector."""
    return scenario("spinel_exafs", spectroscopy={"dead_time": SLOW_DETECTOR}, **changes)


def dim_grid():
    """A few of its points last a millisecond."""
    regions = [
        Region(-100, -60, 5.0, 2.0),
        Region(-58, -50, 2.0, SHORT),
        Region(-48, -20, 4.0, 2.0),
        Region(-10, 26, 0.5, 2.0),
        Region(30, 120, 10.0, 2.0),
    ]
    return EnergyGrid.of("Mn K", regions)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_grid_is_measured_as_its_table_says_and_three_compounds_make_a_valence(tmp_path):
    """Row A8."""
    with session_on(four_cells(seed=91, prefix="A8A:"), tmp_path) as session:
        b, grid = session.beamline, four_regions(1.0)
        station = Station.of(b, potentiostat=None)

        def at(cell):
            x, y = b.cell_positions[cell]
            return [(b.sample_stage.x, x), (b.sample_stage.y, y)]

        for number, (name, content) in enumerate(list(CONTENTS.items())[:3], start=1):
            session.run(
                calibrate_energy(
                    [grid],
                    station,
                    calibration=b.calibration,
                    foil=number == 1,
                    compound=name,
                    oxidation_states={NICKEL: valence(content)},
                    positions=at(f"cell{number}"),
                )
            )
        known = xanes_reduction(b.calibration, [NICKEL], standards=list(CONTENTS)[:3])
        (uid,) = session.run(xas(grid, station, positions=at("cell4"), reduction=known))
        judge_grid(events(session, uid), 1.0)
        judge_valence(measured(session, uid), [CONTENTS["unknown"]])


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.acceptance)])
def test_points_that_were_not_counted_are_left_out(tmp_path, seed):
    offline = Offline(slow_detector(seed=seed), tmp_path)
    offline.steps(dim_grid())
    points = offline.scans[0][1]
    (row,) = offline.measured({"signal": "fluorescence"}).rows
    judge_flagged(row, points)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_slow_detector_and_short_counts_leave_points_out(tmp_path):
    """Row A8: what cannot be believed is flagged."""
    with session_on(slow_detector(seed=92, prefix="A8B:"), tmp_path) as session:
        station = Station.of(session.beamline, potentiostat=None)
        (uid,) = session.run(xanes(dim_grid(), station, signal="fluorescence"))
        judge_flagged(measured(session, uid).rows[0], events(session, uid))


# Refused before anything moves.


@pytest.mark.ioc
@pytest.mark.acceptance
def test_what_cannot_be_measured_is_refused_and_what_is_missing_is_said(tmp_path):
    thick = scenario("fresh_and_aged", seed=95, prefix="REFUSE:", cell={"active_loading": 40.0})
    with session_on(thick, tmp_path) as session:
        b = session.beamline
        station = Station.of(b, potentiostat=None)
        found = b.monochromator.position

        def refused(plan):
            with pytest.raises(PreflightError) as caught:
                session.run(plan)
            return "\n".join(caught.value.faults)

        assert "outside its limits" in refused(xanes("Mg K", station))
        falling = EnergyGrid.of(NICKEL, [Region(10, 0, 1, 1)])
        assert "energies must ascend" in refused(xanes(falling, station))
        blind = {"i0": 1e9, "it": 1e9}
        assert "counts/s expected in i0 at 1e+09 V/A" in refused(
            xanes(NICKEL, station, gains=blind)
        )
        bare = Station.of(b, potentiostat=None, foil=None)
        assert "no reference foil" in refused(xanes(NICKEL, bare, require_foil=True))
        session.run(mounted(b.potentiostat, passport(thick)))
        said = refused(xanes(NICKEL, Station.of(b)))
        print(said)
        assert "Ni K: the cell's absorbance is" in said
        assert "what fits is fluorescence" in said
        assert b.monochromator.position == pytest.approx(found, abs=1e-6)
        assert list(session.connection.spool.glob("*.jsonl")) == []
