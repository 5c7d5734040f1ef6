"""This file is where one process of the simulated beamline starts."""

import argparse
import importlib
from pathlib import Path

#: Each is a module of this package with ``main(directory)``.
PROCESSES = ("clock", "cycler", "beamline")


def main() -> None:
    """Run the process named on the command line until it is told to end."""
    parser = argparse.ArgumentParser(prog="python -m battbeam.sim")
    parser.add_argument("process", choices=PROCESSES)
    parser.add_argument("--directory", type=Path, required=True, help="of the whole beamline")
    arguments = parser.parse_args()
    importlib.import_module(f"battbeam.sim.{arguments.process}").main(arguments.directory)


if __name__ == "__main__":
    main()
