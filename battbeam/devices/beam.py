"""This file is where the beam is: ring, shutter, attenuator, counters."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Note, Readback, Setting
from battbeam.devices.status import TimedStatus, already_done
from battbeam.devices.top_up import TopUp
from battbeam.errors import DeviceError

if TYPE_CHECKING:
    from battbeam.devices.dose_meter import DoseMeter

OPEN, CLOSED = 1, 0
#: Wall seconds in which a photon shutter opens or closes; the slow ones take two.
SHUTTER_TIMEOUT = 5.0


class ShutterGate(Protocol):
    """Who is asked before the shutter opens."""

    def opening(self) -> None:
        """Take note that it is about to open, or raise why it may not."""
        ...


class Shutter(Device):  # type: ignore[misc]
    """Lets the beam through (1) or not (0).

    The RunEngine stops what a plan has set and pauses what it has seen; here both mean closed.

    Attributes:
        gate: Who is asked before it opens; None is nobody.
        opened_at: When it was last seen to open, s since the Unix epoch as its server stamps it.
        closed_at: When it was last seen to close.
        was_closed: Whether somebody else has closed it since this session last opened it: its keeper
            at the end of what was reserved, an interlock, a person.

    >>> RE(bps.mv(beam.shutter, 1))  # doctest: +SKIP
    """

    status = Cpt(Readback, "STATUS", dtype="integer", kind="hinted", doc="1 open, 0 closed")
    command = Cpt(Setting, "CMD", dtype="integer", kind="omitted", doc="put 1 to open, 0 to close")

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._wanted: tuple[TimedStatus, int] | None = None
        self._seen: int | None = None
        self._told, self.was_closed = CLOSED, False
        self.gate: ShutterGate | None = None
        self.opened_at = self.closed_at = math.nan
        self.status.subscribe(self._changed, run=False)

    @property
    def position(self) -> int:
        """1 open, 0 closed, -1 unknown."""
        return int(self.status.value_now())

    def set(self, wanted: int, *, timeout: float = SHUTTER_TIMEOUT) -> TimedStatus:
        """Open (1) or close (0).

        Raises:
            ValueError: If it is neither.
            DoseError: If the gate does not let it open.
        """
        if wanted not in (OPEN, CLOSED):
            raise ValueError(f"{self.name}: {wanted!r} is neither 1 (open) nor 0 (closed)")
        if wanted == OPEN and self.gate is not None:
            self.gate.opening()
        verb = "open" if wanted == OPEN else "closed"
        overdue = DeviceError(
            f"{self.name}: not {verb} within {timeout:g} s; look at the interlock"
        )
        status = TimedStatus(timeout=timeout, overdue=overdue)
        self._wanted, self._told = (status, int(wanted)), int(wanted)
        if wanted == OPEN:
            self.was_closed = False
        self.command.put(int(wanted), wait=False)
        # What was told counts, not what a read says: then the times of the change are known too.
        self._finish(self.status.value_now() if self._seen is None else self._seen)
        return status

    def _changed(self, value: Any = None, timestamp: float = math.nan, **_: Any) -> None:
        if value is None:
            return
        before, self._seen = self._seen, int(value)
        if self._seen == OPEN and before != OPEN:
            self.opened_at = float(timestamp)
        elif self._seen == CLOSED and before != CLOSED:
            self.closed_at = float(timestamp)
            self.was_closed = self.was_closed or self._told == OPEN
        self._finish(self._seen)

    def _finish(self, value: int) -> None:
        wanted = self._wanted
        if wanted is not None and value == wanted[1]:
            self._wanted = None
            wanted[0].finish()

    def close(self) -> None:
        """Close it now, without waiting."""
        wanted, self._wanted = self._wanted, None
        self._told = CLOSED
        self.command.put(CLOSED, wait=False)
        if wanted is not None:
            wanted[0].finish()

    def stop(self, *, success: bool = False) -> None:
        """Close it: a plan that has ended, however it ended, leaves no beam on the sample."""
        self.close()

    def pause(self) -> None:
        """Close it: nobody exposes while the RunEngine pauses."""
        self.close()

    def resume(self) -> None:
        """Nothing: the plan is rewound to where it opens the shutter itself."""


class Attenuator(Device):  # type: ignore[misc]
    """Absorbers in the beam, by what they let through.

    Attributes:
        transmissions: That it can be set to, the largest first, 1; empty where any is possible or
            nothing is known.
    """

    transmission = Cpt(
        Readback, "TRANSMISSION", units="1", kind="normal", doc="let through, 0 to 1"
    )
    setpoint = Cpt(Setting, "SP", units="1", kind="omitted", doc="asked for, 0 to 1")
    egu = "1"
    #: Largest relative distance of what is let through from what was asked for.
    tolerance = 0.02

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.transmissions: tuple[float, ...] = ()

    def faults(self, wanted: float) -> list[str]:
        """Why a transmission cannot be reached, one sentence each; before anything moves."""
        if not 0 < wanted <= 1:
            return [f"{self.name}: transmission must be above 0 and at most 1, got {wanted:g}"]
        near = [each for each in self.transmissions if abs(each / wanted - 1) <= self.tolerance]
        if self.transmissions and not near:
            known = ", ".join(f"{each:g}" for each in self.transmissions)
            return [f"{self.name}: no absorber lets {wanted:g} through; there are {known}"]
        return []

    @property
    def position(self) -> float:
        """Let through, 0 to 1."""
        return float(self.transmission.value_now())

    def set(self, transmission: float, *, timeout: float = 10.0) -> TimedStatus:
        """Ask for a transmission.

        Raises:
            ValueError: If it is not above 0 and at most 1, or no absorber has it.
        """
        if faults := self.faults(transmission):
            raise ValueError("; ".join(faults))
        overdue = DeviceError(
            f"{self.name}: transmission not {transmission:g} within {timeout:g} s"
        )
        status = TimedStatus(timeout=timeout, overdue=overdue)

        def changed(value: Any = None, **_: Any) -> None:
            if value is not None and abs(float(value) / transmission - 1) <= self.tolerance:
                self.transmission.clear_sub(changed)
                status.finish()

        self.setpoint.put(transmission, wait=False)
        self.transmission.subscribe(changed, run=True)
        return status


class Beam(Device):  # type: ignore[misc]
    """The beam on the sample. No number, no connection and too little current all mean no beam.

    Counters are gated by the detector's exposure: they hold the counts of the last one.

    Args:
        minimum_ring_current: Below it there is no beam, mA.
        transmissions: That the attenuator can be set to, 1.
        top_up: Where the ring is filled up and announces it.
        point_overhead: s of session clock that a point takes beside its exposure: shutter, readout.

    Attributes:
        dose_meter: That is told of every opening of the shutter; None where light is not counted.
    """

    ring_current = Cpt(
        Readback, "RING:CURRENT", units="mA", tolerant=True, kind="hinted", doc="NaN: not known"
    )
    shutter = Cpt(Shutter, "SHUTTER:", kind="omitted", doc="open only while exposing")
    attenuator = Cpt(Attenuator, "ATT:", kind="normal", doc="absorbers before the sample")
    i0 = Cpt(Readback, "I0:COUNTS", units="count", kind="hinted", doc="before the sample")
    transmission_counts = Cpt(
        Readback, "IT:COUNTS", units="count", kind="normal", doc="behind the sample"
    )
    i0_rate = Cpt(
        Readback, "I0:RATE", units="count/s", kind="omitted", doc="live, before the sample"
    )
    transmission_rate = Cpt(
        Readback, "IT:RATE", units="count/s", kind="omitted", doc="live, behind the sample"
    )
    i0_dark_rate = Cpt(Readback, "I0:DARK_RATE", units="count/s", kind="config", doc="without beam")
    minimum_ring_current = Cpt(Note, units="mA", kind="config", doc="below it there is no beam")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        minimum_ring_current: float = 5.0,
        transmissions: Sequence[float] = (),
        top_up: TopUp | None = None,
        point_overhead: float = 0.3,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        if self.attenuator is not None:
            self.attenuator.transmissions = tuple(sorted(transmissions, reverse=True))
            self.attenuator.transmission.name = "attenuator_transmission"
        self.top_up, self.point_overhead = top_up, point_overhead
        self.dose_meter: DoseMeter | None = None
        self.minimum_ring_current.put(float(minimum_ring_current))
        self.n_losses, self.latest_loss = 0, ""
        self._losses_before = 0
        self.ring_current.subscribe(self._current_changed, run=False)
        self.ring_current.subscribe(
            self._connection_changed, event_type=self.ring_current.SUB_META, run=False
        )
        # The words that stand in a paper, not the path through the device tree.
        for attribute in ("ring_current", "i0", "transmission_counts"):
            if attribute in self.component_names:
                getattr(self, attribute).name = attribute

    def _current_changed(self, value: Any = None, **_: Any) -> None:
        """Count the losses that a monitor has seen, so that a short one is not overlooked."""
        current = math.nan if value is None else float(value)
        reason = reason_without_beam(current, float(self.minimum_ring_current.value_now()))
        if reason:
            self.n_losses, self.latest_loss = self.n_losses + 1, reason

    def _connection_changed(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._current_changed(math.nan)

    def trigger(self) -> TimedStatus:
        """An exposure begins: losses of the beam count from here; a rewind begins it again."""
        self._losses_before = self.n_losses
        return already_done()

    def lost_since_trigger(self) -> str:
        """Why the beam was away at some time since the exposure began; empty if it was not."""
        return self.why_down() or (self.latest_loss if self.n_losses > self._losses_before else "")

    def why_down(self) -> str:
        """Why there is no beam; empty while there is."""
        return reason_without_beam(
            float(self.ring_current.value_now()), float(self.minimum_ring_current.value_now())
        )


def reason_without_beam(current: float, minimum: float) -> str:
    """Why a ring current in mA is no beam; empty when it is one.

    >>> reason_without_beam(100.0, 5.0)
    ''
    >>> reason_without_beam(float("nan"), 5.0)
    'ring current not known'
    """
    if math.isnan(current):
        return "ring current not known"
    if current < minimum:
        return f"ring current {current:.3g} mA, below {minimum:g} mA"
    return ""
