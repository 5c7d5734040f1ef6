import math

import numpy as np
import pytest

from battbeam.experiment.spot_comparison import SpotRow, comparisons, spot_rows


def test_spots_are_compared_only_at_the_same_state_of_the_cell():
    far = [SpotRow(False, 0.0, 0.1, 0.1, 0.01, 1e9), SpotRow(False, 20.0, 0.5, 0.5, 0.01, 2e9)]
    control = SpotRow(True, 10.0, 0.3, 0.28, 0.01, 0.0)
    assert comparisons([far[0], control, far[1]]) == []
    near = SpotRow(False, 20.0, 0.34, 0.34, 0.01, 2e9)
    (one,) = comparisons([SpotRow(False, 0.0, 0.26, 0.26, 0.01, 1e9), control, near])
    assert one.difference == pytest.approx(0.02)
    assert one.error == pytest.approx(math.hypot(0.01, math.hypot(0.005, 0.005)))


def test_rows_of_the_two_spots_are_picked_by_their_place():
    columns = {
        name: np.array(values)
        for name, values in {
            "time": [3.0, 1.0, 2.0],
            "x": [0.0, 1.0, 7.0],
            "y": [0.0, 0.0, 0.0],
            "state_of_charge": [0.3, 0.1, 0.2],
            "value": [0.31, 0.11, 0.2],
            "error": [0.01, 0.01, 0.01],
            "fluence": [1e9, 2e9, 0.0],
        }.items()
    }
    rows = spot_rows(**columns, exposed=(0, 0), control=(1, 0))
    assert [(row.is_control, row.time) for row in rows] == [(True, 1.0), (False, 3.0)]
    with pytest.raises(ValueError, match=r"must be more than 0.1 mm apart, are 0"):
        spot_rows(**columns, exposed=(0, 0), control=(0, 0))
