"""What a start document may ask of EXAFS, and how a slip is told."""

import json

import numpy as np
import pytest

from battbeam.errors import ReductionError
from battbeam.reduction.exafs_reducer import ExafsRequest, ExafsResult, exafs_of, parameters_of
from battbeam.reduction.xanes_result import XanesResult


def test_a_request_reads_what_it_says_of_itself():
    asked = {
        "k_range": [2.5, 11.0],
        "r_range": [1, 3],
        "shells": [{"neighbour": "O", "number": 6, "distance": 2.0}],
    }
    request = ExafsRequest.read(asked, "Ni")
    said = json.loads(json.dumps(parameters_of(request)))
    assert said["options"]["k_range"] == [2.5, 11.0]
    assert said["shells"][0]["source"] == "synthetic, battbeam"
    assert request.k[-1] == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"kmax": 12}, "exafs knows no kmax"),
        ({"shells": [{"number": 6, "distance": 2.0}]}, "a neighbour, or the path"),
        ({"shells": [{"neighbour": "Xe", "number": 6, "distance": 2.0}]}, "no scattering path"),
        ({"shells": [{"path": "none.dat", "number": 6, "distance": 2.0}]}, "shell none.dat"),
        ({"shells": [{"neighbour": "O", "distance": 2.0}]}, "missing 1 required"),
    ],
)
def test_a_slip_is_named(asked, why):
    with pytest.raises(ReductionError, match=why):
        ExafsRequest.read(asked, "Ni")


def test_a_spectrum_that_may_not_be_used_has_no_exafs():
    nothing = np.full(30, np.nan)
    result = XanesResult(False, "no edge", *[nothing] * 7, flagged=nothing)
    with pytest.raises(ReductionError, match="no EXAFS: no edge"):
        exafs_of(result, ExafsRequest())


def test_peaks_are_called_by_their_distance():
    found = ExafsResult(np.zeros(3), np.zeros(3), ((2.4, 1.0), (1.4, 0.8), (3.5, 0.2)), None)
    assert found.peak_of("metal") == 2.4
    assert found.peak_of("oxygen") == 1.4
