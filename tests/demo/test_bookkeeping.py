import json

import pytest

from battbeam.connection import Connection
from battbeam.demo.bookkeeping import bookkeeping
from battbeam.demo.truth import Truth
from battbeam.storage.run_file import spool_line


def point(number, first, n_frames=1):
    return {"point": number, "detector_frame": first, "detector_n_frames": n_frames}


#: Points of a run, the frames that the detector took, and those of which there are rows.
RUNS = [
    ([point(0, 0), point(1, 1), point(2, 2)], 3, 3),
    # The second was taken again, and of the third no frame came.
    ([point(0, 0, 2), point(1, 2, 2), point(1, 4, 2), point(2, -1, 0)], 6, 4),
]


@pytest.mark.parametrize(("points", "n_taken", "n_rows"), RUNS)
def test_of_a_point_that_was_taken_again_the_last_frames_have_rows(
    tmp_path, points, n_taken, n_rows
):
    connection = Connection(directory=tmp_path, simulated=True)
    documents = [("start", {"uid": "a", "reduction": {"method": "xrd"}})]
    documents += [("event", {"data": data}) for data in points]
    lines = [spool_line(number, *each, 0.0) for number, each in enumerate(documents)]
    connection.spool.mkdir(parents=True)
    (connection.spool / "a.jsonl").write_bytes(b"".join(lines))
    frames = [json.dumps({"file": "a.h5", "index": index}) for index in range(n_taken)]
    (tmp_path / "truth.jsonl").write_text("\n".join(frames))
    asked, reduced, *_ = bookkeeping(connection, Truth(tmp_path / "truth.jsonl"), n_rows, [])
    assert (asked.recovered, asked.truth) == (n_taken, n_taken)
    assert (reduced.recovered, reduced.truth) == (n_rows, n_rows)
