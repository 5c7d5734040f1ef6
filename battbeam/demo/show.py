"""This file is where a demo is shown: beamline and catalogue are started, cells are measured, what was
recovered is judged, and table, picture and ``result.json`` are left behind.

A demo says in the fields of `Demo` what is its own; the rest is the same for all.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Console

from battbeam.connection import FILE_NAME, Connection
from battbeam.demo import report
from battbeam.demo.asked import Asked
from battbeam.demo.checks import Check, all_passed
from battbeam.errors import PreflightError
from battbeam.serve import Services
from battbeam.session import Session, open_session
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Scenario

#: Wall seconds that the catalogue may take to have everything after the last frame.
PUBLISH_TIMEOUT = 60.0
#: What one demo leaves, in a type of its own.
Left = TypeVar("Left")


@dataclass(frozen=True)
class Demo(Generic[Left]):
    """What one demo is.

    Attributes:
        options: What was asked, checked.
        about: What it shows, in a few words.
        scenario: The hidden truth.
        measure: Does the experiment in a session; its uid.
        read: What that experiment left, once the catalogue has it whole; the beamline still serves.
        judge: Every check of what was left; the beamline is gone.
        draw: Draws what was left into the options' ``out``; the picture's path.
    """

    options: Asked
    about: str
    scenario: Scenario
    measure: Callable[[Session], str]
    read: Callable[[Connection, str], Left]
    judge: Callable[[Connection, Left], list[Check]]
    draw: Callable[[Left], Path]


def show(demo: Demo[Left], console: Console | None = None) -> bool:
    """Run a demo and say whether every check holds.

    Raises:
        PreflightError: If its directory holds something else.
        KeyboardInterrupt: After Ctrl-C; nothing runs any more, and it was said what is stored.
    """
    screen, out = console or Console(stderr=True), demo.options.out
    began = time.monotonic()
    prepare_directory(out)
    screen.print(
        f"[bold]{demo.options.command}[/]: {demo.about}, seed {demo.options.seed}, "
        f"{demo.options.speed:g}x; output in {out}"
    )
    try:
        connection, operando, left = _measured(demo, began, screen)
    except KeyboardInterrupt:
        report.broken_off(out, screen)
        raise
    found = demo.judge(connection, left)
    seconds = time.monotonic() - began
    write_result(demo.options, found, operando=operando, seconds=seconds)
    picture = demo.draw(left)
    report.table(found, screen)
    report.closing(out, operando, picture, seconds, all_passed(found), screen)
    return all_passed(found)


def _measured(demo: Demo[Left], began: float, screen: Console) -> tuple[Connection, str, Left]:
    """The experiment, from the start of its beamline to its end; its uid and what it left."""
    out = demo.options.out
    with SimulatedBeamline(demo.scenario, out) as simulated:
        connection = simulated.start()
        with Services(connection) as services, open_session(out) as session:
            screen.print(f"beamline and catalogue serve after {time.monotonic() - began:.0f} s")
            with report.progress(session.beamline, screen):
                operando = demo.measure(session)
            screen.print("waiting for the catalogue")
            services.wait_published(timeout=PUBLISH_TIMEOUT)
            return connection, operando, demo.read(connection, operando)


def prepare_directory(out: Path) -> None:
    """An empty directory; an older demo's is emptied, anything else is left alone.

    Raises:
        PreflightError: If there is something else in it.
    """
    if out.exists() and any(out.iterdir()) and not (out / FILE_NAME).exists():
        raise PreflightError(
            "battbeam demo", [f"--out {out} holds something else; name a new or empty directory"]
        )
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)


def write_result(options: Asked, found: Sequence[Check], *, operando: str, seconds: float) -> None:
    """``result.json``: what was asked, every check, how long it took."""
    result = {
        "checks": [check.as_json() for check in found],
        "passed": all_passed(found),
        "seconds": round(seconds, 1),
        "options": {key: str(value) for key, value in vars(options).items()},
        "operando": operando,
    }
    (options.out / "result.json").write_text(json_text(result) + "\n")


def json_text(value: Mapping[str, Any]) -> str:
    """As JSON that every parser takes: null for numbers that are none, numpy's own as numbers."""
    # The first reading makes floats of numpy's numbers; not before can NaN be told.
    plain = json.loads(json.dumps(value, default=float), parse_constant=lambda _: None)
    return json.dumps(plain, indent=2, allow_nan=False)
