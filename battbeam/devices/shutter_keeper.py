"""This file is where the shutter is closed when the session that opened it cannot do so any more.

A small process of its own beside the session. It is told until when the shutter may be open, and
closes it then; it closes it at once when the session is gone, however it went.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from battbeam.errors import DeviceError
from battbeam.experiment.clock import ClockState
from battbeam.processes import Child, Supervisor, say_ready

#: Wall seconds in which a keeper must be ready: an import and two connections.
START_TIMEOUT = 30.0
#: Longest wall seconds between two looks at the clock while the shutter is open.
NAP = 0.05
#: Wall seconds for one put, and how often it is tried.
PUT_TIMEOUT, N_PUTS = 2.0, 5


class ShutterKeeper:
    """The session's side of a keeper.

    Args:
        command_pv: To which 0 is put to close the shutter.
        clock_pv: Of the session's clock; empty for the clock on the wall.
        directory: Where its log is.
        name: Of the log, before the session's process number.
    """

    def __init__(
        self, command_pv: str, *, clock_pv: str, directory: Path, name: str = "shutter_keeper"
    ) -> None:
        self._name = name
        self._arguments = ["battbeam.devices.shutter_keeper", command_pv, clock_pv]
        self._supervisor = Supervisor(directory)
        self._is_ready = False

    @property
    def _child(self) -> Child | None:
        children = self._supervisor.children
        return children[-1] if children and children[-1].is_alive else None

    def start(self) -> None:
        """Start the process, unless it runs; it is not waited for."""
        if self._child is None:
            self._is_ready = False
            self._supervisor.children.clear()
            self._supervisor.start(f"{self._name}_{os.getpid()}", self._arguments)

    def wait_ready(self) -> None:
        """Wait until the process can close the shutter; it is started if it does not run.

        Raises:
            ProcessError: If it does not start.
        """
        self.start()
        if not self._is_ready:
            self._supervisor.wait_ready(timeout=START_TIMEOUT)
            self._is_ready = True

    def arm(self, until: float) -> None:
        """Let the shutter be closed when the session's clock shows ``until`` or the session is gone.

        Raises:
            DeviceError: If there is no keeper: then the shutter must stay closed.
        """
        self._tell(f"open {until!r}\n")

    def disarm(self) -> None:
        """The shutter is closed."""
        if self._child is not None:
            with contextlib.suppress(DeviceError):
                self._tell("closed\n")

    def close(self) -> None:
        """End the process; it closes the shutter if that is not known to be closed."""
        child = self._child
        if child is not None and child.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                child.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=N_PUTS * PUT_TIMEOUT)
        self._supervisor.stop()

    def _tell(self, line: str) -> None:
        child = self._child
        pipe = None if child is None else child.process.stdin
        try:
            if pipe is None:
                raise BrokenPipeError
            pipe.write(line.encode())
            pipe.flush()
        except BrokenPipeError:
            raise DeviceError("the shutter's keeper is gone; the shutter stays closed") from None


class _Keeper:
    """The process's side."""

    def __init__(self, command_pv: str, clock_pv: str) -> None:
        from battbeam.channel_access import Context

        context = Context()
        self._command, *clock = context.get_pvs(*filter(None, (command_pv, clock_pv)))
        self._clock = ClockState(epoch=0.0, anchor=0.0, rate=1.0)
        self._until: float | None = None
        self._text = b""
        for pv in (self._command, *clock):
            pv.wait_for_connection(timeout=START_TIMEOUT)
        for pv in clock:
            self._subscription = pv.subscribe()
            self._subscription.add_callback(self._clock_changed)
            self._clock_changed(None, pv.read(timeout=PUT_TIMEOUT))

    def _clock_changed(self, _: Any, response: Any) -> None:
        epoch, anchor, rate = (float(number) for number in response.data)
        self._clock = ClockState(epoch=epoch, anchor=anchor, rate=rate)

    def run(self) -> None:
        while self._hear():
            if self._until is not None and self._clock.now() >= self._until:
                self._close_shutter()

    def _hear(self) -> bool:
        """Take note of what the session says; whether it is still there."""
        if not select.select([0], [], [], self._nap())[0]:
            return True
        new = os.read(0, 4096)
        if not new:
            if self._until is not None:
                self._close_shutter()
            return False
        *lines, self._text = (self._text + new).split(b"\n")
        for line in lines:
            word, _, until = line.decode().partition(" ")
            self._until = float(until) if word == "open" else None
        return True

    def _nap(self) -> float | None:
        if self._until is None:
            return None
        rate = self._clock.rate
        left = (self._until - self._clock.now()) / rate if rate > 0 else NAP
        return min(max(left, 0.0), NAP)

    def _close_shutter(self) -> None:
        from caproto import CaprotoError

        self._until = None
        for _ in range(N_PUTS):
            try:
                self._command.write(0, wait=True, timeout=PUT_TIMEOUT)
                print(f"{self._command.name}: closed for the session", flush=True)
                return
            except (CaprotoError, TimeoutError):
                time.sleep(NAP)
        print(f"{self._command.name}: the shutter could not be closed", flush=True)


def main() -> None:
    """Keep one shutter: ``python -m battbeam.devices.shutter_keeper COMMAND_PV CLOCK_PV``."""
    keeper = _Keeper(sys.argv[1], sys.argv[2])
    say_ready()
    keeper.run()


if __name__ == "__main__":
    main()
