import asyncio
import socket

from caproto.asyncio.server import Context

from battbeam.sim.server import PromptContext


def test_a_connection_that_is_accepted_does_not_wait_for_acknowledgements(monkeypatch):
    async def accept(context, sock):
        sock.listen(1)
        with socket.create_connection(sock.getsockname()) as client, sock.accept()[0] as accepted:
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
            seen.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    seen = []
    monkeypatch.setattr(Context, "server_accept_loop", accept)

    async def served(sock):
        await PromptContext({}).server_accept_loop(sock)

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0) as sock:
        sock.bind(("127.0.0.1", 0))
        asyncio.run(served(sock))
    assert [bool(option) for option in seen] == [True]
