"""This file is where counts become absorbance, with the errors that counting gives it."""

from dataclasses import dataclass

import numpy as np

from battbeam.reduction.spectrum import Channel, Spectrum
from battbeam.units import AnyArray, FloatArray

# A glitch stands out by this many standard deviations, and by this much more than the curve itself
# bends and rises there. Chosen: none is seen in noise, nor on a sharp edge at steps of 1 eV.
_GLITCH, _BEND, _STEEP = 6.0, 1.5, 0.2
# Points that one glitch can be wide: a monochromator's of 1.5 eV at steps of 0.3 eV.
_WIDEST_GLITCH = 7
# Between the neighbours of what is narrower than any feature of an edge, eV: a core hole and a
# monochromator leave none below 1.5 eV full width (chosen).
_NARROW = 1.1
# The median of a normal deviate's size.
_MEDIAN = 0.6745
# Energy noise that is no glitch, eV: a monochromator's jitter where the curve is steep.
_ENERGY_NOISE = 0.03
# A dead-time correction by more than this factor is not believed (chosen: 3 % of it is 3 % wrong
# if the dead time is known to 10 %).
_MOST_CORRECTION = 1.3


@dataclass(frozen=True)
class Photons:
    """Photons of one channel, dark subtracted.

    Attributes:
        number: That came, as far as the detector's efficiency is known, shape (n,); NaN where there
            are none.
        relative_variance: Of it, over its square, shape (n,).
        detected: Those of them that were counted, shape (n,).
    """

    number: FloatArray
    relative_variance: FloatArray
    detected: FloatArray


@dataclass(frozen=True)
class Absorbance:
    """Absorbance at each point, errors are one standard deviation from counting.

    Attributes:
        values: Shape (n,).
        errors: Shape (n,).
    """

    values: FloatArray
    errors: FloatArray


def photons_from_counts(spectrum: Spectrum, channel: Channel) -> Photons:
    """Photons that a channel of a spectrum saw.

    Noise is that of the photons and of the dark counts, and of the dark rate as far as that is not
    known.
    """
    counts = spectrum.channels[channel]
    per_photon = spectrum.counts_per_photon.get(channel, 1.0)
    dark = spectrum.dark_rate.get(channel, 0.0) * spectrum.exposure
    dark_error = spectrum.dark_rate_error.get(channel, 0.0) * spectrum.exposure / per_photon
    detected = (counts - dark) / per_photon
    detected = np.where(detected > 0, detected, np.nan)
    dark_variance = dark / per_photon**2 + dark_error**2
    variance = 1 / detected + dark_variance / detected**2
    return Photons(detected / spectrum.efficiency.get(channel, 1.0), variance, detected)


def absorbance_from_transmission(before: Photons, behind: Photons) -> Absorbance:
    """-ln of the share of photons that passed.

    >>> hundred = np.array([100.0])
    >>> two = Photons(hundred, 1 / hundred, hundred)
    >>> absorbance_from_transmission(two, two).values
    array([0.])
    """
    errors = np.sqrt(before.relative_variance + behind.relative_variance)
    return Absorbance(np.log(before.number / behind.number), errors)


def absorbance_from_fluorescence(before: Photons, emitted: Photons) -> Absorbance:
    """Fluorescence over I0, which goes with the absorbance of a thin sample; any scale."""
    values = emitted.number / before.number
    errors = values * np.sqrt(before.relative_variance + emitted.relative_variance)
    return Absorbance(values, errors)


def live_fluorescence(spectrum: Spectrum, *, dead_time: float | None) -> tuple[Photons, AnyArray]:
    """Fluorescence as it would be without dead time, and where that cannot be told.

    With a dead time the true rate n follows from the counted rate m of a detector that is blind for
    so long after each photon that it counts: m = n / (1 + n dead_time). Without, the counts of the
    fast channel are taken, which misses hardly any.

    Returns:
        Photons, and a mask of the points whose correction is more than a factor 1.3.

    Source:
        Knoll, Radiation Detection and Measurement, 4th ed., chapter 4 (nonparalyzable model).
    """
    counted = photons_from_counts(spectrum, "fluorescence")
    if dead_time is not None:
        live = 1 - counted.number * dead_time / spectrum.exposure
        with np.errstate(invalid="ignore"):
            factor = np.where(live > 0, 1 / live, np.nan)
        # An error of the counted rate grows by 1 / live more than the rate itself.
        variance = counted.relative_variance * factor**2
        found = Photons(counted.number * factor, variance, counted.detected)
    elif spectrum.fluorescence_input is not None:
        found = photons_from_counts(spectrum, "fluorescence_input")
        factor = found.number / counted.number
    else:
        found, factor = counted, np.ones(len(spectrum))
    return found, ~(factor <= _MOST_CORRECTION)


def find_glitches(energy: FloatArray, absorbance: Absorbance, incident: Photons) -> AnyArray:
    """Points that stand out of a smooth curve through their neighbours for no reason of the sample's.

    One to seven points at a time are predicted by a cubic through the two on either side. Where light
    is lost before the sample, what stands out by six errors is taken out, the worst first. Elsewhere
    it has to be narrower than a feature of an edge can be as well, and to stand out by more than the
    curve bends there. Peaks before an edge and points far apart stand out of a cubic, and are kept.

    Args:
        energy: eV, ascending, shape (n,).
        absorbance: NaN where there is none.
        incident: Photons/s before the sample, at each point.
    """
    light = _light(energy, incident)
    found = np.zeros(len(energy), dtype=bool)
    while True:
        good = np.flatnonzero(~found & np.isfinite(absorbance.values) & np.isfinite(energy))
        worst, where = 1.0, np.empty(0, dtype=int)
        for width in range(1, _WIDEST_GLITCH + 1):
            surprise = _glitch_surprise(energy, absorbance, light, good, width)
            if len(surprise) and surprise.max() > worst:
                worst = float(surprise.max())
                start = int(np.argmax(surprise)) + 2
                where = good[start : start + width]
        if not len(where) or found.sum() > len(energy) // 10:
            return found
        found[where] = True


def _light(energy: FloatArray, incident: Photons) -> Absorbance:
    """What light is lost before the sample; errors are its scatter where that is more than noise."""
    rate, errors = incident.number, np.sqrt(incident.relative_variance)
    lost = Absorbance(-np.log(rate), errors)
    good = np.flatnonzero(np.isfinite(energy) & np.isfinite(rate))
    if len(good) < 5:
        return lost
    out, noise, _ = _standing_out(energy[good], lost.values[good], errors[good], 1, jitter=0.0)
    scatter = float(np.median(np.abs(out[0]) / noise[0])) / _MEDIAN
    return Absorbance(lost.values, errors * max(1.0, scatter))


def _glitch_surprise(
    energy: FloatArray, absorbance: Absorbance, light: Absorbance, good: AnyArray, width: int
) -> FloatArray:
    """Of each run of points, its surprise; 0 where it may be a feature of the edge."""
    x = energy[good]
    if len(x) - width - 3 < 1:
        return np.empty(0)
    values, errors = absorbance.values[good], absorbance.errors[good]
    is_lost = _is_dip(x, light.values[good], light.errors[good], width)
    span = x[2 + width : -1] - x[1 : -2 - width]
    out, deviation, shape = _standing_out(x, values, errors, width, jitter=_ENERGY_NOISE)
    allowed = _GLITCH * deviation + np.where(is_lost, 0.0, shape)
    surprise = np.min(np.abs(out) / allowed, axis=0)
    return np.where(is_lost | (span <= _NARROW), surprise, 0.0)


def _is_dip(energy: FloatArray, lost: FloatArray, errors: FloatArray, width: int) -> AnyArray:
    """Where a run of points has lost light that those on both sides have: a refilled ring is a step."""
    out, deviation, shape = _standing_out(energy, lost, errors, width, jitter=0.0)
    beside = np.maximum(lost[1 : -2 - width], lost[2 + width : -1])
    higher = np.stack([lost[2 + i : len(lost) - width - 1 + i] for i in range(width)]) - beside
    return np.asarray((np.minimum(out - shape, higher) > _GLITCH * deviation).all(axis=0))


def _standing_out(
    energy: FloatArray, values: FloatArray, errors: FloatArray, width: int, *, jitter: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each run of points: how far each is out, its standard deviation, what the curve does there.

    Returns:
        Three arrays, shape (width, number of runs).
    """
    start = np.arange(len(energy) - width - 3)
    around = np.stack([start, start + 1, start + 2 + width, start + 3 + width])
    found = []
    for offset in range(width):
        at = start + 2 + offset
        weights = _lagrange(energy[around], energy[at])
        inner = around[1:3]
        span = energy[inner[1]] - energy[inner[0]]
        part = (energy[at] - energy[inner[0]]) / span
        straight = values[inner[0]] * (1 - part) + values[inner[1]] * part
        bent = np.einsum("ij,ij->j", weights, values[around])
        steep = np.abs(values[inner[1]] - values[inner[0]]) / span
        variance = errors[at] ** 2 + np.einsum("ij,ij->j", weights**2, errors[around] ** 2)
        deviation = np.sqrt(variance + (jitter * steep) ** 2)
        shape = _BEND * np.abs(bent - straight) + _STEEP * steep * span
        found.append((values[at] - bent, deviation, shape))
    out, deviations, shapes = (np.stack(each) for each in zip(*found, strict=True))
    return out, deviations, shapes


def _lagrange(nodes: FloatArray, at: FloatArray) -> FloatArray:
    """Weights of each of four nodes, shape (4, n), for the cubic through them."""
    weights = np.ones_like(nodes)
    for i in range(4):
        for j in range(4):
            if i != j:
                weights[i] *= (at - nodes[j]) / (nodes[i] - nodes[j])
    return weights
