"""This file is where the rows of a forecast are added up: sums only, however long it is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from battbeam.experiment.cost import Cost
from battbeam.experiment.description import Description
from battbeam.experiment.discrete_event import Row
from battbeam.experiment.schedule import Rule


@dataclass(frozen=True)
class MeasurementForecast:
    """All measurements of one kind.

    Attributes:
        measure: Its name.
        n_served: How many.
        n_missed: How many were due and missed.
        n_refused: How many the dose budget forbade.
        n_frames: Of all detectors.
        n_bytes: Before compression.
        exposure: s of open shutter in all.
        exposure_max: s, of the longest frame.
        photons: On the sample in all.
        smear_mean: Mean change of the state of charge during one, 1.
        smear_max: The largest.
    """

    measure: str
    n_served: int = 0
    n_missed: int = 0
    n_refused: int = 0
    n_frames: int = 0
    n_bytes: int = 0
    exposure: float = 0.0
    exposure_max: float = 0.0
    photons: float = 0.0
    smear_mean: float = 0.0
    smear_max: float = 0.0


class Tally:
    """Adds up the rows of one cell."""

    def __init__(self, costs: Mapping[str, Cost]) -> None:
        self._costs = costs
        self._kinds: dict[str, MeasurementForecast] = {}
        self._worst: dict[str, Row] = {}
        self._missed: dict[str, tuple[int, str]] = {}
        self._asked = self._granted = 0.0
        self._refused = ""
        self.busy = 0.0
        self.states_of_charge = (math.inf, -math.inf)

    @property
    def measurements(self) -> tuple[MeasurementForecast, ...]:
        """By kind, in the order of the first of each."""
        return tuple(self._kinds.values())

    @property
    def n_frames(self) -> int:
        """Of all kinds."""
        return sum(kind.n_frames for kind in self._kinds.values())

    @property
    def n_bytes(self) -> int:
        """Of all kinds."""
        return sum(kind.n_bytes for kind in self._kinds.values())

    @property
    def longest_exposure(self) -> float:
        """s, of one frame; 0 without any."""
        return max((kind.exposure_max for kind in self._kinds.values()), default=0.0)

    @property
    def missed(self) -> tuple[str, ...]:
        """One line a rule that missed."""
        return tuple(f"{rule}: {n} missed ({why})" for rule, (n, why) in self._missed.items())

    def add(self, row: Row) -> None:
        """Add one row."""
        name, cost = row.due.measure, self._costs[row.due.measure]
        kind = self._kinds.get(name, MeasurementForecast(name))
        if row.is_served:
            kind = self._with(kind, row, cost)
        elif row.refused:
            self._asked += cost.exposure
            self._refused = self._refused or row.refused
            kind = replace(kind, n_refused=kind.n_refused + 1)
        else:
            n, why = self._missed.get(row.due.rule, (0, row.due.missed))
            self._missed[row.due.rule] = (n + 1, why)
            kind = replace(kind, n_missed=kind.n_missed + 1)
        self._kinds[name] = kind

    def _with(self, kind: MeasurementForecast, row: Row, cost: Cost) -> MeasurementForecast:
        n = kind.n_served + 1
        low, high = self.states_of_charge
        if not math.isnan(row.state_of_charge):
            self.states_of_charge = (min(low, row.state_of_charge), max(high, row.state_of_charge))
        worst = self._worst.get(row.due.rule)
        if worst is None or row.smear > worst.smear:
            self._worst[row.due.rule] = row
        self.busy += row.end - row.start
        self._asked += cost.exposure
        self._granted += cost.exposure
        return replace(
            kind,
            n_served=n,
            n_frames=kind.n_frames + cost.n_frames,
            n_bytes=kind.n_bytes + cost.n_bytes,
            exposure=kind.exposure + cost.exposure,
            exposure_max=cost.exposure / max(cost.n_frames, 1),
            photons=kind.photons + row.photons,
            smear_mean=kind.smear_mean + (row.smear - kind.smear_mean) / n,
            smear_max=max(kind.smear_max, row.smear),
        )

    def smear_breaks(self, description: Description) -> list[tuple[Rule, Row]]:
        """Rules whose measurements break their smear budget, with the worst of each."""
        schedule = description.own_schedule
        rules = () if schedule is None else schedule.rules
        return [
            (rule, self._worst[rule.name])
            for rule in rules
            if rule.smear_max is not None
            and rule.name in self._worst
            and self._worst[rule.name].smear > rule.smear_max
        ]

    def worst_smear(self, rule: str) -> float:
        """The largest of one rule; NaN when it was never served."""
        return self._worst[rule].smear if rule in self._worst else math.nan

    def limits(self, description: Description) -> list[str]:
        """What the dose budget forbade, and what would fit."""
        n = sum(kind.n_refused for kind in self._kinds.values())
        if not n:
            return []
        share = self._granted / self._asked
        return [
            f"{n} measurement(s) not made: {self._refused}; what fits is {share:.2g} of the "
            "exposure or of the transmission"
        ]


def smear_fault(cell: str, rule: Rule, row: Row, held: float) -> str:
    """Why a rule is refused, and what would fit.

    Args:
        cell: Its cell.
        rule: With a smear budget.
        row: Its worst measurement.
        held: Smear of the worst if the cell were held at its voltage; NaN is not known.
    """
    smear_max, seconds = rule.smear_max or 0.0, row.end - row.start
    rate = row.smear / seconds * 3600
    fits = [
        f"at most {smear_max / rate * 3600:.3g} s at this rate",
        f"at most {smear_max / seconds * 3600:.3g} 1/h for this long",
    ]
    if held <= smear_max:
        fits.append(f"coupling hold_potential ({held:.2g})")
    no = f"; held at its voltage it would still be {held:.2g}" if held > smear_max else ""
    return (
        f"{cell}, rule {rule.name}: the state of charge would move by {row.smear:.3g} during one "
        f"{row.due.measure} ({seconds:.4g} s at {rate:.3g} 1/h), its smear budget is "
        f"{smear_max:g}: what fits is {', or '.join(fits)}{no}"
    )
