"""This file is where a process of the simulation becomes a Channel Access server, and ends."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from caproto import ChannelData
from caproto.asyncio.server import Context

from battbeam.processes import end_with_parent, say_ready

Task = Callable[[], Awaitable[None]]


class PromptContext(Context):  # type: ignore[misc]
    """A server whose answers do not wait for the client's acknowledgement of those before."""

    async def server_accept_loop(self, sock: socket.socket) -> None:
        """Accept clients; their connections inherit the option (Linux)."""
        # asyncio sets it by itself only where a socket names its protocol, and caproto's do not:
        # after a put that several monitors follow, an answer came up to 40 ms late.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await super().server_accept_loop(sock)


def serve(
    database: Mapping[str, ChannelData],
    *,
    prepare: Task | None = None,
    background: Task | None = None,
) -> None:
    """Serve PVs until SIGTERM, SIGINT or the end of the parent process.

    Args:
        database: By PV name.
        prepare: Awaited before the first client can connect.
        background: What runs beside the server, on the same event loop.
    """
    end_with_parent()
    asyncio.run(_serve(database, prepare, background))


async def _serve(
    database: Mapping[str, ChannelData], prepare: Task | None, background: Task | None
) -> None:
    async def when_bound(_async_library: Any) -> None:
        say_ready()
        if background is not None:
            await background()

    if prepare is not None:
        await prepare()
    server = asyncio.ensure_future(PromptContext(dict(database)).run(startup_hook=when_bound))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.cancel)
    await asyncio.wait([server])
    if not server.cancelled():
        server.result()
