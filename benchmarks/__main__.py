"""This file is where benchmarks are run by name; the exit status is 1 if a deviation exceeds its bound."""

import argparse
import importlib
import os
import sys

from rich.console import Console

from benchmarks.compare import show

#: One file each.
NAMES = (
    "xrd_integration",
    "xrd_refinement",
    "line_fits",
    "spool",
    "acquisition",
    "rules",
    "cell_log",
    "timeline",
    "xanes_normalization",
    "linear_combination",
    "tomography",
)
#: Columns that the table needs where the output is no terminal.
WIDTH = 150


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark or all of them; 0 if every deviation is within its bound."""
    parser = argparse.ArgumentParser(prog="./run bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="all of them if none is named")
    parser.add_argument("--small", action="store_true", help="a moment's run, for a first look")
    chosen = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    console.print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    failed = []
    for name in [chosen.name] if chosen.name else NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        comparisons = benchmark.run(small=chosen.small)
        show(benchmark.TITLE, comparisons, console)
        failed += [f"{name}, {each.case}" for each in comparisons if not each.holds]
    if failed:
        console.print(f"[red]deviation beyond its bound: {'; '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
