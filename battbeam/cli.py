"""This file is where the command line is. Commands import what they need when they run."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from battbeam.errors import BattbeamError, PreflightError

if TYPE_CHECKING:
    from battbeam.experiment.description import Description, SiteFacts

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

#: Demos beside that of patterns: their module, its class of options, and what runs it in ``<module>_run``.
_OTHER_DEMOS = {
    "schedule": ("two_cells", "ScheduleOptions", "run_schedule_demo"),
    "xanes": ("xanes", "XanesDemoOptions", "run_xanes_demo"),
    "tomography": ("tomography", "TomographyDemoOptions", "run_tomography_demo"),
    "three-techniques": (
        "three_techniques",
        "ThreeTechniquesOptions",
        "run_three_techniques_demo",
    ),
    "plating": ("plating", "PlatingDemoOptions", "run_plating_demo"),
    "ni-rich": ("ni_rich", "NiRichOptions", "run_ni_rich_demo"),
}

Directory = Annotated[Path, typer.Argument(help="Directory of the beamline.")]


@app.command()
def demo(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="xrd: one cell, patterns and maps; schedule: two cells, one beam; xanes: one cell, "
            "spectra at an edge; tomography: particles that swell and crack; three-techniques: "
            "one cell, maps, spectra and tomograms; plating: lithium metal in a pouch, in "
            "maps; ni-rich: two oxides of which one collapses."
        ),
    ] = "xrd",
    chemistry: Annotated[str, typer.Option(help="lfp or nmc811 (xrd).")] = "lfp",
    solid_solution: Annotated[
        bool, typer.Option("--solid-solution", help="LiFePO4 as one phase (xrd).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the hidden truth.")] = 1,
    frame_size: Annotated[int, typer.Option(help="Pixels along each side (xrd).")] = 512,
    distance: Annotated[float, typer.Option(help="From cell to detector, mm (xrd).")] = 130.0,
    speed: Annotated[
        float | None,
        typer.Option(help="Seconds of cell time per second; 60, of plating 120."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where everything is written.")] = Path("demo-output"),
) -> None:
    """Cycle simulated cells, measure in step with them, and compare the results with the hidden truth."""
    if name != "xrd":
        _of_xrd_alone(context, name)
    common: dict[str, Any] = {"seed": seed, "out": out.resolve()}
    if speed is not None:
        common["speed"] = speed
    if name in _OTHER_DEMOS:
        module, options_of, run_of = _OTHER_DEMOS[name]
        asked = getattr(import_module(f"battbeam.demo.{module}"), options_of)(**common)
        ended_well = getattr(import_module(f"battbeam.demo.{module}_run"), run_of)(asked)
        raise typer.Exit(0 if ended_well else 1)
    if name != "xrd":
        *names, last = ("xrd", *_OTHER_DEMOS)
        raise typer.BadParameter(
            f"must be {', '.join(names)} or {last}, got {name!r}", param_hint="NAME"
        )
    from battbeam.demo.options import DemoOptions
    from battbeam.demo.run import run_demo

    options = DemoOptions(
        chemistry=_chemistry(chemistry),
        solid_solution=solid_solution,
        frame_size=frame_size,
        distance=distance,
        **common,
    )
    raise typer.Exit(0 if run_demo(options) else 1)


def _of_xrd_alone(context: typer.Context, name: str) -> None:
    """Refuse options that a demo would leave aside."""
    for option in ("chemistry", "solid_solution", "frame_size", "distance"):
        source = context.get_parameter_source(option)
        if source is not None and source.name != "DEFAULT":
            raise typer.BadParameter(
                f"is an option of `battbeam demo xrd`, not of {name}",
                param_hint="--" + option.replace("_", "-"),
            )


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
    if not recipe.is_file():
        raise PreflightError(f"recipe {recipe}", ["the file is missing"])
    from battbeam.session import open_session

    with _beamline(directory) as running, open_session(running) as opened:
        for uid in opened.run_recipe(recipe):
            typer.echo(uid)


@app.command()
def forecast(
    recipe: Annotated[Path, typer.Argument(help="A file of plans/ with a describe(site, ...).")],
    parameters: Annotated[
        str, typer.Option(help="Of the recipe: exposure=60,interval=120 or a JSON object.")
    ] = "",
    scenario: Annotated[
        Path | None, typer.Option(help="A simulated beamline; the default is a LiFePO4 coin cell.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Of a beamline, for what its staff know.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON instead of a table.")] = False,
) -> None:
    """Say what a recipe will cost before it runs: time, smear, dose, frames; refuse what cannot fit."""
    from battbeam.experiment.forecast import forecast as forecast_of
    from battbeam.experiment.forecast_report import text_of

    found = forecast_of(_described(recipe, _site_facts(scenario, directory), parameters))
    typer.echo(found.to_json() if as_json else text_of(found))
    raise typer.Exit(1 if found.faults else 0)


def _site_facts(scenario: Path | None, directory: Path | None) -> "SiteFacts":
    """What is known of a beamline: of the one in a directory, or of a simulated one."""
    import shutil

    from battbeam.connection import SiteNotes
    from battbeam.experiment.description import SiteFacts
    from battbeam.sim.scenario import Scenario
    from battbeam.sim.site_notes import site_notes

    if directory is not None:
        free = float(shutil.disk_usage(directory).free)
        return SiteFacts.of(SiteNotes.read(directory), free_bytes=free, name=str(directory))
    chosen = Scenario.read(scenario) if scenario else Scenario()
    return SiteFacts.of(site_notes(chosen), name=f"simulated, {chosen.name}")


def _described(recipe: Path, site: "SiteFacts", parameters: str) -> "Description":
    """What a recipe says of itself.

    Raises:
        PreflightError: If it says nothing, or has no such parameter, or refuses its value.
    """
    import runpy

    from battbeam.experiment.recipe_parameters import parameter_faults, sentences_of

    if not recipe.exists():
        raise PreflightError(f"recipe {recipe}", ["the file is missing"])
    describe = runpy.run_path(str(recipe)).get("describe")
    if not callable(describe):
        raise PreflightError(f"recipe {recipe}", ["it has no function describe(site, ...)"])
    given = _parameters(parameters)
    if faults := parameter_faults(describe, given):
        raise PreflightError(f"recipe {recipe}", faults)
    try:
        described: Description = describe(site, **given)
    except ValueError as error:
        raise PreflightError(f"recipe {recipe}", sentences_of(error)) from error
    return described


def _parameters(text: str) -> dict[str, Any]:
    """From ``name=value,name=value`` or a JSON object; a value that is no JSON is a word."""
    if text.strip().startswith("{"):
        return dict(json.loads(text))
    pairs = [pair.partition("=") for pair in text.replace(",", " ").split()]
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@contextmanager
def _beamline(directory: Path | None) -> Iterator[Path]:
    """The directory of a beamline that runs: the one named, or a simulated one for as long as the block."""
    if directory is not None:
        from battbeam.connection import Connection

        # A sentence now, and no prompt without instruments later.
        yield Connection.read(directory.resolve()).directory
        return
    from battbeam.serve import Services
    from battbeam.sim.run import SimulatedBeamline
    from battbeam.sim.scenario import Scenario

    place = DEFAULT_DIRECTORY.resolve()
    typer.echo(f"starting a simulated beamline in {place}", err=True)
    with SimulatedBeamline(Scenario(), place) as beamline, Services(beamline.start()):
        yield place


@app.command()
def cells(
    sheet: Annotated[Path, typer.Argument(help="A .csv, .yaml or .json file of cell passports.")],
) -> None:
    """Check the passports of a sheet of cells, every fault at once."""
    from battbeam.experiment.cell_sheet import read_cells

    for passport in read_cells(sheet).values():
        typer.echo(
            f"{passport.cell}: {passport.chemistry}, {passport.active_mass:g} mg,"
            f" {passport.electrode_area:g} cm2, {passport.nominal_capacity:g} mAh,"
            f" {passport.limits.voltage_min:g} to {passport.limits.voltage_max:g} V"
        )


@app.command()
def protocol(
    file: Annotated[Path, typer.Argument(help="A protocol, .json or .yaml.")],
    passport: Annotated[Path, typer.Option(help="Of the cell: a passport, or a sheet of cells.")],
    cell: Annotated[str | None, typer.Option(help="Which cell of the sheet.")] = None,
    format: Annotated[
        str | None, typer.Option(help="biologic, neware, tomato, pybamm or battinfo.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write instead of the terminal.")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="No staircases for ramps.")] = False,
) -> None:
    """Check a protocol for a cell and say what will run, or write it for another program."""
    from battbeam.experiment.cell_sheet import read_cell
    from battbeam.experiment.protocol import Protocol
    from battbeam.experiment.protocol_export import ExportFormat, export_protocol
    from battbeam.experiment.protocol_summary import protocol_summary

    asked, believed = Protocol.read(file), read_cell(passport, cell)
    remarks: tuple[str, ...] = ()
    if format is None:
        text = protocol_summary(asked, believed)
    elif format not in list(ExportFormat):
        raise typer.BadParameter(
            f"must be one of {', '.join(ExportFormat)}, got {format!r}", param_hint="--format"
        )
    else:
        written = export_protocol(asked, believed, format=format, approximate=not exact)
        text, remarks = written.text, written.remarks
    for remark in remarks:
        typer.echo(remark, err=True)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text)


@app.command()
def export(
    uid: Annotated[str, typer.Argument(help="Of a run or of its reduction; 5 characters do.")],
    out: Annotated[Path, typer.Option(help="Directory to write into.")],
    format: Annotated[str, typer.Option(help="xy: a diffraction pattern a file.")] = "xy",
    directory: Annotated[Path, typer.Option(help="Of the beamline.")] = DEFAULT_DIRECTORY,
) -> None:
    """Write the patterns of a reduced run for programs that refine structures."""
    from battbeam.storage.catalog import Catalog
    from battbeam.storage.export import PatternFormat, export_patterns

    if format not in list(PatternFormat):
        raise typer.BadParameter(
            f"must be {', '.join(PatternFormat)}, got {format!r}", param_hint="--format"
        )
    rows = Catalog(directory.resolve()).reduced(uid)
    written = export_patterns(rows, out)
    typer.echo(f"{len(written)} patterns in {out}")
    left_out = rows.sizes["time"] - len(written)
    if left_out:
        typer.echo(f"{left_out} rows are not valid and were left out", err=True)


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
