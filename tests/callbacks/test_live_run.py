"""What every live reduction does with the documents of its run."""

from pathlib import Path

import pytest

from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.callbacks.methods import LiveRuns, reduced_again
from battbeam.errors import ReductionError


def start(**more):
    return {"uid": "run", "time": 1.0, **more}


def test_a_run_is_reduced_by_the_method_that_it_names():
    assert LiveRuns.method_of(start(reduction={"method": "xanes"})) is LiveXanes
    assert LiveRuns.method_of(start(reduction={"method": "xrd"})) is LiveXrd
    assert LiveRuns.method_of(start(reduction={"geometry": "d.poni"})) is LiveXrd


def test_a_run_that_asks_for_nothing_is_not_reduced():
    assert LiveRuns.method_of(start()) is None
    assert LiveRuns.method_of(start(reduction=None)) is None
    assert LiveRuns.method_of(start(reduction={"method": "none"})) is None


def test_a_method_that_is_not_known_is_refused_by_name(tmp_path: Path):
    documents = [("start", start(reduction={"method": "guess"}))]
    with pytest.raises(ReductionError, match=r"no reduction that is known \(xrd, xanes"):
        reduced_again(documents, tmp_path)
