"""What noisy projections say about the axis, against what the axis of many of them scatters by."""

import numpy as np
import pytest

from battbeam.reduction.harmonics import Basis, Harmonics

#: Of a small thing that turns: column of the axis, and its way round it, columns and radian.
AXIS, AWAY, AHEAD = 63.3, 10.0, 0.3
#: Frequencies of a field of 128 columns, and groups of rows.
FREQUENCY = np.tile(np.geomspace(0.5 / 128, 0.125, 64), 4)
#: 40 of 180 degree are missing: only slow frequencies, with few harmonics, say where the axis is.
OMEGA = np.arange(141.0)


def turning(noise, seed, *, signal=1.0):
    """A small thing's closed form, and noise that is the same in all frequencies."""
    basis, rng = Basis.of(OMEGA), np.random.default_rng(seed)
    place = AXIS + AWAY * np.cos(np.radians(OMEGA) - AHEAD)
    values = signal * np.exp(-2j * np.pi * np.outer(place, FREQUENCY))
    values += noise * (rng.normal(size=values.shape) + 1j * rng.normal(size=values.shape))
    reach = 2 * np.pi * FREQUENCY * (AWAY + 1)
    order = np.minimum(np.ceil(reach + 2 * np.cbrt(reach) + 2), basis.most)
    return Harmonics(basis.weight[:, None] * values, FREQUENCY, order, basis)


def axis_of(harmonics, start=AXIS):
    """Column and its standard deviation."""
    shift, covariance = harmonics.fitted(np.array([start]), [np.ones(len(OMEGA))])
    return shift[0], np.sqrt(covariance[0, 0])


def test_noise_is_not_taken_for_knowledge_of_the_axis():
    pulls = []
    for seed in range(60):
        column, error = axis_of(turning(0.1, seed))
        pulls.append((column - AXIS) / error)
    # The mean square of 60 honest pulls lies between 0.6 and 1.5 in 99 of 100 cases (chi squared of
    # 60). With what harmonics make of noise counted as said by the sample it is 2 and more.
    assert 0.6 < np.mean(np.square(pulls)) < 1.5


def test_nothing_but_noise_knows_no_axis_where_angles_are_missing():
    errors = [axis_of(turning(1.0, seed, signal=0.0))[1] for seed in range(24)]
    # As if known by chance in every other case; without the correction in all, to 0.3 column.
    assert np.median(errors) > 0.5
    assert np.isinf(errors).any()


def test_without_noise_the_axis_is_found_from_a_column_away():
    column, error = axis_of(turning(1e-3, 1), start=AXIS + 1.0)
    assert column == pytest.approx(AXIS, abs=0.02)
    assert error < 0.02
