"""A foreign cycler for tests: its log, an observing guard beside it, and somebody else's software."""

import json
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from battbeam.channel_access import Context
from battbeam.connection import Connection
from battbeam.experiment.cell import EXAMPLE, Window
from battbeam.experiment.local_time import time_zone
from battbeam.experiment.protocol import Step
from battbeam.guard.driver import Segment
from battbeam.guard.drivers import eclab_compile
from battbeam.processes import Supervisor, free_port, server_environment, wait_for
from battbeam.sim.foreign_log import ForeignLog

ZONE = "Europe/Berlin"
TOKEN = "observing"


class Client:
    """Speaks to one guard, through a context of its own, and beats for it while it is entered."""

    def __init__(self, prefix: str, passport: Mapping[str, Any] = EXAMPLE) -> None:
        self.passport = dict(passport)
        names = ("Owner", "Passport", "Load", "Start", "Heartbeat", "OwnerState", "State")
        names = (*names, "Hold", "LastError", "Controls", "CommandResult", "Voltage")
        self.context = Context(timeout=20)
        pvs = self.context.get_pvs(*(f"{prefix}{name}" for name in names))
        self.pvs = dict(zip(names, pvs, strict=True))
        for pv in pvs:
            pv.wait_for_connection(timeout=20)
        self._stopping = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self):
        self.say("Owner", until=("OwnerState", "owned"), host="here", pid=1, session="test")
        self._heart.start()
        self.say("Passport", until=("Passport", self.passport["cell"]), passport=self.passport)
        if int(self.pvs["Controls"].read(timeout=10).data[0]):
            # Without a reading of the cell no protocol is loaded.
            wait_for(self._is_read, timeout=30, what="a voltage")
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._heart.join()
        self.context.disconnect()

    def _is_read(self) -> bool:
        return math.isfinite(float(self.pvs["Voltage"].read(timeout=10).data[0]))

    def text(self, name: str) -> str:
        return bytes(self.pvs[name].read(timeout=10).data).split(b"\0")[0].decode()

    def say(self, name: str, *, until: tuple[str, str], **fields) -> None:
        """Put, and wait until a record shows that it was done."""
        document = json.dumps({"id": name, "token": TOKEN, **fields}).encode()
        self.pvs[name].write(list(document), timeout=60)
        wait_for(lambda: until[1] in self.text(until[0]), timeout=30, what=f"{name}: {until}")

    def _beat(self) -> None:
        count = 0
        while not self._stopping.wait(0.4):
            count += 1
            self.pvs["Heartbeat"].write(list(f"{TOKEN} {count}".encode()), timeout=10)


class Observing:
    """An observing guard with its log, beside whatever runs the cycler."""

    def __init__(self, connection: Connection, directory: Path, *, prefix: str, **driver) -> None:
        self.directory = directory
        self.log = directory / "watched" / "log.jsonl"
        self.foreign = ForeignLog(
            directory / "sim" / "eclab",
            prefix,
            directory / "foreign",
            zone=time_zone(ZONE),
            milliseconds=driver.pop("milliseconds", True),
        )
        self._stopping = threading.Event()
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._supervisor = Supervisor(directory / "log")
        port = free_port()
        self.config = directory / "watched" / "guard.json"
        self.config.parent.mkdir()
        self.config.write_text(json.dumps(self._configuration(driver)))
        self._environment = server_environment(port) | connection.environment()
        os.environ["EPICS_CA_ADDR_LIST"] += f" 127.0.0.1:{port}"

    def _configuration(self, driver):
        log = {
            "format": "mpt",
            "directory": str(self.directory / "foreign"),
            "pattern": "*.mpt",
            "time_zone": ZONE,
            "date_order": "month_first",
            "interval": 0.1,
            "latency": 0.2,
        }
        return {
            "identity": "watched",
            "prefix": "WATCHED:",
            "log": str(self.log),
            "hard_limits": {"voltage_min": 2.0, "voltage_max": 4.2, "current_max": 0.05},
            "driver": {
                "kind": "observe",
                "analog": {"voltage": "SIM:ECLAB:C1:EWE", "current": "SIM:ECLAB:C1:I"},
                "log": log,
                "marker": {"current_step": 5e-4},
                **driver,
            },
            "clock": "SIM:CLOCK:",
            "simulated": True,
        }

    def start(self) -> None:
        self._supervisor.start(
            "guard_watched",
            ["battbeam.guard", "--config", str(self.config)],
            environment=self._environment,
        )
        self._supervisor.wait_ready(timeout=60)

    def _write(self) -> None:
        while not self._stopping.wait(0.05):
            self.foreign.copy()

    def __enter__(self):
        self._writer.start()
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self._writer.join()
        self._supervisor.stop()


class ForeignSoftware:
    """Drives the simulated cycler by its own PVs, without any guard."""

    def __init__(self, directory: Path) -> None:
        self._context = Context(timeout=20)
        self._prefix = str(directory / "sim" / "eclab" / "foreign")

    def put(self, name: str, value) -> None:
        (pv,) = self._context.get_pvs(f"SIM:ECLAB:C1:{name}")
        pv.wait_for_connection(timeout=20)
        if isinstance(value, str):
            value = [value.encode()] if name.startswith("LOADTECH") else list(value.encode())
        pv.write(value if isinstance(value, list) else [value], wait=True, timeout=20)

    def read(self, name: str) -> float:
        (pv,) = self._context.get_pvs(f"SIM:ECLAB:C1:{name}")
        return float(pv.read(timeout=20).data[0])

    def run(self, steps: list[Step], *, record_interval: float, timeout: float) -> None:
        """Load and start, and wait for the end."""
        window = Window(2.0, 4.2, 0.05)
        segment = Segment("foreign", tuple(steps), record_interval, window)
        for name, value in eclab_compile.parameters(segment).items():
            self.put(f"T:{name}:SP", value)
        self.put("FILEPREFIX:SP", self._prefix)
        self.put("SAVEDATA:SP", 1)
        self.put("LOADTECH:SP", eclab_compile.technique_names(segment))
        self.put("START", 1)
        wait_for(lambda: self.read("STATE") == 1, timeout=20, what="its start")
        deadline = time.monotonic() + timeout
        wait_for(
            lambda: self.read("STATE") == 0,
            timeout=deadline - time.monotonic(),
            what="its end",
            interval=0.2,
        )

    def close(self) -> None:
        self._context.disconnect()
