import numpy as np
import pytest

from battbeam.reduction.pattern_fit import _is_idle


@pytest.mark.parametrize(
    ("gains", "has_ended"),
    [
        ([np.inf, np.inf, np.inf], False),
        ([0.5, 0.1, 0.01], False),
        ([0.02, 0.004, 0.001], True),
        # A weak phase to and fro, within what a step may rise, for as long as it is let.
        ([0.0137, -0.0137, 0.0137], True),
        ([-0.0137, 0.0137, -0.0137], True),
        # So far it is no settling.
        ([4.0, -4.0, 4.0], False),
        ([-1e-3, -1e-3, -1e-3], True),
    ],
)
def test_steps_that_lead_nowhere_end_a_fit(gains, has_ended):
    assert _is_idle(gains) == has_ended
