"""This file is where maps of one cell at several states become what the whole cell holds.

A map shows a part of the electrode. What lies outside of it is taken to be as the map's rim: make it
so large that nothing but the even background reaches its edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.inventory import Host, Inventory, Measured, lithium_inventory
from battbeam.reduction.maps import Map
from battbeam.reduction.plating_growth import Growth, MetalOfCycles, growth
from battbeam.units import FloatArray

#: Columns of reduced rows that are drawn: metal, then lithium of the two electrodes.
PLATED, WORKING, COUNTER = (
    "plated_areal_capacity",
    "lithium_content_xray",
    "lithium_content_counter",
)


@dataclass(frozen=True)
class CellMaps:
    """A full cell whose graphite is plated on, mapped at n states.

    Attributes:
        plated: Lithium metal on graphite, mAh/cm2, one map a state.
        lithium_content: x of the working electrode.
        counter_content: y in LiyC6 of the graphite.
        charge: That has passed, mAh, > 0 on charge, shape (n,).
        area: Of the electrode, cm2.
        working_capacity: mAh that change x by 1.
        counter_capacity: mAh that change y by 1.
        counter_capacity_error: One standard deviation, mAh.
    """

    plated: tuple[Map, ...] = field(repr=False)
    lithium_content: tuple[Map, ...] = field(repr=False)
    counter_content: tuple[Map, ...] = field(repr=False)
    charge: FloatArray
    area: float
    working_capacity: float
    counter_capacity: float
    counter_capacity_error: float

    @classmethod
    def of(
        cls, states: Sequence[Mapping[str, Any]], *, area: float, working_capacity: float
    ) -> "CellMaps":
        """From the reduced rows of one map a state.

        Args:
            states: Columns by name, such as a reduced run's; in the order of time.
            area: Of the electrode, cm2.
            working_capacity: mAh that change x by 1, as a passport's ``theoretical_capacity``.

        Raises:
            ReductionError: If there is no state, or a map has no valid row.
        """
        if not states:
            raise ReductionError("no map")
        drawn = {
            name: tuple(Map.of(rows, name) for rows in states)
            for name in (PLATED, WORKING, COUNTER)
        }
        share, error = _carbon(states)
        return cls(
            plated=drawn[PLATED],
            lithium_content=drawn[WORKING],
            counter_content=drawn[COUNTER],
            charge=np.array([np.nanmean(_valid(rows, "capacity")) for rows in states]),
            area=area,
            working_capacity=working_capacity,
            counter_capacity=share * working_capacity,
            counter_capacity_error=error * working_capacity,
        )

    @property
    def metal(self) -> Measured:
        """Lithium metal on the whole electrode, mAh."""
        found = [each.over(self.area) for each in self.plated]
        return Measured(
            np.array([each.value for each in found]), np.array([each.error for each in found])
        )

    @property
    def over_lithiation(self) -> tuple[Map, ...]:
        """What graphite has at each pixel more than the mean of its map."""
        return tuple(each.excess for each in self.counter_content)

    def inventory(self, *, cell_capacity: float, reference: int = 0) -> Inventory:
        """Lithium of the whole cell at each state, against one of them and the charge.

        Contents are as well known as those of one pixel: what moves all lines of a frame moves those
        of all frames.

        Args:
            cell_capacity: That gaps are divided by, mAh.
            reference: Index of the state to compare with.
        """
        return lithium_inventory(
            cathode=Host(_contents(self.lithium_content), self.working_capacity),
            graphite=Host(
                _contents(self.counter_content),
                self.counter_capacity,
                self.counter_capacity_error,
            ),
            plated=self.metal,
            charge=self.charge,
            cell_capacity=cell_capacity,
            reference=reference,
        )

    @property
    def cycles(self) -> FloatArray:
        """Equivalent full cycles since the first state: charge passed either way over twice the
        working capacity.
        """
        passed = np.abs(np.diff(self.charge, prepend=self.charge[0]))
        return np.asarray(np.cumsum(passed) / (2 * self.working_capacity))

    def growth(self) -> Growth:
        """How plating grows and stripping fades with the equivalent full cycles, of maps before the first
        charge and then after each charge and each discharge.

        Raises:
            ReductionError: If there is no such number of maps, or the metal shows no law.
        """
        if len(self.plated) % 2 == 0:
            raise ReductionError(
                "growth needs a map before the first charge, and one after each charge and each "
                f"discharge; got {len(self.plated)} maps"
            )
        value, error = self.metal.value, self.metal.error
        return growth(
            MetalOfCycles(
                cycles=self.cycles[1::2],
                charged=value[1::2],
                charged_error=error[1::2],
                discharged=value[2::2],
                discharged_error=error[2::2],
                before=float(value[0]),
                before_error=float(error[0]),
            )
        )


def _contents(maps: Sequence[Map]) -> Measured:
    """Mean over each map, as well known as a pixel."""
    return Measured(
        np.array([each.mean for each in maps]),
        np.array([float(np.nanmedian(each.errors)) for each in maps]),
    )


def _valid(rows: Mapping[str, Any], column: str) -> FloatArray:
    good = np.asarray(rows["valid"]) == 1
    if not good.any():
        raise ReductionError("a map has no valid row")
    values: FloatArray = np.asarray(rows[column], dtype=float)[good]
    return values


def _carbon(states: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Moles of C6 over moles of the active material, and the error of it: the frames' own scatter."""
    each = np.concatenate(
        [_valid(rows, "counter_amount") / _valid(rows, "active_amount") for rows in states]
    )
    return float(np.nanmean(each)), float(np.nanstd(each) / np.sqrt(np.isfinite(each).sum()))
