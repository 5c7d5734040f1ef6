"""This file is where what a plan knows of a train of frames gets into events."""

from typing import Any

from battbeam.devices.notes import Notes, PlainNotes, integer_note, number_note, text_note


class TrainNotes(PlainNotes):
    """One dark, flat, rotation, burst or row of a map; its keys stand in events without a prefix."""

    train = integer_note("counts the trains of the run from 0")
    role = text_note("dark, flat, projection, burst or map")
    arc = integer_note("counts the rotations of the run from 0; -1: none, the sample stood")
    file = text_note("with its frames")
    first = integer_note("index of its first frame in the file")
    n_frames_asked = integer_note("frames asked for")
    n_frames = integer_note("frames that are in the file")
    n_missed = integer_note("pulses that the camera could not follow; -1: nobody counts them")
    omega_first = number_note(
        "degree", "nominal middle of the first exposure; NaN: at no angle of its own"
    )
    omega_last = number_note(
        "degree", "nominal middle of the last exposure; NaN: at no angle of its own"
    )
    row = integer_note("of a map, counted from 0; -1: it is none")
    position_first = number_note("mm", "nominal middle of a row's first exposure")
    position_last = number_note("mm", "nominal middle of a row's last exposure")
    exposure = number_note("s", "of one frame")
    period = number_note("s", "from one exposure's start to the next")
    start = number_note("s", "before the first frame, session clock")
    end = number_note("s", "after the last frame, session clock")
    shutter = integer_note("1 open, 0 closed, seen while exposing")
    beam_lost = text_note("why the beam was away at some time of it; empty: it was not")
    fault = text_note("what makes it partial; empty: it is whole")

    def __init__(self, *, name: str = "train_notes", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)


class TriggerNotes(Notes):
    """What fired a burst."""

    condition = text_note("that was watched for")
    due = number_note("s", "when it became true, session clock")
    met = number_note("s", "when that was seen; NaN: it never was")
    gap = number_note("s", "how far due can be off because the cell was not known")
    fired = number_note("s", "when the ring buffer was told, session clock")
    n_kept = integer_note("frames that it had then")
    why = text_note("why the watch ended")
