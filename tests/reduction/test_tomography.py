"""Whole tomograms of discs with closed-form projections, reduced."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
from phantom_generator import PIXEL, Disc, Scan, cell, golden

from battbeam.errors import ReductionError
from battbeam.reduction.reconstruction import reconstruct
from battbeam.reduction.tomography import TomographyOptions, TomographyReducer

HALF_TURN = np.arange(180.0)
# Half a turn, and two angles of it once more: so motion can be told from another axis.
CLOSED = np.append(np.arange(181.0), [90.0, 0.0])


def reduced(scan, **options):
    return TomographyReducer(TomographyOptions(**options), (scan.n_rows, scan.n_columns)).reduce(
        scan.projections()
    )


def scan_of(omega, seed=1, **others):
    return Scan(cell(np.random.default_rng(seed)), omega, seed=seed, **others)


def difference(volume, truth):
    """Root mean square difference over the root mean square of the truth."""
    return float(np.sqrt(np.mean((volume - truth) ** 2) / np.mean(truth**2)))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    "omega", [HALF_TURN, np.arange(0, 360, 2.0), golden(150)], ids=["half", "whole", "golden"]
)
def test_the_axis_is_found_to_a_quarter_of_a_column(omega, seed):
    scan = scan_of(omega, seed=seed, gain_spread=0.01, flat_change=0.02)
    result = reduced(scan)
    assert result.valid, result.reason
    assert result.axis == pytest.approx(scan.axis, abs=0.25)


@pytest.mark.parametrize(
    ("covered", "gain_spread"),
    [(180, 0.0), (180, 0.01), (140, 0.0)],
    ids=["half", "rings", "wedge"],
)
def test_the_error_of_the_axis_is_what_axes_scatter_by(covered, gain_spread):
    pulls = []
    for seed in range(1, 7):
        scan = scan_of(np.arange(covered + 1.0), seed=seed, gain_spread=gain_spread, n_rows=6)
        result = reduced(scan)
        pulls.append((result.axis - scan.axis) / result.axis_error)
    # The mean square of six honest pulls lies below 3 in 99.4 of 100 cases (chi squared of 6).
    assert np.mean(np.square(pulls)) < 3.0


@pytest.mark.parametrize("offset", [-5.5, 0.4, 3.7])
def test_the_axis_of_a_casing_that_nearly_fills_the_field_is_found(offset):
    casing = (Disc(0, 0, 0.083, 8.0), Disc(0, 0, 0.078, -7.0))
    discs = (*casing, Disc(0.02, 0.01, 0.02, 1.0), Disc(-0.03, 0.02, 0.015, 1.5))
    result = reduced(Scan(discs, np.linspace(0, 180, 141), offset=offset, flat_change=0.02))
    assert result.valid, result.reason
    assert result.axis == pytest.approx(63.5 + offset, abs=0.1)


def test_an_axis_that_a_missing_wedge_hides_is_flagged():
    result = reduced(scan_of(np.arange(111.0)))
    assert result.axis_error > 0.125
    assert "the rotation axis is known to" in result.reason
    assert not result.valid


def test_what_a_disc_absorbs_comes_out_as_well_as_counting_allows():
    scan = Scan((Disc(0.004, -0.002, 0.06, 2.0),), HALF_TURN, n_rows=4, flat_change=0.02)
    result = reduced(scan, ring_width=0)
    inside = scan.volume()[0] == 2.0
    inside &= np.roll(inside, 3, axis=0) & np.roll(inside, -3, axis=0)
    n = 4 * inside.sum()
    # Neighbouring voxels are not independent: the mean over the disc is known to about the noise of
    # its outline's length in voxels. Flats (20 + 20 frames of 2e4) add a little of the same kind.
    assert result.volume[:, inside].mean() == pytest.approx(2.0, abs=5 * result.noise / n**0.5)
    measured = np.std(result.volume[:, inside])
    assert measured == pytest.approx(result.noise, rel=0.15)


def test_the_two_ways_agree():
    scan = scan_of(golden(120))
    fast, plain = (reduced(scan, method=way).volume for way in ("nufft", "fbp"))
    # Between them lies a linear interpolation on a grid four times as fine as the pixels.
    # Noise at the finest scale feels it most.
    assert difference(fast, plain) < 0.02
    exact = [
        reconstruct(scan.absorbance(), scan.omega, axis=scan.axis, pixel_size=PIXEL, method=way)
        for way in ("nufft", "fbp")
    ]
    assert difference(*exact) < 0.005


@pytest.mark.parametrize("n_columns", [127, 128])
def test_a_volume_lies_where_the_convention_says(n_columns):
    grain = Disc(0.04, -0.02, 0.006, 5.0, 2, 4)
    scan = Scan((Disc(0, 0, 0.06, 1.0), grain), HALF_TURN, n_columns=n_columns, offset=-2.4)
    volume = reduced(scan, axis=scan.axis).volume
    extra = np.where(volume > 3.5, volume - 1.0, 0)
    rows, z, x = (np.average(place, weights=extra) for place in np.indices(volume.shape))
    middle = (n_columns - 1) / 2
    assert rows == pytest.approx(2.5, abs=0.1)
    assert (z, x) == (
        pytest.approx(middle - 0.02 / PIXEL, abs=0.2),
        pytest.approx(middle + 0.04 / PIXEL, abs=0.2),
    )


def test_frames_blurred_by_a_rotation_of_one_step_give_the_same_volume():
    still = scan_of(np.arange(0, 180, 0.5), n_rows=4, photons=5e4)
    volumes = [
        reduced(each, saturation=None, ring_width=0).volume
        for each in (still, replace(still, blur=0.5, seed=7))
    ]
    noise = np.sqrt(2) * reduced(still, saturation=None).noise
    rms = np.sqrt(np.mean(volumes[1] ** 2))
    # What is left when the counting noise of both is taken off.
    blur = np.sqrt(max(difference(*volumes) ** 2 - (noise / rms) ** 2, 0))
    assert blur < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rings_are_reduced_threefold(seed):
    discs = (Disc(0.004, -0.002, 0.06, 2.0),)
    scan = Scan(discs, HALF_TURN, gain_spread=0.02, seed=seed, photons=3e4)
    inside = np.hypot(*(np.indices((128, 128)) - 63.5)) < 30
    clean = reduced(replace(scan, gain_spread=0.0), ring_width=0, axis=scan.axis)
    beyond = []
    for width in (0, 15):
        volume = reduced(scan, ring_width=width, axis=scan.axis, saturation=None).volume
        beyond.append(np.var(volume[:, inside]) - np.var(clean.volume[:, inside]))
    before, after = np.sqrt(np.maximum(beyond, 0))
    assert before > 3 * after


def test_edges_of_a_round_casing_in_the_middle_are_no_rings():
    discs = (Disc(0, 0, 0.07, 8.0), Disc(0, 0, 0.063, -7.0))
    scan = Scan(discs, HALF_TURN, offset=0.0, n_rows=12, gain_spread=0.003)
    with_rings, without = (reduced(scan, ring_width=width).volume for width in (0, 15))
    casing = scan.volume() > 7.9
    assert without[casing].mean() == pytest.approx(with_rings[casing].mean(), rel=0.01)


def test_a_beam_that_comes_and_goes_is_followed_in_the_air_beside_the_sample():
    swing = 1 + 0.03 * np.sin(np.arange(180) / 7)
    steady, swinging = scan_of(HALF_TURN), scan_of(HALF_TURN, beam=swing)
    result, other = reduced(swinging), reduced(steady)
    assert result.metrics["beam_drift"] == pytest.approx(np.std(swing), rel=0.05)
    noise = np.sqrt(2) * other.noise / np.sqrt(np.mean(other.volume**2))
    assert difference(result.volume, other.volume) < 1.1 * noise
    level = [each.volume[:, 50:78, 50:78].mean() for each in (result, other)]
    assert level[0] == pytest.approx(level[1], rel=0.01)


def test_two_runs_over_the_same_frames_are_the_same_to_the_last_bit():
    scan = scan_of(golden(60))
    np.testing.assert_array_equal(reduced(scan).volume, reduced(scan).volume)


def test_a_window_of_a_golden_angle_scan_is_a_tomogram():
    scan = scan_of(golden(300), photons=4e4)
    whole = scan.projections()
    part = slice(100, 233)
    window = replace(
        whole, counts=whole.counts[part], omega=whole.omega[part], time=whole.time[part]
    )
    result = TomographyReducer(TomographyOptions(), whole.shape).reduce(window)
    assert result.valid, result.reason
    assert (result.n_projections, result.missing_wedge) == (133, 0)
    assert result.axis == pytest.approx(scan.axis, abs=0.25)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flats": np.zeros((0, 8, 128)), "flat_time": np.zeros(0)}, "no flats: the beam without"),
        ({"darks": np.zeros((0, 8, 128))}, "no darks: counts without beam are not known"),
        ({"flats": np.full((40, 8, 128), 101.0)}, "flats at -50 s have no beam"),
        ({"flats": np.full((40, 8, 128), 65535.0)}, "flats: 100.0% of the pixels hold 65535"),
        ({"counts": np.full((180, 8, 128), 65535.0)}, "0 of 180 projections can be used"),
        ({"counts": np.full((180, 8, 128), 100.0)}, "no beam: the median of 180 projections"),
    ],
)
def test_what_cannot_be_reduced_says_why_and_stores_nothing(changes, said):
    result = reduced(scan_of(HALF_TURN, extra=changes))
    assert not result.valid
    assert said in result.reason
    assert result.volume.size == result.centre_slice.size == 0


@pytest.mark.parametrize("omega", [HALF_TURN, golden(150)], ids=["half", "golden"])
@pytest.mark.parametrize("offset", [-75.0, 75.0])
def test_an_axis_out_of_the_field_is_refused(omega, offset):
    result = reduced(scan_of(omega, offset=offset))
    assert not result.valid
    assert "rotation axis not in the field of columns 0 to 127" in result.reason


def test_a_given_axis_out_of_the_field_is_refused():
    result = reduced(scan_of(HALF_TURN), axis=131.0)
    assert result.reason == "rotation axis out of the field: column 131.0 of 0 to 127"
    with pytest.raises(ReductionError, match=r"out of the field: column -1\.0 of 0 to 7"):
        reconstruct(np.ones((9, 1, 8)), np.arange(9.0), axis=-1.0, pixel_size=1.0)


def test_frames_after_a_beam_dump_are_left_out_and_the_missing_wedge_is_stated():
    beam = np.where(np.arange(180) < 140, 1.0, 0.0)
    scan = scan_of(HALF_TURN, beam=beam)
    result = reduced(scan, axis=scan.axis)
    assert (result.partial, result.valid) == (True, False)
    assert (result.n_projections, result.n_left_out) == (140, 40)
    assert result.missing_wedge == pytest.approx(40.0)
    assert result.reason.startswith("partial: 40.0 of 180 degree have no projection (40 frames")
    assert result.volume.any()


def test_a_few_lost_frames_leave_a_volume_that_may_be_used():
    beam = np.where(np.arange(180) % 60 == 30, 0.0, 1.0)
    result = reduced(scan_of(HALF_TURN, beam=beam))
    assert (result.valid, result.partial, result.n_left_out) == (True, True, 3)


def test_a_frame_of_unknown_angle_is_left_out():
    omega = HALF_TURN.copy()
    scan = scan_of(omega)
    lost = np.where(np.arange(180) == 77, np.nan, omega)
    result = reduced(replace(scan, extra={"omega": lost}))
    assert (result.valid, result.n_left_out) == (True, 1)


@pytest.mark.parametrize("omega", [CLOSED, golden(180)], ids=["closed", "golden"])
@pytest.mark.parametrize("motion", [(1.8, 0.0), (0.0, -2.0)])
def test_a_sample_that_moved_by_more_than_a_voxel_is_flagged(omega, motion):
    scan = scan_of(omega, motion=motion, photons=4e4)
    result = reduced(scan)
    assert not result.valid
    assert result.reason.startswith("the sample moved during the scan by")
    assert (result.motion[0], result.motion[2]) == pytest.approx(motion, abs=0.3)
    assert result.axis == pytest.approx(scan.axis, abs=0.25)


def test_a_volume_of_a_sample_that_moved_evenly_is_put_right():
    still, moved = (scan_of(CLOSED, motion=motion, photons=4e4) for motion in ((0, 0), (4.0, -4.0)))
    truth = still.volume()
    clear, right = (difference(reduced(scan).volume, truth) for scan in (still, moved))
    blurred = difference(
        reconstruct(moved.absorbance(), moved.omega, axis=moved.axis, pixel_size=PIXEL), truth
    )
    assert right < 1.1 * clear < 0.8 * blurred


@pytest.mark.parametrize(
    "omega", [CLOSED, golden(180), HALF_TURN], ids=["closed", "golden", "half"]
)
def test_a_sample_that_moved_by_less_is_not(omega):
    result = reduced(scan_of(omega, motion=(0.4, 0.3)))
    assert result.valid, result.reason


@pytest.mark.parametrize("rise", [0.0, 2.0, -1.5])
def test_motion_along_the_axis_is_seen_in_any_scan(rise):
    discs = tuple(
        Disc(0.02 * np.cos(row), 0.02 * np.sin(row), 0.012, mu, row, row + 2)
        for row, mu in ((2, 3.0), (5, 5.0), (9, 2.0), (11, 6.0), (16, 3.0), (20, 4.0))
    )
    scan = Scan((*discs, Disc(0, 0, 0.05, 0.5)), HALF_TURN, n_rows=24, rise=rise)
    result = reduced(scan)
    assert result.motion[1] == pytest.approx(rise, abs=0.15)
    assert ("moved during the scan" in result.reason) == (abs(rise) > 1)


def test_in_one_sweep_over_half_a_turn_motion_across_the_axis_is_not_known():
    result = reduced(scan_of(HALF_TURN))
    assert np.isnan([result.motion[0], result.motion[2]]).all()
    assert np.isinf([result.motion_error[0], result.motion_error[2]]).all()


def test_a_sample_too_thick_is_flagged():
    discs = (Disc(0, 0, 0.06, 120.0),)
    result = reduced(Scan(discs, HALF_TURN, n_rows=4))
    assert "of the pixels saw next to no light" in result.reason


@pytest.mark.parametrize("n", [20, 90])
def test_a_preview_shows_the_centre_slice_and_a_binned_volume(n):
    scan = scan_of(golden(180), n_rows=8)
    whole = scan.projections()
    so_far = replace(whole, counts=whole.counts[:n], omega=whole.omega[:n], time=whole.time[:n])
    reducer = TomographyReducer(TomographyOptions(preview_binning=4), whole.shape)
    preview = reducer.preview(so_far, axis=scan.axis)
    assert preview.reason == ""
    assert preview.centre_slice.shape == (128, 128)
    assert preview.volume.shape == (2, 32, 32)
    assert preview.voxel_size == pytest.approx(4 * PIXEL)
    truth = scan.volume()
    coarse = truth.reshape(2, 4, 32, 4, 32, 4).mean(axis=(1, 3, 5))
    assert preview.volume.mean() == pytest.approx(coarse.mean(), rel=0.05)
    assert np.corrcoef(preview.volume.ravel(), coarse.ravel())[0, 1] > 0.9


def test_a_preview_of_too_few_projections_says_so():
    scan = scan_of(golden(5))
    preview = TomographyReducer(TomographyOptions(), (8, 128)).preview(scan.projections())
    assert preview.reason == "5 projections so far, 8 wanted"


def test_frames_of_another_shape_are_refused():
    result = TomographyReducer(TomographyOptions(), (9, 99)).reduce(
        scan_of(golden(9)).projections()
    )
    assert result.reason == "projections are (8, 128) pixels, this reducer was made for (9, 99)"


def test_without_finufft_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments):
        if name == "finufft":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", absent)
    scan = scan_of(golden(40))
    assert "pip install 'battbeam[tomography]'" in reduced(scan).reason
    assert reduced(scan, method="fbp").valid


def test_options_are_read_from_a_start_document():
    options = TomographyOptions.read(
        {"method": "tomography", "reconstruction": "fbp", "ring_width": 21}
    )
    assert options == TomographyOptions(method="fbp", ring_width=21)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"colour": "red"},
            "unknown option of tomography: colour; known: reconstruction, air_width",
        ),
        ({"reconstruction": "sirt"}, "method must be one of nufft, fbp, got 'sirt'"),
        ({"ring_width": 8}, "ring_width must be 0, or odd and >= 5, got 8"),
        ({"preview_binning": 0}, "preview_binning must be >= 1 and air_width >= 0, got 0 and 8"),
        ({"delta_over_beta": 100.0}, "phase retrieval wants both propagation_distance"),
    ],
)
def test_a_wrong_option_is_refused(document, said):
    with pytest.raises(ReductionError) as fault:
        TomographyOptions.read(document)
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flats": np.ones((40, 8, 99))}, "flats are (8, 99) pixels, projections (8, 128)"),
        ({"counts": np.ones((8, 128))}, "want three axes"),
        ({"omega": np.ones(3)}, "180 projections come with 3 angles and 180 times, 40 flats"),
        ({"pixel_size": 0.0}, "pixel_size must be greater than 0 mm, got 0.0"),
    ],
)
def test_frames_that_do_not_fit_together_are_refused(changes, said):
    with pytest.raises(ReductionError) as fault:
        scan_of(HALF_TURN, extra=changes).projections()
    assert said in str(fault.value)
