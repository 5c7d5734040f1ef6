from pathlib import Path

import numpy as np
import pytest

from battbeam.errors import PreflightError
from battbeam.plans.preflight import (
    connection_faults,
    geometry_faults,
    reduction_faults,
    refuse,
)


def test_faults_from_everywhere_are_one_message():
    with pytest.raises(PreflightError, match=r"xrd_map: 3 fault\(s\), nothing was moved"):
        refuse("xrd_map", ["a"], [], ["b", "c"])


def test_without_faults_nothing_is_refused():
    refuse("xrd_map", [], [])


def test_a_reduction_with_all_its_files_has_no_fault(reduction):
    assert reduction_faults(reduction) == []


def test_a_geometry_that_is_missing_says_how_to_make_one(tmp_path):
    (fault,) = geometry_faults(tmp_path / "none.poni")
    assert "the file is missing; run calibrate_geometry first" in fault


@pytest.mark.parametrize("text", ["", "Distance: long\n", "\0\1\2", "Distance 0.1"])
def test_a_malformed_geometry_is_told_what_it_lacks(tmp_path, text):
    (tmp_path / "bad.poni").write_text(text)
    (fault,) = geometry_faults(tmp_path / "bad.poni")
    assert "not a .poni file, no number for Distance, Poni1" in fault


def test_an_unknown_phase_is_told_the_known_ones(reduction):
    (fault,) = reduction_faults({**reduction, "phases": ["graphene"]})
    assert fault.startswith("phase 'graphene' is not known; known are LiFePO4")


def test_files_that_are_named_must_be_there(reduction, tmp_path):
    asked = {**reduction, "dark": str(tmp_path / "d.npz"), "instrument": None}
    assert sorted(reduction_faults(asked)) == [
        f"dark {tmp_path}/d.npz: the file is missing; measure_dark writes it",
        "reduction names no instrument; calibrate_geometry writes one (.json)",
    ]


def test_a_device_that_is_not_connected_is_named_with_its_records(fakes):
    fakes.beam.i0._metadata["connected"] = False
    (fault,) = connection_faults([fakes.beam, fakes.detector, fakes.beam])
    assert fault.startswith("beam is not connected: no answer from i0; is its server running?")


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"phases": []}, "reduction names no phases"),
        ({"options": {"displacment": 0.3}}, "option 'displacment' of the reduction is not known"),
        ({"transmission_reference": -1.0}, "transmission_reference must be above 0"),
        ({"options": {"blank": "text.json"}}, "blank: measured pattern text.json cannot be read"),
        ({"options": {"blank": "dark.npz"}}, "blank: measured pattern dark.npz has no counts"),
        ({"options": {"references": {"LFP": "line.npy"}}}, "LFP: measured pattern line.npy cannot"),
        ({"options": {"references": {"LFP": "torn.npz"}}}, "LFP: measured pattern torn.npz cannot"),
    ],
)
def test_a_reduction_that_would_fail_is_refused_beforehand(
    reduction, tmp_path, monkeypatch, changed, fault
):
    monkeypatch.chdir(tmp_path)
    Path("text.json").write_text("{}")
    Path("torn.npz").write_bytes(b"PK\3\4 torn")
    np.savez("dark.npz", image=np.zeros((4, 4)))
    np.save("line.npy", np.zeros(4))
    (said,) = reduction_faults({**reduction, **changed})
    assert said.startswith(fault)
