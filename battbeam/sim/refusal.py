"""This file is where a simulated instrument refuses what was put.

What is refused leaves everything as it was, sets the PV's alarm (WRITE, INVALID), and is logged.
"""

from collections.abc import Callable
from typing import Any

from caproto import AlarmSeverity, AlarmStatus


async def attempt(instance: Any, act: Callable[[], None]) -> bool:
    """Do what a put asks for; a ValueError is a refusal. Whether it was done.

    Args:
        instance: The PV that was put.
        act: What it asks for.
    """
    status, severity = AlarmStatus.NO_ALARM, AlarmSeverity.NO_ALARM
    try:
        act()
    except ValueError as error:
        print(f"refused {instance.pvname}: {error}", flush=True)
        status, severity = AlarmStatus.WRITE, AlarmSeverity.INVALID_ALARM
    await instance.alarm.write(status=status, severity=severity)
    return severity is AlarmSeverity.NO_ALARM
