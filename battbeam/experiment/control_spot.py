"""This file is where it is said which spot of a cell is measured, which is its control, and what
comes of the reduced rows of both.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from battbeam.experiment.sentinel import Damage, damage_alarm
from battbeam.experiment.spot_comparison import Effect, spot_rows

#: Column of reduced rows that says how far the cell is.
STATE = "lithium_content_charge"


class ControlSpot(BaseModel):
    """A spot that is measured often, and one that is exposed rarely to compare it with.

    Attributes:
        exposed: (x, y) of the measured spot in the cell's frame, mm.
        control: (x, y) of the control spot, mm.
        rate_of_interest: Damage rate that is worth an alarm, mm2 per photon: the share that may cease
            to take part over the fluence that is planned.
        spread: Standard deviation of what spots of a fresh cell differ by, in the value's unit.
        false_alarms: Chance of any alarm in the whole series without damage, 1.
        effect: How damage shows.
        value: Column of reduced rows that is compared; one with ``_error`` must stand beside it.
        tolerance: Largest distance from a spot at which a row is of it, mm.

    >>> spots = ControlSpot(exposed=(0, 0), control=(2, 0), rate_of_interest=1e-13)
    >>> spots.which((0.01, 0)), spots.which((2, 0)), spots.which((1, 0))
    ('exposed', 'control', '')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    exposed: tuple[float, float]
    control: tuple[float, float]
    rate_of_interest: float = Field(gt=0, allow_inf_nan=False)
    spread: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    false_alarms: float = Field(default=0.05, gt=0, lt=1)
    effect: Effect = "retarded"
    value: str = "lithium_content_xray"
    tolerance: float = Field(default=0.05, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _are_apart(self) -> "ControlSpot":
        apart = math.dist(self.exposed, self.control)
        if not apart > 2 * self.tolerance:
            raise ValueError(
                f"exposed and control spot must be more than {2 * self.tolerance:g} mm apart, are "
                f"{apart:g}"
            )
        return self

    def which(self, spot: tuple[float, float]) -> Literal["exposed", "control", ""]:
        """Which of the two a place is, (x, y) in mm; empty if neither."""
        if math.dist(spot, self.control) <= self.tolerance:
            return "control"
        return "exposed" if math.dist(spot, self.exposed) <= self.tolerance else ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of reduced rows, those that are asked for."""
        return ("time", "spot_x", "spot_y", STATE, self.value, f"{self.value}_error", "fluence")

    def verdict(self, rows: Mapping[Any, Any]) -> Damage:
        """What reduced rows say of the two spots.

        Args:
            rows: `columns` and ``valid``, each of shape (n,), in any order; those that are not valid
                are left out.

        Raises:
            ValueError: If a column is missing, or nowhere known although there are rows.
        """
        missing = [name for name in (*self.columns, "valid") if name not in rows]
        if missing:
            raise ValueError(f"the reduced rows have no column {', '.join(missing)}")
        kept = np.asarray(rows["valid"]) == 1
        found = {name: np.asarray(rows[name], dtype=float)[kept] for name in self.columns}
        empty = [name for name, each in found.items() if len(each) and not np.isfinite(each).any()]
        if empty:
            raise ValueError(f"{', '.join(empty)} of the reduced rows is known of none of them")
        time, x, y, state, value, error, fluence = found.values()
        return damage_alarm(
            spot_rows(
                time=time,
                x=x,
                y=y,
                state_of_charge=state,
                value=value,
                error=error,
                fluence=fluence,
                exposed=self.exposed,
                control=self.control,
                tolerance=self.tolerance,
            ),
            rate_of_interest=self.rate_of_interest,
            spread=self.spread,
            false_alarms=self.false_alarms,
            effect=self.effect,
        )

    def said(self, cell: str, damage: Damage) -> str:
        """An alarm in words."""
        x, y = self.exposed
        return f"beam damage suspected on {cell} at ({x:g}, {y:g}) mm: {damage.reason}"
