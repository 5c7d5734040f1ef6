"""This file is where the command line is. Commands import what they need when they run."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from battbeam.errors import BattbeamError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="X-ray measurements in step with a cycling battery.",
)

#: Where a beamline's processes write, unless another directory is given.
DEFAULT_DIRECTORY = Path("beamline")
#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130

Directory = Annotated[Path, typer.Argument(help="Directory of the beamline.")]


@app.command()
def demo(
    chemistry: Annotated[str, typer.Option(help="lfp or nmc811.")] = "lfp",
    solid_solution: Annotated[
        bool, typer.Option("--solid-solution", help="LiFePO4 as one phase.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the hidden truth.")] = 1,
    frame_size: Annotated[int, typer.Option(help="Pixels along each side of the detector.")] = 512,
    distance: Annotated[float, typer.Option(help="From cell to detector, mm.")] = 130.0,
    speed: Annotated[float, typer.Option(help="Seconds of cell time per second.")] = 60.0,
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo-output"),
) -> None:
    """Cycle a simulated cell, measure in step with it, and compare what is recovered with the hidden truth."""
    from battbeam.demo.options import DemoOptions
    from battbeam.demo.run import run_demo

    options = DemoOptions(
        chemistry=_chemistry(chemistry),
        solid_solution=solid_solution,
        seed=seed,
        frame_size=frame_size,
        distance=distance,
        speed=speed,
        out=out.resolve(),
    )
    raise typer.Exit(0 if run_demo(options) else 1)


def _chemistry(name: str) -> Literal["lfp", "nmc811"]:
    if name == "lfp" or name == "nmc811":
        return name  # type: ignore[return-value]
    raise typer.BadParameter(f"must be lfp or nmc811, got {name!r}", param_hint="--chemistry")


@app.command()
def sim(
    scenario: Annotated[
        Path | None, typer.Argument(help="A .toml file; the default is a LiFePO4 coin cell.")
    ] = None,
    directory: Annotated[Path, typer.Option(help="Where its processes write.")] = DEFAULT_DIRECTORY,
) -> None:
    """Run the simulated beamline and its cell guard until Ctrl-C."""
    from battbeam.sim.run import SimulatedBeamline
    from battbeam.sim.scenario import Scenario

    chosen = Scenario.read(scenario) if scenario else Scenario()
    with SimulatedBeamline(chosen, directory.resolve()) as beamline:
        connection = beamline.start()
        typer.echo(
            f"simulated beamline {chosen.name!r} at {chosen.rate:g}x, addresses in {connection.directory}"
        )
        typer.echo(
            f"next: battbeam serve {directory}   and   battbeam session {directory}   (Ctrl-C ends it)"
        )
        _until_signal()


@app.command()
def guard(
    config: Annotated[Path, typer.Argument(help="The guard's own configuration file.")],
) -> None:
    """Guard one cell until Ctrl-C; one process a cell."""
    from battbeam.guard.__main__ import guard_cell

    guard_cell(config)


@app.command()
def serve(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Run catalogue, publisher and reducer of a beamline until Ctrl-C."""
    from battbeam.connection import Connection
    from battbeam.serve import Services

    with Services(Connection.read(directory.resolve())) as services:
        typer.echo(
            f"catalogue at {services.connection.catalog_uri} (key in {services.connection.catalog_key_file})"
        )
        _until_signal()


@app.command()
def session(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Of a running beamline; without it a simulated one is started."),
    ] = None,
) -> None:
    """An IPython session on a beamline, the simulated one if none is named."""
    from battbeam.session import interactive

    with _beamline(directory) as running:
        interactive(running)


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="A file of plans/.")],
    directory: Annotated[
        Path | None,
        typer.Option(help="Of a running beamline; without it a simulated one is started."),
    ] = None,
) -> None:
    """Run one recipe and end."""
    from battbeam.session import open_session

    with _beamline(directory) as running, open_session(running) as opened:
        for uid in opened.run_recipe(recipe):
            typer.echo(uid)


@contextmanager
def _beamline(directory: Path | None) -> Iterator[Path]:
    """The directory of a beamline that runs: the one named, or a simulated one for as long as the block."""
    if directory is not None:
        yield directory.resolve()
        return
    from battbeam.serve import Services
    from battbeam.sim.run import SimulatedBeamline
    from battbeam.sim.scenario import Scenario

    place = DEFAULT_DIRECTORY.resolve()
    typer.echo(f"starting a simulated beamline in {place}", err=True)
    with SimulatedBeamline(Scenario(), place) as beamline, Services(beamline.start()):
        yield place


@app.command()
def status(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """What each cell does, which runs are open, and how far the catalogue is."""
    from battbeam.session import status_text

    typer.echo(status_text(directory.resolve()))


@app.command()
def recover(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """After a crash: close the runs it left open, say what is complete and how to go on."""
    from battbeam.connection import Connection
    from battbeam.storage.recover import recover as close_runs

    typer.echo(str(close_runs(Connection.read(directory.resolve()))))


def _until_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        signal.pause()
    except KeyboardInterrupt:
        typer.echo("ending", err=True)


def main() -> None:
    """Run the command line; battbeam's own errors are a sentence and not a traceback."""
    try:
        app()
    except BattbeamError as error:
        typer.echo(f"{type(error).__name__}: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
