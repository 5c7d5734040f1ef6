"""This file is where the session's knowledge of a spectrum gets into events: points, darks, ends."""

from battbeam.devices.notes import PlainNotes, integer_note, number_note, text_note


class SpectrumNotes(PlainNotes):
    """What the plan knows of a point of a spectrum, or of a sweep."""

    point = integer_note("counts the points of the run from 0; a point taken twice has two rows")
    spectrum = integer_note("counts the spectra of the run from 0")
    repeat = integer_note("counts the spectra of this edge from 0")
    edge = text_note("as 'Ni K', or '8333 eV' where only an energy was given")
    energy = number_note("eV", "asked for; NaN in sweeps")
    dwell = number_note("s", "asked for; in sweeps of one sample")
    dark = integer_note("the dark that belongs to it")
    shutter = integer_note("1 open, 0 closed, seen when the counting had ended")
    beam_lost = text_note("why the beam was away at some time of it; empty: it was not")
    fault = text_note("what is wrong with the counts; empty: nothing")


class DarkNotes(PlainNotes):
    """What the plan knows of a count without light."""

    dark = integer_note("counts the darks of the run from 0")
    dwell = number_note("s", "of the count")
    shutter = integer_note("0 closed")
    gain_i0 = number_note("V/A", "of the amplifier, for this and for what follows")
    gain_it = number_note("V/A", "of the amplifier, for this and for what follows")
    gain_ir = number_note("V/A", "of the amplifier, for this and for what follows")
    counts_per_photon_i0 = number_note("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_it = number_note("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_ir = number_note("", "at this gain, as the staff know it; NaN: not known")
    counts_per_photon_if = number_note("", "as the staff know it; NaN: not known")
    share_i0 = number_note("", "photons detected of those on the sample; NaN: not known")
    share_it = number_note("", "photons detected of those that come; NaN: not known")
    share_ir = number_note("", "likewise, as if there were no chamber before it; NaN: not known")
    fault = text_note("what is wrong with the counts; empty: nothing")


class SpectraNotes(PlainNotes):
    """A spectrum has ended."""

    spectrum = integer_note("counts the spectra of the run from 0")
    repeat = integer_note("counts the spectra of this edge from 0")
    edge = text_note("as 'Ni K', or '8333 eV' where only an energy was given")
    dark = integer_note("the dark that belongs to it")
    n_points = integer_note("in it; a sweep has 1")
    start = number_note("s", "before its first point, session clock")
    end = number_note("s", "after its last point, session clock")
    absorbance_error = number_note("1", "of counting, at the worst point, all repeats of the edge")
    smear = number_note("1", "change of the state of charge since the edge's first spectrum began")
    stopped = text_note("why it was the last of its edge; empty: it was not")
