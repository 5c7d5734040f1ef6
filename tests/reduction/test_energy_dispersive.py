import numpy as np
import pytest
from edxrd_generator import (
    OFFSET,
    SLOPE,
    TWO_THETA,
    N,
    energy_of,
    full_width,
    in_plane,
    layer,
    layer_strength,
    line,
    spectrum,
    white,
)
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.materials import structure
from battbeam.reduction import energy_dispersive
from battbeam.reduction.edxrd_calibration import EdxrdCalibration, EdxrdGuess
from battbeam.reduction.energy_dispersive import EdxrdReducer, companions_of, line_strength
from battbeam.reduction.stages import STAGES, Line, lithium_of

# The angle is by a ruler: 0.6 % off.
GUESS = EdxrdGuess(offset=100.0, slope=SLOPE, two_theta=TWO_THETA * 1.006)
CERIA = [(111, 60e3), (200, 18e3), (220, 40e3), (311, 34e3), (222, 6e3), (400, 5e3)]


def ceria(seed, share=1.0):
    edge = structure("CeO2").lattice.a
    squares = [sum(int(digit) ** 2 for digit in str(hkl)) for hkl, _ in CERIA]
    lines = [
        (edge / np.sqrt(square), share * area)
        for square, (_, area) in zip(squares, CERIA, strict=True)
    ]
    return np.random.default_rng(seed).poisson(spectrum(lines))


@pytest.fixture(scope="module")
def calibration():
    return EdxrdCalibration.fit(ceria(0, 30.0), guess=GUESS, time=0.0)


def test_spacings_of_a_calibrated_spectrum_have_honest_errors():
    pulls = {3.7: [], 3.1: [], 4.75: []}
    for seed in range(60):
        found = EdxrdCalibration.fit(ceria(seed), guess=GUESS, time=0.0)
        for d, each in pulls.items():
            channel = (energy_of(d) - OFFSET) / SLOPE
            each.append((found.spacing(channel) - d) / found.spacing_error(channel, 0.0))
        assert found.residual < 6
    for each in pulls.values():
        assert_honest(each)
    # What is asked of a spacing of 3.7 is 0.003.
    channel = (energy_of(3.7) - OFFSET) / SLOPE
    assert found.spacing_error(channel, 0.0) < 1e-3


def test_widths_follow_the_detectors_law(calibration):
    for energy in (30e3, 38e3, 45e3, 80e3):
        channel = (energy - OFFSET) / SLOPE
        assert calibration.full_width(channel) * SLOPE == pytest.approx(
            full_width(energy), rel=0.03
        )


def test_the_energy_scale_is_right_as_far_as_the_angle_is(calibration):
    assert calibration.energy_scale == pytest.approx(SLOPE / 1.006, rel=1e-3)


def test_a_calibration_that_is_kept_is_the_same(calibration, tmp_path):
    calibration.write(tmp_path / "edxrd.json")
    assert EdxrdCalibration.read(tmp_path / "edxrd.json") == calibration
    (tmp_path / "edxrd.json").write_text("{}")
    with pytest.raises(ReductionError, match=r"energy-dispersive calibration .*edxrd\.json"):
        EdxrdCalibration.read(tmp_path / "edxrd.json")


def test_a_spectrum_of_nothing_or_of_another_standard_is_refused():
    flat = np.random.default_rng(1).poisson(spectrum([]))
    with pytest.raises(ReductionError, match="0 lines of CeO2 are found, 3 needed"):
        EdxrdCalibration.fit(flat, guess=GUESS, time=0.0)
    with pytest.raises(ReductionError, match=r"lines .*LaB6"):
        EdxrdCalibration.fit(ceria(1), standard="LaB6", guess=GUESS, time=0.0)


CATHODE = Line("NMC811", "NMC811", "003", 4.78, 0.05)


def reducer(calibration, **changes):
    how = {"flux": white, "lines": (CATHODE,)}
    return EdxrdReducer(calibration, **how | changes)


@pytest.mark.parametrize(
    "stages",
    [
        [("LiC6", 3.7, 1.0, 0.7), ("LiC12", 3.525, 0.5, 0.3)],
        [("LiC6", 3.7, 1.0, 0.2), ("LiC12", 3.525, 0.5, 0.8)],
        [("LiC12", 3.525, 0.5, 0.5), ("LiC18", 3.49, None, 0.5)],
        [("graphite", 3.36, None, 0.6), ("LiC18", 3.465, None, 0.4)],
    ],
)
def test_the_lithium_of_a_layer_comes_back_within_an_honest_error(calibration, stages):
    lines = {each.name: each for each in STAGES}
    stages = [
        (phase, d, lithium_of(lines[phase], d) if y is None else y, moles)
        for phase, d, y, moles in stages
    ]
    truth = sum(y * moles for _, _, y, moles in stages) / sum(moles for *_, moles in stages)
    expected, made, pulls, off = layer(stages, 2e4), reducer(calibration), [], []
    for seed in range(30):
        found = made.reduce(
            np.random.default_rng(seed).poisson(expected), real_time=10, live_time=9
        )
        assert found.valid, found.reason
        off.append(found.lithium_content_counter - truth)
        pulls.append(off[-1] / found.lithium_content_counter_error)
        assert 0.5 < found.residual < 1.6
    # Lines that lie within a width of each other are held by priors, that are no chance.
    assert_honest_or_careful(pulls)
    assert np.abs(off).max() < 0.02 + 3 * found.lithium_content_counter_error
    if "LiC6" in [stage[0] for stage in stages]:
        assert np.abs(off).max() < 0.02


def assert_honest_or_careful(pulls):
    """No bias beyond its error, no error too small; a prior may make it larger than chance."""
    assert abs(np.mean(pulls)) < 0.6
    assert np.std(pulls) < 1 + 4 / np.sqrt(2 * len(pulls))


def test_the_spacing_of_the_fullest_stage_is_the_cells_own_within_an_honest_error(calibration):
    """Whatever literature says: here it is 3.7083."""
    expected = layer([("LiC6", 3.7083, 1.0, 0.6), ("LiC12", 3.525, 0.5, 0.4)], 2e4)
    made, pulls, shared = (
        reducer(calibration),
        [],
        calibration.spacing((energy_of(3.7083) - OFFSET) / SLOPE),
    )
    for seed in range(30):
        found = made.reduce(
            np.random.default_rng(seed).poisson(expected), real_time=10, live_time=9
        )
        value, error = found.d["LiC6"]
        own = np.sqrt(
            error**2 - calibration.spacing_error(float(calibration.channel(value)), 0.0) ** 2
        )
        pulls.append((value - shared) / own)
        assert value == pytest.approx(3.7083, abs=0.003)
    assert_honest(pulls, bias=0.2)


def test_a_line_of_another_phase_has_its_spacing_and_area(calibration):
    expected = layer([("LiC6", 3.7, 1.0, 1.0)], 1e4, cathode=(4.80, 8e3))
    made, pulls = reducer(calibration), []
    for seed in range(30):
        found = made.reduce(
            np.random.default_rng(seed).poisson(expected), real_time=10, live_time=8
        )
        area, error = found.area["NMC811"]
        pulls.append((area - 8e3 / 8) / error)
        assert found.d["NMC811"][0] == pytest.approx(4.80, abs=0.004)
    assert_honest(pulls)
    assert found.dead_time == pytest.approx(0.2)
    assert found.counts == pytest.approx(expected.sum(), rel=0.05)


def test_a_white_beam_that_is_not_corrected_for_shifts_the_lithium(calibration):
    stages = [("LiC6", 3.7, 1.0, 0.5), ("LiC12", 3.525, 0.5, 0.5)]
    expected = layer(stages, 1e6)
    right, naive = (
        reducer(calibration, flux=flux).reduce(expected, real_time=1, live_time=1)
        for flux in (white, None)
    )
    assert right.lithium_content_counter == pytest.approx(0.75, abs=0.004)
    assert abs(naive.lithium_content_counter - 0.75) > 3 * naive.lithium_content_counter_error


def test_strengths_are_those_of_the_sum_over_planes(calibration):
    known = {"graphite": 0.0, "LiC18": 0.25, "LiC12": 0.5, "LiC6": 1.0}
    ours = [line_strength(each, calibration)(each.spacing) for each in STAGES]
    theirs = [layer_strength(each.phase, each.spacing, known[each.name]) for each in STAGES]
    assert np.array(ours) / ours[-1] == pytest.approx(np.array(theirs) / theirs[-1], rel=0.01)
    with pytest.raises(ReductionError, match="LiC6 has no reflection 555"):
        line_strength(Line("x", "LiC6", "555", 3.7, 0.1), calibration, flux=white)


def test_lines_in_the_plane_come_with_the_full_stages(calibration):
    lines = {each.name: each for each in STAGES}
    for name, lithium in (("LiC6", 1.0), ("LiC12", 0.5)):
        own = layer_strength(name, lines[name].spacing, lithium) * white(
            energy_of(lines[name].spacing)
        )
        wanted = {
            round(d, 3): strength * white(energy_of(d)) / own
            for d, strength in in_plane(name, lines[name].spacing)
        }
        found = companions_of(lines[name], calibration, flux=white)
        assert {round(d, 3): share for d, share in found} == pytest.approx(wanted, rel=0.05)
    assert companions_of(lines["graphite"], calibration, flux=white) == ()


def test_a_line_in_the_plane_is_not_taken_for_another_stage(calibration, monkeypatch):
    expected = layer([("LiC6", 3.7, 1.0, 0.5), ("LiC12", 3.525, 0.5, 0.5)], 1e6)
    right = reducer(calibration).reduce(expected, real_time=1, live_time=1)
    assert right.lithium_content_counter == pytest.approx(0.75, abs=5e-4)
    assert right.d["LiC6"][0] == pytest.approx(3.7, abs=2e-4)
    monkeypatch.setattr(energy_dispersive, "companions_of", lambda *_, **__: ())
    naive = reducer(calibration).reduce(expected, real_time=1, live_time=1)
    off, error = naive.lithium_content_counter - 0.75, naive.lithium_content_counter_error
    assert abs(off) > 3 * error


def test_a_spectrum_without_graphite_is_not_valid_and_says_why(calibration):
    flat = np.random.default_rng(1).poisson(spectrum([]))
    found = reducer(calibration).reduce(flat, real_time=10, live_time=9)
    assert not found.valid
    assert found.reason == "no line of graphite or its stages is seen"
    assert np.isnan(found.lithium_content_counter)
    assert np.isnan(found.d["NMC811"][0])
    short = reducer(calibration).reduce(flat[:1300], real_time=10, live_time=9)
    assert "the spectrum has 1300" in short.reason


def test_an_analyser_that_is_busy_is_flagged_and_times_that_make_no_sense_are_refused(calibration):
    expected = layer([("LiC6", 3.7, 1.0, 1.0)], 1e4)
    made = reducer(calibration)
    assert made.reduce(expected, real_time=10, live_time=6).flags == (
        "analyser busy 40 % of the time",
    )
    assert made.reduce(expected, real_time=10, live_time=9).flags == ()
    with pytest.raises(ReductionError, match="live time 11 s of 10 s makes no sense"):
        made.reduce(expected, real_time=10, live_time=11)


def test_without_stages_only_the_lines_are_looked_at(calibration):
    counts = np.random.default_rng(1).poisson(spectrum([(4.8, 1e4)]))
    found = reducer(calibration, stages=False).reduce(counts, real_time=1, live_time=1)
    assert found.valid
    assert list(found.d) == ["NMC811"]
    assert np.isnan(found.lithium_content_counter)
    assert len(line(4.8, 1.0)) == N
