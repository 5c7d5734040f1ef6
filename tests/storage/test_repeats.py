import numpy as np
import xarray as xr

from battbeam.storage.repeats import last_repeats


def rows(*each):
    measurement, repeat, valid = zip(*each, strict=True)
    columns = {"measurement": measurement, "repeat": repeat, "valid": valid}
    made = xr.Dataset({name: ("time", list(values)) for name, values in columns.items()})
    return made.assign_coords(time=np.arange(len(each), dtype=float))


def kept(*each):
    return last_repeats(rows(*each))["time"].to_numpy().tolist()


def test_what_came_before_the_last_first_repeat_had_a_full_pixel_and_is_left_out():
    assert kept((0, 0, 1), (0, 1, 1), (0, 0, 1), (0, 1, 1), (1, 0, 1)) == [2.0, 3.0, 4.0]


def test_measurements_that_take_turns_keep_the_order_of_time():
    assert kept((0, 0, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1)) == [0.0, 1.0, 2.0, 3.0]


def test_invalid_rows_and_rows_of_no_measurement_are_left_out():
    assert kept((-1, 0, 1), (0, 0, 0), (0, 1, 1), (-1, 0, 1)) == [2.0]


def test_a_measurement_begun_afresh_whose_rows_are_all_invalid_has_none():
    assert kept((0, 0, 1), (0, 0, 0)) == []
