"""This file is where the session's own knowledge gets into events: points, rules, clocks, beam.

These devices have no hardware. A plan makes them, fills them and has them read like any other.
"""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import UNKNOWN, Note


def number_note(units: str, doc: str) -> Any:
    """A number; NaN while it is not known."""
    return Cpt(Note, units=units, kind="normal", doc=doc)


def integer_note(doc: str) -> Any:
    """An integer; -1 while it is not known."""
    return Cpt(Note, dtype="integer", kind="normal", doc=doc)


def text_note(doc: str) -> Any:
    """A text; empty while it is not known."""
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


class PlainNotes(Notes):
    """Notes whose keys stand in events without a prefix."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        for attribute in self.component_names:
            getattr(self, attribute).name = attribute


class PointNotes(PlainNotes):
    """What the plan knows of a point; its keys stand in events without a prefix."""

    point = integer_note("counts the points of the run from 0; a point taken twice has two rows")
    exposure = number_note("s", "of one frame")
    n_frames_asked = integer_note("frames asked of each detector")
    shutter = integer_note("1 open, 0 closed, seen while exposing")
    beam_lost = text_note("why the beam was away at some time of the exposure; empty: it was not")
    fault = text_note("why frames are missing; empty: none are")

    def __init__(self, *, name: str = "point_notes", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)


class ResultNotes(PlainNotes):
    """What an exposure by result has come to; its keys stand in events without a prefix."""

    measurement = integer_note("counts the measurements of the run, each of several points, from 0")
    repeat = integer_note("counts the points of a measurement; what is started afresh begins at 0")
    counting_error = number_note("1", "relative, of all points of the measurement so far")
    overloaded = integer_note("1: a pixel was full, the measurement starts afresh behind it")
    stopped = text_note("why this was the measurement's last point; empty: it was not")

    def __init__(self, *, name: str = "result_notes", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)


class RuleNotes(Notes):
    """One time at which a rule was met: served or missed."""

    rule = text_note("of the schedule")
    index = integer_note("counts what this rule was met, from 0")
    measure = text_note("name of the measurement")
    due = number_note("s", "when the condition became true")
    met = number_note("s", "when that was seen")
    start = number_note("s", "when its measurement started; NaN: it did not")
    lateness = number_note("s", "start minus due")
    gap = number_note("s", "how far due can be off because the cell was not known")
    missed = text_note("why it was not served; empty: it was")
    remark = text_note("what else is worth keeping")
    cell = text_note("name of the guard's cell that it is on")
    coupling = text_note("how cell and measurement went together")
    kept_from = number_note("s", "since when the cell was kept for it; NaN: it was not")
    kept_to = number_note("s", "when the cell was told to proceed; NaN: it was not")
    smear_predicted = number_note(
        "1", "change of state of charge, before it started; NaN: not known"
    )
    dose = text_note("what the dose budget decided; empty: there is none")
    run = text_note("uid of the run that holds the measurement")
    point = integer_note("in a series run; -1 in a run of its own")
    error = text_note("why the measurement failed; empty: it did not")


class ClockNotes(Notes):
    """One comparison of a clock with the session's."""

    device = text_note("whose clock: 'cycler', or the name of the detector")
    cell = text_note("name of the guard's cell, of a cycler's clock")
    time = number_note("s", "when they were compared, session clock")
    device_time = number_note("s", "what it showed, s since 1970")
    session_time = number_note("s", "what the session's clock showed, s since 1970")
    uncertainty = number_note("s", "of the comparison")


class BeamNotes(Notes):
    """The beam went or came back."""

    event = text_note("'lost' or 'back'")
    reason = text_note("why there was no beam")
    start = number_note("s", "when it was lost, session clock")
    length = number_note("s", "of the interruption; NaN while it lasts")
    ring_current = number_note("mA", "NaN: not known")
    i0_rate = number_note("count/s", "before the sample")


class ScheduleNotes(Notes):
    """One revision of the schedule."""

    revision = integer_note("counts from 0")
    time = number_note("s", "when it was taken or refused, session clock")
    start = number_note("s", "of the experiment, where open clocks begin, session clock")
    json = text_note("the schedule")
    sentence = text_note("the schedule as a person says it")
    text = text_note("the schedule as it is written, a line a rule")
    author = text_note("who wrote it")
    source = text_note("where it was written")
    changes = text_note("what this revision changed")
    refused = text_note(
        "why an edit was not taken: the schedule before goes on; empty: it was taken"
    )


class GapNotes(Notes):
    """The time between an experiment and the one that resumes it."""

    resumes = text_note("uid of the operando run before")
    start = number_note("s", "when that run was last heard of")
    end = number_note("s", "when this one began")
    length = number_note("s", "of the time between")
    n_due = integer_note("measurements that were due meanwhile; -1: not known")
    due = text_note("JSON: cell, rule, index, measure and time due of each")


class ParkingNotes(Notes):
    """A cell that the beamline has given up."""

    cell = text_note("name of the guard's cell")
    policy = text_note("what was declared for it")
    reason = text_note("why it cannot be served in time")
    time = number_note("s", "when that was decided")
    error = text_note("why the guard did not do it; empty: it did")


class VerdictNotes(Notes):
    """What a calibration found."""

    geometry = text_note("path of the .poni")
    instrument = text_note("path of the instrument's JSON")
    document = text_note("JSON: every value with its error")
