"""This file is where the demo speaks: progress while it runs, the table and the next steps at its end."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from battbeam.connection import FILE_NAME, Connection
from battbeam.demo.checks import Check
from battbeam.devices.beamline import Beamline
from battbeam.experiment.guard_state import GuardState
from battbeam.experiment.watchers import CellReading
from battbeam.storage.progress import closed_runs, unreduced

#: Wall seconds between two lines of progress: on a terminal one line is renewed, elsewhere lines pile up.
RENEWED, PRINTED = 0.5, 10.0
_STEPS = {
    "open_circuit_voltage": "rest",
    "constant_current": "constant current",
    "constant_voltage": "constant voltage",
}
#: What a cell does between the steps of its protocol.
_BETWEEN = {
    str(GuardState.OPEN_CIRCUIT): "at open circuit",
    str(GuardState.HOLDING): "held",
}


@contextmanager
def progress(beamline: Beamline, screen: Console) -> Iterator[None]:
    """A line of what the cell does, renewed while the block runs."""
    stop = threading.Event()

    def renew() -> None:
        with screen.status("calibrating") as status:
            while not stop.wait(RENEWED if screen.is_terminal else PRINTED):
                line = progress_line(beamline)
                if screen.is_terminal:
                    status.update(line)
                else:
                    screen.print(line)

    thread = threading.Thread(target=renew, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def progress_line(beamline: Beamline) -> str:
    """Each cell's step and voltage, and when the protocols will be over, in one line."""
    now, ends, lines = beamline.clock.now(), [], []
    for name, potentiostat in beamline.potentiostats.items():
        reading: CellReading = potentiostat.cell_reading(now)
        if reading.step_type:
            step = _STEPS.get(str(reading.step_type), str(reading.step_type))
            lines.append(f"{name}: {step}, {reading.voltage:.3f} V, {reading.charge:+.3f} mAh")
            ends.append(float(potentiostat.expected_end.value_now()) - now)
        elif (kept := _BETWEEN.get(str(reading.state))) is not None:
            lines.append(f"{name}: {kept}, {reading.voltage:.3f} V, {reading.charge:+.3f} mAh")
    left = max(ends, default=np.nan)
    if not lines:
        return "calibrating"
    line = "; ".join(lines)
    if np.isfinite(left) and left > 0 and beamline.clock.rate > 0:
        finish = time.localtime(time.time() + left / beamline.clock.rate)
        line += f"; {left / 60:.0f} min of cell time left, done about {time.strftime('%H:%M:%S', finish)}"
    return line


def table(found: Sequence[Check], screen: Console) -> None:
    """Recovered against hidden truth."""
    shown = Table(title="recovered against hidden truth", title_justify="left")
    shown.add_column("check")
    for heading in ("recovered", "truth", "tolerance", "values"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for check in found:
        verdict = "[green]holds[/]" if check.passed else "[bold red]FAILS[/]"
        numbers = [_short(value) for value in (check.recovered, check.truth, check.tolerance)]
        shown.add_row(check.name, *numbers, str(check.n), verdict)
    screen.print(shown)


def _short(value: float) -> str:
    return (
        str(int(value))
        if float(value).is_integer() and abs(value) < 1e9
        else f"{value:.4g}"
        if abs(value) < 1
        else f"{value:.4f}"
    )


def broken_off(out: Path, screen: Console) -> None:
    """After Ctrl-C: what is stored, and the command that goes on from there."""
    stored: set[str] = set()
    waiting: set[str] = set()
    if (out / FILE_NAME).exists():
        connection = Connection.read(out)
        stored, waiting = closed_runs(connection.spool), unreduced(connection)
    if not stored:
        screen.print("[bold red]broken off[/]; nothing was stored")
        return
    screen.print(
        f"[bold red]broken off[/] without a verdict; runs stored in {out / 'spool'}: "
        f"{len(stored)}, of them not reduced yet: {len(waiting)}"
    )
    screen.print(
        f"  battbeam serve {out}          the catalogue again; reduces what is left",
        highlight=False,
    )


def closing(
    out: Path,
    operando: str,
    picture: Path,
    seconds: float,
    passed: bool,
    screen: Console,
) -> None:
    """The verdict and the commands that look further."""
    verdict = "[green]every check holds[/]" if passed else "[bold red]not every check holds[/]"
    screen.print(f"{verdict}; {seconds:.0f} s; picture {picture}; numbers {out / 'result.json'}")
    screen.print("look further:")
    screen.print(
        f"  battbeam serve {out}          the catalogue again, with its address",
        highlight=False,
        soft_wrap=True,
    )
    screen.print(
        f"  battbeam status {out}         runs, cell, catalogue", highlight=False, soft_wrap=True
    )
    screen.print(
        '  python -c "from pathlib import Path; from battbeam.storage.catalog import Catalog; '
        f"c = Catalog(Path('{out}')); print(c.reduced(c.runs(operando='{operando}')[0]))\"",
        highlight=False,
        soft_wrap=True,
    )
