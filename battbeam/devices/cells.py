"""This file is where a session owns, beats for and tells of all cells of its beamline at once."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.status import TimedStatus
from battbeam.errors import GuardError

_log = logging.getLogger(__name__)


def acquire_all(cells: Mapping[str, Potentiostat], owner: Mapping[str, Any]) -> list[str]:
    """Own every cell that can be had; why the others cannot, one sentence each."""
    refusals = []
    for potentiostat in cells.values():
        status = potentiostat.acquire(owner)
        if refusal := _outcome(status):
            potentiostat.forget()
            refusals.append(refusal)
            _log.warning("this session may look at the cell but not command it: %s", refusal)
    return refusals


def release_all(cells: Mapping[str, Potentiostat]) -> None:
    """Give every cell free, as it is."""
    for potentiostat in owned(cells):
        refusal = _outcome(potentiostat.release()) if potentiostat.connected else ""
        if refusal:
            _log.warning("the cell could not be given free: %s", refusal)
    for potentiostat in cells.values():
        potentiostat.forget()


def _outcome(status: TimedStatus) -> str:
    """Wait; why it failed, or nothing."""
    try:
        status.wait(timeout=status.timeout + 1)
    except GuardError as error:
        return str(error)
    return ""


def owned(cells: Mapping[str, Potentiostat]) -> list[Potentiostat]:
    """Those that this session has asked for and got."""
    return [potentiostat for potentiostat in cells.values() if potentiostat.is_owned]


def beat_of(potentiostat: Potentiostat) -> Callable[[int], None]:
    """A beat that does not wait for a guard that is gone: the others would be late."""

    def beat(count: int) -> None:
        if potentiostat.heartbeat.connected:
            potentiostat.beat(count)

    return beat


def cells_text(cells: Mapping[str, Potentiostat], now: float) -> str:
    """What every cell does, and what its guard does on a pause; a line a cell."""
    return "\n".join(
        _cell_text(potentiostat, "the cell" if len(cells) == 1 else name, now)
        for name, potentiostat in cells.items()
    )


def _cell_text(potentiostat: Potentiostat, name: str, now: float) -> str:
    reading = potentiostat.cell_reading(now)
    cell = (
        f"{name} is {reading.state}"
        + (f" ({reading.step_type})" if reading.step_type else "")
        + f", {reading.voltage:.3f} V"
        if reading.state
        else f"nothing is known of {name}"
    )
    return f"{cell}; the guard's policy on a pause is {potentiostat.policy('pause')!r}."
