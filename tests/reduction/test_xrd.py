"""Whole frames with known contents, reduced."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from pattern_generator import Bench, cell_layers

from battbeam.errors import ReductionError
from battbeam.materials import lattice_edges
from battbeam.reduction.xrd import Dark, ScatteringPhase, XrdOptions, XrdReducer

INERT = [
    ScatteringPhase("Al", 0.04),
    ScatteringPhase("Li", -0.27),
    ScatteringPhase("steel", 1.45),
]
TWO_PHASE = [ScatteringPhase("LiFePO4"), ScatteringPhase("FePO4"), *INERT]
TRANSMISSION = float(np.exp(-0.25))
# Small and coarse, to be quick: pixels as wide as lines.
BENCH = Bench(shape=(220, 210), pixel=(0.4, 0.4), centre=(109.3, 107.8), width=(0.17, 0.05))
CORNER = Bench(
    shape=(220, 220),
    pixel=(0.4, 0.4),
    centre=(24.0, 30.0),
    rotation=(1.0, 0.5),
    width=(0.17, 0.05),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return BENCH.save(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def reducer(files):
    return XrdReducer(*files, TWO_PHASE, shape=BENCH.shape)


@pytest.fixture(scope="module")
def half_full():
    return two_phases(0.4)


@functools.cache
def two_phases(fraction, counts=8e6):
    active = [("LiFePO4", 0.89, 1 - fraction), ("FePO4", 0.05, fraction)]
    return BENCH.expected(cell_layers(active), counts=counts)


def reduced(reducer, expected, seed=None):
    frame = expected if seed is None else np.random.default_rng(seed).poisson(expected)
    return reducer.reduce(frame, monitor=1e8, transmission=TRANSMISSION)


def test_a_frame_without_noise_gives_its_contents_back(reducer, half_full):
    result = reduced(reducer, half_full)
    assert result.valid, result.reason
    assert result.phases["FePO4"].fraction == pytest.approx(0.4, abs=2e-4)
    assert result.lithium_content == pytest.approx(0.6 * 0.89 + 0.4 * 0.05, abs=3e-4)
    for phase, content in (("LiFePO4", 0.89), ("FePO4", 0.05)):
        edges = lattice_edges(phase, np.array([content]))[0]
        np.testing.assert_allclose(list(result.phases[phase].lattice.values()), edges, atol=3e-4)
    assert result.residual < 0.02


def test_amounts_stand_to_each_other_as_in_the_cell(reducer, half_full):
    result = reduced(reducer, half_full)
    aluminium = result.phases["Al"].amount / result.active_amount
    assert aluminium == pytest.approx(4.05e-4 / 6.3e-5, rel=3e-3)


def pulls_of(reducer, fractions, seeds):
    pulls, residuals = [], []
    for fraction in fractions:
        expected = two_phases(fraction)
        for seed in seeds:
            result = reduced(reducer, expected, seed)
            found = result.phases["FePO4"]
            pulls.append((found.fraction - fraction) / found.fraction_error)
            residuals.append(result.residual)
    return np.array(pulls), np.array(residuals)


def test_errors_of_fractions_are_honest(reducer):
    pulls, residuals = pulls_of(reducer, (0.0, 0.5, 0.98), range(8))
    assert abs(pulls.mean()) < 0.3 + 3 / np.sqrt(len(pulls))
    assert 0.65 < pulls.std() < 1.45
    assert abs(residuals.mean() - 1) < 0.05


@pytest.mark.acceptance
def test_errors_of_fractions_are_honest_over_many_frames(reducer):
    pulls, _ = pulls_of(reducer, np.linspace(0, 1, 9), range(20))
    assert abs(pulls.mean()) < 0.3
    assert 0.85 < pulls.std() < 1.15


def test_one_frame_gives_the_same_bits_twice(files, half_full):
    first, second = (
        reduced(XrdReducer(*files, TWO_PHASE, shape=BENCH.shape), half_full, 3) for _ in range(2)
    )
    assert repr(first.phases) == repr(second.phases)  # NaN equals nothing, itself included
    np.testing.assert_array_equal(first.model, second.model)


def test_a_frame_is_reduced_as_if_it_were_the_only_one(reducer, half_full):
    """What is kept between frames must not be seen: live and replayed reductions meet others before."""
    first = reduced(reducer, half_full, 3)
    reduced(reducer, two_phases(0.98), 4)
    again = reduced(reducer, half_full, 3)
    assert repr(first.phases) == repr(again.phases)
    np.testing.assert_array_equal(first.model, again.model)


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    files = CORNER.save(tmp_path_factory.mktemp("corner"))
    return XrdReducer(*files, [ScatteringPhase("NMC811"), *INERT], shape=CORNER.shape)


@pytest.mark.parametrize(
    "content",
    [0.95, 0.15, *(pytest.param(x, marks=pytest.mark.acceptance) for x in (0.6, 0.35))],
)
def test_nmc811_is_found_anywhere_on_its_way(corner, content):
    active = [("NMC811", content, 0.97), ("NMC811", 0.98, 0.03)]
    expected = CORNER.expected(cell_layers(active), counts=1e7)
    result = reduced(corner, expected, 7)
    assert result.valid, result.reason
    edges = 0.97 * lattice_edges("NMC811", np.array([content]))[0]
    edges += 0.03 * lattice_edges("NMC811", np.array([0.98]))[0]
    found = result.phases["NMC811"]
    for name, true in zip(("a", "c"), edges, strict=True):
        assert found.lattice[name] == pytest.approx(true, abs=4 * found.lattice_error[name])
    assert found.lattice["a"] == pytest.approx(edges[0], abs=0.001)
    assert found.lattice["c"] == pytest.approx(edges[1], abs=0.003)
    assert result.lithium_content == pytest.approx(0.97 * content + 0.03 * 0.98, abs=0.004)


def test_a_few_grains_among_many_that_take_no_part_are_found(corner):
    """A place of the electrode that is all but dead: its few grains lie far from the others."""
    share = 0.06
    active = [("NMC811", 0.18, share), ("NMC811", 0.975, 1 - share)]
    result = reduced(corner, CORNER.expected(cell_layers(active), counts=1e7), 7)
    assert result.valid, result.reason
    assert result.residual == pytest.approx(1.0, abs=5 * result.residual_deviation)
    content = share * 0.18 + (1 - share) * 0.975
    assert result.lithium_content == pytest.approx(content, abs=4 * result.lithium_content_error)


def test_a_solid_solution_is_one_phase_whose_lines_move(files):
    reducer = XrdReducer(*files, [ScatteringPhase("LixFePO4"), *INERT], shape=BENCH.shape)
    angles = []
    for content in (0.8, 0.3):
        expected = BENCH.expected(cell_layers([("LixFePO4", content, 1.0)]), counts=8e6)
        result = reduced(reducer, expected, 1)
        assert result.lithium_content == pytest.approx(content, abs=0.005)
        angles.append(result.phases["LixFePO4"].two_theta)
    assert angles[1]["311"] > angles[0]["311"]
    assert angles[1]["101"] < angles[0]["101"]


def test_a_missing_phase_shows_in_the_residual(files, half_full):
    phases = [phase for phase in TWO_PHASE if phase.phase != "Al"]
    result = reduced(XrdReducer(*files, phases, shape=BENCH.shape), half_full, 2)
    assert not result.valid
    assert "something in the pattern is not in the model" in result.reason
    assert result.unexplained > 50
    assert result.unexplained_two_theta == pytest.approx(13.74, abs=0.15)


def test_polarization_ignored_shows_in_the_residual(files, reducer, half_full):
    options = XrdOptions(polarization=None)
    ignorant = XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, options=options)
    wrong, right = reduced(ignorant, half_full, 5), reduced(reducer, half_full, 5)
    assert right.residual < 1 + 4 * right.residual_deviation
    assert wrong.residual > 1 + 5 * wrong.residual_deviation


def test_a_beam_centre_off_by_two_pixels_makes_frames_invalid(tmp_path, half_full):
    row, column = BENCH.centre
    elsewhere = dataclasses.replace(BENCH, centre=(row + 2, column), _kept={})
    wrong = XrdReducer(*elsewhere.save(tmp_path), TWO_PHASE, shape=BENCH.shape)
    result = reduced(wrong, half_full, 5)
    assert not result.valid
    assert "residual" in result.reason


def test_ten_electronvolts_in_the_geometry_move_lattices_and_angles(tmp_path, reducer, half_full):
    poni, instrument = dataclasses.replace(BENCH, energy=22173.0, _kept={}).save(tmp_path)
    fields = json.loads(instrument.read_text())
    instrument.write_text(json.dumps(fields | {"energy": 22163.0}))
    wrong = reduced(XrdReducer(poni, instrument, TWO_PHASE, shape=BENCH.shape), half_full)
    right = reduced(reducer, half_full)
    moved = wrong.phases["LiFePO4"].two_theta["311"] - right.phases["LiFePO4"].two_theta["311"]
    assert abs(moved) > 0.005
    lattice = wrong.phases["Al"].lattice["a"] - right.phases["Al"].lattice["a"]
    assert abs(lattice) > 20 * wrong.phases["Al"].lattice_error["a"]


def test_fractions_by_weight_are_others_than_by_moles(files, half_full):
    options = XrdOptions(fraction_by="weight")
    result = reduced(XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, options=options), half_full)
    assert result.phases["FePO4"].fraction == pytest.approx(0.3893, abs=0.002)


@pytest.mark.parametrize("monitor", [0.0, -1.0, float("nan")])
def test_without_monitor_counts_there_was_no_beam(reducer, half_full, monitor):
    result = reducer.reduce(half_full, monitor=monitor, transmission=None)
    assert not result.valid
    assert result.reason.startswith("no beam")
    assert result.phases == {}


def test_dark_noise_alone_is_no_beam(reducer):
    rng = np.random.default_rng(1)
    dark = Dark(rng.poisson(1.2, BENCH.shape).astype(float), exposure=60.0)
    frame = rng.poisson(1.2, BENCH.shape)
    result = reducer.reduce(frame, monitor=50.0, transmission=0.8, exposure=60.0, dark=dark)
    assert result.reason.startswith("no beam")


def test_a_dark_is_scaled_to_the_exposure_and_taken_off(reducer, half_full):
    rng = np.random.default_rng(2)
    dark = Dark(rng.poisson(100.0, BENCH.shape).astype(float), exposure=100.0)
    frame = rng.poisson(half_full + 30.0)
    result = reducer.reduce(frame, monitor=1e8, transmission=TRANSMISSION, exposure=30.0, dark=dark)
    assert result.residual == pytest.approx(1.0, abs=4 * result.residual_deviation)
    found = result.phases["FePO4"]
    assert found.fraction == pytest.approx(0.4, abs=4 * found.fraction_error)


def test_a_dark_needs_an_exposure(reducer, half_full):
    dark = Dark(np.zeros(BENCH.shape), exposure=1.0)
    with pytest.raises(ReductionError, match="a dark needs the frame's exposure"):
        reducer.reduce(half_full, monitor=1.0, transmission=None, dark=dark)


def test_a_cell_nobody_looked_through_absorbs_at_angles_as_it_was_built(files):
    active = [("LiFePO4", 0.89, 0.6), ("FePO4", 0.05, 0.4)]
    frame = BENCH.expected(cell_layers(active), counts=3e7, optical_depth=1.0)

    def found(transmission, **options):
        reducer = XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, options=XrdOptions(**options))
        return reducer.reduce(frame, monitor=1e8, transmission=transmission)

    built, looked, nothing = found(None, optical_depth=1.0), found(np.exp(-1.0)), found(None)
    # Without chance: what is left is of the model.
    assert built.residual == pytest.approx(looked.residual, rel=1e-6)
    assert nothing.residual > 10 * built.residual
    # What came through is not known, so that amounts are as if all did.
    for phase, result in built.phases.items():
        assert result.amount == pytest.approx(looked.phases[phase].amount * np.exp(-1.0), rel=1e-6)


def test_a_frame_of_another_shape_is_refused(reducer):
    with pytest.raises(ReductionError, match="the frame has"):
        reducer.reduce(np.zeros((4, 4)), monitor=1.0, transmission=None)


def test_a_few_saturated_pixels_do_no_harm_and_many_make_it_invalid(files, half_full):
    frame = np.random.default_rng(4).poisson(half_full)
    for limit, valid in ((np.sort(frame.ravel())[-20], True), (np.median(frame), False)):
        options = XrdOptions(saturation=float(limit))
        limited = XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, options=options)
        result = reduced(limited, np.minimum(frame, limit))
        assert result.valid == valid
        assert result.n_saturated > 0
        assert np.isnan(result.intensity).any()
        if valid:
            found = result.phases["FePO4"]
            assert found.fraction == pytest.approx(0.4, abs=4 * found.fraction_error)


def test_masked_pixels_change_nothing_but_errors(files, half_full):
    mask = np.zeros(BENCH.shape, dtype=bool)
    mask[:, 100:120] = True
    spoilt = np.where(mask, 1e6, half_full)
    result = reduced(XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, mask=mask), spoilt)
    assert result.phases["FePO4"].fraction == pytest.approx(0.4, abs=3e-4)


def test_pixels_much_wider_than_lines_are_called_so(tmp_path):
    coarse = Bench(shape=(64, 64), pixel=(1.4, 1.4), centre=(31.0, 33.0), width=(0.12, 0.05))
    reducer = XrdReducer(*coarse.save(tmp_path), TWO_PHASE, shape=coarse.shape)
    expected = coarse.expected(cell_layers([("LiFePO4", 0.89, 1.0)]), counts=8e6)
    result = reduced(reducer, expected, 1)
    assert not result.valid
    assert "line widths wide: fractions not reliable" in result.reason


def test_a_phase_that_is_not_there_keeps_the_lattice_of_its_prior(reducer):
    result = reduced(reducer, two_phases(0.0), 9)
    found = result.phases["FePO4"]
    assert found.fraction == pytest.approx(0.0, abs=4 * found.fraction_error)
    assert found.lattice_error["a"] > 0.005


def test_unknown_and_no_active_phases_are_refused(files):
    with pytest.raises(ValueError, match="unknown phase 'LiCoO3'"):
        ScatteringPhase("LiCoO3")
    with pytest.raises(ReductionError, match="no active phase among: Al"):
        XrdReducer(*files, [ScatteringPhase("Al")], shape=BENCH.shape)


def test_a_share_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="downstream of Al must lie in 0 to 1"):
        ScatteringPhase("Al", downstream=2.0)


def test_a_detector_that_sees_no_line_is_refused(tmp_path):
    small = Bench(shape=(40, 40), pixel=(0.1, 0.1), centre=(20.0, 20.0), width=(0.12, 0.05))
    with pytest.raises(ReductionError, match="no line meets the detector"):
        XrdReducer(*small.save(tmp_path), TWO_PHASE, shape=small.shape)


@pytest.mark.parametrize("asked", [(80.0, 90.0), (12.0, 8.0)])
def test_a_range_that_the_detector_does_not_see_is_told_with_what_it_sees(files, asked):
    told = rf"{asked[0]:g} to {asked[1]:g} degree must ascend and meet the .* sees \d+\.\d+ to \d+"
    with pytest.raises(ReductionError, match=told):
        XrdReducer(*files, TWO_PHASE, shape=BENCH.shape, options=XrdOptions(two_theta_range=asked))


def test_a_missing_instrument_file_is_refused(files, tmp_path):
    with pytest.raises(ReductionError, match=r"none\.json cannot be read"):
        XrdReducer(files[0], tmp_path / "none.json", TWO_PHASE, shape=BENCH.shape)


def test_provenance_can_be_stored_and_tells_geometry_and_phases(reducer):
    stored = json.loads(json.dumps(reducer.provenance))
    assert "Distance" in stored["geometry"]
    assert [phase["phase"] for phase in stored["phases"]][:2] == ["LiFePO4", "FePO4"]
