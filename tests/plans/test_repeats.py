import math

import pytest

from battbeam.devices.fakes import ManualClock
from battbeam.plans.repeats import Course, Repeats


def course(repeats, *, n_points=3, states=()):
    """A course whose cell is at these states of charge, one after the other."""
    told = iter(states)
    return Course(repeats, n_points, ManualClock(), lambda: next(told, math.nan))


def test_what_is_wrong_is_told_at_once():
    wrong = Repeats(n_max=0, noise=-1.0, smear=0.0, longest=-2.0)
    assert wrong.faults() == [
        "repeats: n_max must be at least 1, got 0",
        "repeats: noise must be at least 0, got -1",
        "repeats: smear must be greater than 0, got 0",
        "repeats: longest must be greater than 0 s, got -2 s",
    ]
    assert Repeats().faults() == []


def test_one_spectrum_is_enough_where_nothing_is_said():
    once = course(Repeats())
    once.begin()
    once.end()
    assert once.stopped == "count cap of 1 spectra"


def test_the_worst_point_counts():
    found = course(Repeats())
    found.begin()
    for point, photons in enumerate((1e6, 1e4, 1e5)):
        found.count(point, 1e6, photons)
    assert found.absorbance_error == pytest.approx(math.sqrt(1e-6 + 1e-4))


def test_a_point_that_was_never_counted_does_not_count_and_one_without_photons_does():
    found = course(Repeats())
    found.begin()
    assert math.isnan(found.absorbance_error)
    found.count(0, 100.0, 100.0)
    assert found.absorbance_error == pytest.approx(math.sqrt(0.02))
    found.count(1, 100.0, -3.0)
    assert found.absorbance_error == math.inf


def test_a_cell_of_which_nothing_is_known_never_has_too_much_smear():
    found = course(Repeats(n_max=3, smear=1e-9))
    for _ in range(2):
        found.begin()
        found.end()
    assert found.stopped == ""


def test_what_broke_a_spectrum_off_ends_them():
    found = course(Repeats(n_max=3))
    found.begin()
    found.end("not exposed: enough light")
    assert found.stopped == "not exposed: enough light"


def test_no_limit_is_null_in_the_start_document():
    assert Repeats(n_max=2, smear=0.01).said() == {
        "n_max": 2,
        "noise": 0.0,
        "smear": 0.01,
        "longest": None,
    }
