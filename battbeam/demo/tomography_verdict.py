"""This file is where the tomograms' demo is judged: axis, particles, cracks, attenuation and states of charge
against the hidden truth.

Counting moves the surface of a particle by some thousandths of a voxel: a surface has a thousand
voxels, of which each is known to a thirtieth of its step in attenuation. What limits sizes is the
resolution, and that particles grow while they are looked at; so their tolerances are what row by row
is promised, or z times the scatter of all particles where that is larger.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from battbeam.demo import checks
from battbeam.demo.checks import Check
from battbeam.demo.tomography_outcome import Line, MeasuredTomogram, TomographyOutcome
from battbeam.reduction.particle_series import ParticlesAt
from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.phantom_matter import active_matter
from battbeam.units import FloatArray

#: What is promised: of the axis, pixels; of radii, voxels; of expansion, cracks, attenuation and of
#: the tin that stays, relative.
AXIS, RADIUS, EXPANSION, CRACK, ATTENUATION, TIN = 0.25, 0.5, 0.03, 0.2, 0.03, 0.03
#: Voxels that a core may be off.
CORE = 1.0
#: Comparisons that have an error, in one demo: sets z. Rounded up.
_N_COMPARISONS = 400
#: Tomograms and previews of each that there must be, and how much particles must have swollen.
_LEAST_TOMOGRAMS, _LEAST_PREVIEWS, _LEAST_FACTOR = 8, 3, 2.0
#: Voxels: a core that is smaller is not seen apart from its rim, a rim that is thinner neither.
_SEEN = 2.0


def judged(outcome: TomographyOutcome, passport: Mapping[str, Any], chemistry: Any) -> list[Check]:
    """Every check of the demo.

    Args:
        outcome: What it left.
        passport: What is believed of the cell.
        chemistry: Of the cell, as the simulation names it.
    """
    z = checks.z_for(_N_COMPARISONS)
    return [
        *_all_there(outcome),
        _axis(outcome, z),
        *_radii(outcome),
        *_expansion(outcome, z),
        *_cracks(outcome, z),
        *_attenuations(outcome, chemistry),
        _tin(outcome),
        checks.state_of_charge(outcome.tomograms, outcome.of, passport),
    ]


def _all_there(outcome: TomographyOutcome) -> list[Check]:
    n = len(outcome.tomograms)
    previews = min((each.n_previews for each in outcome.tomograms), default=0)
    return [
        Check("reduced tomograms, of those taken", outcome.n_reduced, outcome.n_asked, 0.0, n),
        Check("valid tomograms, of those reduced", n, outcome.n_reduced, 0.0, n),
        Check("frames in the documents, of those taken", outcome.n_flown, outcome.n_true, 0.0, n),
        _at_least("tomograms", n, _LEAST_TOMOGRAMS, n),
        _at_least("previews of each while it was taken", previews, _LEAST_PREVIEWS, n),
    ]


def _at_least(name: str, value: float, least: float, n: int) -> Check:
    return Check(f"{name} (at least {least:g})", float(min(value, least)), float(least), 0.0, n)


def _axis(outcome: TomographyOutcome, z: float) -> Check:
    return checks.worst(
        "rotation axis, worst tomogram (pixel)",
        recovered=outcome.of("axis"),
        truth=np.array([each.true_axis for each in outcome.tomograms]),
        error=outcome.of("axis_error"),
        promised=AXIS,
        z=z,
    )


def _matched(tomogram: MeasuredTomogram, found: ParticlesAt, name: str) -> FloatArray:
    """A hidden size of each recovered particle."""
    centres = np.array([each.centre for each in found.particles])
    return np.array(tomogram.sizes[name], dtype=float)[tomogram.true_particles(centres)]


def _radii(outcome: TomographyOutcome) -> list[Check]:
    """Of the fresh particles and of what is left of them later, um."""
    if not outcome.tomograms:
        return [Check("particles found, of those there", 0.0, 1.0, 0.0, 0)]
    first, fresh = outcome.tomograms[0], outcome.particles[0]
    voxel = float(first.row["voxel_size"]) * 1e3
    n_there = len(first.sizes["centre"])
    centres = np.array([each.centre for each in fresh.particles])
    n_found = len(set(first.true_particles(centres)))
    radii = np.array([each.radius for each in fresh.particles])
    cores, true_cores = _cores(outcome)
    return [
        Check("particles found, of those there", n_found, n_there, 0.0, n_there),
        checks.worst(
            "radius of the fresh particles, worst (um)",
            recovered=radii * 1e3,
            truth=_matched(first, fresh, "outer_radius") * 1e3,
            error=np.zeros(len(radii)),
            promised=RADIUS * voxel,
            z=0.0,
        ),
        checks.worst(
            "radius of the cores, worst of all (um)",
            recovered=cores * 1e3,
            truth=true_cores * 1e3,
            error=np.zeros(len(cores)),
            promised=CORE * voxel,
            z=0.0,
        ),
    ]


def _cores(outcome: TomographyOutcome) -> tuple[FloatArray, FloatArray]:
    """Radii of all cores that can be told from their rims, mm: recovered, and true."""
    recovered, truth = [], []
    for tomogram, found in zip(outcome.tomograms, outcome.particles, strict=True):
        true, outer = (_matched(tomogram, found, name) for name in ("core_radius", "outer_radius"))
        least = _SEEN * float(tomogram.row["voxel_size"])
        seen = (true > least) & (outer - true > least)
        recovered.append(found.core_radii[seen])
        truth.append(true[seen])
    return np.concatenate(recovered), np.concatenate(truth)


def _expansion(outcome: TomographyOutcome, z: float) -> list[Check]:
    """Volume of core and shell over that of the fresh particles."""
    recovered = np.array([each.factor for each in outcome.particles])
    error = np.array([each.factor_error for each in outcome.particles])
    hidden = outcome.sizes("volume_factor")
    truth = hidden / hidden[0] if len(hidden) else hidden
    most = float(truth.max()) if len(truth) else 0.0
    name = "volume of the particles over that at first, worst"
    return [
        _relative(name, recovered, truth, error, EXPANSION, z),
        _at_least("true expansion of the particles", most, _LEAST_FACTOR, len(truth)),
    ]


def _cracks(outcome: TomographyOutcome, z: float) -> list[Check]:
    """When they appear, and how large they are from then on."""
    hidden = outcome.sizes("crack_volume") * 1e6
    recovered = np.array([each.crack_volume for each in outcome.particles]) * 1e6
    error = np.array([each.crack_error for each in outcome.particles]) * 1e6
    there = hidden > 0
    first = _first([each.is_cracked for each in outcome.particles])
    return [
        Check("first tomogram with cracks", first, _first(list(there)), 1.0, len(hidden)),
        _relative(
            "volume of the cracks, worst tomogram (1000 um3)",
            recovered[there],
            hidden[there],
            error[there],
            CRACK,
            z,
        ),
    ]


def _first(found: Sequence[bool]) -> float:
    """Index of the first that is so; NaN of none."""
    return float(list(found).index(True)) if any(found) else float("nan")


def _attenuations(outcome: TomographyOutcome, chemistry: Any) -> list[Check]:
    """Of cores and shells, in tomograms that show both."""
    cores, rims, true_cores, true_rims = [], [], [], []
    for tomogram, found in zip(outcome.tomograms, outcome.particles, strict=True):
        both = [each for each in found.particles if np.isfinite(each.core_radius)]
        if len(both) < len(found.particles) or not _is_thick(tomogram):
            continue
        middle = tomogram.lines[len(tomogram.lines) // 2]
        core, rim = true_attenuations(middle, chemistry, _swelling(tomogram.sizes))
        cores.append(np.median([each.core_attenuation for each in both]))
        rims.append(np.median([each.rim_attenuation for each in both]))
        true_cores.append(core)
        true_rims.append(rim)
    nothing = np.zeros(len(cores))
    return [
        _relative(
            f"attenuation of the {name}, worst tomogram (1/mm)",
            np.array(recovered),
            np.array(truth),
            nothing,
            ATTENUATION,
            0.0,
        )
        for name, recovered, truth in (("cores", cores, true_cores), ("shells", rims, true_rims))
    ]


def _is_thick(tomogram: MeasuredTomogram) -> bool:
    """Whether shells and cores of all particles are some voxels wide."""
    outer, core = (np.array(tomogram.sizes[name]) for name in ("outer_radius", "core_radius"))
    least = _SEEN * float(tomogram.row["voxel_size"])
    return bool((core > least).all() and (outer - core > least).all())


def _swelling(sizes: Mapping[str, Any]) -> float:
    """Volume of what has reacted over what it was before."""
    return 1 + (float(sizes["volume_factor"]) - 1) / float(sizes["reacted"])


def true_attenuations(line: Line, chemistry: Any, swelling: float) -> tuple[float, float]:
    """Of cores and of shells, 1/mm.

    Args:
        line: The truth of a frame.
        chemistry: Of the cell.
        swelling: Volume of what has reacted over what it was before.
    """
    empty = ACTIVE_MATERIALS[chemistry].content_range[0]
    content = float(line["lithium_content"]) / float(line["sizes"]["reacted"])
    energy = float(line["energy"])
    core = active_matter(chemistry, empty).attenuation(energy)
    return core, active_matter(chemistry, content).attenuation(energy) / swelling


def _tin(outcome: TomographyOutcome) -> Check:
    """Volume times attenuation of core and shell: tin neither comes nor goes."""
    amounts = np.array([tin(each) for each in outcome.particles])
    ratio = amounts / amounts[0] if len(amounts) else amounts
    return _relative(
        "tin in the particles over that at first, worst",
        ratio,
        np.ones(len(ratio)),
        np.zeros(len(ratio)),
        TIN,
        0.0,
    )


def tin(found: ParticlesAt) -> float:
    """What particles attenuate in all, mm2: nearly all of it by their tin."""
    total = 0.0
    for each in found.particles:
        core = 4 / 3 * np.pi * float(np.nan_to_num(each.core_radius)) ** 3
        rim = each.volume - each.crack_volume - core
        total += core * each.core_attenuation + rim * each.rim_attenuation
    return float(total)


def _relative(
    name: str,
    recovered: FloatArray,
    truth: FloatArray,
    error: FloatArray,
    promised: float,
    z: float,
) -> Check:
    """As `checks.worst`, with a tolerance that is a share of the truth."""
    return checks.worst(
        name, recovered=recovered, truth=truth, error=error, promised=promised * truth, z=z
    )
