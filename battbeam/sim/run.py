"""This file is where a whole simulated beamline is started, and ended without a trace.

Clock, cycler, beamline and one guard a cell are processes of their own on loopback ports of their
own. They end when the block of `SimulatedBeamline` is left, and when the process that started them
is gone, however it went.
"""

import fcntl
import importlib.util
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import battbeam
from battbeam.connection import Connection, GuardAddress
from battbeam.errors import ProcessError
from battbeam.processes import Child, Supervisor, free_port, server_environment
from battbeam.sim.history import history_path
from battbeam.sim.marker import marker_path
from battbeam.sim.scenario import Cell, Chemistry, Scenario
from battbeam.sim.site_notes import site_notes

#: Hard limits that the guard of a simulated half cell is given, by chemistry: V, V, A.
HARD_LIMITS: Mapping[Chemistry, tuple[float, float, float]] = {
    "lfp": (2.0, 4.2, 0.05),
    "nmc811": (2.5, 4.5, 0.05),
    "nmc622": (2.5, 4.6, 0.05),
    "nmc90": (2.5, 4.5, 0.05),
    "hec": (2.5, 4.5, 0.05),
    "nanmc442": (1.8, 4.6, 0.05),
    "lmo": (3.0, 4.6, 0.05),
    "lirich": (2.0, 4.9, 0.05),
    "nca": (2.5, 4.5, 0.05),
    # A primary cell of a camera gives amperes.
    "mno2": (1.5, 3.7, 1.0),
    "sno": (0.005, 2.5, 0.05),
    "lithium": (-2.0, 2.0, 0.05),
}
#: V by which the lowest and the highest are lower against graphite, whose potential of 0.1 V when
#: charged is missing from the cell's; LiFePO4's steep end has room for more.
_GRAPHITE_LOWERS, _LFP_LOWERS = (0.1, 0.1), (0.1, 0.2)
#: Wall seconds within which every process must serve; a guard imports in a second or two.
START_TIMEOUT = 60.0


class SimulatedBeamline:
    """The processes of a simulated beamline.

    Attributes:
        scenario: What is simulated.
        directory: Everything its processes write lies under it.
        connection: Its addresses, once started.
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        *,
        with_beamline: bool = True,
        with_guard: bool = True,
        devices: Path | None = None,
    ) -> None:
        """A beamline that is not started yet.

        Args:
            scenario: What is simulated.
            directory: Where its processes write; made when missing.
            with_beamline: Whether motors, counters and detectors are served.
            with_guard: Whether each cell has its guard, as far as one is installed.
            devices: File that declares the instruments; the example that battbeam brings by
                default.
        """
        self.scenario = scenario
        self.directory = directory.resolve()
        self.connection: Connection | None = None
        self._with_beamline = with_beamline
        self._with_guard = with_guard and _is_installed("battbeam.guard.__main__")
        self._devices = devices or _example_devices()
        self._supervisor = Supervisor(self.directory / "log")
        self._lock: IO[str] | None = None

    def start(self) -> Connection:
        """Start every process, wait until all serve, and write ``connection.json``.

        Raises:
            ProcessError: If one does not serve, or a beamline runs in this directory already.
        """
        if self.connection is not None:
            return self.connection
        self._take_directory()
        (self.directory / "sim" / "scenario.json").write_text(self.scenario.model_dump_json())
        site_notes(self.scenario).write(self.directory)
        # A detector must not take an old history for that of this start.
        for number in range(1, len(self.scenario.cells) + 1):
            history_path(self.directory, number).unlink(missing_ok=True)
        marker_path(self.directory).unlink(missing_ok=True)
        with ExitStack() as undo:
            undo.callback(self.stop)
            self.connection = self._start_processes()
            undo.pop_all()
        self.connection.write()
        return self.connection

    def stop(self) -> None:
        """End every process; the files stay."""
        self._supervisor.stop()
        self.connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "SimulatedBeamline":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def children(self) -> tuple[Child, ...]:
        """The running processes, in the order in which they were started."""
        return tuple(self._supervisor.children)

    def child(self, name: str) -> Child:
        """The process called ``clock``, ``cycler``, ``beamline`` or ``guard_cell1``.

        Raises:
            ProcessError: If none of that name was started.
        """
        for child in self._supervisor.children:
            if child.name == name:
                return child
        names = ", ".join(child.name for child in self._supervisor.children) or "none"
        raise ProcessError(f"no process {name!r} of this beamline; started: {names}")

    def _take_directory(self) -> None:
        (self.directory / "sim").mkdir(parents=True, exist_ok=True)
        lock = (self.directory / "sim" / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ProcessError(
                f"a simulated beamline runs in {self.directory} already; end it or name another"
            ) from None
        self._lock = lock

    def _start_processes(self) -> Connection:
        names = ["clock", "cycler"] + (["beamline"] if self._with_beamline else [])
        guards = self._guards()
        ports = _distinct_ports([*names, *guards])
        connection = Connection(
            directory=self.directory,
            simulated=True,
            ca_addresses=[f"127.0.0.1:{port}" for port in ports.values()],
            clock=self.scenario.clock_prefix,
            beamline=self.scenario.beamline_prefix if self._with_beamline else "",
            guards=guards,
            devices=self._devices,
        )
        for name in names:
            arguments = ["battbeam.sim", name, "--directory", str(self.directory)]
            self._start(name, arguments, ports[name], connection)
            # A client that searches before its server answers tries again only seconds later.
            if name in ("clock", "cycler"):
                self._supervisor.wait_ready(timeout=START_TIMEOUT)
        for number, name in enumerate(guards, start=1):
            config = self._write_guard_config(number, name, guards[name])
            arguments = ["battbeam.guard", "--config", str(config)]
            self._start(f"guard_{name}", arguments, ports[name], connection)
        self._supervisor.wait_ready(timeout=START_TIMEOUT)
        return connection

    def _start(self, name: str, arguments: list[str], port: int, connection: Connection) -> None:
        environment = server_environment(port) | connection.environment()
        self._supervisor.start(name, arguments, environment=environment)

    def _guards(self) -> dict[str, GuardAddress]:
        if not self._with_guard:
            return {}
        return {
            f"cell{number}": GuardAddress(
                prefix=self.scenario.guard_prefix(number),
                log=self.directory / "guard" / f"cell{number}" / "log.jsonl",
            )
            for number in range(1, len(self.scenario.cells) + 1)
        }

    def _write_guard_config(self, channel: int, name: str, address: GuardAddress) -> Path:
        low, high, largest = hard_limits(self.scenario.cells[channel - 1])
        data = self.directory / "sim" / "eclab"
        config = {
            "identity": name,
            "prefix": address.prefix,
            "log": str(address.log),
            "hard_limits": {"voltage_min": low, "voltage_max": high, "current_max": largest},
            "driver": {
                "kind": "eclab",
                "prefix": self.scenario.cycler_prefix,
                "channel": channel,
                "file_prefix": str(data / name),
                "data_directory": str(data),
            },
            "clock": self.scenario.clock_prefix,
            "simulated": True,
            "thermostat": {
                "readback": f"{self.scenario.cycler_prefix}TEMP{channel}:RBV",
                "setpoint": f"{self.scenario.cycler_prefix}TEMP{channel}:SP",
            },
        }
        path = address.log.parent / "guard.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config, indent=2))
        return path


def hard_limits(cell: Cell) -> tuple[float, float, float]:
    """Lowest and highest voltage and largest current of a cell's guard: V, V, A."""
    low, high, largest = HARD_LIMITS[cell.chemistry]
    if cell.counter.material == "graphite":
        lowers = _LFP_LOWERS if cell.chemistry == "lfp" else _GRAPHITE_LOWERS
        low, high = round(low - lowers[0], 3), round(high - lowers[1], 3)
    return low, high, largest


def _distinct_ports(names: list[str]) -> dict[str, int]:
    """A free port for each name; the same one is not given twice."""
    ports: dict[str, int] = {}
    while len(ports) < len(names):
        port = free_port()
        if port not in ports.values():
            ports[names[len(ports)]] = port
    return ports


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _example_devices() -> Path | None:
    """The declaration of the simulated beamline's instruments: in the wheel, or in a checkout."""
    package = Path(battbeam.__file__).parent
    places = (package / "examples" / "devices", package.parent / "devices")
    found = [place / "simulated.py" for place in places if (place / "simulated.py").exists()]
    return found[0] if found else None
