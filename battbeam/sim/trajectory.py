"""This file is where an axis is on its way: one move as a function of time. No clock, no record.

A move accelerates evenly from rest, goes on at constant velocity and comes to rest the same way; a
short one never reaches its velocity.
"""

import math
from dataclasses import dataclass

import numpy as np

from battbeam.units import FloatArray


@dataclass(frozen=True)
class Move:
    """One move from rest to rest.

    Attributes:
        begin: s, on the clock by which it is asked where it is.
        origin: In the axis' unit.
        target: In the axis' unit.
        velocity: Largest, in units per s, greater than 0.
        acceleration_time: From rest to that velocity, s; 0: at once.

    >>> move = Move(begin=0.0, origin=0.0, target=10.0, velocity=2.0, acceleration_time=1.0)
    >>> move.duration, float(move.position_at(3.5)), move.time_at(6.0)
    (6.0, 6.0, 3.5)
    """

    begin: float
    origin: float
    target: float
    velocity: float
    acceleration_time: float = 0.0

    def __post_init__(self) -> None:
        if not (self.velocity > 0 and self.acceleration_time >= 0):
            raise ValueError(
                f"a move needs a velocity > 0 and an acceleration time >= 0 s, got {self.velocity} "
                f"and {self.acceleration_time} s"
            )

    @classmethod
    def rest(cls, position: float, *, begin: float = -math.inf) -> "Move":
        """An axis that stands."""
        return cls(begin, position, position, velocity=1.0)

    @property
    def distance(self) -> float:
        """How far it goes, >= 0."""
        return abs(self.target - self.origin)

    @property
    def direction(self) -> int:
        """+1, -1, or 0 at rest."""
        return int(np.sign(self.target - self.origin))

    @property
    def _ramp(self) -> float:
        """Distance on the way to full velocity."""
        return min(self.velocity * self.acceleration_time / 2, self.distance / 2)

    @property
    def _ramp_time(self) -> float:
        """s until it is as fast as it becomes."""
        if self._ramp == 0:
            return 0.0
        return math.sqrt(2 * self._ramp * self.acceleration_time / self.velocity)

    @property
    def duration(self) -> float:
        """s."""
        return 2 * self._ramp_time + (self.distance - 2 * self._ramp) / self.velocity

    @property
    def end(self) -> float:
        """When it has arrived, s."""
        return self.begin if self.distance == 0 else self.begin + self.duration

    def position_at(self, time: FloatArray | float) -> FloatArray:
        """Where it is at each time, s, in the shape of ``time``; before and after it stands."""
        time = np.asarray(time, dtype=float)
        if self.distance == 0:
            return np.full_like(time, self.target)
        since = np.clip(time - self.begin, 0.0, self.duration)
        # The second half is the first half backwards, so the target is met exactly.
        is_late = since > self.duration / 2
        gone = self._gone(np.where(is_late, self.duration - since, since))
        sign = self.direction
        way = np.where(is_late, self.target - sign * gone, self.origin + sign * gone)
        # Times since the epoch are rounded; nobody waits for an axis beyond its end.
        return np.where(time >= self.end, self.target, way)

    def _gone(self, since: FloatArray) -> FloatArray:
        """How far it came in the first half of its time."""
        ramp_time = self._ramp_time
        if ramp_time == 0:
            return self.velocity * since
        acceleration = self.velocity / self.acceleration_time
        ramp = np.minimum(since, ramp_time)
        return np.asarray(
            acceleration * ramp**2 / 2 + self.velocity * np.maximum(since - ramp_time, 0.0)
        )

    def time_at(self, position: float) -> float:
        """When it passes a position, s.

        Raises:
            ValueError: If the position does not lie on its way.
        """
        gone = (position - self.origin) * self.direction
        if not 0 <= gone <= self.distance or self.distance == 0:
            raise ValueError(
                f"a move from {self.origin:g} to {self.target:g} does not pass {position:g}"
            )
        if gone > self.distance / 2:
            return self.end - self._since(self.distance - gone)
        return self.begin + self._since(gone)

    def _since(self, gone: float) -> float:
        """s after which it has come so far, in the first half of its way."""
        if gone >= self._ramp:
            return self._ramp_time + (gone - self._ramp) / self.velocity
        return math.sqrt(2 * gone * self.acceleration_time / self.velocity)
