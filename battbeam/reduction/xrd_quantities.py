"""This file is where fitted parameters become what is asked of a frame: fractions, lattices, angles,
lithium contents, all as one function of all parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.materials import (
    COUNTER_RANGE,
    HEATED_PHASES,
    HOSTS,
    metal_per_formula_unit,
    structure,
)
from battbeam.reduction.component import Component
from battbeam.reduction.pattern_fit import PatternFit
from battbeam.reduction.xrd_model import XrdModel
from battbeam.reduction.xrd_result import XrdOptions
from battbeam.units import FloatArray, two_theta_from_d_spacing

# Below this many standard deviations of its amount a phase's two populations are not averaged.
_SIGNIFICANT = 3.0


@dataclass(frozen=True)
class Population:
    """Grains of one kind: their component, and where their parameters stand among all."""

    index: int
    component: Component
    parameters: slice

    @property
    def kind(self) -> str:
        """See `Component`."""
        return self.component.kind

    @property
    def edges(self) -> slice:
        """Where the free edges of its lattice stand among all parameters."""
        first = self.parameters.start
        return slice(first, first + self.component.n_edges)


class Quantities:
    """All derived quantities as one function of all fitted parameters."""

    def __init__(self, model: XrdModel, fit: PatternFit, options: XrdOptions) -> None:
        self.options, self.energy = options, model.instrument.energy
        self.theta = np.concatenate([fit.linear, *fit.parameters])
        self.covariance = fit.covariance[: len(self.theta), : len(self.theta)]
        self._kept: dict[tuple[str, bytes], FloatArray] = {}
        self.phases: dict[str, list[Population]] = {}
        for index, component in enumerate(model.pattern.components):
            if isinstance(component, Component):
                population = Population(index, component, model.pattern.slice_of(index))
                self.phases.setdefault(component.phase, []).append(population)
        self.n_components = len(model.pattern.components)
        self.active = [p for p, members in self.phases.items() if members[0].kind == "grains"]
        self.counter = [p for p in self.phases if HOSTS.get(p) == "counter"]
        self.heated = [p for p in self.phases if p in HEATED_PHASES and self.active]
        self.fatigued = {
            phase: model.is_resolved(phase, fit.parameters)
            for phase, members in self.phases.items()
            if members[-1].kind == "fatigued"
        }
        first = len(model.pattern.components) - len(model.end_members)
        self.end_members = {name: first + k for k, name in enumerate(model.end_members)}
        self.contents = {n: m.lithium_content for n, m in model.end_members.items()}
        self.hosts = {name: member.host for name, member in model.end_members.items()}
        self.significant = {
            phase: self._is_significant(members) for phase, members in self.phases.items()
        }
        self.followed = {
            phase: self._indices(members[0], options.reflections if phase in self.active else ())
            for phase, members in self.phases.items()
        }
        self.votes = {
            phase: self._votes(members[0])
            for phase, members in self.phases.items()
            if members[0].kind in ("grains", "stage")
        }

    def _is_significant(self, members: Sequence[Population]) -> bool:
        chosen = [m.index for m in members]
        error = np.sqrt(self.covariance[np.ix_(chosen, chosen)].sum())
        return bool(abs(self.theta[chosen].sum()) > _SIGNIFICANT * error)

    def _indices(self, population: Population, names: Sequence[str]) -> dict[str, int]:
        reflections = population.component.reflections
        found = {name: reflections.index_of(name) for name in names}
        return {name: index for name, index in found.items() if index is not None}

    def _votes(self, first: Population) -> FloatArray:
        """Inverse covariance with which edges vote on the composition: fitted, and of the table."""
        component = first.component
        fitted = self.covariance[first.edges, first.edges]
        table = (
            np.linalg.inv(component.edge_weights)
            if not component.table.is_linear
            else np.eye(len(fitted)) * 1e-8
        )
        return np.asarray(np.linalg.inv(fitted + table))

    def phase(self, phase: str, theta: FloatArray) -> FloatArray:
        """Amount, edges, angles of the followed reflections (degree) and lithium content of one
        phase.
        """
        # A derivative by one phase's parameters leaves all others where they are.
        key = (
            phase,
            b"".join(
                theta[[m.index]].tobytes() + theta[m.parameters].tobytes()
                for m in self.phases[phase]
            ),
        )
        if key not in self._kept:
            self._kept[key] = self._row(phase, theta)
        return self._kept[key]

    def _row(self, phase: str, theta: FloatArray) -> FloatArray:
        members = self.phases[phase]
        amounts = np.array([theta[m.index] for m in members])
        rows = np.array([self._population(phase, member, theta) for member in members])
        shares = np.zeros(len(members))
        shares[0] = 1.0
        if len(members) > 1 and self.significant[phase]:
            shares = amounts / amounts.sum()
        mean = shares @ rows
        if self.fatigued.get(phase) and self.significant[phase]:
            mean[:-1] = amounts[:-1] @ rows[:-1, :-1] / amounts[:-1].sum()
        return np.concatenate([[amounts.sum()], mean])

    def _population(self, phase: str, member: Population, theta: FloatArray) -> FloatArray:
        component = member.component
        parameters = theta[member.parameters]
        content = np.nan
        if component.is_composed:
            content = float(parameters[0])
            edges = component.table.edges(content)[0]
        else:
            edges = parameters[: component.n_edges]
            if phase in self.votes:
                content = component.table.content(edges, self.votes[phase])[0]
            elif phase in COUNTER_RANGE:
                content = COUNTER_RANGE[phase][0]
        lines = component.reflections.metric[list(self.followed[phase].values())]
        spacing = 1 / np.sqrt(lines @ (1 / edges**2))
        angles = two_theta_from_d_spacing(d_spacing=spacing, energy=self.energy)
        return np.concatenate([edges, angles, [content]])

    def all(self, theta: FloatArray) -> FloatArray:
        """Of every phase its quantities and fraction, then amount and mean lithium content of the
        working and of the counter electrode, then those of `fatigued_of`, `intensities_of` and
        `end_members_of`.
        """
        rows = {phase: self.phase(phase, theta) for phase in self.phases}
        fractions = self._fractions(rows)
        together = [np.append(rows[p], fractions.get(p, np.nan)) for p in rows]
        hosts = []
        for members, host in ((self.active, "working"), (self.counter, "counter")):
            shares = np.array([fractions[p] for p in members])
            if members is self.active and self.heated:
                shares = shares / shares.sum()
            contents = np.array([rows[p][-1] for p in members])
            hosts.append([sum(rows[p][0] for p in members), float(shares @ contents)])
            if not members:
                hosts[-1] = [np.nan, self._content_of_end_members(host, theta)]
        more = [self.fatigued_of(phase, theta) for phase in self.fatigued]
        more += [self.intensities_of(phase, theta) for phase in self.phases]
        return np.concatenate([*together, *hosts, *more, self.end_members_of(theta)])

    def _fractions(self, rows: Mapping[str, FloatArray]) -> dict[str, float]:
        found: dict[str, float] = {}
        working = [*self.active, *self.heated]
        for members in (working, self.counter):
            amounts = np.array([rows[p][0] for p in members])
            if self.options.fraction_by == "weight" and members is working:
                amounts = amounts * np.array([structure(p).molar_mass for p in members])
            elif self.heated and members is working:
                amounts = amounts * np.array([metal_per_formula_unit(p) for p in members])
            found |= dict(zip(members, amounts / amounts.sum(), strict=True))
        return found

    def fatigued_of(self, phase: str, theta: FloatArray) -> FloatArray:
        """Fraction, edges and lithium content of a phase's fatigued grains."""
        members = self.phases[phase]
        amounts = np.array([theta[m.index] for m in members])
        content = float(theta[members[-1].parameters][0])
        edges = members[-1].component.table.edges(content)[0]
        values = np.concatenate([[amounts[-1] / amounts.sum()], edges, [content]])
        return values if self.fatigued[phase] else np.full_like(values, np.nan)

    def intensities_of(self, phase: str, theta: FloatArray) -> FloatArray:
        """Amount that each reflection with an intensity of its own tells."""
        first = self.phases[phase][0]
        n_groups = first.component.n_groups
        factors = theta[first.parameters][len(first.component.centre) - n_groups :]
        return np.asarray(theta[first.index] * factors)

    def end_members_of(self, theta: FloatArray) -> FloatArray:
        """Amounts of all measured end members, then their fractions of their electrode."""
        amounts = {name: theta[index] for name, index in self.end_members.items()}
        totals = dict.fromkeys(self.hosts.values(), 0.0)
        for name, amount in amounts.items():
            totals[self.hosts[name]] += amount
        fractions = [amount / totals[self.hosts[name]] for name, amount in amounts.items()]
        return np.array([*amounts.values(), *fractions])

    def _content_of_end_members(self, host: str, theta: FloatArray) -> float:
        names = [name for name in self.end_members if self.hosts[name] == host]
        if not names:
            return np.nan
        amounts = np.array([theta[self.end_members[name]] for name in names])
        return float(amounts @ [self.contents[name] for name in names] / amounts.sum())
