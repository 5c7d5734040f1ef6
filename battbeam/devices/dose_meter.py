"""This file is where the light of every opening of the shutter is put into the ledger.

The meter is the shutter's gate: whoever opens it, what can come is reserved first, and what came is
settled once it is seen closed. Photons on the sample are the counts of I0, which is gated by the
detector's exposure, times its calibration, for as long as the shutter was open. Where nothing was
counted, the most that can have come counts.
"""

import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Protocol

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.connection import BeamLight, FluxCalibration
from battbeam.devices.beam import CLOSED, SHUTTER_TIMEOUT, Beam
from battbeam.devices.brightness import Brightness
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.sample_places import SamplePlaces
from battbeam.devices.signals import Note
from battbeam.errors import DeviceError, DoseError
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import Decision, DoseBudget, DoseLedger, Light, Reservation

_log = logging.getLogger(__name__)

#: s of session clock that is reserved for an opening of which nobody said how long it takes.
UNPLANNED = 30.0
#: Share of the overhead after which the keeper closes the shutter, so that it is closed in time.
CLOSING_SHARE = 0.8
#: Wall seconds after which a reservation of a process of which nothing is known counts as left.
STALE = 3600.0


class Keeper(Protocol):
    """Who closes the shutter when the session cannot; see `battbeam.devices.shutter_keeper`."""

    def start(self) -> None:
        """Begin to be there."""
        ...

    def wait_ready(self) -> None:
        """Wait until it can close the shutter."""
        ...

    def arm(self, until: float) -> None:
        """Close the shutter at ``until`` of the session's clock, or when the session is gone."""
        ...

    def disarm(self) -> None:
        """The shutter is closed."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(frozen=True)
class Opening:
    """What the next opening of the shutter is for.

    Attributes:
        duration: s of session clock that it is meant to be open.
        purpose: In the ledger.
        budget: Whose limit it must not pass.
        ahead: How far the stage goes meanwhile from where it stands, mm along x and y: the light is
            spread over that way.
    """

    duration: float = UNPLANNED
    purpose: str = "by hand"
    budget: DoseBudget | None = None
    ahead: tuple[float, float] = (0.0, 0.0)


class DoseMeter(Device):  # type: ignore[misc]
    """Light of the last opening of the shutter, and of its spot so far.

    Args:
        ledger: Where it is written down.
        beam: Its shutter asks this meter before it opens.
        monochromator: eV; None of a white beam.
        clock: The session's.
        flux: Calibration of the beam.
        places: Say which point of which cell is in the beam.
        keeper: Closes the shutter in time; None where something else does.
        overhead: Wall seconds beside the exposures that the shutter may be open.

    Attributes:
        budget: A limit for whatever is exposed in this session; None is none.
    """

    photons = Cpt(Note, kind="normal", doc="on the sample while the shutter was open")
    fluence = Cpt(Note, units="1/mm2", kind="normal", doc="photons on the spot so far, in all")
    spot_x = Cpt(Note, units="mm", kind="normal", doc="middle of the footprint, cell's frame")
    spot_y = Cpt(Note, units="mm", kind="normal", doc="middle of the footprint, cell's frame")
    open_time = Cpt(Note, units="s", kind="normal", doc="that the shutter was open, session clock")
    sample = Cpt(Note, dtype="string", kind="normal", doc="sample_uid of what was exposed")
    decision = Cpt(
        Note, dtype="string", kind="normal", doc="what the budget changed, and why; empty: nothing"
    )
    photons_per_count = Cpt(Note, kind="config", doc="on the sample for each count of I0")
    beam_width = Cpt(Note, units="mm", kind="config", doc="full, on the sample")
    beam_height = Cpt(Note, units="mm", kind="config", doc="full, on the sample")

    def __init__(
        self,
        *,
        name: str,
        ledger: DoseLedger,
        beam: Beam,
        monochromator: Monochromator | None,
        clock: Clock,
        flux: BeamLight,
        places: SamplePlaces,
        keeper: Keeper | None = None,
        overhead: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__("", name=name, **kwargs)
        self.ledger, self.clock, self.flux, self.overhead = ledger, clock, flux, overhead
        self.budget: DoseBudget | None = None
        self.places, self._beam = places, beam
        self._brightness = Brightness(beam, monochromator, flux)
        self._keeper = keeper
        self._expected = Opening()
        self._open: Reservation | None = None
        self._opened_before = math.nan
        self._latest_pace = 1.0
        # The words that stand in a paper, not the path through the device tree.
        for attribute in ("photons", "fluence", "spot_x", "spot_y"):
            getattr(self, attribute).name = attribute
        self.open_time.name, self.sample.name = "shutter_open_time", "exposed_sample"
        self.decision.name = "dose_decision"
        self.photons_per_count.put(
            flux.photons_per_count if isinstance(flux, FluxCalibration) else math.nan
        )
        self.beam_width.put(flux.beam_size[0])
        self.beam_height.put(flux.beam_size[1])
        beam.dose_meter = self
        beam.shutter.gate = self

    # What is in the beam.

    def here(self) -> tuple[str, float, float]:
        """Sample in the beam, and the middle of the footprint in its frame, mm."""
        return self.places.here()

    def most(self, duration: float, *, ahead: tuple[float, float] = (0.0, 0.0)) -> Light:
        """The most that an opening meant for ``duration`` s can bring, from here and now on.

        Args:
            duration: s of session clock.
            ahead: See `Opening`.
        """
        _, x, y = self.here()
        photons = self._brightness.most() * self._longest(duration)
        width, height = self.flux.beam_size
        size = (width + abs(ahead[0]), height + abs(ahead[1]))
        middle = (x + ahead[0] / 2, y + ahead[1] / 2)
        return Light(*middle, size, photons, self._brightness.energy)

    def _longest(self, duration: float) -> float:
        return duration + self.overhead * self._pace()

    def _pace(self) -> float:
        """s of session clock a wall second; while it is frozen, before that."""
        self._latest_pace = float(self.clock.rate) or self._latest_pace
        return self._latest_pace

    def decide(
        self, budget: DoseBudget, duration: float, *, ahead: tuple[float, float] = (0.0, 0.0)
    ) -> Decision:
        """What becomes of an exposure of ``duration`` s, from here and now on; see `most`."""
        light = self.most(duration, ahead=ahead)
        return budget.decide(
            self.ledger,
            self.here()[0],
            (light.x, light.y),
            light.photons,
            size=light.size,
            energy=light.energy,
            transmissions=self._brightness.transmissions,
            transmission=self._brightness.transmission,
        )

    # Opening and closing.

    def ready(self) -> None:
        """Have the keeper started, so that the first exposure does not wait for it."""
        if self._keeper is not None:
            self._keeper.start()

    def expect(
        self,
        duration: float,
        *,
        purpose: str = "exposure",
        budget: DoseBudget | None = None,
        ahead: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Say how long the next opening is meant to be; that holds until something else is said."""
        self._expected = Opening(duration, purpose, budget, ahead)

    def opening(self) -> None:
        """Reserve what the opening can bring; the shutter calls it.

        Raises:
            DoseError: If that would pass a limit.
            BattbeamError: If nobody would close the shutter in time.
        """
        self.settle()
        expected = self._expected
        light = self.most(expected.duration, ahead=expected.ahead)
        uid, _, _ = self.here()
        for budget in (self.budget, expected.budget):
            decision = (
                None
                if budget is None
                else self.decide(budget, expected.duration, ahead=expected.ahead)
            )
            if decision is not None and decision.action != "expose":
                raise DoseError(f"{self._beam.shutter.name} stays closed: {decision.reason}")
        if self._keeper is not None:
            self._keeper.wait_ready()
        now = self.clock.now()
        self._opened_before = self._beam.shutter.opened_at
        identity = self.ledger.reserve(
            uid,
            light.x,
            light.y,
            light.photons,
            size=light.size,
            energy=light.energy,
            time=now,
            open_time=self._longest(expected.duration),
            purpose=expected.purpose,
        )
        (self._open,) = (each for each in self.ledger.unsettled() if each.id == identity)
        if self._keeper is not None:
            beside = CLOSING_SHARE * self.overhead * self._pace()
            self._keeper.arm(now + expected.duration + beside)

    def settle(self, *, counted: float = 0.0) -> None:
        """Write down what the last opening brought, if the shutter is closed.

        Args:
            counted: s of the exposure that I0 holds the counts of; 0 if it was not gated.
        """
        shutter, reservation = self._beam.shutter, self._open
        if reservation is None or shutter.position != CLOSED:
            return
        if self._keeper is not None:
            self._keeper.disarm()
        if shutter.opened_at == self._opened_before or math.isnan(shutter.opened_at):
            open_time, photons = 0.0, 0.0
        else:
            open_time = shutter.closed_at - shutter.opened_at
            photons = self._came(reservation, open_time, counted)
        self._open = None
        self.ledger.settle(reservation.id, photons, self.clock.now(), open_time=open_time)
        self._note(reservation, photons, open_time)

    def _came(self, reservation: Reservation, open_time: float, counted: float) -> float:
        """Photons that came while the shutter was open."""
        if not open_time >= 0:
            return reservation.light.photons
        most = reservation.light.photons / reservation.open_time
        return self._brightness.came(most=most, open_time=open_time, counted=counted)

    def dark(self) -> None:
        """Say that nothing came: a dark, or a point that was not exposed."""
        uid, x, y = self.here()
        for note, value in ((self.photons, 0.0), (self.open_time, 0.0), (self.spot_x, x)):
            note.put(value)
        self.spot_y.put(y)
        self.sample.put(uid)
        self.fluence.put(self.ledger.fluence(uid, x, y, self.flux.beam_size))

    def _note(self, reservation: Reservation, photons: float, open_time: float) -> None:
        light, uid = reservation.light, reservation.sample_uid
        self.photons.put(photons)
        self.open_time.put(open_time)
        self.spot_x.put(light.x)
        self.spot_y.put(light.y)
        self.sample.put(uid)
        self.fluence.put(self.ledger.fluence(uid, light.x, light.y, light.size))

    def recover(self) -> int:
        """Close the shutter that a dead session left, and count the light until it was closed.

        Returns:
            How many of its reservations were settled.
        """
        left = [each for each in self.ledger.unsettled() if _is_left(each)]
        if not left:
            return 0
        self._beam.shutter.set(CLOSED).wait(timeout=SHUTTER_TIMEOUT + 1)
        for reservation in left:
            self._settle_left(reservation)
        return len(left)

    def _settle_left(self, reservation: Reservation) -> None:
        most = reservation.light.photons / reservation.open_time
        closed = min(self._beam.shutter.closed_at, self.clock.now())
        if closed >= reservation.time:
            photons, why = most * (closed - reservation.time), "left open; counted until closed"
        else:
            photons, why = reservation.light.photons, "left; never seen open; counts in full"
        _log.warning(
            "a session that ended left light on %s uncounted: %.3g photons (%s)",
            reservation.sample_uid,
            photons,
            why,
        )
        try:
            self.ledger.settle(reservation.id, photons, self.clock.now(), why=why)
        except ValueError:
            _log.warning("another session has counted it already")

    def close(self) -> None:
        """Settle what is open, and end the keeper."""
        try:
            self.settle()
        except (TimeoutError, DeviceError) as error:
            _log.warning("the last opening stays reserved in full: %s", error)
        if self._keeper is not None:
            self._keeper.close()


def _is_left(reservation: Reservation) -> bool:
    return reservation.writer.is_gone or time.time() - reservation.wall > STALE
