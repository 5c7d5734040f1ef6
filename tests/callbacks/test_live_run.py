"""What every live reduction does with the documents of its run."""

from pathlib import Path

import pytest

from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.live_xrd import LiveXrd
from battbeam.callbacks.methods import LiveRuns, reduced_again
from battbeam.errors import ReductionError
from battbeam.experiment.reductions import method_of_reduced


def start(**more):
    return {"uid": "run", "time": 1.0, **more}


def test_a_run_is_reduced_by_the_method_that_it_names():
    assert LiveRuns.methods_of(start(reduction={"method": "xanes"})) == (LiveXanes,)
    assert LiveRuns.methods_of(start(reduction={"method": "xrd"})) == (LiveXrd,)
    assert LiveRuns.methods_of(start(reduction={"geometry": "d.poni"})) == (LiveXrd,)


def test_a_run_is_reduced_by_every_method_that_it_names_that_of_its_reduction_first():
    asked = start(reduction={"method": "xanes"}, reductions={"xrd": {"phases": []}, "none": {}})
    assert LiveRuns.methods_of(asked) == (LiveXanes, LiveXrd)


def test_each_of_several_reductions_sees_its_own_alone(tmp_path: Path):
    asked = start(reduction={"method": "xanes"}, reductions={"xrd": {"geometry": "d.poni"}})
    stop = {"run_start": "run", "time": 2.0, "exit_status": "success"}
    documents = [("start", asked), ("stop", stop)]
    found = {
        method: reduced_again(documents, tmp_path, method=method) for method in ("xanes", "xrd")
    }
    starts = {method: docs[0][1] for method, docs in found.items()}
    assert starts["xanes"]["raw_reduction"] == {"method": "xanes"}
    assert starts["xrd"]["raw_reduction"] == {"method": "xrd", "geometry": "d.poni"}
    assert {method: method_of_reduced(doc) for method, doc in starts.items()} == {
        "xanes": "xanes",
        "xrd": "xrd",
    }
    assert starts["xanes"]["uid"] != starts["xrd"]["uid"]
    assert reduced_again(documents, tmp_path)[0][1]["uid"] == starts["xanes"]["uid"]
    with pytest.raises(ReductionError, match="but for 'saxs'"):
        reduced_again(documents, tmp_path, method="saxs")


def test_a_run_that_asks_for_nothing_is_not_reduced():
    assert LiveRuns.methods_of(start()) == ()
    assert LiveRuns.methods_of(start(reduction=None)) == ()
    assert LiveRuns.methods_of(start(reduction={"method": "none"})) == ()


def test_a_method_that_is_not_known_is_refused_by_name(tmp_path: Path):
    documents = [("start", start(reduction={"method": "guess"}))]
    with pytest.raises(ReductionError, match=r"no reduction that is known \(xrd, xanes"):
        reduced_again(documents, tmp_path)
