"""This file is where it is worked out how fatigued material shares the lithium with the rest.

Fatigued grains give lithium down to some content and stop; the rest pays for them, so the mean is kept.
"""

import numpy as np

from battbeam.sim.scenario_degradation import Fatigue
from battbeam.units import FloatArray

#: A share is never larger: something must carry the current.
_LARGEST = 0.95


def fatigued_fraction(law: Fatigue | None, cycles: FloatArray | float) -> FloatArray:
    """Share of the connected material, same shape as the equivalent full cycles so far."""
    if law is None:
        return np.zeros(np.shape(cycles))
    fraction = law.fraction + law.fraction_per_cycle * np.asarray(cycles, dtype=float)
    return np.minimum(fraction, _LARGEST)


def fatigued_content(mean: FloatArray | float, law: Fatigue) -> FloatArray:
    """Lithium content of fatigued material where the mean over all is ``mean``."""
    return np.maximum(mean, law.lowest_content)


def rest_content(
    mean: FloatArray | float, fraction: FloatArray | float, law: Fatigue
) -> FloatArray:
    """Lithium content of what is not fatigued where the mean over both is ``mean``."""
    fraction = np.asarray(fraction, dtype=float)
    stuck = np.maximum(law.lowest_content - np.asarray(mean, dtype=float), 0.0)
    return np.asarray(mean - fraction / (1 - fraction) * stuck)


def lowest_mean(low: float, fraction: FloatArray | float, law: Fatigue) -> FloatArray:
    """Mean content at which the rest has come down to ``low``."""
    fraction = np.asarray(fraction, dtype=float)
    return np.asarray((1 - fraction) * low + fraction * max(low, law.lowest_content))
