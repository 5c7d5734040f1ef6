"""This file is where pulses wait for the camera that they trigger."""

import asyncio
from typing import Any

from caproto.server import PVGroup


class PulseQueue(PVGroup):  # type: ignore[misc]
    """Pulses that one camera follows; whoever makes them names the records ``Fired`` and ``Missed``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._came: asyncio.Queue[float] = asyncio.Queue()

    async def fire(self, time: float) -> None:
        """A pulse at a time of the session clock, s."""
        self._came.put_nowait(time)
        await self.Fired.write(self.Fired.value + 1, timestamp=time)

    def listen(self) -> None:
        """Forget the pulses so far."""
        self._came = asyncio.Queue()

    async def next_pulse(self) -> float:
        """Time of the next one on the session's clock, s, once it has come."""
        return await self._came.get()

    def pulse_now(self) -> float | None:
        """The same if it has come, else None."""
        return None if self._came.empty() else self._came.get_nowait()

    async def miss(self) -> None:
        """The camera could not follow the latest one."""
        await self.Missed.write(self.Missed.value + 1)
