"""This file is where the cells of one experiment are put together: guards, places, protocols."""

from collections.abc import Callable, Mapping
from typing import Any

from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.sample_stage import SampleStage
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.protocol import Protocol, Step
from battbeam.experiment.schedule import Schedule
from battbeam.plans.preflight import mounted_cell
from battbeam.plans.watch import CellWatch


def cells_of(
    schedule: Schedule,
    potentiostat: Potentiostat | Mapping[str, Potentiostat],
    protocol: Mapping[str, Any] | None,
    protocols: Mapping[str, Mapping[str, Any]],
    positions: Mapping[str, tuple[float, float]],
    md: Mapping[str, Any] | None,
) -> dict[str, CellWatch]:
    """The cells of an experiment by name; a single one has the name that the rules give it."""
    if isinstance(potentiostat, Mapping):
        several = dict(potentiostat)
    else:
        named = sorted({rule.cell for rule in schedule.rules})
        several = {named[0] if len(named) == 1 else "cell1": potentiostat}
        protocols = dict.fromkeys(several, protocol) if protocol is not None else protocols
    simulated = {key: value for key, value in (md or {}).items() if key == "simulated"}
    return {
        name: _cell(name, one, protocols.get(name), positions.get(name), simulated)
        for name, one in several.items()
    }


def _cell(
    name: str,
    potentiostat: Potentiostat,
    protocol: Mapping[str, Any] | None,
    position: tuple[float, float] | None,
    md: Mapping[str, Any],
) -> CellWatch:
    passport = mounted_cell(potentiostat)
    return CellWatch(
        name,
        potentiostat,
        passport=passport,
        steps=_steps(protocol, passport),
        position=position,
        md={**identity(potentiostat), **md},
        has_protocol=protocol is not None,
    )


def _steps(protocol: Mapping[str, Any] | None, passport: CellPassport | None) -> tuple[Step, ...]:
    """Of a protocol without faults; with faults it is refused before its steps matter."""
    if protocol is None or passport is None:
        return ()
    try:
        return Protocol.read(protocol).compile(passport).steps
    except PreflightError:
        return ()


def identity(potentiostat: Potentiostat) -> dict[str, Any]:
    """Which cell this is and who guards it, for start documents."""
    passport = mounted_cell(potentiostat)
    return {
        "cell": {} if passport is None else passport.model_dump(mode="json"),
        "guard": {
            "name": str(potentiostat.identity.value_now()),
            "prefix": potentiostat.prefix,
            "cell_run": str(potentiostat.cell_run.value_now()),
            "log": str(potentiostat.log_path.value_now()),
        },
    }


def travel_between(
    cells: Mapping[str, CellWatch], stage: SampleStage | None, clock: Clock
) -> Callable[[str, str], float]:
    """s of session clock from one cell's place on the sample stage to another's.

    Both axes move at once. Motors move in wall seconds, also where the clock is a simulated one.
    """
    if stage is None or any(cell.position is None for cell in cells.values()):
        return lambda here, there: 0.0
    speeds = [abs(float(axis.velocity.value_now())) for axis in (stage.x, stage.y)]

    def travel(here: str, there: str) -> float:
        one, other = cells[here].position or (0.0, 0.0), cells[there].position or (0.0, 0.0)
        ways = zip(one, other, speeds, strict=True)
        seconds = max((abs(a - b) / speed for a, b, speed in ways if speed), default=0.0)
        return seconds * clock.rate

    return travel
