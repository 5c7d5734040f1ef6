"""This file is where the session's own knowledge gets into events: points, rules, clocks, beam.

These devices have no hardware. A plan makes them, fills them and has them read like any other.
"""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import UNKNOWN, Note


def _number(units: str, doc: str) -> Any:
    return Cpt(Note, units=units, kind="normal", doc=doc)


def _integer(doc: str) -> Any:
    return Cpt(Note, dtype="integer", kind="normal", doc=doc)


def _text(doc: str) -> Any:
    return Cpt(Note, dtype="string", kind="normal", doc=doc)


class Notes(Device):  # type: ignore[misc]
    """Values that a plan writes down together."""

    def write(self, **values: Any) -> None:
        """Write these down and forget the others.

        Raises:
            AttributeError: For a value that has no place here.
        """
        unknown = set(values) - set(self.component_names)
        if unknown:
            raise AttributeError(f"{self.name} has no place for {', '.join(sorted(unknown))}")
        for attribute in self.component_names:
            note = getattr(self, attribute)
            note.put(values.get(attribute, UNKNOWN[note.declared_dtype]))


class PointNotes(Notes):
    """What the plan knows of a point; its keys stand in events without a prefix."""

    point = _integer("counts the points of the run from 0; a point taken twice has two rows")
    exposure = _number("s", "of one frame")
    n_frames_asked = _integer("frames asked of each detector")
    shutter = _integer("1 open, 0 closed, seen while exposing")
    beam_lost = _text("why the beam was away at some time of the exposure; empty: it was not")
    fault = _text("why frames are missing; empty: none are")

    def __init__(self, *, name: str = "point_notes", **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        for attribute in self.component_names:
            getattr(self, attribute).name = attribute


class ResultNotes(Notes):
    """What an exposure by result has come to; its keys stand in events without a prefix."""

    measurement = _integer("counts the measurements of the run, each of several points, from 0")
    repeat = _integer("counts the points of a measurement; what is started afresh begins at 0")
    counting_error = _number("1", "relative, of all points of the measurement so far")
    overloaded = _integer("1: a pixel was full, the measurement starts afresh behind it")
    stopped = _text("why this was the measurement's last point; empty: it was not")

    def __init__(self, *, name: str = "result_notes", **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        for attribute in self.component_names:
            getattr(self, attribute).name = attribute


class RuleNotes(Notes):
    """One time at which a rule was met: served or missed."""

    rule = _text("of the schedule")
    index = _integer("counts what this rule was met, from 0")
    measure = _text("name of the measurement")
    due = _number("s", "when the condition became true")
    met = _number("s", "when that was seen")
    start = _number("s", "when its measurement started; NaN: it did not")
    lateness = _number("s", "start minus due")
    gap = _number("s", "how far due can be off because the cell was not known")
    missed = _text("why it was not served; empty: it was")
    remark = _text("what else is worth keeping")
    cell = _text("name of the guard's cell that it is on")
    coupling = _text("how cell and measurement went together")
    kept_from = _number("s", "since when the cell was kept for it; NaN: it was not")
    kept_to = _number("s", "when the cell was told to proceed; NaN: it was not")
    smear_predicted = _number("1", "change of state of charge, before it started; NaN: not known")
    dose = _text("what the dose budget decided; empty: there is none")
    run = _text("uid of the run that holds the measurement")
    point = _integer("in a series run; -1 in a run of its own")
    error = _text("why the measurement failed; empty: it did not")


class ClockNotes(Notes):
    """One comparison of a clock with the session's."""

    device = _text("whose clock: 'cycler', or the name of the detector")
    cell = _text("name of the guard's cell, of a cycler's clock")
    time = _number("s", "when they were compared, session clock")
    device_time = _number("s", "what it showed, s since 1970")
    session_time = _number("s", "what the session's clock showed, s since 1970")
    uncertainty = _number("s", "of the comparison")


class BeamNotes(Notes):
    """The beam went or came back."""

    event = _text("'lost' or 'back'")
    reason = _text("why there was no beam")
    start = _number("s", "when it was lost, session clock")
    length = _number("s", "of the interruption; NaN while it lasts")
    ring_current = _number("mA", "NaN: not known")
    i0_rate = _number("count/s", "before the sample")


class ScheduleNotes(Notes):
    """One revision of the schedule."""

    revision = _integer("counts from 0")
    time = _number("s", "when it was taken or refused, session clock")
    start = _number("s", "of the experiment, where open clocks begin, session clock")
    json = _text("the schedule")
    sentence = _text("the schedule as a person says it")
    text = _text("the schedule as it is written, a line a rule")
    author = _text("who wrote it")
    source = _text("where it was written")
    changes = _text("what this revision changed")
    refused = _text("why an edit was not taken: the schedule before goes on; empty: it was taken")


class GapNotes(Notes):
    """The time between an experiment and the one that resumes it."""

    resumes = _text("uid of the operando run before")
    start = _number("s", "when that run was last heard of")
    end = _number("s", "when this one began")
    length = _number("s", "of the time between")
    n_due = _integer("measurements that were due meanwhile; -1: not known")
    due = _text("JSON: cell, rule, index, measure and time due of each")


class ParkingNotes(Notes):
    """A cell that the beamline has given up."""

    cell = _text("name of the guard's cell")
    policy = _text("what was declared for it")
    reason = _text("why it cannot be served in time")
    time = _number("s", "when that was decided")
    error = _text("why the guard did not do it; empty: it did")


class VerdictNotes(Notes):
    """What a calibration found."""

    geometry = _text("path of the .poni")
    instrument = _text("path of the instrument's JSON")
    document = _text("JSON: every value with its error")
