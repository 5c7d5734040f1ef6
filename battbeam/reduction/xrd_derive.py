"""This file is where amounts and lattices of a fit become results with their errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from battbeam.reduction.component import Component
from battbeam.reduction.pattern_fit import PatternFit
from battbeam.reduction.xrd_model import XrdModel
from battbeam.reduction.xrd_quantities import Quantities
from battbeam.reduction.xrd_result import (
    Derived,
    EndMemberResult,
    FatiguedResult,
    PhaseResult,
    XrdOptions,
)
from battbeam.units import FloatArray

# Step of numerical derivatives, in standard deviations.
_STEP = 1e-2
# And of that by a common stretch of lattices.
_STRETCH = 1e-5
_FWHM_OF_SIGMA = float(np.sqrt(8 * np.log(2)))


class _Read:
    """Values and errors, taken one part after another."""

    def __init__(self, values: FloatArray, errors: FloatArray) -> None:
        self._values, self._errors, self._begin = values, errors, 0

    def take(self, size: int) -> tuple[FloatArray, FloatArray]:
        """The next ones."""
        part = slice(self._begin, self._begin + size)
        self._begin += size
        return self._values[part], self._errors[part]


class _Amounts:
    """Fitted amounts as those reported: times a factor that has an error too."""

    def __init__(self, per_amount: float, relative: float) -> None:
        self._factor, self._relative = per_amount, relative

    def value(self, value: float) -> float:
        """Of an amount."""
        return float(value * self._factor)

    def error(self, value: float, error: float) -> float:
        """Of it."""
        return float(np.hypot(error, value * self._relative) * self._factor)


def derive(
    model: XrdModel,
    fit: PatternFit,
    options: XrdOptions,
    *,
    per_amount: float,
    relative: float,
) -> Derived:
    """Fractions, lattices, angles and lithium contents with the errors that the fit's covariance
    implies.

    Args:
        model: What was fitted.
        fit: The fit.
        options: Which reflections, fractions by what.
        per_amount: Factor from fitted amounts to those reported.
        relative: Standard deviation of that factor, relative.
    """
    quantities = Quantities(model, fit, options)
    spacing_error = model.instrument.spacing_error
    values = quantities.all(quantities.theta)
    geometry = spacing_error * np.abs(_by_spacing(quantities))
    errors, shared = (np.hypot(each, geometry) for each in _errors(quantities, values))
    read, amounts = _Read(values, errors), _Amounts(per_amount, relative)
    sizes = [
        1 + _n_edges(quantities, p) + len(quantities.followed[p]) + 2 for p in quantities.phases
    ]
    first, parts = [read.take(size) for size in sizes], np.split(shared, np.cumsum(sizes))
    (working, working_error), (counter, counter_error) = read.take(2), read.take(2)
    fatigued = {
        phase: _fatigued(*read.take(2 + _n_edges(quantities, phase)), _edges(quantities, phase))
        for phase in quantities.fatigued
    }
    phases: dict[str, PhaseResult] = {}
    for phase, (v, e), alike in zip(quantities.phases, first, parts[:-1], strict=True):
        names = free_reflections(quantities.phases[phase][0].component)
        free, free_error = read.take(len(names))
        phases[phase] = PhaseResult(
            **_of_phase(quantities, phase, v, e, alike, amounts),
            intensity={n: amounts.value(x) for n, x in zip(names, free, strict=True)},
            intensity_error={
                n: amounts.error(x, y) for n, x, y in zip(names, free, free_error, strict=True)
            },
            fatigued=fatigued.get(phase),
        )
    return Derived(
        phases=phases,
        active_amount=amounts.value(working[0]),
        active_amount_error=amounts.error(working[0], working_error[0]),
        lithium_content=float(working[1]),
        lithium_content_error=float(working_error[1]),
        counter_amount=amounts.value(counter[0]),
        counter_amount_error=amounts.error(counter[0], counter_error[0]),
        lithium_content_counter=float(counter[1]),
        lithium_content_counter_error=float(counter_error[1]),
        end_members=_end_members(quantities, read, amounts),
        **_shared(model, fit),
        **_strain(model, fit),
    )


def free_reflections(component: Component) -> tuple[str, ...]:
    """Names, as "hkl", of the reflections that have intensities of their own: the strongest of each
    group, in the order of the groups.
    """
    if component.groups is None:
        return ()
    edges = component.centre[: component.n_edges]
    strength = component.reflections.strength(edges, None)[0]
    names = []
    for group in range(component.n_groups):
        strongest = int(np.argmax(np.where(component.groups == group, strength, -1.0)))
        names.append(component.reflections.name_of(strongest))
    return tuple(names)


def _edges(quantities: Quantities, phase: str) -> tuple[str, ...]:
    return quantities.phases[phase][0].component.reflections.structure.free_edges


def _n_edges(quantities: Quantities, phase: str) -> int:
    return len(_edges(quantities, phase))


def _of_phase(
    quantities: Quantities,
    phase: str,
    v: FloatArray,
    e: FloatArray,
    shared: FloatArray,
    amounts: _Amounts,
) -> dict[str, Any]:
    """Fields of a `PhaseResult` from its quantities, their errors and what of these frames share."""
    edges, names = _edges(quantities, phase), list(quantities.followed[phase])
    first, second = 1 + len(edges), 1 + len(edges) + len(names)
    return {
        "fraction": float(v[-1]),
        "fraction_error": float(e[-1]),
        "amount": amounts.value(v[0]),
        "amount_error": amounts.error(v[0], e[0]),
        "lattice": _named(edges, v[1:first]),
        "lattice_error": _named(edges, e[1:first]),
        "lattice_shared_error": _named(edges, shared[1:first]),
        "two_theta": _named(names, v[first:second]),
        "two_theta_error": _named(names, e[first:second]),
        "lithium_content": float(v[-2]),
        "lithium_content_error": float(e[-2]),
    }


def _fatigued(values: FloatArray, errors: FloatArray, edges: Sequence[str]) -> FatiguedResult:
    errors = np.where(np.isnan(values), np.nan, errors)
    return FatiguedResult(
        fraction=float(values[0]),
        fraction_error=float(errors[0]),
        lattice=_named(edges, values[1:-1]),
        lattice_error=_named(edges, errors[1:-1]),
        lithium_content=float(values[-1]),
        lithium_content_error=float(errors[-1]),
    )


def _end_members(
    quantities: Quantities, read: _Read, amounts: _Amounts
) -> dict[str, EndMemberResult]:
    names = list(quantities.end_members)
    (amount, amount_error), (fraction, fraction_error) = (
        read.take(len(names)),
        read.take(len(names)),
    )
    return {
        name: EndMemberResult(
            amount=amounts.value(amount[k]),
            amount_error=amounts.error(amount[k], amount_error[k]),
            fraction=float(fraction[k]),
            fraction_error=float(fraction_error[k]),
        )
        for k, name in enumerate(names)
    }


def _shared(model: XrdModel, fit: PatternFit) -> dict[str, float]:
    """Displacement and broadening, as far as they were looked for."""
    found: dict[str, float] = {}
    errors = np.sqrt(np.diag(fit.covariance))[len(fit.covariance) - len(fit.shared) :]
    for name, value, error in zip(model.pattern.shared, fit.shared, errors, strict=True):
        if name == "broadening":
            # A variance near 0 has an error, its root has none: the root a deviation further has.
            width = np.sqrt(abs(value))
            wider = np.sqrt(abs(value) + error) - width
            found["broadening"] = float(_FWHM_OF_SIGMA * np.copysign(width, value))
            found["broadening_error"] = float(_FWHM_OF_SIGMA * wider)
        else:
            found |= {name: float(value), f"{name}_error": float(error)}
    return found


def _strain(model: XrdModel, fit: PatternFit) -> dict[str, float]:
    """By how much all references together seem stretched, without the prior that holds them.

    Source:
        A prior of precision P0 and a measurement of precision P make a posterior of precision P0 + P
        and mean d with (P0 + P) d = P m; the common stretch s of m = s edges has the least squares
        estimate edges.P m / edges.P edges.
    """
    moved, at, edges, sigma = [], [], [], []
    names = {phase.phase for phase in model.phases if phase.reference}
    for index, component in enumerate(model.pattern.components):
        if isinstance(component, Component) and component.phase in names:
            n_edges = component.n_edges
            first = model.pattern.slice_of(index).start
            at += list(range(first, first + n_edges))
            moved += list(fit.parameters[index][:n_edges] - component.centre[:n_edges])
            edges += list(component.centre[:n_edges])
            sigma += list(component.sigma[:n_edges])
    if not at:
        return {}
    known, stretch = np.array(edges), np.linalg.inv(fit.covariance[np.ix_(at, at)])
    precision = known @ stretch @ known - float(np.sum((known / np.array(sigma)) ** 2))
    if precision <= 0:
        return {}
    strain = known @ stretch @ np.array(moved) / precision
    error = float(np.hypot(precision**-0.5, model.instrument.spacing_error))
    return {"reference_strain": float(strain), "reference_strain_error": error}


def _named(names: Sequence[str], values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _by_spacing(quantities: Quantities) -> FloatArray:
    """Derivatives of all quantities by a common stretch of all fitted lattices."""
    moved = []
    for sign in (1, -1):
        theta = quantities.theta.copy()
        for members in quantities.phases.values():
            for member in members:
                if not member.component.is_composed:
                    theta[member.edges] *= 1 + sign * _STRETCH
        moved.append(quantities.all(theta))
    return np.asarray((moved[0] - moved[1]) / (2 * _STRETCH))


def _errors(quantities: Quantities, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of all quantities, and the part of each that comes from lattices taken as known.

    Source:
        A mean m of a prior of precision P moves the posterior's by C P dm, C being the posterior's
        covariance; dm has the covariance 1/P, so that C P C is its part of C.
    """
    theta, covariance = quantities.theta, quantities.covariance
    n_parameters = sum(
        len(member.component.centre) for members in quantities.phases.values() for member in members
    )
    chosen = [*range(quantities.n_components), *range(len(theta) - n_parameters, len(theta))]
    by_parameter = np.zeros((len(values), len(chosen)))
    for column, index in enumerate(chosen):
        step = _STEP * np.sqrt(covariance[index, index])
        up, down = theta.copy(), theta.copy()
        up[index] += step
        down[index] -= step
        by_parameter[:, column] = (quantities.all(up) - quantities.all(down)) / (2 * step)
    at, sigma = _known_lattices(quantities)
    of_known = by_parameter @ covariance[np.ix_(chosen, at)] / sigma
    found = covariance[np.ix_(chosen, chosen)]
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(np.einsum("ij,jk,ik->i", by_parameter, found, by_parameter))
    return errors, np.minimum(np.sqrt((of_known**2).sum(axis=1)), errors)


def _known_lattices(quantities: Quantities) -> tuple[list[int], FloatArray]:
    """Where lattices stand that are the same in all frames of a run, and their priors' deviations."""
    at: list[int] = []
    sigma: list[float] = []
    for first, *_ in quantities.phases.values():
        if first.kind == "inert":
            at += range(first.edges.start, first.edges.stop)
            sigma += first.component.sigma[: first.component.n_edges].tolist()
    return at, np.array(sigma)
