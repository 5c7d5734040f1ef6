from pathlib import Path

import h5py
import numpy as np
import pytest

from battbeam.sim.frame_file import ATTRIBUTES, DATASET, FLOAT_ATTRIBUTES, FrameFile


def attributes(number: int) -> dict[str, float]:
    return dict.fromkeys(FLOAT_ATTRIBUTES, float(number)) | {"NDArrayUniqueId": number}


def test_frames_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frames = rng.poisson(20, size=(3, 40, 50)).astype(np.uint32)
    file = FrameFile(tmp_path / "frames.h5", shape=(40, 50))
    for number, frame in enumerate(frames):
        assert file.add(frame, attributes(number)) == number
    file.close()
    with h5py.File(tmp_path / "frames.h5", "r") as back:
        np.testing.assert_array_equal(back[DATASET][:], frames)
        assert back[DATASET].chunks == (1, 40, 50)
        assert 32008 in [back[DATASET].id.get_create_plist().get_filter(0)[0]]
        assert back[f"{ATTRIBUTES}/NDArrayUniqueId"][:].tolist() == [0, 1, 2]
        assert back[f"{ATTRIBUTES}/I0"][:].tolist() == [0, 1, 2]


def test_a_reader_follows_while_the_file_grows(tmp_path: Path) -> None:
    file = FrameFile(tmp_path / "frames.h5", shape=(8, 8))
    with h5py.File(tmp_path / "frames.h5", "r", libver="latest", swmr=True) as reader:
        for number in range(3):
            file.add(np.full((8, 8), number, dtype=np.uint32), attributes(number))
            frames, numbers = reader[DATASET], reader[f"{ATTRIBUTES}/NDArrayUniqueId"]
            frames.refresh()
            numbers.refresh()
            assert len(frames) == len(numbers) == number + 1
            assert np.all(frames[number] == number)
    file.close()


def test_a_missing_directory_is_an_error_of_the_operating_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        FrameFile(tmp_path / "nowhere" / "frames.h5", shape=(8, 8))
