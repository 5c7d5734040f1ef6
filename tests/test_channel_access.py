"""Clients of Channel Access search from ports of their own; servers get ports that no client is given."""

import re
import socket
from contextlib import ExitStack
from pathlib import Path

import caproto
from caproto.asyncio.utils import _create_udp_socket

from battbeam import processes
from battbeam.processes import SERVER_PORTS, free_port

ROOT = Path(__file__).parents[1]
#: caproto's own sockets of this number share a port about 18 times: n^2 / 2 over 28,000 ports.
N = 1000


def test_no_client_searches_from_a_port_that_somebody_has():
    with ExitStack() as opened:
        ports = []
        for number in range(N):
            # Half of them servers' own, on ports that the system gave them.
            of_server = number % 2
            sock = opened.enter_context(_create_udp_socket() if of_server else new_search_socket())
            sock.bind(("127.0.0.1" if of_server else "", 0))
            ports.append((of_server, sock.getsockname()[1]))
        servers = {port for of_server, port in ports if of_server}
        clients = [port for of_server, port in ports if not of_server]
    assert len(set(clients)) == N / 2
    assert not servers & set(clients)


def new_search_socket():
    from battbeam.channel_access import Context

    assert Context.__module__ == "caproto.threading.client"
    return caproto.bcast_socket()


def test_nobody_becomes_a_client_past_it():
    made_here = re.compile(r"caproto\.(threading|sync|asyncio)\.client|pyepics_compat")
    for folder in ("battbeam", "devices", "plans", "profile_collection", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name not in ("channel_access.py", Path(__file__).name):
                assert not made_here.findall(path.read_text()), path


def test_a_servers_port_is_none_that_the_system_hands_out():
    ports = {free_port() for _ in range(50)}
    assert len(ports) > 45
    assert ports <= set(SERVER_PORTS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.0.0.1", 0))
        assert asked.getsockname()[1] not in SERVER_PORTS


def test_a_port_that_is_held_for_tcp_or_udp_is_not_free(monkeypatch):
    tried = [free_port() for _ in range(3)]

    class InThisOrder:
        def sample(self, ports, n):
            return tried

    monkeypatch.setattr(processes.random, "SystemRandom", InThisOrder)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        tcp.bind(("127.0.0.1", tried[0]))
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.bind(("127.0.0.1", tried[1]))
        assert free_port() == tried[2]
