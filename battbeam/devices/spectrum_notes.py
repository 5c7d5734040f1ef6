"""This file is where the session's knowledge of a spectrum gets into events: points, darks, ends."""

from typing import Any

from ophyd import Component as Cpt

from battbeam.devices.notes import Notes
from battbeam.devices.signals import Note


def _number(units: str, doc: str) -> Any:
    return Cpt(Note, units=units, kind="normal", doc=doc)


def _integer(doc: str) -> Any:
    return Cpt(Note, dtype="integer", kind="normal", doc=doc)


def _text(doc: str) -> Any:
    return Cpt(Note, dtype="string", kind="normal", doc=doc)


class PlainNotes(Notes):
    """Notes whose keys stand in events without a prefix."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__("", name=name, **kwargs)
        for attribute in self.component_names:
            getattr(self, attribute).name = attribute


class SpectrumNotes(PlainNotes):
    """What the plan knows of a point of a spectrum, or of a sweep."""

    point = _integer("counts the points of the run from 0; a point taken twice has two rows")
    spectrum = _integer("counts the spectra of the run from 0")
    repeat = _integer("counts the spectra of this edge from 0")
    edge = _text("as 'Ni K', or '8333 eV' where only an energy was given")
    energy = _number("eV", "asked for; NaN in sweeps")
    dwell = _number("s", "asked for; in sweeps of one sample")
    dark = _integer("the dark that belongs to it")
    shutter = _integer("1 open, 0 closed, seen when the counting had ended")
    beam_lost = _text("why the beam was away at some time of it; empty: it was not")
    fault = _text("what is wrong with the counts; empty: nothing")


class DarkNotes(PlainNotes):
    """What the plan knows of a count without light."""

    dark = _integer("counts the darks of the run from 0")
    dwell = _number("s", "of the count")
    shutter = _integer("0 closed")
    gain_i0 = _number("V/A", "of the amplifier, for this and for what follows")
    gain_it = _number("V/A", "of the amplifier, for this and for what follows")
    gain_ir = _number("V/A", "of the amplifier, for this and for what follows")
    counts_per_photon_i0 = _number("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_it = _number("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_ir = _number("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_if = _number("", "as the staff know it; NaN: not known")
    fault = _text("what is wrong with the counts; empty: nothing")


class SpectraNotes(PlainNotes):
    """A spectrum has ended."""

    spectrum = _integer("counts the spectra of the run from 0")
    repeat = _integer("counts the spectra of this edge from 0")
    edge = _text("as 'Ni K', or '8333 eV' where only an energy was given")
    dark = _integer("the dark that belongs to it")
    n_points = _integer("in it; a sweep has 1")
    start = _number("s", "before its first point, session clock")
    end = _number("s", "after its last point, session clock")
    absorbance_error = _number("1", "of counting, at the worst point, all repeats of the edge")
    smear = _number("1", "change of the state of charge since the edge's first spectrum began")
    stopped = _text("why it was the last of its edge; empty: it was not")
