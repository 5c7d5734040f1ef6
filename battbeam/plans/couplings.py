"""This file is where a cell is kept while it is measured, and always let go again.

``hold_potential`` holds its voltage: on a plateau that freezes nothing, so the smear is what the
measured current says. ``step_then_measure`` keeps a rest or a constant voltage, so that the next
pulse never starts before the measurement is done. The guard ends a hold at its maximum; the plan
only says how long it was. Commands to the guard are outside the RunEngine's knowledge: a rewind
does not repeat them.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.experiment.clock import Clock
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Due
from battbeam.plans.preprocessors import contained, why
from battbeam.plans.stubs import SLICE, Plan, finished
from battbeam.plans.watch import CellWatch

#: Wall seconds for a cycler to begin what it was told; it tells its state every second or so.
CHANGE_TIMEOUT = 10.0


@dataclass
class Kept:
    """How long a cell was kept for one measurement.

    Attributes:
        since: s since the Unix epoch, session clock; NaN: it was not.
        until: When it was told to proceed; NaN: it was not.
        remarks: What else happened.
    """

    since: float = math.nan
    until: float = math.nan
    remarks: list[str] = field(default_factory=list)


def unkeepable(due: Due, cell: CellWatch, now: float) -> str:
    """Why a measurement cannot be made with its coupling; empty if it can."""
    if due.coupling != "step_then_measure":
        return ""
    reading = cell.reading(now)
    if reading.state != GuardState.RUNNING or reading.step_type in _RELAXATIONS:
        return ""
    return (
        "step_then_measure keeps a rest or a constant voltage until it is measured; "
        f"under way is {reading.step_type or 'a step that is not known'}: the rule needs a lead "
        "before the end of the rest"
    )


_RELAXATIONS = (str(StepType.REST), str(StepType.CONSTANT_VOLTAGE))


class Keeper:
    """Keeps one cell for one measurement.

    Args:
        cell: To be kept.
        due: What asks for it.
        clock: The session's.
        notice: Called once the cell is kept: rules must have seen that, or what follows would look
            like edges of the protocol.
    """

    def __init__(self, cell: CellWatch, due: Due, clock: Clock, notice: Callable[[], None]) -> None:
        self.kept = Kept()
        self._cell, self._due, self._clock, self._notice = cell, due, clock, notice
        self._own_openings, self._openings = 0, set[str]()

    def around(self, plan: Plan) -> Plan:
        """Keep the cell, run a plan, and let the cell go however that ends."""
        if self._due.coupling == "free_running":
            return (yield from plan)

        def kept() -> Plan:
            yield from self._keep()
            self._notice()
            return (yield from plan)

        return (yield from bpp.finalize_wrapper(kept(), self._let_go))

    def _keep(self) -> Plan:
        potentiostat, now = self._cell.potentiostat, self._clock.now()
        reading = potentiostat.cell_reading(now)
        if reading.state != GuardState.RUNNING:
            self.kept.remarks.append(f"not kept: the cell is {reading.state or 'not known'}")
            return
        potentiostat.result.subscribe(self._answered, run=False)
        self.kept.since = now
        if self._due.coupling == "step_then_measure" and reading.step_type == StepType.REST:
            self._own_openings = 1
            reason = f"rule {self._due.rule}: kept at rest until it is measured"
            yield from finished(potentiostat.open_circuit(reason))
            return
        yield from finished(potentiostat.hold(self._due.hold_maximum))
        if not (yield from self._until(GuardState.HOLDING, after=reading.step_count or 0)):
            self.kept.remarks.append(f"the hold had not begun after {CHANGE_TIMEOUT:g} s")

    def _let_go(self) -> Plan:
        if math.isnan(self.kept.since):
            return
        self._cell.potentiostat.result.clear_sub(self._answered)

        def stuck(error: Exception) -> Plan:
            self.kept.remarks.append(f"did not proceed: {why(error)}")
            yield from bps.null()

        yield from contained(self._proceed(), stuck)

    def _proceed(self) -> Plan:
        potentiostat = self._cell.potentiostat
        state = str(potentiostat.state.value_now())
        if state == GuardState.RUNNING:
            self.kept.remarks.append("it was running already")
            return
        if len(self._openings) > self._own_openings:
            self.kept.remarks.append("the circuit was opened meanwhile; not proceeded")
            return
        if state not in (GuardState.HOLDING, GuardState.OPEN_CIRCUIT):
            self.kept.remarks.append(f"not proceeded: the cell is {state or 'not known'}")
            return
        if state == GuardState.OPEN_CIRCUIT and not self._own_openings:
            self.kept.remarks.append("the hold had ended, at its maximum or by a policy")
        before = int(potentiostat.step_count.value_now())
        told = self._clock.now()
        yield from finished(potentiostat.proceed())
        self.kept.until = told
        if not (yield from self._until(GuardState.RUNNING, after=before)):
            self.kept.remarks.append(f"it had not proceeded after {CHANGE_TIMEOUT:g} s")

    def _until(self, state: GuardState, *, after: int) -> Plan:
        """Wait until the cell is in a state and another step has begun; whether it is."""
        potentiostat, limit = self._cell.potentiostat, time.monotonic() + CHANGE_TIMEOUT
        while time.monotonic() < limit:
            found = str(potentiostat.state.value_now())
            if found == state and int(potentiostat.step_count.value_now()) > after:
                return True
            if found in (GuardState.FINISHED, GuardState.TRIPPED):
                return found == GuardState.FINISHED
            yield from bps.checkpoint()
            yield from bps.sleep(SLICE / 5)
        return False

    def _answered(self, value: Any = None, **_: Any) -> None:
        """Count who opened the circuit: what somebody else has opened is not closed again.

        One answer may come twice: it is known by its id.
        """
        try:
            answer = json.loads(str(value or "{}"))
        except json.JSONDecodeError:
            return
        if answer.get("ok") and str(answer.get("verb")) == "OpenCircuit":
            self._openings.add(str(answer.get("id")))
