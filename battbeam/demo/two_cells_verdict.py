"""This file is where the schedule's demo is judged: what was measured when, against the hidden cells.

What should have been due follows from the hidden voltage and current of each cell and from the
clock; nothing here asks the schedule's own code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from battbeam.demo import checks, verdict
from battbeam.demo.checks import Check
from battbeam.demo.two_cells import FIRST_REST, N_PULSES, RELAXATION
from battbeam.demo.two_cells_experiment import EXPOSURE, SURVEY_FRAMES
from battbeam.demo.verdict import Measured
from battbeam.sim.history import History
from battbeam.units import FloatArray

#: s between slots, outside and inside the dense window; V where it begins.
SPARSE, DENSE, LEVEL = 600.0, 120.0, 4.1
#: s of cell time before a relaxation's end, and wall s within which that is met: an end is foreseen
#: from the start that the guard saw, some messages after it.
LEAD, LEAD_TOLERANCE = 150.0, 0.2
#: Longest delay of a slot that is served, s.
LATEST = 60.0
#: Largest change of state of charge that a survey may see.
SMEAR_MAX = 0.02
#: A below which a cell counts as at rest.
_REST = 1e-6
#: Slots by which a count may be off: a live value is 1 s old and has noise at the window's edges.
_EDGES = 2
_N_COMPARISONS = 400


@dataclass(frozen=True)
class TwoCells:
    """What the demo left.

    Attributes:
        rules: Stream of the experiment: every time a rule was met, along ``time``.
        revisions: Stream of the schedule's revisions, along ``time``.
        measured: Reduced rows with their truth, by cell.
        histories: The hidden state, by cell.
        cells: Cell runs, by cell.
    """

    rules: xr.Dataset
    revisions: xr.Dataset
    measured: Mapping[str, Measured]
    histories: Mapping[str, History]
    cells: Mapping[str, xr.Dataset]

    @property
    def n_rows(self) -> int:
        """Reduced, of all runs."""
        return sum(len(part) for part in self.measured.values())

    def of(self, rule: str, *, missed: bool | None = None) -> xr.Dataset:
        """Rows of one rule: all, those missed, or those served."""
        keep = self.rules["rule"].to_numpy() == rule
        if missed is not None:
            keep &= (self.rules["missed"].to_numpy() != "") == missed
        return self.rules.isel(time=np.flatnonzero(keep))

    def spans(self, rule: str, length: float) -> list[tuple[float, float]]:
        """Start and end of what was measured for one rule, s since the Unix epoch."""
        starts = self.of(rule, missed=False)["start"].to_numpy().astype(float)
        return [(float(start), float(start) + length) for start in starts]


def judged(
    outcome: TwoCells, passports: Mapping[str, Mapping[str, Any]], *, rate: float
) -> list[Check]:
    """Every check of the demo, which ran at ``rate`` s of cell time per s."""
    z = checks.z_for(_N_COMPARISONS)
    lfp, nmc = outcome.measured["cell1"], outcome.measured["cell2"]
    found = [
        *_relaxations(outcome, rate),
        *_cadence(outcome),
        *_missed(outcome),
        *_survey(outcome, passports["cell2"]),
        *_edit(outcome),
        _valid(outcome),
    ]
    for name, part in outcome.measured.items():
        check = verdict.state_of_charge([part], passports[name])
        found.append(Check(**{**vars(check), "name": f"{name}: {check.name}"}))
    return found + verdict.fractions([lfp.valid], z) + verdict.lattice(nmc.valid, z)


def _relaxations(outcome: TwoCells, rate: float) -> list[Check]:
    """One pattern at the end of each rest, in the rest, `LEAD` s before it would have ended."""
    history = outcome.histories["cell1"]
    spans = outcome.spans("relaxed", EXPOSURE)
    currents = [
        float(np.abs(history.at(np.linspace(begin, end, 50)).current).max()) for begin, end in spans
    ]
    dues = outcome.of("relaxed")["due"].to_numpy().astype(float)
    ends = _planned_ends(outcome)
    off = dues + LEAD - ends if len(dues) == len(ends) else np.array([np.nan])
    return [
        Check("cell1: relaxations measured", len(spans), N_PULSES + 1, 0.0, len(dues)),
        Check("cell1: largest current while measured (A)", max(currents), 0.0, _REST, len(spans)),
        Check(
            "cell1: lead before a rest's end, worst (s)",
            _worst(off),
            0.0,
            LEAD_TOLERANCE * rate,
            len(dues),
        ),
    ]


def _planned_ends(outcome: TwoCells) -> FloatArray:
    """When each rest of cell1 would have ended had nobody kept it: its begin and its length."""
    history, cell = outcome.histories["cell1"], outcome.cells["cell1"]
    start, end = (float(cell["time"].values[index]) for index in (0, -1))
    times = np.arange(start, end, 0.25)
    flows = np.abs(history.at(times).current) > _REST
    stops = times[1:][flows[:-1] & ~flows[1:]]
    return np.concatenate([[start + FIRST_REST], stops + RELAXATION])


def _start(outcome: TwoCells) -> float:
    """When the schedule started: the first slot of its clocks."""
    return float(outcome.of("top of charge")["due"].to_numpy().astype(float)[0])


def _cadence(outcome: TwoCells) -> list[Check]:
    """Slots on two grids from one start, as many in each window as the hidden voltage allows."""
    rows, start = outcome.of("top of charge"), _start(outcome)
    dues = rows["due"].to_numpy().astype(float) - start
    history = outcome.histories["cell2"]
    above = history.at(dues + start).voltage > LEVEL
    slots = np.arange(0.0, dues.max() + 1.0, DENSE)
    is_above = history.at(slots + start).voltage > LEVEL
    on_sparse = np.isclose(np.mod(slots, SPARSE), 0.0)
    off_grid = np.abs(dues - DENSE * np.round(dues / DENSE))
    served = outcome.of("top of charge", missed=False)
    late = served["lateness"].to_numpy().astype(float)
    return [
        Check("cell2: slots above 4.1 V", above.sum(), is_above.sum(), _EDGES, len(dues)),
        Check(
            "cell2: slots below, a fifth as dense",
            (~above).sum(),
            (~is_above & on_sparse).sum(),
            _EDGES,
            len(dues),
        ),
        Check("cell2: slots off their grid, worst (s)", off_grid.max(), 0.0, 1e-3, len(dues)),
        Check("cell2: lateness, worst (s)", late.max(), 0.0, LATEST, len(late)),
    ]


def _missed(outcome: TwoCells) -> list[Check]:
    reasons = outcome.rules["missed"].to_numpy()
    n_dark = sum("no beam" in reason for reason in reasons)
    return [Check("slots missed without beam, at least 1", min(n_dark, 1), 1.0, 0.0, n_dark)]


def _survey(outcome: TwoCells, passport: Mapping[str, Any]) -> list[Check]:
    """Refused where the hidden current would have smeared it, made where it did not."""
    rows, history = outcome.of("survey"), outcome.histories["cell2"]
    length = EXPOSURE * SURVEY_FRAMES

    def smear(begin: float, end: float) -> float:
        current = np.abs(history.at(np.linspace(begin, end, 50)).current).max()
        return float(current) * length / 3.6 / float(passport["nominal_capacity"])

    met = rows["met"].to_numpy().astype(float)
    is_refused = np.array(["smear" in reason for reason in rows["missed"].to_numpy()])
    refused = [smear(time, time) for time in met[is_refused]]
    made = [smear(*span) for span in outcome.spans("survey", length)]
    n_wrong = sum(one <= SMEAR_MAX for one in refused) + sum(one > SMEAR_MAX for one in made)
    return [
        Check("surveys refused for their smear, at least 2", min(len(refused), 2), 2, 0.0),
        Check("surveys made where it fits, at least 2", min(len(made), 2), 2, 0.0),
        Check("surveys decided wrongly", n_wrong, 0.0, 0.0, len(refused) + len(made)),
    ]


def _valid(outcome: TwoCells) -> Check:
    """Every frame is said to be good, but those whose exposure saw the beam go."""
    reasons = [
        str(reason)
        for part in outcome.measured.values()
        for reason in part.rows["invalid_reason"].to_numpy()
    ]
    n_bad = sum(bool(reason) and not reason.startswith("no beam") for reason in reasons)
    return Check("frames with beam that are not valid", n_bad, 0.0, 0.0, len(reasons))


def _edit(outcome: TwoCells) -> list[Check]:
    """The added rule is recorded as a revision, and never fired before it."""
    revisions = outcome.revisions
    edited = float(revisions["schedule_time"].to_numpy().astype(float)[-1])
    dues = outcome.of("discharge")["due"].to_numpy().astype(float)
    current = outcome.histories["cell2"].at(dues).current if len(dues) else np.array([np.nan])
    return [
        Check("revisions of the schedule", revisions.sizes["time"], 2, 0.0),
        Check("times the added rule was met, at least 3", min(len(dues), 3), 3, 0.0, len(dues)),
        Check(
            "of those before the edit or not on discharge",
            float(np.sum((dues < edited) | (current > -_REST))),
            0.0,
            0.0,
            len(dues),
        ),
    ]


def _worst(values: Sequence[float] | FloatArray) -> float:
    array = np.asarray(values, dtype=float)
    return float(array[np.argmax(np.abs(array))]) if len(array) else float("nan")
