"""The demo of tomograms: its hidden particles, the verdict on outcomes that are made up, and the whole of it."""

import dataclasses
import json
import runpy
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from battbeam.demo.checks import all_passed
from battbeam.demo.tomography import RECIPE, TomographyDemoOptions, hidden_truth
from battbeam.demo.tomography_outcome import MeasuredTomogram, TomographyOutcome, lines_during
from battbeam.demo.tomography_run import believed
from battbeam.demo.tomography_verdict import judged, tin, true_attenuations
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.plots_particles import TomogramsPicture
from battbeam.reduction.particle_series import ParticlesAt
from battbeam.reduction.particles import Particle
from battbeam.session import example_path
from battbeam.sim.phantom import PhantomState, inside_of

SEEDS = range(1, 9)
VOXEL, SHAPE = 0.0065, (64, 256, 256)
PASSPORT = believed(example_path(RECIPE))


def scenario(seed=1):
    return hidden_truth(TomographyDemoOptions(seed=seed))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"speed": 200.0}, "speed must lie in 1 to 90, got 200"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_what_no_demo_can_do_is_refused(asked, told):
    with pytest.raises(PreflightError, match=told):
        TomographyDemoOptions(**asked).check()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_particles_fit_and_crack_and_stay_inside_of_the_field(seed):
    hidden = scenario(seed)
    (cell,) = hidden.cells
    full = inside_of(hidden, PhantomState.of(cell, lithium_content=6.1))
    assert full.sizes["n_cracks"] == cell.phantom.n_cracked >= 3
    assert full.sizes["volume_factor"] > 2.2
    imaging = hidden.imaging
    reach = full.reach + abs(imaging.axis_offset) * imaging.pixel_size
    assert reach < imaging.n_columns * imaging.pixel_size / 2
    # As heavy as the recipe believes, to what a balance can tell.
    mass = cell.active_loading * cell.electrode_area
    assert mass == pytest.approx(PASSPORT["active_mass"], rel=0.01)


def test_seeds_differ_and_each_is_itself_again():
    assert scenario(1) == scenario(1)
    drawn = {(scenario(seed).imaging.axis_offset, scenario(seed).cells[0]) for seed in SEEDS}
    assert len(drawn) == len(SEEDS)


def test_the_recipes_protocol_is_right_for_its_cell_and_its_rests_keep_their_tomograms():
    recipe = runpy.run_path(str(example_path(RECIPE)))
    assert Protocol.read(recipe["PROTOCOL"]).faults(CellPassport.read(recipe["PASSPORT"])) == []
    rules = {rule.name: rule for rule in recipe["schedule"](0.125).rules}
    kept = {name for name, rule in rules.items() if rule.coupling == "step_then_measure"}
    assert kept == {"fresh", "rest"}
    assert rules["states"].when.fraction == 0.125


# An outcome that is exactly as the truth.

CONTENTS = (0.02, 0.8, 1.6, 2.4, 3.2, 4.0, 4.8, 5.6, 5.9)


def made_up(seed=1):
    """Nine tomograms without any error."""
    hidden = scenario(seed)
    (cell,) = hidden.cells
    tomograms, particles, first = [], [], None
    for number, content in enumerate(CONTENTS):
        state = PhantomState.of(cell, lithium_content=content)
        sizes = inside_of(hidden, state).sizes
        charge = -(content - CONTENTS[0]) / 6.4 * 4.5
        line = {
            "in_beam": "cell",
            "exposure_start": 1000.0 * number,
            "exposure_end": 1000.0 * number + 1.0,
            "axis": 130.0,
            "areal_charge": charge * 3.6 / cell.electrode_area,
            "lithium_content": content,
            "energy": 28_000.0,
            "sizes": sizes,
        }
        charges = {f"state_of_charge{end}": 1.0 + charge / 4.5 for end in ("", "_start", "_end")}
        row = {
            "valid": 1,
            "axis": 130.0,
            "axis_error": 0.01,
            "voxel_size": VOXEL,
            "time_start": 1000.0 * number,
            "time_end": 1000.0 * number + 1.0,
            "current": -0.0045,
            "clock_uncertainty": 0.01,
            "capacity": charge,
            "lithium_content_charge": content,
            **charges,
        }
        volume = np.broadcast_to(np.float32(0.0), SHAPE)
        tomograms.append(MeasuredTomogram(row, volume, (line,), 3, cell.electrode_area))
        seen = recovered(sizes, line)
        first = np.array([each.volume for each in seen]) if first is None else first
        particles.append(ParticlesAt(seen, 1.0, first))
    return TomographyOutcome(
        tomograms=tuple(tomograms),
        particles=tuple(particles),
        n_asked=len(tomograms),
        n_reduced=len(tomograms),
        n_flown=100,
        n_true=100,
        cell=xr.Dataset(),
    )


def recovered(sizes, line):
    swelling = 1 + (sizes["volume_factor"] - 1) / sizes["reacted"]
    core, rim = true_attenuations(line, "sno", swelling)
    found = []
    middle = (np.array(SHAPE) - 1) / 2
    for number, (x, y, z) in enumerate(sizes["centre"]):
        first, outer = sizes["first_radius"][number], sizes["outer_radius"][number]
        solid = 4 / 3 * np.pi * first**3 * sizes["volume_factor"]
        volume = 4 / 3 * np.pi * outer**3
        found.append(
            Particle(
                centre=tuple(np.array([y, z, x]) / VOXEL + middle),
                radius=outer,
                volume=volume,
                core_radius=sizes["core_radius"][number],
                core_attenuation=core,
                rim_attenuation=rim,
                crack_volume=max(volume - solid, 0.0) if sizes["n_cracks"] > number else 0.0,
                crack_error=1e-6,
                blur=0.003,
            )
        )
    return tuple(found)


def verdict(outcome):
    return judged(outcome, PASSPORT, "sno")


def with_row(outcome, number, **values):
    tomograms = list(outcome.tomograms)
    row = {**tomograms[number].row, **values}
    tomograms[number] = dataclasses.replace(tomograms[number], row=row)
    return dataclasses.replace(outcome, tomograms=tuple(tomograms))


def with_particles(outcome, number, change):
    found = list(outcome.particles)
    changed = tuple(change(each) for each in found[number].particles)
    found[number] = dataclasses.replace(found[number], particles=changed)
    return dataclasses.replace(outcome, particles=tuple(found))


def grown(factor):
    return lambda each: dataclasses.replace(
        each, volume=each.volume * factor, radius=each.radius * factor ** (1 / 3)
    )


def without_cracks(each):
    return dataclasses.replace(each, crack_volume=0.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_outcome_as_the_truth_passes(seed):
    found = verdict(made_up(seed))
    assert all_passed(found), [check for check in found if not check.passed]


WRONG = {
    "reduced tomograms": lambda o: dataclasses.replace(o, n_asked=10),
    "valid tomograms": lambda o: dataclasses.replace(
        o, tomograms=o.tomograms[:-1], particles=o.particles[:-1]
    ),
    "frames in the documents": lambda o: dataclasses.replace(o, n_true=101),
    "rotation axis": lambda o: with_row(o, 2, axis=130.3),
    "radius of the fresh": lambda o: with_particles(o, 0, grown(1.2)),
    "radius of the cores": lambda o: with_particles(
        o, 4, lambda each: dataclasses.replace(each, core_radius=each.core_radius + 1.1 * VOXEL)
    ),
    "volume of the particles": lambda o: with_particles(o, 5, grown(1.05)),
    "first tomogram with cracks": lambda o: with_particles(
        with_particles(with_particles(o, 5, without_cracks), 6, without_cracks), 7, without_cracks
    ),
    "volume of the cracks": lambda o: with_particles(
        o, 8, lambda each: dataclasses.replace(each, crack_volume=each.crack_volume * 1.25)
    ),
    "attenuation of the cores": lambda o: with_particles(
        o, 3, lambda each: dataclasses.replace(each, core_attenuation=each.core_attenuation * 1.04)
    ),
    "attenuation of the shells": lambda o: with_particles(
        o, 3, lambda each: dataclasses.replace(each, rim_attenuation=each.rim_attenuation * 0.96)
    ),
    "tin in the particles": lambda o: with_particles(
        o, 6, lambda each: dataclasses.replace(each, rim_attenuation=each.rim_attenuation * 1.06)
    ),
    "state of charge": lambda o: with_row(o, 4, state_of_charge_end=0.4),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_fails_in_the_check_of_its_name(name):
    found = verdict(WRONG[name](made_up()))
    failed = [check.name for check in found if not check.passed]
    assert [each for each in failed if each.startswith(name)], failed


def test_nothing_measured_passes_nothing():
    nothing = dataclasses.replace(made_up(), tomograms=(), particles=(), n_asked=0)
    assert not all_passed(verdict(nothing))


def test_tin_is_conserved_while_particles_grow():
    amounts = [tin(each) for each in made_up().particles]
    # The other elements attenuate next to nothing: 6.4 Li come to each Sn.
    assert amounts == pytest.approx(amounts[0] * np.ones(len(amounts)), rel=0.01)


def test_each_particle_is_compared_with_its_own_truth():
    outcome = made_up()
    centres = np.array([each.centre for each in outcome.particles[0].particles])
    order = np.random.default_rng(1).permutation(len(centres))
    assert outcome.tomograms[0].true_particles(centres[order] + 1.5) == order.tolist()


def test_the_truth_of_a_tomogram_is_that_of_its_projections():
    lines = [
        {"in_beam": kind, "exposure_start": start, "exposure_end": start + 1.0}
        for kind, start in (("dark", 10.0), ("nothing", 12.0), ("cell", 14.0), ("cell", 40.0))
    ]
    (found,) = lines_during(lines, {"time_start": 9.9, "time_end": 20.0})
    assert found["exposure_start"] == 14.0


def test_the_picture_shows_before_and_after_the_cracks():
    outcome = made_up()
    drawn = TomogramsPicture(
        volumes=[each.volume for each in outcome.tomograms],
        rows=[each.row for each in outcome.tomograms],
        particles=outcome.particles,
        cell=outcome.cell,
        truth={},
    )
    first = [each.is_cracked for each in outcome.particles].index(True)
    assert drawn.chosen == [0, first - 1, first, len(CONTENTS) - 1]
    assert drawn.charge[-1] == pytest.approx((CONTENTS[-1] - CONTENTS[0]) / 6.4 * 4.5)


COMMAND = [sys.executable, "-m", "battbeam", "demo", "tomography"]


@pytest.mark.ioc
@pytest.mark.acceptance
@pytest.mark.parametrize("seed", [1, 2])
def test_every_check_holds(tmp_path, seed):
    out = tmp_path / "demo"
    done = subprocess.run(
        [*COMMAND, "--seed", str(seed), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads((out / "result.json").read_text())
    assert result["passed"]
    names = " ".join(check["name"] for check in result["checks"])
    for wanted in ("rotation axis", "cores", "cracks", "tin", "state of charge", "previews"):
        assert wanted in names
    assert np.isfinite([check["recovered"] for check in result["checks"]]).all()
    assert (out / "operando_tomography.png").stat().st_size > 200_000


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_demo_that_is_broken_off_ends_with_130(tmp_path):
    with subprocess.Popen(
        [*COMMAND, "--out", str(tmp_path / "demo")], stderr=subprocess.PIPE, text=True
    ) as running:
        for line in running.stderr:
            if "serve after" in line:
                break
        running.send_signal(signal.SIGINT)
        running.stderr.read()
        assert running.wait(timeout=60) == 130
