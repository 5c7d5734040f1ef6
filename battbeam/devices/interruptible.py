"""This file is where what is triggered and takes its time is broken off, when a plan pauses or stops."""

from ophyd import Device

from battbeam.devices.status import TimedStatus
from battbeam.errors import DeviceError


class Interruptible(Device):  # type: ignore[misc]
    """Counts or sweeps once a trigger; a device says in `_break_off` how its server hears of the end."""

    _under_way: TimedStatus | None = None

    def _begin(self, done: str, *, limit: float) -> TimedStatus:
        """The status of what begins now; it fails as not ``done`` after ``limit`` wall s."""
        overdue = DeviceError(f"{self.name}: not {done} within {limit:g} s; is its server running?")
        self._under_way = TimedStatus(timeout=limit, overdue=overdue)
        return self._under_way

    def _break_off(self) -> None:
        """Tell its server to end what is under way, without waiting."""
        raise NotImplementedError

    def _abandon(self) -> None:
        """Break off; whoever waits is told that it is over."""
        status, self._under_way = self._under_way, None
        if status is not None and not status.done:
            self._break_off()
            status.finish()

    def pause(self) -> None:
        """Break off; on resume it is triggered again."""
        self._abandon()

    def resume(self) -> None:
        """Nothing: the plan is rewound to where it triggers."""

    def stop(self, *, success: bool = False) -> None:
        """Break off what is under way."""
        self._abandon()
