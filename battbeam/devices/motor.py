"""This file is where a motor record is moved, with every end of a move checked.

A move is done when the record says so *and* the readback is where it was sent: a record that
restarts in the middle of a move reports "done" at 0.
"""

import math
import threading
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Readback, Setting
from battbeam.devices.status import TimedStatus
from battbeam.errors import DeviceError

#: Wall seconds beyond the time a move should take before it counts as stuck.
MOVE_MARGIN = 10.0


class Motor(Device):  # type: ignore[misc]
    """One axis behind an EPICS motor record.

    Args:
        tolerance: Largest distance of the readback from where it was sent, in the axis' unit.
        units: Of the axis.
    """

    readback = Cpt(Readback, ".RBV", kind="hinted", doc="where it is")
    setpoint = Cpt(Setting, ".VAL", kind="normal", doc="where it was sent")
    is_done = Cpt(Readback, ".DMOV", dtype="integer", kind="omitted", doc="1 at rest")
    halt = Cpt(Setting, ".STOP", dtype="integer", kind="omitted", doc="put 1 to stop")
    velocity = Cpt(Setting, ".VELO", kind="config", doc="units per s")
    low_limit = Cpt(Setting, ".LLM", kind="config", doc="lowest position allowed")
    high_limit = Cpt(Setting, ".HLM", kind="config", doc="highest position allowed")
    # Bluesky's `%wa` asks for the record's offset by this name.
    user_offset = Cpt(Readback, ".OFF", kind="omitted", doc="position minus that of the dial")

    def __init__(
        self, prefix: str, *, name: str, units: str, tolerance: float = 1e-3, **kwargs: Any
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.tolerance, self.egu = tolerance, units
        self._lock = threading.Lock()
        self._move: tuple[TimedStatus, float] | None = None
        self._has_left = False
        self._at_rest, self._here = True, math.nan
        self.readback.name = self.name
        limits = (self.low_limit, self.high_limit)
        for signal in (self.readback, self.setpoint, *limits, self.user_offset):
            signal.declared_units = units
        self.velocity.declared_units = f"{units}/s"
        self.is_done.subscribe(self._rest_changed, run=False)
        self.readback.subscribe(self._position_changed, run=False)

    @property
    def position(self) -> float:
        """Where it is now."""
        return float(self.readback.value_now())

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest position allowed; equal means none, as the record has it."""
        return float(self.low_limit.value_now()), float(self.high_limit.value_now())

    def check_value(self, position: float) -> None:
        """Refuse a position outside the limits.

        Raises:
            ValueError: Outside, or not a number.
        """
        low, high = self.limits
        if math.isnan(position) or (low < high and not low <= position <= high):
            raise ValueError(
                f"{self.name}: {position:g} {self.egu} is outside its limits, "
                f"{low:g} to {high:g} {self.egu}"
            )

    def set(self, position: float, *, timeout: float | None = None) -> TimedStatus:
        """Move there.

        Args:
            position: In the axis' unit.
            timeout: Wall seconds; by default twice the distance over the velocity, and a margin.

        Raises:
            ValueError: If the position is outside the limits.
        """
        position = float(position)
        self.check_value(position)
        here, speed = self.position, abs(float(self.velocity.value_now()))
        if timeout is None:
            timeout = MOVE_MARGIN + (2 * abs(position - here) / speed if speed > 0 else 0.0)
        overdue = DeviceError(
            f"{self.name}: not at {position:.8g} {self.egu} within {timeout:.1f} s, "
            f"it started from {here:g}; look at its drive and its server"
        )
        status = TimedStatus(timeout=timeout, overdue=overdue)
        with self._lock:
            self._move, self._has_left, self._here = (status, position), False, here
        self.setpoint.put(position, wait=False)
        self._look()
        return status

    def stop(self, *, success: bool = False) -> None:
        """Stop where it is, if it moves; the RunEngine calls it on all that a plan has set."""
        with self._lock:
            move, self._move = self._move, None
        if move is None or move[0].done:
            return
        self.halt.put(1, wait=False)
        if success:
            move[0].finish()
        else:
            move[0].fail(DeviceError(f"{self.name}: stopped on its way to {move[1]:g} {self.egu}"))

    def _rest_changed(self, value: Any = None, **_: Any) -> None:
        self._at_rest = value == 1
        self._has_left = self._has_left or not self._at_rest
        self._look()

    def _position_changed(self, value: Any = None, **_: Any) -> None:
        self._here = math.nan if value is None else float(value)
        self._look()

    def _look(self) -> None:
        """Whether the move under way has come to its end."""
        with self._lock:
            if self._move is None or not self._at_rest:
                return
            status, wanted = self._move
            arrived = abs(self._here - wanted) <= self.tolerance
            if not arrived and not self._has_left:
                return
            self._move = None
        if arrived:
            status.finish()
            return
        status.fail(
            DeviceError(
                f"{self.name}: came to rest at {self._here:.8g} {self.egu}, was sent to {wanted:.8g} "
                f"{self.egu} (tolerance {self.tolerance:g}); look at its limit switches"
            )
        )
