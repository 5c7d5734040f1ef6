"""This file is where amounts and lattices of a fit become fractions, angles and lithium contents
with their errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.materials import structure
from battbeam.reduction.pattern_fit import PatternFit, PatternModel
from battbeam.reduction.xrd_result import PhaseResult, XrdOptions
from battbeam.units import FloatArray, two_theta_from_d_spacing

# Below this many standard deviations of its amount a phase's two populations are not averaged.
_SIGNIFICANT = 3.0
# Step of numerical derivatives, in standard deviations.
_STEP = 1e-2
# And of that by a common stretch of lattices.
_STRETCH = 1e-5


@dataclass(frozen=True)
class Derived:
    """What one fit says about the phases, see `XrdResult`."""

    phases: dict[str, PhaseResult]
    active_amount: float
    active_amount_error: float
    lithium_content: float
    lithium_content_error: float


@dataclass(frozen=True)
class _Population:
    component: int
    parameters: slice
    kind: str


class _Quantities:
    """All derived quantities as one function of all fitted parameters."""

    def __init__(
        self, model: PatternModel, fit: PatternFit, options: XrdOptions, energy: float
    ) -> None:
        self.model, self.options, self.energy = model, options, energy
        self.theta = np.concatenate([fit.linear, *fit.parameters])
        self.covariance = fit.covariance
        self.phases: dict[str, list[_Population]] = {}
        for index, component in enumerate(model.components):
            population = _Population(index, model.slice_of(index), component.kind)
            self.phases.setdefault(component.phase, []).append(population)
        self.active = [p for p, members in self.phases.items() if members[0].kind == "grains"]
        self.significant = {
            phase: self._is_significant(members) for phase, members in self.phases.items()
        }
        self.followed = {
            phase: self._indices(members[0], options.reflections if phase in self.active else ())
            for phase, members in self.phases.items()
        }
        self.votes = {phase: self._votes(phase) for phase in self.active}

    def _is_significant(self, members: Sequence[_Population]) -> bool:
        chosen = [m.component for m in members]
        error = np.sqrt(self.covariance[np.ix_(chosen, chosen)].sum())
        return bool(abs(self.theta[chosen].sum()) > _SIGNIFICANT * error)

    def _indices(self, population: _Population, names: Sequence[str]) -> dict[str, int]:
        reflections = self.model.components[population.component].reflections
        found = {name: reflections.index_of(name) for name in names}
        return {name: index for name, index in found.items() if index is not None}

    def _votes(self, phase: str) -> FloatArray:
        """Inverse covariance with which edges vote on the composition: fitted, and of the table."""
        first = self.phases[phase][0]
        component = self.model.components[first.component]
        part = np.arange(first.parameters.start, first.parameters.start + component.n_edges)
        table = (
            np.linalg.inv(component.edge_weights)
            if not component.table.is_linear
            else np.eye(len(part)) * 1e-8
        )
        return np.asarray(np.linalg.inv(self.covariance[np.ix_(part, part)] + table))

    def phase(self, phase: str, theta: FloatArray) -> FloatArray:
        """Amount, edges, angles of the followed reflections (degree) and lithium content of one
        phase.
        """
        members = self.phases[phase]
        amounts = np.array([theta[m.component] for m in members])
        rows = [self._population(phase, member, theta) for member in members]
        shares = np.zeros(len(members))
        shares[0] = 1.0
        if len(members) > 1 and self.significant[phase]:
            shares = amounts / amounts.sum()
        return np.concatenate([[amounts.sum()], shares @ np.array(rows)])

    def _population(self, phase: str, member: _Population, theta: FloatArray) -> FloatArray:
        component = self.model.components[member.component]
        parameters = theta[member.parameters]
        content = np.nan
        if member.kind == "inactive":
            content = float(parameters[0])
            edges = component.table.edges(content)[0]
        else:
            edges = parameters[: component.n_edges]
            if member.kind == "grains":
                content = component.table.content(edges, self.votes[phase])[0]
        lines = component.reflections.metric[list(self.followed[phase].values())]
        spacing = 1 / np.sqrt(lines @ (1 / edges**2))
        angles = two_theta_from_d_spacing(d_spacing=spacing, energy=self.energy)
        return np.concatenate([edges, angles, [content]])

    def all(self, theta: FloatArray) -> FloatArray:
        """Of every phase its quantities and fraction, then the active amount and mean lithium
        content.
        """
        rows = {phase: self.phase(phase, theta) for phase in self.phases}
        amounts = np.array([rows[p][0] for p in self.active])
        if self.options.fraction_by == "weight":
            amounts = amounts * np.array([structure(p).molar_mass for p in self.active])
        fractions = amounts / amounts.sum()
        contents = np.array([rows[p][-1] for p in self.active])
        together = [
            np.append(rows[p], fractions[self.active.index(p)] if p in self.active else np.nan)
            for p in rows
        ]
        total = sum(rows[p][0] for p in self.active)
        return np.concatenate([*together, [total, float(fractions @ contents)]])


def derive(
    model: PatternModel,
    fit: PatternFit,
    options: XrdOptions,
    *,
    per_amount: float,
    relative: float,
    energy: float,
    spacing_error: float,
) -> Derived:
    """Fractions, lattices, angles and lithium contents with the errors that the fit's covariance
    implies.

    Args:
        model: What was fitted.
        fit: The fit.
        options: Which reflections, fractions by what.
        per_amount: Factor from fitted amounts to those reported.
        relative: Standard deviation of that factor, relative.
        energy: At which angles are stated, eV: that of the calibration.
        spacing_error: Relative standard deviation of all lattice spacings together.
    """
    quantities = _Quantities(model, fit, options, energy)
    values = quantities.all(quantities.theta)
    errors = np.hypot(_errors(quantities, values), spacing_error * np.abs(_by_spacing(quantities)))
    phases: dict[str, PhaseResult] = {}
    begin = 0
    for phase, members in quantities.phases.items():
        component = model.components[members[0].component]
        names = list(quantities.followed[phase])
        edges = list(component.reflections.structure.free_edges)
        size = 1 + len(edges) + len(names) + 2
        v, e = values[begin : begin + size], errors[begin : begin + size]
        begin += size
        first, second = 1 + len(edges), 1 + len(edges) + len(names)
        phases[phase] = PhaseResult(
            fraction=float(v[-1]),
            fraction_error=float(e[-1]),
            amount=float(v[0] * per_amount),
            amount_error=float(np.hypot(e[0], v[0] * relative) * per_amount),
            lattice=_named(edges, v[1:first]),
            lattice_error=_named(edges, e[1:first]),
            two_theta=_named(names, v[first:second]),
            two_theta_error=_named(names, e[first:second]),
            lithium_content=float(v[-2]),
            lithium_content_error=float(e[-2]),
        )
    return Derived(
        phases=phases,
        active_amount=float(values[-2] * per_amount),
        active_amount_error=float(np.hypot(errors[-2], values[-2] * relative) * per_amount),
        lithium_content=float(values[-1]),
        lithium_content_error=float(errors[-1]),
    )


def _named(names: Sequence[str], values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _by_spacing(quantities: _Quantities) -> FloatArray:
    """Derivatives of all quantities by a common stretch of all fitted lattices."""
    moved = []
    for sign in (1, -1):
        theta = quantities.theta.copy()
        for members in quantities.phases.values():
            for member in members:
                if member.kind != "inactive":
                    n_edges = quantities.model.components[member.component].n_edges
                    first = member.parameters.start
                    theta[first : first + n_edges] *= 1 + sign * _STRETCH
        moved.append(quantities.all(theta))
    return np.asarray((moved[0] - moved[1]) / (2 * _STRETCH))


def _errors(quantities: _Quantities, values: FloatArray) -> FloatArray:
    theta, covariance = quantities.theta, quantities.covariance
    n_components = len(quantities.model.components)
    n_parameters = sum(len(c.centre) for c in quantities.model.components)
    chosen = [*range(n_components), *range(len(theta) - n_parameters, len(theta))]
    by_parameter = np.zeros((len(values), len(chosen)))
    for column, index in enumerate(chosen):
        step = _STEP * np.sqrt(covariance[index, index])
        up, down = theta.copy(), theta.copy()
        up[index] += step
        down[index] -= step
        by_parameter[:, column] = (quantities.all(up) - quantities.all(down)) / (2 * step)
    known = covariance[np.ix_(chosen, chosen)]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", by_parameter, known, by_parameter)))
