"""Tomogram after tomogram while a cell is cycled, through the wire (rows A10, B1, B12)."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, gaussian_filter

from battbeam.experiment.schedule import Schedule
from battbeam.plans.measurements import OwnRun
from battbeam.plans.tomography import tomogram, tomography
from battbeam.reduction.particles import find_particles
from battbeam.reduction.segmentation import otsu_thresholds
from battbeam.reduction.surface_growth import surface_growth
from tests.rows import imaging
from tests.rows.imaging import (
    Reduced,
    Truth,
    beamline_of,
    notes,
    options,
    passport,
    places,
    scenario,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]


def tomograms(runs, directory):
    """The reduced tomograms of an experiment, in the order in which they were taken."""
    raw = [run for run in runs if run[0][1].get("technique") == "tomography"]
    raw.sort(key=lambda run: run[0][1]["time"])
    return [Reduced(run, directory / f"volumes{k}") for k, run in enumerate(raw)]


# A10: tin oxide while it is lithiated.

#: Relative, of the volume of the particles and of their cracks; voxels, of the core's radius.
VOLUME, CRACK, CORE = 0.03, 0.2, 1.0
#: Share of the particles' volume from which on something is a crack.
CRACKED = 0.002
#: mAh that lithiate SnO fully, per mg. A twelfth of it has no contact in the electrode: 1C is faster.
SNO_CAPACITY = 1.273
#: Tomograms, s of one, and of the nominal capacity from one to the next: the cell is full at 85 %.
N_STATES, TOMOGRAM, APART = 10, 60.0, 0.088


def swelling(session, hidden):
    """Ten tomograms at as many states of a particle bed, at 1C."""
    b, cell = session.beamline, hidden.cells[0]
    capacity = SNO_CAPACITY * cell.active_loading * cell.electrode_area
    believed = passport(
        cell, chemistry="SnO", capacity=capacity, limits=(0.0, 3.0, 0.02), molar_mass=134.71
    )
    exposure = 0.4
    how = options(b, exposure=exposure, period=0.5, n_projections=121)
    session.run(tomography(b.fly_camera, **how, label="before"))
    # The state of charge falls from 0 while lithium goes in.
    step = APART * capacity
    schedule = Schedule.parse(
        "start: every 24 h, 1 times, measure tomogram\n"
        f"states: each time {step:.4f} mAh has passed from 0 mAh, measure tomogram\n"
    )
    method = [
        {"step": "open_circuit_voltage", "until_time_s": 90.0},
        {"step": "constant_current", "rate_C": -1.0, "until_time_s": 0.81 * 3600},
    ]
    return imaging.experiment(
        session, believed, schedule, {"tomogram": tomogram(b.fly_camera, **how)}, method
    )


@pytest.mark.parametrize(
    ("seed", "phantom"), [(1, {}), (3, {"swelling": 2.6, "crack_state": 0.6, "n_cracked": 2})]
)
def test_particles_swell_crack_and_keep_a_core_as_long_as_the_truth_does(tmp_path, seed, phantom):
    hidden = scenario(
        "sno_particles",
        seed=seed,
        rate=60.0,
        phantom=phantom,
        cell={"initial_lithium_content": 0.02},
        imaging={"gain": 0.3},
    )
    with beamline_of(hidden, tmp_path) as session:
        outer, *raw = swelling(session, hidden)
    assert not [row for row in (*notes(outer, "start"), *notes(outer, "states")) if row["missed"]]
    found = tomograms(raw, tmp_path)
    assert len(found) == N_STATES
    judge_particles(found, Truth(tmp_path))


def judge_particles(found, truth):
    known, first_crack, true_crack, fresh = (), None, None, None
    for number, each in enumerate(found):
        (row,) = each.rows()
        assert row["valid"], row["invalid_reason"]
        size, voxel, volume = truth.middle(row)["sizes"], row["voxel_size"], each.volume
        threshold = otsu_thresholds(volume, n_classes=3)[0]
        particles = find_particles(volume, threshold=threshold, voxel_size=voxel, known=known)
        known = known or particles
        solid = sum(one.volume - one.crack_volume for one in particles)
        fresh = fresh or (solid, size["volume_factor"])
        factor, true = solid / fresh[0], size["volume_factor"] / fresh[1]
        cores = np.array([one.core_radius for one in particles]) - size["core_radius"]
        # What the outer surface grows by while the tomogram is taken.
        lines = truth.during(row)
        grown = np.ptp([line["sizes"]["outer_radius"][0] for line in (lines[0], lines[-1])])
        crack = sum(one.crack_volume for one in particles)
        print(
            f"{number}: reacted {size['reacted']:.3f}, factor {factor:.3f} of {true:.3f}, core "
            f"{np.nanmax(np.abs(cores)) / voxel if number else np.nan:.2f} voxels, crack "
            f"{crack * 1e3:.4f} of {size['crack_volume'] * 1e3:.4f}e-3 mm3, grown {grown / voxel:.2f}"
        )
        assert factor == pytest.approx(true, rel=VOLUME)
        if number:
            assert np.isfinite(cores).all()
            assert np.abs(cores).max() < CORE * voxel
        assert grown < voxel
        if crack > CRACKED * solid and first_crack is None:
            first_crack = number
        if size["crack_volume"] > 0:
            true_crack = number if true_crack is None else true_crack
            assert crack == pytest.approx(size["crack_volume"], rel=CRACK)
    assert true_crack is not None
    assert first_crack is not None
    assert abs(first_crack - true_crack) <= 1


def test_a_tomogram_during_which_the_sample_moves_by_more_than_a_voxel_is_flagged(tmp_path):
    """At 60 s a tomogram: 1.8 voxels upwards. On a quick clock it would be out of the field at once."""
    speed = 1.8 * 0.0065 / TOMOGRAM
    hidden = scenario("sno_particles", rate=4.0, imaging={"motion": (0.0, speed, 0.0), "gain": 0.3})
    with beamline_of(hidden, tmp_path) as session:
        b = session.beamline
        how = options(b, exposure=0.4, n_projections=121, readables=())
        uids = [
            *session.run(tomography(b.fly_camera, period=0.5, **how)),
            *session.run(tomography(b.fly_camera, period=0.5 / 5, **{**how, "exposure": 0.08})),
        ]
        runs = [imaging.recorded(session, uid) for uid in uids]
    slow, quick = (Reduced(run, tmp_path / f"v{k}").rows()[0] for k, run in enumerate(runs))
    print(slow["invalid_reason"], slow["motion_y"], quick["motion_y"])
    assert not slow["valid"]
    assert "the sample moved during the scan" in slow["invalid_reason"]
    assert slow["motion_y"] == pytest.approx(1.8, abs=0.5)
    assert quick["valid"], quick["invalid_reason"]
    assert quick["motion_y"] == pytest.approx(0.36, abs=0.3)


# B12: lithium against lithium through a polymer.

#: C/cm2 at which a tomogram is taken, and by which the cell may have gone on when it starts.
LEVELS, CLOSE = (9.0, 84.0, 296.0), 0.5
#: C/cm2 by which the protocol goes on beyond a level; the guard needs some time to stop.
BEYOND = 0.1
#: C/cm2 at which lithium has grown through, and s within which that is noticed.
SHORT, NOTICED = 293.0, 20.0
#: Relative, of sub-surface over protruding volume.
RATIO = 0.05
#: Rows from the bottom of the field: surface of the lower electrode and of the upper one.
SURFACE, TOP = 35.0, 61.0
#: mm from the axis within which all structures lie.
WITHIN = 0.098
FULL = {"areal_charges": (0.0, 9.0, 84.0, SHORT)}
MORE = {"n_sites": 4, "subsurface": (0.1, 0.5, 0.8, 1.0), "protruding_radius": 0.024}


@pytest.mark.parametrize(("seed", "phantom"), [(1, FULL), (2, {**FULL, **MORE})])
def test_lithium_below_and_above_a_surface_at_9_84_and_296_coulomb_per_square_centimetre(
    tmp_path, seed, phantom
):
    hidden = scenario(
        "symmetric_lithium",
        seed=seed,
        rate=60.0,
        phantom=phantom,
        imaging={"photon_rate": 1.0e6, "gain": 0.2},
        cell={"short_charge": SHORT, "coulombic_efficiency": 1.0},
    )
    with beamline_of(hidden, tmp_path) as session:
        outer, *raw = plated(session, hidden)
    found, truth = tomograms(raw, tmp_path), Truth(tmp_path)
    assert len(found) == 1 + len(LEVELS)
    rows = [each.rows()[0] for each in found]
    assert all(row["valid"] for row in rows), [row["invalid_reason"] for row in rows]
    for row, level in zip(rows, (0.0, *LEVELS), strict=True):
        charges = [abs(line["areal_charge"]) for line in truth.during(row)]
        print(f"{level:g} C/cm2: tomogram from {min(charges):.3f} to {max(charges):.3f}")
        assert np.abs(np.array(charges) - level).max() < CLOSE
    shorts = [row for row in notes(outer, "short") if not row["missed"]]
    began = [line for line in truth.lines if line.get("sizes", {}).get("is_short")]
    assert len(shorts) == 1
    assert rows[2]["time_end"] < shorts[0]["due"] < rows[3]["time_start"]
    assert len({line["file"] for line in began}) == 1
    judge_growth(found, [truth.middle(row)["sizes"] for row in rows])


def plated(session, hidden):
    """Tomograms at rest, after so many C/cm2 at 95 mA/cm2; the clock is slow near each level."""
    b, cell = session.beamline, hidden.cells[0]
    area, current = cell.electrode_area, 12.0
    believed = passport(
        cell, chemistry="Li", capacity=14.0, limits=(-1.5, 1.5, 0.05), molar_mass=6.94
    )
    how = options(b, exposure=0.2, period=0.25, n_projections=181)
    session.run(tomography(b.fly_camera, **how, label="before"))
    schedule = Schedule.parse(
        "short: when the voltage falls faster than 0.03 V/s over 10 s, measure note\n"
        "start: every 24 h, 1 times, measure tomogram\n"
        "levels: at 9, 84, 296 C/cm2, measure tomogram\n"
    )
    rest = {"step": "open_circuit_voltage", "until_time_s": 150.0}
    steps, passed = [rest], 0.0
    for level in LEVELS:
        charge = (level + BEYOND - passed) * area / imaging.COULOMB_PER_MAH
        passed = level + BEYOND
        steps += [
            {
                "step": "constant_current",
                "current_mA": current,
                "until_charge_mAh": charge,
                "until_time_s": 2 * charge / current * 3600,
            },
            rest,
        ]
    measurements = {"tomogram": tomogram(b.fly_camera, **how), "note": OwnRun(nothing)}
    # A slope over 10 s wants readings in it before the short too; quickly there are 9 s between two.
    with imaging.slow_near(b.potentiostat, hidden, (*LEVELS, SHORT)):
        return imaging.experiment(session, believed, schedule, measurements, steps, record=2.0)


def nothing(md):
    """What fired it is written down: that is all."""
    yield from ()
    return ""


def judge_growth(found, sizes):
    volumes = [each.volume for each in found]
    voxel = found[0].rows()[0]["voxel_size"]
    _, away = places(volumes[0], voxel)
    inside, row = away < WITHIN, np.arange(len(volumes[0])) + 0.5
    # Both materials as they are before anything grew, away from the surfaces.
    lithium, polymer = (
        float(volumes[0][rows][:, inside].mean())
        for rows in (row > TOP + 5, (row > SURFACE + 12) & (row < TOP - 4))
    )
    changed = (volumes[-1] - volumes[0])[(row > SURFACE + 1) & (row < TOP - 1)].mean(axis=0)
    grown = gaussian_filter(np.where(inside, -changed, 0.0), 2.5)
    region = binary_dilation(grown > 0.25 * grown.max(), iterations=6) & inside
    for volume, size in zip(volumes, sizes, strict=True):
        growth = surface_growth(
            volume,
            surface=SURFACE,
            lower=lithium,
            upper=polymer,
            voxel_size=voxel,
            region=region,
            limits=(10.0, TOP),
        )
        below, above = size["subsurface_volume"], size["protruding_volume"]
        print(
            f"below {growth.below / below:.3f}, above {growth.above / max(above, 1e-9):.3f} of "
            f"{below:.3g} and {above:.3g} mm3"
        )
        if above == 0:
            assert abs(growth.above) < 0.02 * sizes[-1]["protruding_volume"]
        else:
            assert growth.below / growth.above == pytest.approx(below / above, rel=RATIO)
