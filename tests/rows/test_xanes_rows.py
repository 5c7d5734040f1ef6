"""Rows A7 and A8, and what is refused: spectra in steps, with their foil, through the wire."""

import numpy as np
import pytest

from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import xanes
from tests.rows.spectra import Offline, foil_curve, near_edge, scenario, standard
from tests.rows.wire import measured, session_on

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


@pytest.mark.parametrize(("seed", "offset"), [(11, 1.0), (12, -1.0), (13, 0.3)])
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
