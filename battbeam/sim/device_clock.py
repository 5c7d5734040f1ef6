"""This file is where a device's own clock is: ahead or behind, drifting, jittering, set otherwise."""

import random
from dataclasses import dataclass

from battbeam.sim.scenario import Cycler, Detector, Imaging, SmallAngle


@dataclass(frozen=True)
class DeviceClock:
    """The clock of one device.

    Attributes:
        start: s since the Unix epoch on the session's clock; there it is off by ``offset``.
        offset: s ahead of the session's clock.
        drift: Relative rate minus 1.
        jitter: Standard deviation of each stamp, s; the same instant always has the same stamp.
        jump: (after so many s since ``start``, by so many s) it is set otherwise, or not.
        seed: Of the jitter.
    """

    start: float
    offset: float
    drift: float
    jitter: float = 0.0
    jump: tuple[float, float] | None = None
    seed: int = 0

    @classmethod
    def of_cycler(cls, settings: Cycler, *, start: float, seed: int) -> "DeviceClock":
        """The clock that a scenario gives its cycler."""
        return cls(
            start,
            settings.clock_offset,
            settings.clock_drift,
            settings.clock_jitter,
            settings.clock_jump,
            seed,
        )

    @classmethod
    def of_detector(
        cls, settings: Detector | Imaging | SmallAngle, *, start: float
    ) -> "DeviceClock":
        """The clock that a scenario gives the computer of one of its detectors."""
        return cls(start, settings.clock_offset, settings.clock_drift)

    def at(self, time: float) -> float:
        """What it shows when the session's clock shows ``time``."""
        shown = time + self.offset + self.drift * (time - self.start)
        if self.jump is not None and time - self.start >= self.jump[0]:
            shown += self.jump[1]
        if self.jitter > 0:
            shown += random.Random(f"{self.seed}-{time:.6f}").gauss(0.0, self.jitter)
        return shown

    def session_duration(self, duration: float) -> float:
        """Duration on the session's clock of one on this clock; jitter and jumps do not count."""
        return duration / (1 + self.drift)
