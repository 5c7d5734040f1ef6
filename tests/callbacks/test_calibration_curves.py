"""Runs that measure foils and compounds become curves that the next run is compared with."""

import json

import numpy as np
import pytest

from battbeam.callbacks.calibration_curves import collected, keep_curves
from battbeam.callbacks.curve_keeper import CurveKeeper
from battbeam.errors import ReductionError
from battbeam.reduction.stored_curves import read_curve
from tests.callbacks.test_live_xanes import (
    E0,
    documents,
    rows,
    spectrum,
    sweeps,
)

KEEPS = {"foil": True, "compound": "LiNiO2", "oxidation_states": {"Ni K": 3.0}}


def measured(seed, n=2, **more):
    rng = np.random.default_rng(seed)
    return list(documents([spectrum(rng, number) for number in range(n)], **more))


def test_foil_and_compound_are_kept_and_the_next_run_is_compared_with_them(tmp_path):
    foil, compound = keep_curves(measured(1), KEEPS, tmp_path)
    assert (foil.name, compound.name) == ("foil_Ni_K.json", "standard_LiNiO2_Ni_K.json")
    assert read_curve(compound).oxidation_state == 3.0
    asked = {"method": "xanes", "foil": str(foil), "standards": [str(compound)]}
    (row,) = rows(measured(2, n=1, reduction=asked))
    assert row["valid"] == 1, row["invalid_reason"]
    # The same sample again: nothing of the position is the grid's.
    away = row["edge_position"] - read_curve(compound).edge_position
    assert abs(away) < 4 * row["edge_position_error"]
    assert 0 < row["edge_position_shared_error"] < row["edge_position_error"]


def test_the_foil_alone_is_kept_where_nothing_else_was_in_the_beam(tmp_path):
    assert [path.name for path in keep_curves(measured(3), {"foil": True}, tmp_path)] == [
        "foil_Ni_K.json"
    ]


def test_sweeps_are_kept_without_their_lag(tmp_path):
    (foil,) = keep_curves(sweeps(lag=0.012), {"foil": True}, tmp_path)
    curve = read_curve(foil)
    # At 100 eV/s the lag is 1.2 eV; sweeps up and down taken together would be smeared by twice that.
    steepest = curve.energy[np.argmax(np.gradient(curve.absorbance, curve.energy))]
    assert steepest == pytest.approx(E0, abs=0.6)
    half = np.interp(0.5, curve.absorbance[:-1] - 0.6, curve.energy[:-1])
    assert half == pytest.approx(E0, abs=0.15)


def test_a_broken_spectrum_is_not_part_of_a_curve(tmp_path):
    docs = measured(4, n=1, ended=False)
    with pytest.raises(ReductionError, match="the run has no whole spectrum"):
        collected(docs)


def test_a_run_that_cannot_be_read_says_why():
    docs = measured(5)
    docs[0][1]["edges"] = []
    with pytest.raises(ReductionError, match="reduced at named edges, got none"):
        collected(docs)


def test_nothing_is_written_unless_all_is_found(tmp_path):
    docs = measured(6)
    for _, doc in docs:
        if doc.get("descriptor") == "primary":
            doc["data"] = {**doc["data"], "counters_it": doc["data"]["counters_i0"]}
    with pytest.raises(ReductionError, match="LiNiO2: no edge"):
        keep_curves(docs, KEEPS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_one_curve_as_a_person_may_write_it(tmp_path):
    (foil,) = keep_curves(measured(7), {"foil": True}, tmp_path)
    assert set(json.loads(foil.read_text())) == {
        "name",
        "energy",
        "absorbance",
        "absorbance_error",
        "edge_position",
        "edge_position_error",
    }


# As a session does it.


def with_keeps(docs, directory, **keeps):
    docs[0][1]["keeps"] = {**KEEPS, "directory": str(directory), **keeps}
    for name, doc in docs:
        if name in ("descriptor", "stop"):
            doc["run_start"] = "raw"
    return docs


def test_a_session_stores_curves_before_the_next_run_begins(tmp_path):
    keeper = CurveKeeper(tmp_path / "elsewhere")
    for name, doc in with_keeps(measured(8), tmp_path):
        assert list(tmp_path.iterdir()) == []
        keeper(name, doc)
    assert len(list(tmp_path.iterdir())) == 2
    assert keeper.taken_faults() == []


@pytest.mark.parametrize("changed", [{"keeps": None}, {}])
def test_nothing_is_stored_of_runs_that_do_not_ask_for_it_or_failed(tmp_path, changed):
    keeper, docs = CurveKeeper(tmp_path), with_keeps(measured(9), tmp_path)
    docs[0][1].update(changed)
    docs[-1][1]["exit_status"] = "success" if changed else "abort"
    for name, doc in docs:
        keeper(name, doc)
    assert list(tmp_path.iterdir()) == []
    assert keeper.taken_faults() == []


def test_a_calibration_without_a_curve_is_told_once(tmp_path):
    keeper = CurveKeeper(tmp_path)
    for name, doc in with_keeps(measured(10, ended=False), tmp_path):
        keeper(name, doc)
    (fault,) = keeper.taken_faults()
    assert fault == "run raw: the run has no whole spectrum"
    assert keeper.taken_faults() == []
