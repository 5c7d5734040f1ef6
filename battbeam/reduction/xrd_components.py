"""This file is where each phase gets its place in the fit: populations of grains and what is known of them.

Every prior is here, with who chose it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from battbeam.errors import ReductionError
from battbeam.materials import COUNTER_PHASES, LAYERED_PHASES
from battbeam.reduction.component import Component
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pattern_model import CompositionTable, LineShape
from battbeam.reduction.reflections import Reflections, free_edges_of
from battbeam.reduction.xrd_result import ScatteringPhase, XrdOptions
from battbeam.units import AnyArray, FloatArray

#: Phases whose lattice follows their composition over a wide range: it is searched first.
SOLID_SOLUTIONS = ("LixFePO4", *LAYERED_PHASES)
# Priors of lattices: composition (centre, standard deviation) of the two phases inside the
# miscibility gap, what literature lattices differ by (angstrom), and inert ones (relative).
_TWO_PHASE = {"LiFePO4": (0.93, 0.06), "FePO4": (0.04, 0.05)}
_LITERATURE = 0.006
_INERT_RELATIVE = 0.002
# Oxides that were heated differ by composition, and expand by up to 1 % as they are heated. Lithium metal
# has one lattice, give or take 10 K (4.6e-5 per K) and 0.05 mm of its place along the beam: its line is
# weak, and the freer it is to go where the noise is highest, the more its amount is too large.
_RELATIVE = {"spinel": 0.006, "rock_salt": 0.006, "Li": 5e-4}
# Layered oxides: middle and half span of everything known, angstrom.
_LAYERED = (np.array([2.843, 14.2]), np.array([0.03, 0.3]))
# Layers of graphite's phases: spacing and its standard deviation, angstrom; their number in a cell.
# Graphite takes up lithium up to 3.40 (1L); LiC18 stands for stages 4 to 2L, 3.43 to 3.51; of the
# others literature differs by 0.008.
_LAYERS = {
    "graphite": (3.375, 0.015, 2),
    "LiC18": (3.49, 0.02, 2),
    "LiC12": (3.525, 0.006, 2),
    "LiC6": (3.7, 0.006, 1),
}
_LAYERS_A = 0.01
# Spread of composition among grains, as a variance: standard deviation of the prior about 0.
# Inside a miscibility gap there is none.
_SPREAD, _SPREAD_TWO_PHASE = 2e-3, 2e-4
# Phases among which grains that take no part keep the lithium content of the start (FePO4 has
# none), and their usual share, mean and standard deviation: where they lie beside the others the
# data decide, where they lie among them this breaks the tie.
_WITH_INACTIVE = {
    "LiFePO4": (0.02, 0.04),
    "LixFePO4": (0.02, 0.1),
    **dict.fromkeys(LAYERED_PHASES, (0.02, 0.1)),
}
# Share of fatigued grains before a frame was seen.
_FATIGUED = (0.0, 0.3)
# Where the cell stands if there is a reference and nothing else is said, mm.
_DISPLACEMENT = 0.1
# Intensities of one phase: factors are 1, give or take this; lines nearer than this share of a width
# have one factor; weaker ones than this share of the strongest keep that of the structure.
_FACTOR, _TIED, _WEAK = 1.0, 0.3, 1e-3
_FWHM_OF_SIGMA = np.sqrt(8 * np.log(2))


@dataclass(frozen=True)
class SharedParameters:
    """Parameters that several components have together.

    Attributes:
        priors: By name, centre and standard deviation: ``displacement`` in mm, ``broadening`` as a
            variance in degree squared.
    """

    priors: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, phases: Sequence[ScatteringPhase], options: XrdOptions) -> "SharedParameters":
        """Those that phases and options ask for."""
        priors: dict[str, tuple[float, float]] = {}
        displacement = options.displacement
        if displacement is None and any(phase.reference for phase in phases):
            displacement = _DISPLACEMENT
        if displacement is not None:
            priors["displacement"] = (0.0, displacement)
        if options.broadening is not None:
            priors["broadening"] = (0.0, (options.broadening / _FWHM_OF_SIGMA) ** 2)
        return cls(priors)

    def index(self, name: str) -> int | None:
        """Of a parameter, None if it was not asked for."""
        return list(self.priors).index(name) if name in self.priors else None


@dataclass(frozen=True)
class Lines:
    """What components of every phase are made from.

    Attributes:
        families: Reflections by phase.
        shapes: Lines at each phase's depth.
        instrument: Widths of lines.
        distance: From the place of the standard to the detector, mm.
        two_theta: First and last angle of the bins, degree.
    """

    families: Mapping[str, Reflections]
    shapes: Mapping[str, LineShape]
    instrument: Instrument
    distance: float
    two_theta: tuple[float, float]


def components_of(
    phases: Sequence[ScatteringPhase],
    lines: Lines,
    options: XrdOptions,
    shared: SharedParameters,
) -> list[Component]:
    """One component for each population of grains.

    Raises:
        ReductionError: If intensities are to be free of a phase that is not in the list.
    """
    unknown = set(options.free_intensities) - {phase.phase for phase in phases}
    if unknown:
        raise ReductionError(
            f"free_intensities names {', '.join(sorted(unknown))}: not among the phases"
        )
    components: list[Component] = []
    for phase in phases:
        members = _members(phase, lines, options)
        if phase.phase in options.free_intensities:
            members[0] = _freed(members[0], lines)
        for member in members:
            components.append(
                replace(
                    member,
                    displaced=shared.index("displacement") if phase.moves else None,
                    broadened=shared.index("broadening") if phase.is_active else None,
                    distance=lines.distance - phase.depth,
                )
            )
    return components


def _members(phase: ScatteringPhase, lines: Lines, options: XrdOptions) -> list[Component]:
    name = phase.phase
    family = lines.families[name]
    of_phase = (name, family, lines.shapes[name], phase.downstream)
    if not phase.is_active:
        edges, sigma = _fixed_prior(phase, family, options)
        kind = "stage" if name in ("graphite", "LiC18") else "inert"
        return [Component(*of_phase, kind, edges, sigma)]
    centre, sigma = _lattice_prior(name)
    spread = _SPREAD if name in SOLID_SOLUTIONS else _SPREAD_TWO_PHASE
    members = [Component(*of_phase, "grains", np.append(centre, 0.0), np.append(sigma, spread))]
    if name in _WITH_INACTIVE:
        content, error = (np.array([v]) for v in options.initial_lithium_content)
        members.append(Component(*of_phase, "inactive", content, error, _WITH_INACTIVE[name]))
    if name in LAYERED_PHASES and options.fatigued_lithium_content is not None:
        content, error = (np.array([v]) for v in options.fatigued_lithium_content)
        members.append(Component(*of_phase, "fatigued", content, error, _FATIGUED))
    return members


def _fixed_prior(
    phase: ScatteringPhase, family: Reflections, options: XrdOptions
) -> tuple[FloatArray, FloatArray]:
    """Of the lattice of a phase that holds no lithium of the working electrode."""
    edges = free_edges_of(family.structure)
    if phase.phase in COUNTER_PHASES:
        spacing, error, n_layers = _LAYERS[phase.phase]
        return np.array([edges[0], n_layers * spacing]), np.array([_LAYERS_A, n_layers * error])
    if phase.reference:
        return edges, options.reference_error * edges
    return edges, _RELATIVE.get(phase.phase, _INERT_RELATIVE) * edges


def _lattice_prior(phase: str) -> tuple[FloatArray, FloatArray]:
    if phase in LAYERED_PHASES:
        return _LAYERED
    content, error = _TWO_PHASE.get(phase, (0.5, 0.5))
    edges, slope = CompositionTable(phase).edges(content)
    return edges, np.hypot(slope * error, _LITERATURE)


def _freed(component: Component, lines: Lines) -> Component:
    """The same with an intensity for every reflection that stands alone and is seen."""
    groups = _groups(component, lines)
    n_groups = int(groups.max()) + 1
    if n_groups == 0:
        return component
    return replace(
        component,
        groups=groups,
        centre=np.append(component.centre, np.ones(n_groups)),
        sigma=np.append(component.sigma, np.full(n_groups, _FACTOR)),
    )


def _groups(component: Component, lines: Lines) -> AnyArray:
    edges = component.centre[: component.n_edges]
    angles = np.degrees(component.reflections.two_theta(edges)[0])
    strength = component.reflections.strength(edges, None)[0]
    low, high = lines.two_theta
    seen = (angles > low) & (angles < high)
    seen &= strength > _WEAK * strength[seen].max(initial=0.0)
    groups = np.full(len(angles), -1)
    order = [int(index) for index in np.argsort(angles) if seen[index]]
    group, before = -1, -np.inf
    for index in order:
        width = float(lines.instrument.full_width(angles[index : index + 1])[0])
        if angles[index] - before > _TIED * width:
            group += 1
        groups[index], before = group, angles[index]
    return groups
