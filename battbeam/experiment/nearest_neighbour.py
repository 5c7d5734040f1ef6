"""This file is where log and frames are matched as it is done without a timeline: nearest in time.

It is here to be compared with (see `battbeam.experiment.timeline`); no reduction uses it.
"""

import numpy as np

from battbeam.units import FloatArray


def matched(
    log_times: FloatArray, frame_times: FloatArray
) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """The row of the log nearest to each frame, both clocks taken for the same.

    Args:
        log_times: s since the Unix epoch, ascending, shape (n_rows,).
        frame_times: s since the Unix epoch, shape (n_frames,).

    Returns:
        Index of a row for each frame, shape (n_frames,).

    Raises:
        ValueError: If the log is empty.

    >>> matched(np.array([0.0, 10.0, 20.0]), np.array([-5.0, 4.0, 16.0, 99.0])).tolist()
    [0, 0, 2, 2]
    """
    if not len(log_times):
        raise ValueError("the log has no rows")
    right = np.clip(np.searchsorted(log_times, frame_times), 1, max(len(log_times) - 1, 1))
    right = np.minimum(right, len(log_times) - 1)
    left = np.maximum(right - 1, 0)
    is_left = frame_times - log_times[left] <= log_times[right] - frame_times
    return np.where(is_left, left, right)
