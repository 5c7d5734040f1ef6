"""Whether errors are as large as they say: pulls, (recovered - truth) / stated error."""

import numpy as np

# Standard errors that chance may take: with some dozen comparisons a file, one in a thousand files.
CHANCE = 4.0


def assert_honest(pulls, *, bias=0.0):
    """Mean 0 and standard deviation 1 as far as their number can tell.

    ``bias`` allows for a mean that is known not to be 0, in standard deviations.
    """
    pulls = np.asarray(pulls, dtype=float)
    assert np.isfinite(pulls).all()
    n = len(pulls)
    mean, deviation = pulls.mean(), pulls.std(ddof=1)
    assert abs(mean) < CHANCE / np.sqrt(n) + bias, f"mean pull {mean:.2f} of {n}"
    assert abs(deviation - 1) < CHANCE / np.sqrt(2 * n), f"deviation {deviation:.2f} of {n} pulls"
