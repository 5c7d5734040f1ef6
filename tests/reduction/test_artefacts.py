"""Faults of sample and instrument, in frames of the simulation: the plain analysis is wrong by more than
its error, and what this package does is right or says so.

What a cell has is known by a frame without noise and faults, and of lattices by the simulation itself.
"""

import numpy as np
import pytest

from battbeam.materials import structure
from battbeam.reduction.detector_faults import dark_drift, panel_lag, without_pile_up
from battbeam.reduction.frame_quality import FrameChecker
from battbeam.reduction.reference_checks import candidates, reference_check
from battbeam.reduction.texture import modulation, pole_angles, ring_of, texture_of
from battbeam.reduction.xrd import Dark
from battbeam.sim.artefacts import Panel
from battbeam.sim.scenario import Layer, Texture
from tests.reduction.simulated_bench import EXPOSURE, Bench, stack

# Above this many of its own errors a value is wrong, below it is right.
SURE = 3.0
# The edges that the simulated oxide has at the content of the frames, angstrom.
TRUE_A, TRUE_C = 2.831, 14.45
POLARIZATION = 0.98


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """A part of the rings."""
    bench = Bench(tmp_path_factory.mktemp("corner"), centre=(14.0, 17.0), flux=8e8)
    return bench, bench.reducer(), checker_of(bench)


@pytest.fixture(scope="module")
def plain(whole):
    """The reducer that knows of no fault."""
    return whole.reducer()


@pytest.fixture(scope="module")
def careful(whole):
    """One whose aluminium tells where the cell is."""
    return whole.reducer("Al")


@pytest.fixture(scope="module")
def checker(whole):
    return checker_of(whole)


@pytest.fixture(scope="module")
def truth(whole, plain):
    return whole.reduced(plain, whole.expected(whole.scenario()).photons)


def checker_of(bench):
    return FrameChecker(bench.pixels(), polarization=POLARIZATION)


def off(result, truth, phase):
    """Of the amount, in its own errors."""
    found = result.phases[phase]
    return (found.amount - truth.phases[phase].amount) / found.amount_error


def worst(result, truth):
    return max(abs(off(result, truth, name)) for name in truth.phases)


def lattice_off(result, truth=None):
    """Of the oxide's edges, the larger, in its own errors."""
    found = result.phases["NMC811"]
    right = {"a": TRUE_A, "c": TRUE_C} if truth is None else truth.phases["NMC811"].lattice
    return max(abs(found.lattice[edge] - right[edge]) / found.lattice_error[edge] for edge in "ac")


def ratio(result):
    """Of aluminium to oxide, and its error."""
    one, other = (result.phases[name] for name in ("Al", "NMC811"))
    found = one.amount / other.amount
    relative = (one.amount_error / one.amount, other.amount_error / other.amount)
    return found, found * np.hypot(*relative)


def test_a_frame_without_faults_is_right_and_has_no_flag(whole, plain, checker, truth):
    frame = whole.frame(whole.scenario(), 1)
    result = whole.reduced(plain, frame)
    assert result.valid
    assert worst(result, truth) < SURE
    assert lattice_off(result) < SURE
    assert checker.check(frame).flags == ()


def test_a_foil_whose_grains_lie_along_the_beam_is_told_from_several_lines(whole, plain, truth):
    lies = Texture(r=1.6, plane=(1, 1, 1))
    frame = whole.frame(whole.scenario(stack(Al={"texture": lies})), 2)
    naive = whole.reduced(plain, frame)
    assert min(abs(off(naive, truth, name)) for name in ("Al", "NMC811")) > SURE
    ours = whole.reduced(whole.reducer(free_intensities=("Al",)), frame)
    assert abs(off(ours, truth, "NMC811")) < SURE
    found = ours.phases["Al"]
    names = [name for name in found.intensity if np.isfinite(found.intensity_error[name])]
    crystal = structure("Al")
    hkl = [tuple(int(digit) for digit in name) for name in names]
    d = crystal.lattice.a / np.sqrt(np.sum(np.square(hkl), axis=1))
    theta = np.degrees(np.arcsin(12398.42 / 22163.0 / 2 / d))
    told = texture_of(
        np.array([found.intensity[name] for name in names]),
        np.array([found.intensity_error[name] for name in names]),
        poles=[pole_angles(crystal, each, (1, 1, 1)) for each in hkl],
        tilt=90 - theta,
    )
    assert "textured" in told.flags[0]
    assert told.r == pytest.approx(1.6, abs=SURE * told.r_error)
    assert told.scale == pytest.approx(truth.phases["Al"].amount, abs=SURE * told.scale_error)


def test_a_rolled_foil_whose_axis_leans_has_a_wrong_amount_and_an_uneven_ring(whole, plain, truth):
    lies = Texture(r=0.5, plane=(1, 1, 1), tilt=60.0, tilt_direction=20.0)
    frame = whole.frame(whole.scenario(stack(Al={"texture": lies})), 3)
    assert abs(off(whole.reduced(plain, frame), truth, "Al")) > SURE
    ring = {"two_theta": 13.74, "width": 1.3, "polarization": POLARIZATION}
    pixels = whole.pixels()
    assert "textured: ring uneven" in modulation(ring_of(frame, pixels, **ring)).flags[0]
    even = whole.frame(whole.scenario(), 4)
    assert modulation(ring_of(even, pixels, **ring)).flags == ()


def test_few_grains_make_errors_too_small_and_the_frame_says_by_how_much(
    whole, plain, checker, truth
):
    naive, ours = [], []
    few = {"graininess": 4e6}
    hidden = whole.scenario(stack(active=few, Al=few))
    for place in range(8):
        # Each place of the cell has its own grains.
        frame = whole.frame(hidden, 20 + place, x=0.4 * place)
        quality = checker.check(frame)
        assert "spotty" in quality.flags[0]
        result = whole.reduced(plain, frame)
        for name in ("NMC811", "Al"):
            naive.append(off(result, truth, name))
            ours.append(naive[-1] / quality.error_scale)
    assert np.sqrt(np.mean(np.square(naive))) > 2
    assert 0.5 < np.sqrt(np.mean(np.square(ours))) < 1.5


def test_a_cell_that_moved_has_its_lattice_by_the_aluminium_on_it(whole, plain, careful):
    # Each layer scatters from its own depth, steel of the casing stays where it is.
    frame = whole.frame(whole.scenario(), 5, moved_by=0.1)
    naive = whole.reduced(plain, frame)
    assert lattice_off(naive) > SURE
    assert abs(naive.phases["NMC811"].lattice["c"] - TRUE_C) > 0.009
    ours = whole.reduced(careful, frame)
    assert lattice_off(ours) < SURE
    assert ours.phases["NMC811"].lattice["c"] == pytest.approx(TRUE_C, abs=0.003)
    assert ours.displacement == pytest.approx(0.1, abs=SURE * ours.displacement_error)


def test_a_reference_that_does_not_move_with_the_cell_corrects_nothing(whole):
    frame = whole.frame(whole.scenario(), 5, moved_by=0.1)
    found = whole.reduced(whole.reducer("steel"), frame)
    # It says nothing of the cell, so the lattice is as uncertain as a move makes it.
    assert found.phases["NMC811"].lattice_error["c"] > 0.003
    assert lattice_off(found) < SURE


def test_a_frame_after_a_step_keeps_the_one_before_until_its_lag_is_taken_out(whole, plain, truth):
    lagging = whole.faulty(lag_fraction=0.05, lag_time=40.0)
    thick = whole.scenario(stack(Al={"thickness": 0.12})).model_copy(
        update={"detector": lagging.detector}
    )
    dark = np.full((whole.n, whole.n), whole.dark_rate * EXPOSURE)
    # Commissioning: a bright frame, and one with the shutter closed right after.
    panel = Panel(lagging)
    bright = whole.frame(lagging, 6, panel=panel)
    closed = whole.dark(lagging, 7, panel=panel, after=EXPOSURE + 1.0)
    lag = panel_lag(bright, [closed], delays=[1.0], dark=dark)
    assert lag.fraction == pytest.approx(0.05 * np.exp(-1 / 40), abs=4 * lag.fraction_error)
    # The measurement: thick foil, then the cell.
    panel = Panel(lagging)
    before = whole.frame(thick, 8, panel=panel)
    seen = whole.frame(lagging, 9, panel=panel, after=EXPOSURE + 1.0)
    assert abs(off(whole.reduced(plain, seen), truth, "Al")) > SURE
    ours = whole.reduced(plain, lag.corrected(seen, before - dark, delay=1.0))
    assert abs(off(ours, truth, "Al")) < SURE


def test_a_dark_that_drifted_is_in_the_intensity_until_the_shadow_tells(whole, plain, truth):
    hidden = whole.faulty(dark_drift=0.8)
    shadow = (whole.pixels().two_theta < 3.0).reshape(whole.n, whole.n)
    light = np.where(shadow, 0.0, whole.expected(hidden).photons)
    old = Dark(np.full(light.shape, whole.dark_rate * 1000.0), 1000.0)
    frame = Panel(hidden).counts(
        light,
        start=hidden.start + 3600.0,
        end=hidden.start + 3600.0 + EXPOSURE,
        number=10,
        rng=np.random.default_rng(10),
    )
    expected = old.counts * EXPOSURE / old.exposure
    drift = dark_drift(frame, expected, shadow=shadow, exposure=EXPOSURE)
    assert "dark has drifted" in drift.flags[0]
    assert drift.rate == pytest.approx(0.8, abs=4 * drift.rate_error)
    new = Dark(drift.corrected(old.counts, exposure=old.exposure), old.exposure)
    right = plain.integrate(light)

    def deviation(dark):
        found = whole.reduced(plain, frame, exposure=EXPOSURE, dark=dark)
        pull = (found.intensity - right) / found.intensity_error
        return float(np.nanmean(pull)) * np.sqrt(np.count_nonzero(np.isfinite(pull)))

    assert deviation(old) > 10 * SURE
    # The drift's own error is common to all bins.
    common = drift.rate_error * EXPOSURE * np.sqrt(frame.size / frame.mean())
    assert abs(deviation(new)) < SURE * np.hypot(1, common)
    # Even in all pixels, it is background: what is fitted never hung on the dark.
    found = whole.reduced(plain, frame, exposure=EXPOSURE, dark=old)
    assert worst(found, truth) < SURE
    assert lattice_off(found) < SURE


def test_strong_lines_lose_to_pile_up_what_a_known_dead_time_gives_back(whole, plain, truth):
    rate = whole.expected(whole.scenario()).photons.max() / EXPOSURE
    dead_time = 0.15 / 0.85 / rate
    frame = whole.frame(whole.faulty(dead_time=dead_time), 11)
    corrected = without_pile_up(frame, exposure=EXPOSURE, dead_time=dead_time)
    assert "to pile-up" in corrected.flags[0]
    naive, ours = (ratio(whole.reduced(plain, each)) for each in (frame, corrected.counts))
    assert abs(naive[0] - ratio(truth)[0]) > SURE * naive[1]
    assert abs(ours[0] - ratio(truth)[0]) < SURE * ours[1]


def test_lines_cut_off_by_saturation_are_left_out_or_the_frame_refused(whole, plain, truth):
    light = whole.expected(whole.scenario()).photons
    limit = int(np.quantile(light, 0.997))
    frame = whole.frame(whole.scenario(saturation=limit), 12)
    assert worst(whole.reduced(plain, frame), truth) > SURE
    ours = whole.reduced(whole.reducer(saturation=limit), frame)
    assert ours.n_saturated > 0
    assert ours.valid
    assert worst(ours, truth) < SURE
    blind = whole.frame(whole.scenario(saturation=int(np.quantile(light, 0.97))), 12)
    refused = whole.reduced(whole.reducer(saturation=int(np.quantile(light, 0.97))), blind)
    assert not refused.valid
    assert "saturated" in refused.reason


def test_lithium_under_a_hot_cluster_is_wrong_until_the_cluster_is_found(
    whole, plain, checker, truth
):
    angle = whole.pixels().two_theta.reshape(whole.n, whole.n)
    row = int(whole.centre[0])
    column = int(np.argmin(np.abs(angle[row, 85:] - 12.94))) + 85
    frame = whole.frame(whole.faulty(hot_cluster=(row - 2, column - 2, 5, 15.0)), 13)
    assert abs(off(whole.reduced(plain, frame), truth, "Li")) > SURE
    quality = checker.check(frame)
    assert abs(off(whole.reduced(plain, quality.cleaned(frame)), truth, "Li")) < SURE
    assert quality.n_outliers >= 20
    assert "pixels are not those of a powder's ring" in quality.flags[-1]


def test_a_wrong_wavelength_stretches_every_lattice_and_the_reference_says_so(
    whole, plain, careful
):
    frame = whole.frame(whole.scenario(), 14, energy=22163.0 + 14.0)
    assert lattice_off(whole.reduced(plain, frame)) > SURE

    def check(result):
        found = result.phases["Al"]
        values = (np.array([each["a"]]) for each in (found.lattice, found.lattice_error))
        return reference_check(*values, known=np.array([4.0495]))

    wrong = check(whole.reduced(plain, frame))
    assert "references off by" in wrong.flags[0]
    assert wrong.refused
    assert check(whole.reduced(plain, whole.frame(whole.scenario(), 15))).flags == ()
    # Where a displacement was asked for it takes the energy up, and the lattice is right all the same.
    ours = whole.reduced(careful, frame)
    assert lattice_off(ours) < SURE
    assert ours.displacement > SURE * ours.displacement_error


def test_a_detector_moved_between_runs_shifts_the_lattice_on_a_part_of_the_rings_and_is_flagged(
    corner,
):
    bench, reducer, checker = corner
    hidden = bench.faulty(moves=(100.0, 0.0, 0.5, 0.4))
    first, second = (
        bench.frame(hidden, seed, after=after) for seed, after in ((16, 0.0), (17, 200.0))
    )
    right = bench.reduced(reducer, bench.expected(bench.scenario()).photons)
    assert lattice_off(bench.reduced(reducer, first), right) < SURE
    assert checker.check(first).flags == ()
    assert lattice_off(bench.reduced(reducer, second), right) > SURE
    quality = checker.check(second)
    assert quality.centre_shift == pytest.approx((0.5, 0.4), abs=0.1)
    assert "beam centre moved" in quality.flags[-1]
    assert "calibrate again" in quality.flags[-1]


def test_a_detector_moved_away_between_runs_is_taken_for_a_cell_that_moved_and_set_right(
    whole, plain, careful
):
    hidden = whole.faulty(moves=(100.0, 0.12, 0.0, 0.0))
    frame = whole.frame(hidden, 18, after=200.0)
    assert lattice_off(whole.reduced(plain, frame)) > SURE
    ours = whole.reduced(careful, frame)
    assert lattice_off(ours) < SURE
    assert ours.displacement == pytest.approx(-0.12, abs=SURE * ours.displacement_error)


def test_a_phase_that_nobody_listed_is_seen_and_named_not_fitted(whole, plain, truth):
    impurity = Layer(material="LiF", thickness=0.004, depth=0.012)
    frame = whole.frame(whole.scenario(stack(impurity)), 19)
    result = whole.reduced(plain, frame)
    assert worst(result, truth) > SURE
    assert result.unexplained > 6
    named = candidates(
        result.unexplained_two_theta, energy=22163.0, tolerance=0.1, listed=list(result.phases)
    )
    assert "LiF" in [each.phase for each in named]


def test_an_impurity_under_the_foils_line_shows_in_the_foils_lattice(whole, plain, truth):
    """Half as much leaves no line that would be sure, and is enough to be wrong."""
    impurity = Layer(material="LiF", thickness=0.002, depth=0.012)
    result = whole.reduced(plain, whole.frame(whole.scenario(stack(impurity)), 19))
    assert worst(result, truth) > SURE
    assert result.valid
    assert result.unexplained < 6
    foil = result.phases["Al"]
    values = (np.array([each["a"]]) for each in (foil.lattice, foil.lattice_error))
    assert "references off by" in reference_check(*values, known=np.array([4.0495])).flags[0]
