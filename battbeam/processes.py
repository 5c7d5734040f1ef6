"""This file is where battbeam starts its own processes, waits until they serve, and ends them.

A child is told to end when its parent is gone, however the parent died: the parent holds the write end
of the child's standard input, and the child exits when it closes.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from battbeam.errors import ProcessError

#: What a child prints, alone on a line, once it serves.
READY = "battbeam: ready"
#: For servers: below those that Linux (from 32768) and others (from 49152) hand out by themselves.
SERVER_PORTS = range(20_000, 32_768)
#: One thread a process: many processes share the machine.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
#: Wall seconds a child may take to end by itself after SIGTERM; a guard syncs its log in that time.
GRACE = 5.0


def free_port() -> int:
    """A port on loopback that is free now, for TCP and UDP both, and that no client is given meanwhile.

    Raises:
        ProcessError: If none of a thousand is free.
    """
    # Not of Python's generator, which tests seed: two processes would try the same ports.
    for port in random.SystemRandom().sample(SERVER_PORTS, 1000):
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            contextlib.suppress(OSError),
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise ProcessError(
        f"none of 1000 ports from {SERVER_PORTS[0]} to {SERVER_PORTS[-1]} is free on 127.0.0.1; "
        "end what holds them"
    )


def server_environment(port: int) -> dict[str, str]:
    """The environment in which a Channel Access server answers on one loopback port and stays quiet."""
    return {
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_SERVER_PORT": str(port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_PORT": str(port),
    }


def say_ready() -> None:
    """Tell the parent that this process serves."""
    print(READY, flush=True)


def end_with_parent() -> None:
    """End this process with SIGTERM when the parent that started it is gone; by force 3 s later."""

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3.0)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@dataclass
class Child:
    """One running process of battbeam's own."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def tail(self, n_lines: int = 15) -> str:
        """The last lines it printed."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-n_lines:])

    def stop(self) -> None:
        """Ask it to end, and end it after the grace time."""
        if self.is_alive:
            self.process.terminate()
        try:
            self.process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


class Supervisor:
    """Starts children and ends them all, last started first, when its block is left.

    Children are in a session of their own, so that Ctrl-C in the terminal reaches only the parent.
    """

    def __init__(self, log_directory: Path) -> None:
        self.log_directory = log_directory
        self.children: list[Child] = []

    def start(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start ``python -m arguments...``; it does not wait until the child serves.

        Raises:
            ProcessError: If it cannot be started.
        """
        self.log_directory.mkdir(parents=True, exist_ok=True)
        log = self.log_directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**ONE_THREAD, **os.environ, **(environment or {})},
                start_new_session=True,
            )
        child = Child(name=name, process=process, log=log)
        self.children.append(child)
        return child

    def wait_ready(self, children: Sequence[Child] | None = None, *, timeout: float = 60.0) -> None:
        """Wait until each child has said that it serves.

        Raises:
            ProcessError: With the last lines a child printed, if it died or took longer than ``timeout`` s.
        """
        deadline = time.monotonic() + timeout
        for child in self.children if children is None else children:
            wait_for(
                lambda child=child: not child.is_alive or READY in child.tail(10_000),  # type: ignore[misc]
                timeout=deadline - time.monotonic(),
                what=f"{child.name} to serve",
            )
            if not child.is_alive:
                raise ProcessError(
                    f"{child.name} ended with status {child.process.returncode} before it served; "
                    f"it said:\n{child.tail()}"
                )

    def stop(self) -> None:
        """End every child, last started first."""
        for child in reversed(self.children):
            child.stop()
        self.children.clear()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait_for(
    condition: Callable[[], bool], *, timeout: float, what: str, interval: float = 0.02
) -> None:
    """Wait until ``condition`` holds.

    Raises:
        ProcessError: If it does not within ``timeout`` wall seconds; says what was waited for.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ProcessError(f"waited {timeout:.1f} s for {what}")
        time.sleep(interval)
