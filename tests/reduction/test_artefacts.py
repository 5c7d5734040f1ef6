"""Faults of sample and instrument: the plain analysis is wrong by more than its error, and what this
package does is right or says so.

A cell that moves and a phase with texture along the beam are in test_xrd; saturated pixels too.
"""

import functools
from dataclasses import replace

import numpy as np
import pytest
from pattern_generator import Bench

from battbeam.reduction.detector_faults import dark_drift, panel_lag, without_pile_up
from battbeam.reduction.frame_quality import FrameChecker
from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.reference_checks import candidates, reference_check
from battbeam.reduction.texture import modulation, ring_of
from battbeam.reduction.xrd import Dark, ScatteringPhase, XrdReducer

WHOLE = Bench(shape=(220, 210), pixel=(0.4, 0.4), centre=(109.3, 107.8), width=(0.17, 0.05))
CORNER = replace(WHOLE, shape=(220, 220), centre=(24.0, 30.0), rotation=(1.0, 0.5), _kept={})
CELL = (("NMC811", 0.5, 6.3e-5), ("Al", None, 4.05e-4), ("Li", None, 2e-3))
PHASES = tuple(ScatteringPhase(name) for name in ("NMC811", "Al", "Li"))
TRANSMISSION = float(np.exp(-0.25))
COUNTS = 8e6
# Above this many of its own errors a value is wrong, below it is right.
SURE = 3.0


@functools.cache
def light(place="whole", shift=(0.0, 0.0), energy=22163.0, cell=CELL):
    """Mean counts of every pixel, at a scale that makes `CELL` have `COUNTS`."""
    bench = {"whole": WHOLE, "corner": CORNER}[place]
    moved = replace(
        bench,
        centre=(bench.centre[0] + shift[0], bench.centre[1] + shift[1]),
        energy=energy,
        _kept={},
    )
    image = moved.expected({0.0: [(p, x, None, moles) for p, x, moles in cell]}, counts=None)
    if cell == CELL and not any(shift) and energy == 22163.0:
        return image * COUNTS / image.sum()
    plain = bench.expected({0.0: [(p, x, None, moles) for p, x, moles in CELL]}, counts=None)
    return image * COUNTS / plain.sum()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Reducer, checker and geometry of both places of the detector."""
    found = {}
    for place, bench in (("whole", WHOLE), ("corner", CORNER)):
        files = bench.save(tmp_path_factory.mktemp(place))
        geometry = PixelGeometry.read(files[0], bench.shape)
        found[place] = (
            XrdReducer(*files, PHASES, shape=bench.shape),
            FrameChecker(geometry, polarization=bench.polarization),
            geometry,
        )
    return found


def counted(seed, mean):
    return np.random.default_rng(seed).poisson(mean)


def reduced(reducer, frame, **more):
    return reducer.reduce(frame, monitor=1e8, transmission=TRANSMISSION, **more)


def amount(result, phase):
    return result.phases[phase].amount, result.phases[phase].amount_error


@pytest.fixture(scope="module")
def plain(made):
    """What the cell has, by a frame without noise and faults."""
    return {place: reduced(made[place][0], light(place)) for place in ("whole", "corner")}


def off(result, truth, phase):
    """Of the amount, in its own errors."""
    value, error = amount(result, phase)
    return (value - amount(truth, phase)[0]) / error


def lattice_off(result, truth):
    """Of the oxide's edges, the larger, in its own errors."""
    found, right = result.phases["NMC811"], truth.phases["NMC811"]
    return max(
        abs(found.lattice[edge] - right.lattice[edge]) / found.lattice_error[edge] for edge in "ac"
    )


def aluminium(result):
    metal = result.phases["Al"]
    values = (np.array([each["a"]]) for each in (metal.lattice, metal.lattice_error))
    return reference_check(*values, known=np.array([4.0495]))


def test_a_frame_without_faults_is_right_and_has_no_flag(made, plain):
    reducer, checker, _ = made["whole"]
    frame = counted(1, light())
    result = reduced(reducer, frame)
    assert result.valid
    assert max(abs(off(result, plain["whole"], name)) for name in ("NMC811", "Al", "Li")) < SURE
    assert checker.check(frame).flags == ()


def test_few_grains_make_errors_too_small_and_the_frame_says_by_how_much(made, plain):
    reducer, checker, _ = made["whole"]
    naive, ours = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        grains = rng.gamma(np.maximum(rng.poisson(60.0, WHOLE.shape), 1e-9)) / 60.0
        frame = rng.poisson(light() * grains)
        quality = checker.check(frame)
        assert "spotty" in quality.flags[0]
        result = reduced(reducer, frame)
        for name in ("NMC811", "Al"):
            naive.append(off(result, plain["whole"], name))
            ours.append(naive[-1] / quality.error_scale)
    assert np.std(naive) > 2
    assert 0.5 < np.std(ours) < 1.5


def test_lithium_under_a_hot_cluster_is_wrong_until_the_cluster_is_found(made, plain):
    reducer, checker, geometry = made["whole"]
    angle = geometry.two_theta.reshape(WHOLE.shape)
    row = int(WHOLE.centre[0])
    column = int(np.argmin(np.abs(angle[row, 110:] - 12.94))) + 110
    hot = np.ones(WHOLE.shape)
    hot[row - 2 : row + 3, column - 2 : column + 3] = 15.0
    frame = counted(2, light() * hot)
    quality = checker.check(frame)
    assert abs(off(reduced(reducer, frame), plain["whole"], "Li")) > SURE
    assert abs(off(reduced(reducer, quality.cleaned(frame)), plain["whole"], "Li")) < SURE
    assert quality.n_outliers >= 20
    assert "pixels are not those of a powder's ring" in quality.flags[-1]


def test_a_frame_after_a_step_keeps_the_one_before_until_its_lag_is_taken_out(made, plain):
    reducer = made["whole"][0]
    before = counted(3, light(cell=(("NMC811", 0.5, 6.3e-5), ("Al", None, 2.4e-3))))
    seen = counted(4, light()) + counted(5, 0.03 * before)
    # Commissioning: a bright frame, and one with the shutter closed right after.
    dark = np.zeros(WHOLE.shape)
    lag = panel_lag(before, [counted(6, 0.03 * before)], delays=[0.1], dark=dark)
    assert lag.fraction == pytest.approx(0.03, abs=4 * lag.fraction_error)
    assert abs(off(reduced(reducer, seen), plain["whole"], "Al")) > SURE
    ours = reduced(reducer, lag.corrected(seen, before, delay=0.1))
    assert abs(off(ours, plain["whole"], "Al")) < SURE


def test_a_dark_that_drifted_is_in_the_intensity_until_the_shadow_tells(made):
    reducer, _, geometry = made["whole"]
    shadow = (geometry.two_theta < 3.0).reshape(WHOLE.shape)
    exposure, mean = 10.0, np.where(shadow, 0.0, light())
    old = Dark(counts=np.full(WHOLE.shape, 20.0), exposure=100.0)
    frame = counted(7, mean + 2.0 + 0.8 * exposure)
    expected = old.counts * exposure / old.exposure
    drift = dark_drift(frame, expected, shadow=shadow, exposure=exposure)
    assert "dark has drifted" in drift.flags[0]
    new = Dark(counts=drift.corrected(old.counts, exposure=old.exposure), exposure=old.exposure)
    truth = reducer.integrate(mean)

    def deviation(dark):
        found = reduced(reducer, frame, exposure=exposure, dark=dark)
        pull = (found.intensity - truth) / found.intensity_error
        return float(np.nanmean(pull)) * np.sqrt(np.count_nonzero(np.isfinite(pull)))

    assert deviation(old) > 10 * SURE
    # The drift's own error is common to all bins.
    common = drift.rate_error * exposure * np.sqrt(frame.size / frame.mean())
    assert abs(deviation(new)) < SURE * np.hypot(1, common)


def test_strong_lines_lose_to_pile_up_what_a_known_dead_time_gives_back(made, plain):
    reducer = made["whole"][0]
    mean = light()
    dead_time = 0.15 / 0.85 / mean.max()
    frame = counted(8, mean / (1 + mean * dead_time))
    corrected = without_pile_up(frame, exposure=1.0, dead_time=dead_time)
    assert "to pile-up" in corrected.flags[0]

    def ratio(result):
        """Of aluminium to oxide: the absolute amount is any monitor's."""
        (one, first), (other, second) = (amount(result, name) for name in ("Al", "NMC811"))
        return one / other, one / other * np.hypot(first / one, second / other)

    truth = ratio(plain["whole"])[0]
    naive, ours = (ratio(reduced(reducer, each)) for each in (frame, corrected.counts))
    assert abs(naive[0] - truth) > SURE * naive[1]
    assert abs(ours[0] - truth) < SURE * ours[1]


def test_a_beam_that_moved_shifts_the_lattice_on_a_part_of_the_rings_and_is_flagged(made, plain):
    reducer, checker, _ = made["corner"]
    frame = counted(9, light("corner", shift=(0.5, 0.4)))
    assert lattice_off(reduced(reducer, frame), plain["corner"]) > SURE
    quality = checker.check(frame)
    assert quality.flags[-1] == "beam centre moved by 0.6 pixel: calibrate again"


def test_a_wrong_wavelength_stretches_every_lattice_and_the_reference_says_so(made, plain):
    reducer = made["whole"][0]
    result = reduced(reducer, counted(10, light(energy=22163.0 + 14.0)))
    assert lattice_off(result, plain["whole"]) > SURE
    check = aluminium(result)
    assert "references off by +0.06" in check.flags[0]
    assert check.refused
    assert aluminium(plain["whole"]).flags == ()


def test_a_phase_that_nobody_listed_is_seen_and_named_not_fitted(made, plain):
    reducer = made["whole"][0]
    result = reduced(reducer, counted(11, light(cell=(*CELL, ("rock_salt", None, 8e-6)))))
    wrong = max(abs(off(result, plain["whole"], name)) for name in ("NMC811", "Al", "Li"))
    assert wrong > SURE
    assert result.unexplained > 6
    named = candidates(
        result.unexplained_two_theta,
        energy=22163.0,
        tolerance=0.1,
        listed=[each.phase for each in PHASES],
    )
    assert "rock_salt" in [each.phase for each in named]


def test_a_rolled_foil_seen_in_part_has_a_wrong_amount_and_an_uneven_ring(made, plain):
    reducer, _, geometry = made["corner"]
    without = light("corner", cell=tuple(each for each in CELL if each[0] != "Al"))
    azimuth = np.asarray(CORNER.integrator.center_array(CORNER.shape, unit="chi_rad"))
    # Strongest along the detector's diagonal, where it looks.
    uneven = 1 + 0.4 * np.sin(2 * azimuth)
    frame = counted(12, without + np.maximum(light("corner") - without, 0) * uneven)
    assert abs(off(reduced(reducer, frame), plain["corner"], "Al")) > SURE
    shape = {"two_theta": 13.74, "width": 0.7, "polarization": CORNER.polarization}
    assert "textured: ring uneven" in modulation(ring_of(frame, geometry, **shape)).flags[0]
    even = counted(13, light("corner"))
    assert modulation(ring_of(even, geometry, **shape)).flags == ()
