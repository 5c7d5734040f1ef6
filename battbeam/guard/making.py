"""This file is where a guard is made for the cycler that its configuration names."""

from pathlib import Path

from battbeam.experiment.clock import Clock
from battbeam.experiment.guard_state import GuardState
from battbeam.guard.config import EclabConfig, GuardConfig
from battbeam.guard.core import Guard
from battbeam.guard.drivers.eclab import EclabDriver
from battbeam.guard.drivers.observe import ObserveDriver
from battbeam.guard.log import Log
from battbeam.guard.observed import ObservedGuard
from battbeam.guard.observed_past import ObservedPast
from battbeam.guard.restore import Past, restore
from battbeam.guard.thermostat import EpicsThermostat


def make_guard(
    config: GuardConfig, log: Log, clock: Clock
) -> tuple[Guard, EclabDriver | ObserveDriver]:
    """A guard that commands its cycler, or one that only watches it, and its driver."""
    if isinstance(config.driver, EclabConfig):
        commanded = EclabDriver(config.driver)
        thermostat = EpicsThermostat(config.thermostat) if config.thermostat else None
        return Guard(config, commanded, log, clock, thermostat), commanded
    watched = ObserveDriver(config.driver, clock)
    return ObservedGuard(config, watched, log, clock), watched


def restore_guard(guard: Guard, path: Path, *, wall: float) -> None:
    """Put a new guard where an earlier one was, as its log has it."""
    past = Past.read(path)
    restore(guard, past, wall=wall)
    if isinstance(guard, ObservedGuard):
        was_running = past.state is GuardState.RUNNING and bool(past.cell_run)
        guard.take_over(ObservedPast.read(path), was_running=was_running)
