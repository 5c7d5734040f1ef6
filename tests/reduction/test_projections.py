"""The open beam that projections are held against, when flats and projections saw different ones."""

import numpy as np
import pytest
from phantom_generator import PIXEL, Scan, cell

from battbeam.errors import ReductionError
from battbeam.reduction.projections import Projections
from battbeam.reduction.tomography import TomographyOptions, TomographyReducer

N, SHAPE = 6, (4, 8)
#: Counts before the sample with a whole beam, and above the dark behind it.
I0, OPEN, DARK = 4e5, 1000.0, 100.0


def frames(**changes):
    """Projections at 0 to 5 s, flats at -10 s and at 20 s; nothing absorbs, nothing is noisy."""
    given = {
        "counts": np.full((N, *SHAPE), OPEN + DARK),
        "omega": np.arange(N) * 30.0,
        "time": np.arange(float(N)),
        "flats": np.full((4, *SHAPE), OPEN + DARK),
        "flat_time": np.array([-10.0, -10.0, 20.0, 20.0]),
        "darks": np.full((3, *SHAPE), DARK),
        "pixel_size": PIXEL,
    }
    return Projections(**{**given, **changes})


def before(**changes):
    """With flats from before the projections alone."""
    flats = {"flats": np.full((2, *SHAPE), OPEN + DARK), "flat_time": np.full(2, -4000.0)}
    return frames(**{**flats, **changes})


def strength(projections):
    return projections.open_beam(2.5).mean() / OPEN


def test_flats_of_an_hour_ago_are_as_strong_as_the_beam_was_for_the_projections():
    faded = before(i0=np.full(N, 0.85 * I0), flat_i0=np.full(2, I0))
    assert strength(faded) == pytest.approx(0.85, rel=1e-6)


def test_between_two_series_of_flats_the_beam_is_what_both_say():
    flats = np.full((4, *SHAPE), OPEN + DARK)
    flats[2:] -= 0.3 * OPEN
    told = np.array([I0, I0, 0.7 * I0, 0.7 * I0])
    # Linear from the one to the other: 12.5 of 30 s have passed.
    share = 1 - 0.3 * 12.5 / 30
    steady = frames(flats=flats, i0=np.full(N, share * I0), flat_i0=told)
    assert strength(steady) == pytest.approx(share, rel=1e-6)
    below = frames(flats=flats, i0=np.full(N, 0.9 * share * I0), flat_i0=told)
    assert strength(below) == pytest.approx(0.9 * share, rel=1e-6)


def test_frames_without_an_angle_or_a_count_say_nothing_of_the_beam():
    omega, i0 = np.arange(N) * 30.0, np.full(N, 0.85 * I0)
    omega[:2], i0[:2], i0[5] = np.nan, 0.2 * I0, np.nan
    assert strength(before(omega=omega, i0=i0, flat_i0=np.full(2, I0))) == pytest.approx(0.85)


@pytest.mark.parametrize(
    ("i0", "flat_i0"),
    [
        (None, np.full(2, I0)),
        (np.full(N, I0), None),
        (np.full(N, np.nan), np.full(2, I0)),
        (np.full(N, I0), np.zeros(2)),
        (np.full(N, I0), np.full(2, np.nan)),
    ],
)
def test_where_nobody_counted_the_flats_are_believed(i0, flat_i0):
    assert strength(before(i0=i0, flat_i0=flat_i0)) == 1.0


def test_counts_of_another_number_of_frames_are_refused():
    with pytest.raises(ReductionError, match="i0 wants 6 counts, got 2"):
        before(i0=np.ones(2))
    with pytest.raises(ReductionError, match="flat_i0 wants 2 counts, got 3"):
        before(flat_i0=np.ones(3))


@pytest.mark.parametrize("air_width", [8, 0])
def test_a_tomogram_with_old_flats_is_the_one_with_young_flats(air_width):
    """Beyond a tenth nothing at the side would pass for air, and all of the field would absorb."""
    omega, n_flats = np.arange(180.0), 20
    volumes, noises = [], []
    for strength in (1.0, 0.8):
        counted = {"i0": np.full(180, strength * I0), "flat_i0": np.full(n_flats, I0)}
        scan = Scan(
            cell(np.random.default_rng(1)),
            omega,
            beam=np.full(180, strength),
            flat_at=("start",),
            n_flats=n_flats,
            extra=counted,
        )
        options = TomographyOptions(air_width=air_width, axis=scan.axis)
        result = TomographyReducer(options, (scan.n_rows, scan.n_columns)).reduce(
            scan.projections()
        )
        assert result.valid, result.reason
        volumes.append(result.volume)
        noises.append(result.noise)
    young, old = volumes
    # The noise of both is all that differs; a fifth of the beam is 1 / mm and more.
    differs = (old - young)[young != 0]
    assert abs(float(differs.mean())) < 0.005
    assert np.std(differs) < 1.1 * np.hypot(*noises)
