"""This file is where lines that should be known say that something else is not as it was thought."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.materials import COUNTER_RANGE, HOSTS, LITHIUM_RANGE, PHASES, lattice_edges
from battbeam.reduction.reflections import Reflections, free_edges_of, reflections_of
from battbeam.units import FloatArray

# A lattice that was looked up is right to this, relative: 2 K of aluminium (23e-6 / K, recalled).
_LATTICE = 5e-5
# Errors from which on a reference is off, and the relative stretch with which nothing is to be used.
_SURE, _REFUSED = 4.0, 5e-4
# Candidates for a line that nobody listed: lines at least so strong beside their phase's strongest.
_LEAST_STRENGTH = 0.1
# Degree up to which, at least, a phase's strongest line is looked for.
_STRONG_BELOW = 30.0
# Contents at which phases that hold lithium are looked at.
_N_CONTENTS = 13


@dataclass(frozen=True)
class ReferenceCheck:
    """Whether a reference has the lattice that it should have.

    Attributes:
        stretch: Relative difference of the lattice to the known one: that of the wavelength too.
        stretch_error: One standard deviation.
        refused: Whether it is so large that no lattice of the frame is to be used.
        flags: What to know of it.
    """

    stretch: float
    stretch_error: float
    refused: bool
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A phase that has a line where one was not explained.

    Attributes:
        phase: A name of `battbeam.materials.PHASES`.
        hkl: Of the line.
        two_theta: Where it is, degree: nearest, if its lithium moves it.
        strength: Over that of the phase's strongest line.
    """

    phase: str
    hkl: tuple[int, int, int]
    two_theta: float
    strength: float


def reference_check(
    lattice: FloatArray, error: FloatArray, *, known: FloatArray, relative: float = _LATTICE
) -> ReferenceCheck:
    """Whether all references together are stretched, as a wrong wavelength would do.

    Args:
        lattice: Free edge of each reference as fitted without its prior, angstrom, shape (n,).
        error: One standard deviation of each, angstrom, shape (n,).
        known: What it should be, angstrom, shape (n,).
        relative: How well that is known.
    """
    stretch = np.asarray(lattice, dtype=float) / known - 1
    weight = 1 / ((error / known) ** 2 + relative**2)
    mean, sigma = float(np.average(stretch, weights=weight)), float(1 / np.sqrt(weight.sum()))
    refused = abs(mean) > max(_REFUSED, _SURE * sigma)
    flags: tuple[str, ...] = ()
    if abs(mean) > _SURE * sigma:
        flags = (f"references off by {100 * mean:+.3f} %: wavelength or geometry is not as said",)
    return ReferenceCheck(mean, sigma, refused, flags)


def candidates(
    two_theta: float, *, energy: float, tolerance: float, listed: Sequence[str] = ()
) -> tuple[Candidate, ...]:
    """Phases with a strong line at an angle, the strongest first: to look into, never to fit unseen.

    Args:
        two_theta: Where a line was not explained, degree.
        energy: eV.
        tolerance: Degree.
        listed: Phases that were fitted already.
    """
    found = []
    for phase in PHASES:
        if phase in listed:
            continue
        lines = reflections_of(
            phase, energy=energy, two_theta_max=max(two_theta + 1, _STRONG_BELOW)
        )
        found += [c for c in _lines(lines) if abs(c.two_theta - two_theta) <= tolerance]
    best: dict[str, Candidate] = {}
    for each in sorted(found, key=lambda c: abs(c.two_theta - two_theta)):
        best.setdefault(each.phase, each)
    return tuple(sorted(best.values(), key=lambda c: -c.strength))


def _lines(lines: Reflections) -> list[Candidate]:
    """Strong lines of a phase at each lithium content that it may have."""
    edges = [free_edges_of(lines.structure)]
    if lines.phase in HOSTS:
        low, high = {**LITHIUM_RANGE, **COUNTER_RANGE}[lines.phase]
        edges = list(lattice_edges(lines.phase, np.linspace(low, high, _N_CONTENTS)))
    strongest = float(lines.strength(free_edges_of(lines.structure), None)[0].max())
    found = []
    for each in edges:
        strength = lines.strength(each, None)[0] / strongest
        angles = np.degrees(lines.two_theta(each)[0])
        for index in np.flatnonzero(strength > _LEAST_STRENGTH):
            h, k, l = (int(v) for v in lines.hkl[index])  # noqa: E741 - the index's own name
            at, share = float(angles[index]), float(strength[index])
            found.append(Candidate(lines.phase, (h, k, l), at, share))
    return found
