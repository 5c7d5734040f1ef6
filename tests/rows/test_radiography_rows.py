"""Radiographs of lithium that is plated, through the wire (row B10)."""

import numpy as np
import pytest

from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.radiography import radiography_series
from tests.rows import imaging
from tests.rows.imaging import Reduced, Truth, beamline_of, options, passport, scenario

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: mA/cm2 and degC at which is plated, s between radiographs and of one.
DENSITY, TEMPERATURE, INTERVAL, EXPOSURE = 1.0, 25.0, 40.0, 1.0
REST = "open_circuit_voltage"
#: Relative, of the front's speed; mA/cm2 and degC of what is recorded.
SPEED, RECORDED = 0.02, 0.1


@pytest.mark.parametrize(
    ("seed", "phantom"),
    [(1, {}), (2, {"filling_charge": 1.5, "growth": 0.003, "electrode_share": 0.3})],
)
def test_lithium_runs_along_the_electrode_faster_than_it_grows_in_height(tmp_path, seed, phantom):
    hidden = scenario("lithium_plating", phantom=phantom, seed=seed, rate=60.0)
    cell = hidden.cells[0]
    filling = hidden.cells[0].phantom.filling_charge
    current = DENSITY * cell.electrode_area
    believed = passport(
        cell, chemistry="lithium", capacity=40.0, limits=(-1.0, 1.0, 0.01), molar_mass=6.94
    )
    # The first radiograph shows the electrode bare; the last ones lithium all over.
    n_points = int(filling / DENSITY * 1e3 / INTERVAL) + 6
    with beamline_of(hidden, tmp_path) as session:
        b = session.beamline
        how = options(b, exposure=EXPOSURE)
        # Darks and flats come before the cell, with one radiograph.
        session.run(radiography_series(b.fly_camera, **how))
        how |= {"interval": INTERVAL, "n_points": n_points}
        schedule = Schedule.parse("series: every 24 h, 1 times, measure series\n")
        outer, raw = imaging.experiment(
            session,
            believed,
            schedule,
            {"series": OwnRun(lambda md: radiography_series(b.fly_camera, **how, md=md))},
            [
                {"step": REST, "until_time_s": 1.2 * INTERVAL},
                {
                    "step": "constant_current",
                    "current_mA": current,
                    "until_time_s": n_points * INTERVAL,
                },
            ],
            record=5.0,
        )
    (note,) = imaging.notes(outer, "series")
    assert (note["missed"], note["error"]) == ("", "")
    judge(Reduced(raw, tmp_path), Truth(tmp_path), hidden.cells[0], n_points)
    judge_conditions(raw, cell)


def judge(found, truth, cell, n_points):
    rows = found.rows()
    assert len(rows) == n_points
    assert not [row["invalid_reason"] for row in rows if not row["valid"]]
    lines = [truth.of(row) for row in rows]
    middles = np.array([(row["time_start"] + row["time_end"]) / 2 for row in rows])
    front = np.array([line["sizes"]["front"] for line in lines])
    thickness = np.array([line["sizes"]["thickness"] for line in lines])
    charge = np.array([line["areal_charge"] for line in lines])
    part, width = cell.phantom, cell.phantom.width
    under_way = (front > 0.1 * width) & (front < 0.9 * width)
    seen = found.of("front_right")
    off = np.abs(seen - front)[under_way]
    print(f"front off by {np.median(off) * 1e6:.0f} nm, {off.max() * 1e6:.0f} at most")
    assert off.max() < 0.01 * width
    (speeds,) = found.rows("front")
    lateral, vertical = (
        np.polyfit(middles[under_way] - middles[0], each[under_way], 1)[0]
        for each in (front, thickness)
    )
    print(
        f"lateral {speeds['lateral_speed'] / lateral:.4f}, "
        f"vertical {speeds['vertical_speed'] / vertical:.4f} of the truth, "
        f"anisotropy {speeds['anisotropy']:.1f} of {lateral / vertical:.1f}"
    )
    assert speeds["lateral_speed"] == pytest.approx(lateral, rel=SPEED)
    assert speeds["vertical_speed"] > 0
    assert speeds["anisotropy"] > 1
    assert speeds["anisotropy"] == pytest.approx(lateral / vertical, rel=0.2)
    full = np.interp(part.filling_charge, np.abs(charge), middles)
    print(f"full {speeds['fill_time'] - full:+.1f} s after the truth")
    assert speeds["fill_time"] == pytest.approx(full, abs=INTERVAL)


def judge_conditions(raw, cell):
    """What stands beside every radiograph of the plating."""
    rows = [doc["data"] for name, doc in raw if name == "event" and "point" in doc["data"]]
    density = np.array([row["potentiostat_current"] for row in rows]) * 1e3 / cell.electrode_area
    heat = np.array([row["potentiostat_temperature"] for row in rows])
    assert np.abs(density[2:] - DENSITY).max() < RECORDED
    assert np.abs(heat - TEMPERATURE).max() < RECORDED
