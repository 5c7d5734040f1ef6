"""This file is where the clock of an instrument is related to the session's clock.

device_time = session_time + offset + drift (session_time - reference)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.units import FloatArray

#: How far the rate of an instrument's clock is off before anything was measured, 1 (one standard
#: deviation). Quartz is within 1e-4; ten times that. With it one comparison gives an offset only.
DRIFT_PRIOR = 1e-3
#: Comparisons that a fit looks back on: an hour of one every 7 s; its cost stays constant.
WINDOW = 512
#: A clock that was compared more exactly than this is not believed, s: the resolution of a time PV.
SMALLEST_UNCERTAINTY = 1e-6
#: How far, beyond its uncertainty, a comparison may be off before it warns and is refused, s.
WARNING_RESIDUAL, REFUSED_RESIDUAL = 1.0, 10.0
#: A comparison this many times less certain than the best is left out: it says that nobody knew.
USELESS = 100.0
#: Standard deviations that count as uncertainty of one comparison.
SIGMAS = 3.0


@dataclass(frozen=True)
class ClockRelation:
    """The clock of an instrument against the session's.

    Attributes:
        reference: Session time of the newest comparison, s since the Unix epoch.
        offset: Of the device's clock at that time, s.
        drift: Change of the offset per s, 1.
        offset_variance: s2.
        drift_variance: 1.
        covariance: Of both, s.
        residual: Largest distance of a comparison from the relation, beyond its uncertainty, s.
        n: Comparisons that went into it.
    """

    reference: float
    offset: float
    drift: float
    offset_variance: float = 0.0
    drift_variance: float = 0.0
    covariance: float = 0.0
    residual: float = 0.0
    n: int = 0

    def device_time(self, session_time: float) -> float:
        """What the device's clock shows at a time on the session's clock."""
        return session_time + self.offset + self.drift * (session_time - self.reference)

    def session_time(self, device_time: float) -> float:
        """What the session's clock shows at a time on the device's clock."""
        return self.reference + (device_time - self.reference - self.offset) / (1 + self.drift)

    def uncertainty(self, session_time: float) -> float:
        """Standard deviation of `device_time`, s."""
        age = session_time - self.reference
        variance = self.offset_variance + 2 * age * self.covariance + age**2 * self.drift_variance
        return math.sqrt(max(variance, 0.0))

    @property
    def fault(self) -> str:
        """Why nothing may be dated by it; empty if it may."""
        if self.residual <= REFUSED_RESIDUAL:
            return ""
        return (
            f"clock jumps or drifts unevenly: comparisons are up to {self.residual:.1f} s"
            f" off a straight line, allowed {REFUSED_RESIDUAL:g} s"
        )

    @property
    def warning(self) -> str:
        """What a person should look at; empty if nothing."""
        if self.residual <= WARNING_RESIDUAL:
            return ""
        return f"clock comparisons are up to {self.residual:.1f} s off a straight line"


#: Of a clock that is the session's own.
IDENTITY = ClockRelation(reference=0.0, offset=0.0, drift=0.0)


def clock_relation(
    *,
    device_time: FloatArray | Sequence[float],
    session_time: FloatArray | Sequence[float],
    uncertainty: FloatArray | Sequence[float],
) -> ClockRelation:
    """The relation that repeated comparisons of two clocks give.

    A straight line, weighted by 1/uncertainty^2, through the newest comparisons; errors are widened
    where the comparisons scatter more than they say.

    Args:
        device_time: s since the Unix epoch, shape (n,), in the order in which they were made.
        session_time: The same moments on the session's clock, shape (n,).
        uncertainty: Of each comparison, s, one standard deviation, shape (n,).

    Raises:
        ValueError: If there is no comparison.

    >>> relation = clock_relation(device_time=[105.0], session_time=[100.0], uncertainty=[0.1])
    >>> relation.offset, relation.drift
    (5.0, 0.0)
    """
    session = np.asarray(session_time, dtype=float)[-WINDOW:]
    if not len(session):
        raise ValueError("no comparison of the two clocks")
    sigma = np.maximum(np.asarray(uncertainty, dtype=float)[-WINDOW:], SMALLEST_UNCERTAINTY)
    useful = sigma <= USELESS * sigma.min()
    session, sigma = session[useful], sigma[useful]
    reference = float(session[-1])
    # Differences first: times since 1970 leave 2e-7 s of a double's digits.
    offsets = np.asarray(device_time, dtype=float)[-WINDOW:][useful] - session
    ages = session - reference
    weight = sigma**-2.0
    normal = np.array(
        [
            [weight.sum(), (weight * ages).sum()],
            [(weight * ages).sum(), (weight * ages**2).sum() + DRIFT_PRIOR**-2.0],
        ]
    )
    right = np.array([(weight * offsets).sum(), (weight * ages * offsets).sum()])
    covariance = np.linalg.inv(normal)
    offset, drift = covariance @ right
    deviation = offsets - offset - drift * ages
    scatter = float((weight * deviation**2).sum()) / max(len(session) - 2, 1)
    covariance = covariance * max(scatter, 1.0)
    return ClockRelation(
        reference=reference,
        offset=float(offset),
        drift=float(drift),
        offset_variance=float(covariance[0, 0]),
        drift_variance=float(covariance[1, 1]),
        covariance=float(covariance[0, 1]),
        residual=max(0.0, float(np.max(np.abs(deviation) - SIGMAS * sigma))),
        n=len(session),
    )


@dataclass(frozen=True)
class MarkerCheck:
    """What markers that both sides saw say of a relation that did not use them.

    Attributes:
        residual: Largest distance of a marker from the relation, s; NaN without markers.
        allowed: What the relation's and that marker's uncertainty allow, s.
        n: Markers.
    """

    residual: float
    allowed: float
    n: int

    @property
    def is_consistent(self) -> bool:
        """Whether every marker is where the relation says; not without markers."""
        return self.n > 0 and abs(self.residual) <= self.allowed


def marker_check(
    relation: ClockRelation,
    *,
    device_time: FloatArray | Sequence[float],
    session_time: FloatArray | Sequence[float],
    uncertainty: FloatArray | Sequence[float],
) -> MarkerCheck:
    """Hold moments that both clocks saw against a relation.

    Args:
        relation: Made without these markers.
        device_time: s since the Unix epoch, shape (n,).
        session_time: The same moments on the session's clock, shape (n,).
        uncertainty: Of each marker, s, one standard deviation, shape (n,).

    >>> relation = clock_relation(device_time=[105.0], session_time=[100.0], uncertainty=[0.1])
    >>> marker_check(relation, device_time=[106], session_time=[100], uncertainty=[0.1]).residual
    1.0
    """
    worst = MarkerCheck(math.nan, 0.0, len(session_time))
    excess = -math.inf
    for device, session, sigma in zip(device_time, session_time, uncertainty, strict=True):
        residual = float(device) - relation.device_time(float(session))
        known = math.hypot(relation.uncertainty(float(session)), float(sigma))
        allowed = SIGMAS * max(known, SMALLEST_UNCERTAINTY)
        if abs(residual) / allowed > excess:
            excess = abs(residual) / allowed
            worst = MarkerCheck(residual, allowed, len(session_time))
    return worst


def middle_of_exposure(*, stamp: float, readout_delay: float, exposure: float) -> float:
    """When half of an exposure was over, from the stamp that the detector gave at readout; all s.

    >>> middle_of_exposure(stamp=100.0, readout_delay=0.5, exposure=3.0)
    98.0
    """
    return stamp - readout_delay - exposure / 2
