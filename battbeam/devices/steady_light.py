"""This file is where the shutter is kept open over many points, and no longer than was reserved."""

import math

from battbeam.devices.beam import OPEN, Beam
from battbeam.devices.status import TimedStatus, already_done
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import DoseBudget


class SteadyLight:
    """The shutter, set to how long it is needed: it opens, or stays open.

    A spectrum sets it before every point, so that a point that is taken again after a pause, which
    closes the shutter, opens it again by itself.

    Args:
        beam: Whose shutter it is.
        clock: The session's.
        budget: Whose limit the light must not pass.
        purpose: In the ledger.

    Attributes:
        duration: s of session clock that are reserved whenever it opens.
        ahead: How far the stage goes meanwhile, mm along x and y.
    """

    name, parent = "steady_light", None

    def __init__(
        self, beam: Beam, clock: Clock, *, budget: DoseBudget | None = None, purpose: str
    ) -> None:
        self._beam, self._clock = beam, clock
        self._budget, self._purpose = budget, purpose
        self._until = -math.inf
        self.duration = 0.0
        self.ahead = (0.0, 0.0)

    def is_used_up(self, needed: float) -> bool:
        """Whether it is open, and not reserved for ``needed`` s more: it must be closed first."""
        return self._beam.shutter.position == OPEN and self._clock.now() + needed > self._until

    def set(self, needed: float) -> TimedStatus:
        """Be open for ``needed`` s of session clock.

        Raises:
            DoseError: If the light of that would pass a limit.
        """
        shutter = self._beam.shutter
        if shutter.position == OPEN:
            return already_done()
        duration, meter = max(self.duration, needed), self._beam.dose_meter
        if meter is not None:
            meter.expect(duration, purpose=self._purpose, budget=self._budget, ahead=self.ahead)
        self._until = self._clock.now() + duration
        opening: TimedStatus = shutter.set(OPEN)
        return opening

    def stop(self, *, success: bool = False) -> None:
        """Close the shutter."""
        self._beam.shutter.close()

    def pause(self) -> None:
        """Close the shutter; the point that is taken again opens it."""
        self._beam.shutter.close()

    def resume(self) -> None:
        """Nothing: the plan is rewound to where it sets the light."""
