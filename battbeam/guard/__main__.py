"""This file is where a cell guard starts: ``python -m battbeam.guard --config guard.json``."""

import argparse
import asyncio
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from caproto.asyncio.server import Context

from battbeam.errors import BattbeamError, GuardError
from battbeam.guard.clock import session_clock
from battbeam.guard.config import GuardConfig
from battbeam.guard.log import Log
from battbeam.guard.making import make_guard, restore_guard
from battbeam.guard.record import GuardRecord, Shown
from battbeam.guard.service import GuardService
from battbeam.processes import end_with_parent, say_ready

#: Wall s that the start waits for the cycler; without it the guard serves, and says so.
CYCLER_TIMEOUT = 10.0
#: Wall s between looks whether the guard's own loop still runs.
WATCH_INTERVAL = 0.5


async def serve(config: GuardConfig) -> None:
    """Guard the cell until SIGTERM or SIGINT; what the cell does then is left as it is."""
    loop = asyncio.get_running_loop()
    log = Log(config.log)
    guard, driver = make_guard(config, log, session_clock(config.clock))
    if not driver.wait(CYCLER_TIMEOUT):
        print(f"guard: cycler {driver.name} does not answer yet", flush=True)
    boot_id = uuid.uuid4().hex
    guard.writer.line("boot", boot_id=boot_id, pid=os.getpid(), identity=config.identity)
    restore_guard(guard, config.log, wall=time.monotonic())
    record: GuardRecord | None = None

    def show(shown: Shown) -> None:
        if record is not None and not loop.is_closed():
            asyncio.run_coroutine_threadsafe(record.publish(shown), loop)

    service = GuardService(guard, show)
    record = GuardRecord(config.prefix, service)
    await record.publish(Shown(0, _constants(config, boot_id)))
    server = asyncio.ensure_future(_server(record, service))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.cancel)
    try:
        await asyncio.wait([server])
        if not server.cancelled():
            server.result()
    finally:
        service.stop()
        log.close()
        # The driver is left as it is: its client's threads end with the process at once, but may
        # take longer to disconnect than whoever ends a guard waits.


async def _server(record: GuardRecord, service: GuardService) -> None:
    async def watch(_async_library: Any) -> None:
        service.start()
        say_ready()
        while service.is_alive:
            await asyncio.sleep(WATCH_INTERVAL)
        raise GuardError("the guard's loop has ended; the cycler goes on within its own limits")

    await Context(dict(record.pvdb)).run(startup_hook=watch)


def _constants(config: GuardConfig, boot_id: str) -> dict[str, Any]:
    hard = config.hard_limits
    return {
        "Identity": config.identity,
        "BootId": boot_id,
        "Simulated": int(config.simulated),
        "Controls": int(config.driver.kind != "observe"),
        "Log": str(config.log),
        "HardVoltageMin": hard.voltage_min,
        "HardVoltageMax": hard.voltage_max,
        "HardCurrentMax": hard.current_max,
    }


def guard_cell(config: Path) -> None:
    """Guard one cell until SIGTERM or Ctrl-C.

    Raises:
        BattbeamError: If the configuration cannot be used, or the guard's loop has ended.
    """
    asyncio.run(serve(GuardConfig.read(config)))


def main() -> None:
    """Guard one cell for as long as the parent process lives."""
    parser = argparse.ArgumentParser(prog="python -m battbeam.guard")
    parser.add_argument("--config", type=Path, required=True, help="guard.json of one cell")
    arguments = parser.parse_args()
    end_with_parent()
    try:
        guard_cell(arguments.config)
    except BattbeamError as error:
        sys.exit(f"guard: {error}")


if __name__ == "__main__":
    main()
