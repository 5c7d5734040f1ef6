"""This file is where the computer of a detector shows its clock, as iocStats does: ``HEARTBEAT``."""

from typing import Any

from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.records import shown


class Heartbeat(PVGroup):  # type: ignore[misc]
    """Of one detector's computer.

    Args:
        clock: The session's.
        device_clock: Of the computer.
    """

    Beat = shown(0, name="HEARTBEAT", doc="stamped by the clock of the detector's computer")

    def __init__(self, *args: Any, clock: Clock, device_clock: DeviceClock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock, self._device_clock = clock, device_clock

    async def beat(self) -> None:
        """Count once more."""
        stamp = self._device_clock.at(self._clock.now())
        await self.Beat.write(self.Beat.value + 1, timestamp=stamp)
