"""This file is where trains of frames are taken in a run: darks, flats, arcs, bursts.

A train that is not whole does not end a run: its event says what is wrong with it. Darks and flats
are taken again once, because nothing can be made of projections without them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import FailedStatus, short_uid

from battbeam.devices.beam import CLOSED, Beam
from battbeam.devices.flown_frames import Flown
from battbeam.devices.frame_flyer import FrameFlyer
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.sample_stage import SampleStage
from battbeam.devices.steady_light import SteadyLight
from battbeam.devices.train_notes import TrainNotes
from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.passage import Line, Passage
from battbeam.experiment.rotation import Rotation
from battbeam.plans.fields import FieldRole, FieldsOfRun, Place
from battbeam.plans.preprocessors import positions_put_back, run, shutter_closed_after
from battbeam.plans.stubs import Plan, clear_of_top_up, finished, wait_for_beam

_log = logging.getLogger(__name__)

#: Wall s between two looks at how many frames have come.
FLUSH_PERIOD = 0.5
#: How often darks and flats are taken again when they are not whole, or the beam was away.
RETAKES = 1


@dataclass(frozen=True)
class Imager:
    """The instruments of an imaging run.

    Attributes:
        flyer: That takes the trains.
        beam: Its shutter is open only while they are taken.
        clock: The session's.
        stage: Moves the sample out for flats.
        readables: What else stands in the event of a train.
        budget: Limit of light on each spot.
        patience: s of session clock that darks and flats wait for beam.
    """

    flyer: FrameFlyer
    beam: Beam
    clock: Clock
    stage: SampleStage
    readables: tuple[Any, ...] = ()
    budget: DoseBudget | None = None
    patience: float = 600.0


class Trains:
    """The trains of one run.

    Args:
        imager: What takes them.
        uid: Of the run.

    Attributes:
        n_arcs: Rotations so far.
    """

    def __init__(self, imager: Imager, uid: str) -> None:
        self.imager, self.uid = imager, uid
        self.n_arcs = self._n_trains = 0
        self._notes = TrainNotes()
        self._declared: set[str] = set()
        self._light = SteadyLight(
            imager.beam, imager.clock, budget=imager.budget, purpose="exposure"
        )

    def take(
        self,
        flight: Flight,
        stream: str = "primary",
        *,
        with_beam: bool = True,
        until: Callable[[Callable[[], Plan]], Plan] | None = None,
        light_time: float | None = None,
        omega: float | None = None,
        row: int = -1,
    ) -> Plan:
        """Take one train and write its event.

        Args:
            flight: The train.
            stream: Of its frames.
            with_beam: Whether the shutter opens; not for darks.
            until: What is waited for between being ready and going; given what makes ready, for
                after a pause. Where it answers False nothing goes and no event is written.
            light_time: How long the shutter is open, s; as long as the train by default.
            omega: At which the sample stands, degree, where that matters.
            row: Of a map, from 0; -1: it is none.

        Returns:
            What came of it, `Flown`, with what makes it partial in ``fault``; and why there was no
            light at some time of it: the beam was away, or somebody else closed the shutter.
        """
        flyer, beam = self.imager.flyer, self.imager.beam
        yield from self.declared(flight, stream)
        light = _light_time(flight) if light_time is None else light_time
        self._light.ahead = _ahead(flight)
        if with_beam:
            yield from clear_of_top_up(beam, light)
        yield from bps.checkpoint()
        fault: str | None = ""
        try:
            fault = yield from self._flown(stream, light if with_beam else 0.0, until)
            shutter, lost = beam.shutter.position, beam.lost_since_trigger() if with_beam else ""
            is_dark = with_beam and beam.shutter.was_closed
        finally:
            # Without a message: the RunEngine may be closing this generator.
            beam.shutter.close()
        # A rewind from here on would take it again, and nobody would wait for it.
        yield from bps.checkpoint()
        yield from bps.mv(beam.shutter, CLOSED)
        self._settled(with_beam)
        flown = flyer.flown or Flown(flight.train.n_frames)
        dark = lost or ("the shutter was closed" if is_dark else "")
        if fault is None:
            return flown, dark
        if fault:
            flown = Flown(**{**vars(flown), "n_frames": flyer.n_frames, "fault": fault})
        yield from self.write(flight, flown, shutter=shutter, lost=lost, omega=omega, row=row)
        return flown, dark

    def declared(self, flight: Flight, stream: str) -> Plan:
        """Set up for a train, and tell of its stream if it is the first in it."""
        yield from bps.prepare(self.imager.flyer, flight, wait=True)
        if stream not in self._declared:
            self._declared.add(stream)
            yield from bps.declare_stream(self.imager.flyer, name=stream, collect=True)
        yield from bps.checkpoint()

    def _flown(
        self, stream: str, light: float, until: Callable[[Callable[[], Plan]], Plan] | None
    ) -> Plan:
        """Fly it, and tell of the frames while they come; why it failed, or None if nothing went."""
        flyer = self.imager.flyer

        def make_ready() -> Plan:
            yield from bps.trigger(self.imager.beam, wait=True)
            yield from bps.kickoff(flyer, wait=True)
            if light > 0:
                yield from bps.mv(self._light, light)

        try:
            yield from make_ready()
            if until is not None and not (yield from until(make_ready)):
                return None
            group = short_uid("train")
            yield from bps.complete(flyer, group=group)
            is_over = False
            # After a pause that came behind the last look it flies once more.
            while not is_over or flyer.is_busy:
                is_over = yield from bps.wait(group, timeout=FLUSH_PERIOD, error_on_timeout=False)
                yield from bps.collect(flyer, name=stream)
        except FailedStatus as error:
            if not isinstance(error.__cause__, (DeviceError, ValueError)):
                raise
            flyer.land()
            yield from bps.collect(flyer, name=stream)
            return str(error.__cause__)
        return ""

    def _settled(self, with_beam: bool) -> None:
        meter = self.imager.beam.dose_meter
        if meter is None:
            return
        if with_beam:
            # I0 is gated by another detector: the most that can have come counts.
            meter.settle()
        else:
            meter.dark()

    def write(
        self,
        flight: Flight,
        flown: Flown,
        *,
        shutter: int,
        lost: str,
        omega: float | None = None,
        row: int = -1,
    ) -> Plan:
        """The event of a train; ``omega`` is at which the sample stood, degree."""
        train, is_arc = flight.train, isinstance(flight.train, Rotation)
        where: dict[str, Any] = {}
        if omega is not None:
            where = {"omega_first": omega, "omega_last": omega}
        if isinstance(train, Rotation):
            where = {
                "arc": self.n_arcs,
                "omega_first": float(train.omegas[0]),
                "omega_last": float(train.omegas[-1]),
            }
        if isinstance(train, Line):
            where = {
                "row": row,
                "position_first": float(train.places[0]),
                "position_last": float(train.places[-1]),
            }
        self._notes.write(
            train=self._n_trains,
            role=flight.role,
            file=flown.file,
            first=flown.first,
            n_frames_asked=flown.n_asked,
            n_frames=flown.n_frames,
            n_missed=flown.n_missed,
            exposure=float(train.exposure),
            period=float(max(train.period, train.exposure)),
            start=flown.start,
            end=flown.end,
            shutter=int(shutter),
            beam_lost=lost,
            fault=flown.fault,
            **where,
        )
        self._n_trains += 1
        self.n_arcs += is_arc
        imager, watch = self.imager, self.imager.flyer.camera.clock_watch
        beside = (imager.beam.dose_meter, imager.beam.top_up, watch)
        yield from bps.create(name="trains")
        for readable in (self._notes, imager.beam, *beside, *imager.readables):
            if readable is not None:
                yield from bps.read(readable)
        yield from bps.save()
        yield from bps.checkpoint()

    # Darks and flats.

    def take_fields(self, fields: FieldsOfRun, place: Place) -> Plan:
        """Take what this run takes there."""
        for role in ("dark", "flat") if place == "start" else ("flat", "dark"):
            if place in fields.at[role]:
                yield from self.take_field(fields, role)

    def take_field(self, fields: FieldsOfRun, role: FieldRole) -> Plan:
        """Take darks or flats, and keep them for later runs.

        Raises:
            DeviceError: If they are not whole the second time either.
        """
        if role == "dark":
            yield from self._whole(fields, role)
            return
        x = self.imager.stage.x
        here = x.position
        yield from bps.mv(x, here + (fields.fields.flat_offset or 0.0))
        # Back at once: nobody else knows that the sample is out.
        yield from bpp.finalize_wrapper(self._whole(fields, role), lambda: bps.mv(x, here))

    def _whole(self, fields: FieldsOfRun, role: FieldRole) -> Plan:
        exposure, imager = fields.light.exposure, self.imager
        flight = Flight(role, FrameTrain(exposure, fields.fields.n_frames(role)))
        for attempt in range(RETAKES + 1):
            if role == "flat":
                yield from wait_for_beam(imager.beam, imager.clock, patience=imager.patience)
            if attempt:
                flight = Flight(role, flight.train, is_again=True)
            flown, lost = yield from self.take(flight, role, with_beam=role == "flat")
            if not flown.fault and not lost:
                fields.fields.keep(role, self.uid, flown, fields.light)
                return
        raise DeviceError(f"{imager.flyer.name}: no whole {role}: {flown.fault or lost}")


def _light_time(flight: Flight) -> float:
    """How long the shutter is open for it, s."""
    train = flight.train
    return train.travel_time if isinstance(train, Passage) else train.duration


def _ahead(flight: Flight) -> tuple[float, float]:
    """How far the sample stage goes meanwhile, mm along x and y."""
    train = flight.train
    return (train.end - train.begin, 0.0) if isinstance(train, Line) else (0.0, 0.0)


def landed_after(plan: Plan, flyer: FrameFlyer) -> Plan:
    """Bring the camera, the stage and the pulses to rest however the plan ends."""

    def landed() -> Plan:
        yield from finished(flyer.landing())

    return (yield from bpp.finalize_wrapper(plan, landed))


def label_of(pattern: str, md: Mapping[str, Any]) -> str:
    """A run's name for people; braces in it count the measurements of the rule that asked for it.

    >>> label_of("CR2-{:03d}", {"operando": {"index": 7}})
    'CR2-007'
    """
    return pattern.format(int(md.get("operando", {}).get("index", 0)))


def labelled(label: str, md: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a caller says in the start document, with the run's name."""
    return {"label": label_of(label, md or {}), **(md or {})}


def imaging_run(
    imager: Imager,
    body: Callable[[Trains], Plan],
    motors: Sequence[Any],
    said: Mapping[str, Any],
) -> Plan:
    """Stage, open a run, do it, and put everything back; the uid of the run."""

    def measured(uid: str) -> Plan:
        safe = landed_after(body(Trains(imager, uid)), imager.flyer)
        return (yield from positions_put_back(shutter_closed_after(safe, imager.beam), motors))

    for warning in said.get("warnings", ()):
        _log.warning("%s: %s", said.get("plan_name"), warning)
    return (yield from bpp.stage_wrapper(run(measured, dict(said)), [imager.flyer]))
