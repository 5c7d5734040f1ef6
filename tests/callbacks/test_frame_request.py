import hashlib

import numpy as np
import pytest

from battbeam.callbacks.frame_request import FrameRequest, asked_options, hash_of
from battbeam.errors import ReductionError
from battbeam.reduction.saxs import SaxsOptions


def cut(tmp_path):
    """An archive that was broken off while it was copied."""
    np.savez(tmp_path / "cut.npz", counts=np.ones((2, 2)), exposure=30.0)
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "cut.npz"


def empty(tmp_path):
    (tmp_path / "empty.npy").write_bytes(b"")
    return tmp_path / "empty.npy"


def array(tmp_path):
    np.save(tmp_path / "array.npy", np.ones((2, 2)))
    return tmp_path / "array.npy"


@pytest.mark.parametrize("spoiled", [cut, empty, array])
def test_a_dark_that_is_none_is_refused_in_words(tmp_path, spoiled):
    path = spoiled(tmp_path)
    with pytest.raises(ReductionError, match=rf"dark .*{path.name} cannot be read"):
        FrameRequest(geometry=tmp_path, dark=path).read_dark()


@pytest.mark.parametrize("spoiled", [cut, empty])
def test_a_mask_that_is_none_is_refused_in_words(tmp_path, spoiled):
    path = spoiled(tmp_path)
    with pytest.raises(ReductionError, match=rf"mask .*{path.name} cannot be read"):
        FrameRequest(geometry=tmp_path, mask=path).read_mask()


def test_without_dark_and_mask_there_is_none(tmp_path):
    asked = FrameRequest(geometry=tmp_path)
    assert asked.read_dark() is None
    assert asked.read_mask() is None


def test_options_are_those_of_their_dataclass_and_lists_are_tuples():
    assert asked_options(SaxsOptions, {"q_range": [0.01, 0.2]}) == {"q_range": (0.01, 0.2)}
    with pytest.raises(ValueError, match="options colour, size are not known; there are"):
        asked_options(SaxsOptions, {"size": 1, "colour": 2, "surface": True})


def test_a_file_counts_by_what_it_holds(tmp_path):
    path = array(tmp_path)
    assert hash_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert hash_of(None) == ""
    assert hash_of(tmp_path / "nowhere.npy") == "missing"
