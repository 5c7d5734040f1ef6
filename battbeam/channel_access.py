"""This file is where clients of Channel Access get a port of their own to search from.

caproto opens the socket on which a client searches with SO_REUSEADDR and SO_REUSEPORT. Linux then
hands out ports that other such sockets hold, those of servers too (of 900 sockets 10 to 15), and an
answer comes to one of the two: a client could search for ever. Whoever becomes a client does it
through this file.
"""

import socket
from typing import Any

import caproto
from caproto.threading.client import PV, Context

__all__ = ["CONTROL_LAYER", "PV", "Context", "search_socket"]

#: Of ophyd, for `ophyd.set_cl`.
CONTROL_LAYER = "caproto"


def search_socket(socket_module: Any = socket) -> socket.socket:
    """A socket to search from, as `caproto.bcast_socket` makes it, but its port is never shared.

    Args:
        socket_module: What has the interface of Python's ``socket``.
    """
    own: socket.socket = socket_module.socket(socket_module.AF_INET, socket_module.SOCK_DGRAM)
    own.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_BROADCAST, 1)
    return own


# Only its clients ask for it; its servers have sockets of another make.
caproto.bcast_socket = search_socket
