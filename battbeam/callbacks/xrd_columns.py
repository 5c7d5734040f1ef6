"""This file is where the columns of a reduced diffraction row are that depend on what was looked for."""

import math
from collections.abc import Mapping, Sequence

import gemmi

from battbeam import materials
from battbeam.callbacks.cell_columns import NUMBER
from battbeam.reduction.xrd import EndMemberResult, PhaseResult, ScatteringPhase, XrdResult

#: Lithium metal on graphite, by charge.
PLATED = "plated_areal_capacity"


class PhaseColumns:
    """Columns of phases and of measured end members.

    Args:
        phases: That are looked for.
        reflections: Followed ones, as "hkl".
        free: Of each phase the reflections that have an intensity of their own, as "hkl".
        end_members: Names of measured ones.
        full_areal_capacity: Of the working electrode, that moves its x by 1, mAh/cm2: by it lithium
            metal is counted; None where lithium does not plate.
    """

    def __init__(
        self,
        phases: Sequence[ScatteringPhase],
        *,
        reflections: Sequence[str],
        free: Mapping[str, Sequence[str]],
        end_members: Sequence[str],
        full_areal_capacity: float | None,
    ) -> None:
        self._full_areal_capacity = full_areal_capacity
        units = {PLATED: "mAh/cm2"}
        for phase in phases:
            units |= _units(phase, reflections) | {
                f"intensity_{phase.phase}_{hkl}": "mol/cm2" for hkl in free.get(phase.phase, ())
            }
        for name in end_members:
            units |= {f"end_member_amount_{name}": "1", f"end_member_fraction_{name}": "1"}
        shared = {
            _shared(phase.phase, edge): (NUMBER, "angstrom")
            for phase in phases
            for edge in materials.structure(phase.phase).free_edges
        }
        self._columns = with_errors(units) | shared

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Type and unit of each."""
        return dict(self._columns)

    def values(self, result: XrdResult | None) -> dict[str, float]:
        """Of one row; NaN where nothing is known."""
        found: dict[str, float] = {}
        if result is not None:
            found = self._plated(result)
            for name, phase in result.phases.items():
                found |= _phase_row(name, phase)
            for name, member in result.end_members.items():
                found |= _end_member_row(name, member)
        return {column: float(found.get(column, math.nan)) for column in self._columns}

    def _plated(self, result: XrdResult) -> dict[str, float]:
        """Lithium metal, by the known moles of the working electrode: both are in the same light.

        Source:
            Faraday's law, one electron a lithium; of the working electrode one a formula unit.
        """
        metal, working = result.phases.get("Li"), result.active_amount
        if metal is None or self._full_areal_capacity is None or not working > 0:
            return {}
        share = metal.amount / working
        error = math.hypot(metal.amount_error, share * result.active_amount_error) / working
        return {
            PLATED: share * self._full_areal_capacity,
            f"{PLATED}_error": error * self._full_areal_capacity,
        }


def with_errors(units: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Columns of numbers with these units, each followed by that of its error.

    >>> with_errors({"displacement": "mm"})
    {'displacement': ('number', 'mm'), 'displacement_error': ('number', 'mm')}
    """
    return {
        column: (NUMBER, unit) for name, unit in units.items() for column in (name, f"{name}_error")
    }


def _shared(phase: str, edge: str) -> str:
    return f"lattice_{phase}_{edge}_shared_error"


def _units(phase: ScatteringPhase, reflections: Sequence[str]) -> dict[str, str]:
    name = phase.phase
    edges = materials.structure(name).free_edges
    units = {f"amount_{name}": "mol/cm2"}
    units |= {f"lattice_{name}_{edge}": "angstrom" for edge in edges}
    if phase.host is not None:
        units |= {f"phase_fraction_{name}": "1", f"lithium_content_{name}": "1"}
    if name in materials.HEATED_PHASES:
        units[f"phase_fraction_{name}"] = "1"
    if phase.is_active:
        followed = followed_reflections(name, reflections)
        units |= {f"two_theta_{name}_{hkl}": "degree" for hkl in followed}
    if name in materials.LAYERED_PHASES:
        units[f"fatigued_fraction_{name}"] = "1"
        units |= {f"lattice_{name}_{edge}_fatigued": "angstrom" for edge in edges}
    return units


def _phase_row(name: str, phase: PhaseResult) -> dict[str, float]:
    values = {
        f"amount_{name}": phase.amount,
        f"amount_{name}_error": phase.amount_error,
        f"phase_fraction_{name}": phase.fraction,
        f"phase_fraction_{name}_error": phase.fraction_error,
        f"lithium_content_{name}": phase.lithium_content,
        f"lithium_content_{name}_error": phase.lithium_content_error,
    }
    values |= _named(f"lattice_{name}_{{}}", phase.lattice, phase.lattice_error)
    values |= {_shared(name, edge): e for edge, e in phase.lattice_shared_error.items()}
    values |= _named(f"two_theta_{name}_{{}}", phase.two_theta, phase.two_theta_error)
    values |= _named(f"intensity_{name}_{{}}", phase.intensity, phase.intensity_error)
    if (stopped := phase.fatigued) is not None:
        values[f"fatigued_fraction_{name}"] = stopped.fraction
        values[f"fatigued_fraction_{name}_error"] = stopped.fraction_error
        column = f"lattice_{name}_{{}}_fatigued"
        values |= _named(column, stopped.lattice, stopped.lattice_error)
    return values


def _named(
    column: str, values: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, float]:
    return {column.format(name): value for name, value in values.items()} | {
        f"{column.format(name)}_error": error for name, error in errors.items()
    }


def _end_member_row(name: str, member: EndMemberResult) -> dict[str, float]:
    return {
        f"end_member_amount_{name}": member.amount,
        f"end_member_amount_{name}_error": member.amount_error,
        f"end_member_fraction_{name}": member.fraction,
        f"end_member_fraction_{name}_error": member.fraction_error,
    }


def followed_reflections(phase: str, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the reflections, as "hkl", that the phase's space group does not forbid.

    >>> followed_reflections("NMC811", ("311", "101", "003"))
    ('101', '003')
    """
    group = gemmi.SpaceGroup(materials.structure(phase).space_group).operations()
    return tuple(
        name for name in names if not group.is_systematically_absent([int(digit) for digit in name])
    )
