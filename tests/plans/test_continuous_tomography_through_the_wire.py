"""Projections without end while a cell is charged: any window of them is a volume."""

import numpy as np
import pytest

from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.tomography import continuous_tomography
from battbeam.sim.phantom import PhantomState, volume_truth
from battbeam.sim.scenario import Scenario
from tests.rows import imaging
from tests.rows.imaging import Reduced, Truth, beamline_of, experiment, options, passport, scenario

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: mAh in a gram of LiFePO4, all of it, and the share of it in which is looked at.
SPECIFIC, LOOKED_AT = 169.9, 0.25
#: Projections of an arc, and the window that is put together: it begins and ends within arcs.
N_PER_ARC, WINDOW = 60, (75, 255)
#: s by which the cell's log and a frame may differ: the clock's reading across the wire at 20 times.
SECONDS = 0.2
#: Lithium content to which the cell's log knows it: the current's noise.
LOG = 1e-4


def piece_of_a_coin(seed):
    """Boxes one behind the other: turned the wrong way they look otherwise, which a tube does not."""
    whole = {"inactive_fraction": 0.0, "coulombic_efficiency": 1.0, "dead_spot": None}
    document = scenario("tomography", seed=seed, rate=20.0, cell=whole).model_dump()
    document["cells"][0]["phantom"] = {"kind": "coin", "width": 0.8, "height": 0.25}
    return Scenario.model_validate(document)


# Steps take longer: the cell is charged the slower.
@pytest.mark.parametrize(("seed", "mode", "rate"), [(1, "fly", 6.0), (2, "step", 0.5)])
def test_any_window_of_a_scan_without_end_is_a_volume_of_the_cell_as_it_was(
    tmp_path, seed, mode, rate
):
    hidden = piece_of_a_coin(seed)
    cell, before = hidden.cells[0], {}
    capacity = SPECIFIC * cell.active_loading * cell.electrode_area / 1e3
    believed = passport(cell, chemistry="LiFePO4", capacity=capacity, limits=(2.0, 4.2, 0.05))
    with beamline_of(hidden, tmp_path) as session:
        b = session.beamline
        guard = b.potentiostat
        period = 0.3 if mode == "fly" else None

        def scan(md):
            return continuous_tomography(
                b.fly_camera,
                **options(b, exposure=0.1, readables=(guard,), reduction={"ring_width": 0}),
                mode=mode,
                period=period,
                n_per_arc=N_PER_ARC,
                stop_when=lambda: guard.charge.get() > LOOKED_AT * capacity,
                md=md,
            )

        before.update(imaging.at_rest(b))
        schedule = Schedule.parse("scan: every 24 h, 1 times, measure scan\n")
        method = [
            {"step": "open_circuit_voltage", "until_time_s": 60.0},
            {
                "step": "constant_current",
                "rate_C": rate,
                "until_time_s": 2 * LOOKED_AT / rate * 3600,
            },
        ]
        outer, raw = experiment(session, believed, schedule, {"scan": OwnRun(scan)}, method)
        assert imaging.at_rest(b) == before
    (note,) = imaging.notes(outer, "scan")
    assert (note["missed"], note["error"]) == ("", "")
    truth = Truth(tmp_path)
    judge_frames(Reduced(raw, tmp_path / "all"), truth, rate / 3600)
    options_of = {"projections": WINDOW}
    window = Reduced(raw, tmp_path / "window", options=options_of)
    judge_window(window, truth, hidden)


def judge_frames(found, truth, speed):
    """Each has a time, an angle and a state of charge of its own."""
    (row,) = found.rows()
    assert row["invalid_reason"] == ""
    each = found.rows("projection")
    assert row["n_projections"] == len(each) >= WINDOW[1]
    lines = truth.during(row)
    assert len(lines) == len(each)
    contents = found.of("lithium_content_charge", "projection")
    true = np.array([line["lithium_content"] for line in lines])
    off = np.abs(contents - true)
    print(
        f"{len(each)} projections, lithium content {true[0]:.3f} to {true[-1]:.3f}, off {off.max():.5f}"
    )
    assert np.ptp(true) > 0.2
    assert off.max() < SECONDS * speed + LOG
    # More is taken out with every one, once the current flows.
    flows = true < true[0] - 1e-3
    assert np.all(np.diff(contents[flows]) < 0)
    omega = found.of("omega", "projection")
    assert np.abs(omega - [line["omega"] for line in lines]).max() < 0.02
    assert len(np.unique(omega.round(3))) == len(omega)


def judge_window(found, truth, hidden):
    (row,) = found.rows()
    assert row["invalid_reason"] == ""
    assert row["n_projections"] == WINDOW[1] - WINDOW[0]
    imaging_ = hidden.imaging
    middle = (imaging_.n_columns - 1) / 2 + imaging_.axis_offset
    assert row["axis"] == pytest.approx(middle, abs=0.25)
    line = truth.middle(row)
    state = PhantomState.of(hidden.cells[0], lithium_content=line["lithium_content"])
    seen = found.volume
    true = volume_truth(hidden, state, energy=hidden.beam.energy, shape=seen.shape)
    alike = np.corrcoef(seen.ravel(), true.ravel())[0, 1]
    slope = np.polyfit(true.ravel(), seen.ravel(), 1)[0]
    print(
        f"window: state of charge {row['state_of_charge_start']:.3f} to "
        f"{row['state_of_charge_end']:.3f}, like the truth {alike:.3f}, slope {slope:.3f}"
    )
    assert alike > 0.95
    assert slope == pytest.approx(1.0, abs=0.06)
