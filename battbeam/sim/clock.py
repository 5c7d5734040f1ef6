"""This file is where the clock of the simulated beamline is: the model, its server, and the client
of its devices.

One clock for all of it. It runs at a rate of its own; a device that computes something freezes it
meanwhile. A freezer is a token with a lease in wall seconds, so that a device that died does not
stop time for ever; the same token put again renews its lease, it does not count twice.
"""

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from caproto import CaprotoError, ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.channel_access import PV, Context
from battbeam.errors import DeviceError
from battbeam.experiment.clock import ClockState
from battbeam.sim.scenario import Scenario
from battbeam.sim.server import serve

#: Wall seconds that a freezer lasts unless it is renewed.
LEASE = 5.0
#: Rates that can be set, s of cell time per s of wall time.
RATES = (0.1, 3600.0)
#: Wall seconds a client waits for the server.
_TIMEOUT = 5.0


class SimulatedClock:
    """A clock that runs at a nominal rate while nothing freezes it. Wall time is an argument.

    >>> clock = SimulatedClock(epoch=1000.0, rate=60.0, wall=0.0)
    >>> clock.freeze("detector", wall=1.0)
    >>> clock.state.at(wall=3.0)
    1060.0
    >>> clock.thaw("detector", wall=3.0)
    >>> clock.state.at(wall=4.0)
    1120.0
    """

    def __init__(self, *, epoch: float, rate: float, wall: float) -> None:
        self.rate = _checked_rate(rate)
        self.state = ClockState(epoch=epoch, anchor=wall, rate=rate)
        self._expiries: dict[str, float] = {}

    @property
    def freezers(self) -> tuple[str, ...]:
        """Tokens that hold the clock now."""
        return tuple(self._expiries)

    def freeze(self, token: str, *, wall: float) -> None:
        """Add a freezer, or renew its lease.

        Raises:
            ValueError: If the token is empty.
        """
        if not token:
            raise ValueError("a freezer needs a token that is not empty")
        self.expire(wall=wall)
        self._expiries[token] = wall + LEASE
        self._settle(wall)

    def thaw(self, token: str, *, wall: float) -> None:
        """Remove a freezer; nothing happens if there is none of that token."""
        self.expire(wall=wall)
        self._expiries.pop(token, None)
        self._settle(wall)

    def expire(self, *, wall: float) -> None:
        """Remove the freezers whose lease is over; the clock ran on from the end of the last."""
        ended = [token for token, expiry in self._expiries.items() if expiry <= wall]
        if not ended:
            return
        last = max(self._expiries[token] for token in ended)
        for token in ended:
            del self._expiries[token]
        self._settle(last)

    def set_rate(self, rate: float, *, wall: float) -> None:
        """Run at another rate from now on, or once thawed.

        Raises:
            ValueError: If it lies outside `RATES`.
        """
        self.rate = _checked_rate(rate)
        self.expire(wall=wall)
        self._settle(wall)

    def _settle(self, wall: float) -> None:
        rate = 0.0 if self._expiries else self.rate
        if rate != self.state.rate:
            self.state = self.state.changed(wall=wall, rate=rate)


def _checked_rate(rate: float) -> float:
    if not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"rate must lie in {RATES[0]} to {RATES[1]}, got {rate}")
    return rate


async def _put_rate(server: "ClockServer", _instance: Any, value: Any) -> float:
    return await server.set_rate(value)


async def _put_freeze(server: "ClockServer", _instance: Any, value: Any) -> str:
    return await server.freeze(value)


async def _put_thaw(server: "ClockServer", _instance: Any, value: Any) -> str:
    return await server.thaw(value)


class ClockServer(PVGroup):  # type: ignore[misc]
    """The PVs of the clock. A put that makes no sense changes nothing and is logged."""

    State = pvproperty(
        value=[0.0, 0.0, 0.0], max_length=3, read_only=True, doc="epoch, anchor, rate"
    )
    Rate = pvproperty(value=1.0, put=_put_rate, doc="s of cell time per wall s, while not frozen")
    Freeze = pvproperty(
        value="", put=_put_freeze, dtype=ChannelType.STRING, doc="add or renew a freezer: token"
    )
    Thaw = pvproperty(
        value="", put=_put_thaw, dtype=ChannelType.STRING, doc="remove a freezer: its token"
    )
    Freezers = pvproperty(value=0, read_only=True, doc="how many hold the clock now")
    BootId = pvproperty(value="", dtype=ChannelType.STRING, read_only=True, doc="of this start")

    def __init__(self, prefix: str, clock: SimulatedClock) -> None:
        super().__init__(prefix)
        self._clock = clock
        self._published: tuple[ClockState, int] | None = None

    async def prepare(self) -> None:
        """Fill in what a client may read at once."""
        await self.BootId.write(uuid.uuid4().hex)
        await self.Rate.write(self._clock.rate, verify_value=False)
        await self._publish()

    async def run(self) -> None:
        """Publish the state and let leases end."""
        while True:
            self._clock.expire(wall=time.time())
            await self._publish()
            await asyncio.sleep(0.05)

    async def _publish(self) -> None:
        state, n_freezers = self._clock.state, len(self._clock.freezers)
        if self._published == (state, n_freezers):
            return
        self._published = (state, n_freezers)
        await self.State.write([state.epoch, state.anchor, state.rate])
        await self.Freezers.write(n_freezers)

    async def set_rate(self, value: Any) -> float:
        """Set the nominal rate; answers the one that holds."""
        try:
            self._clock.set_rate(float(value), wall=time.time())
        except ValueError as error:
            print(f"refused: {error}", flush=True)
        await self._publish()
        return self._clock.rate

    async def freeze(self, value: Any) -> str:
        """Add or renew a freezer."""
        token = _text(value)
        if token:
            self._clock.freeze(token, wall=time.time())
        await self._publish()
        return token

    async def thaw(self, value: Any) -> str:
        """Remove a freezer."""
        token = _text(value)
        self._clock.thaw(token, wall=time.time())
        await self._publish()
        return token


def _text(value: Any) -> str:
    first = value[0] if isinstance(value, list | tuple) and value else value
    return first.decode("latin-1") if isinstance(first, bytes) else str(first)


class ClockClient:
    """The clock as a simulated device sees it, through monitors; it never goes backwards.

    A client learns late that another has frozen the clock, and may have shown a time just beyond; it
    goes on to show that time until the clock has caught up. While it has the clock frozen itself it
    stands before the clock does, for what it shows meanwhile would be stamped on what it serves.
    """

    def __init__(self, prefix: str, *, timeout: float = 30.0) -> None:
        """Connect, and wait for the first state.

        Raises:
            DeviceError: If no clock answers within ``timeout`` wall s.
        """
        self._context = Context()
        self._changed = threading.Condition()
        self._state: ClockState | None = None
        self._latest = -float("inf")
        self._n_freezing = 0
        names = [prefix + name for name in ("State", "Rate", "Freeze", "Thaw")]
        pvs: list[PV] = self._context.get_pvs(*names, timeout=_TIMEOUT)
        self._state_pv, self._rate_pv, self._freeze_pv, self._thaw_pv = pvs
        self._subscription = self._state_pv.subscribe()
        self._subscription.add_callback(self._take_state)
        with self._changed:
            answered = self._changed.wait_for(lambda: self._state is not None, timeout=timeout)
        if not answered:
            self.close()
            raise DeviceError(f"clock {prefix}: no answer within {timeout} s; is it running?")

    def _take_state(self, _subscription: Any, response: Any) -> None:
        epoch, anchor, rate = (float(value) for value in response.data)
        with self._changed:
            self._state = ClockState(epoch=epoch, anchor=anchor, rate=rate)
            self._changed.notify_all()

    @property
    def state(self) -> ClockState:
        """As last published."""
        if self._state is None:
            raise DeviceError("the clock has not answered yet")
        return self._state

    @property
    def rate(self) -> float:
        """s of cell time per wall s; 0 while frozen."""
        return self.state.rate

    def now(self) -> float:
        """s since the Unix epoch, on this clock."""
        with self._changed:
            if not self._n_freezing:
                self._latest = max(self._latest, self.state.now())
            return self._latest

    def set_rate(self, rate: float) -> None:
        """Run at another rate."""
        self._rate_pv.write(rate, timeout=_TIMEOUT)

    def freeze(self, token: str) -> None:
        """Stop the clock, or renew the lease; returns once it stands here too.

        Raises:
            DeviceError: If the clock does not say within 5 wall s that it stands.
        """
        with self._changed:
            self.now()
            self._n_freezing += 1
        try:
            self._freeze_pv.write(token, timeout=_TIMEOUT)
            # The put is answered before the monitor arrives; a time read in between would lie ahead.
            with self._changed:
                if not self._changed.wait_for(lambda: self.rate == 0.0, timeout=_TIMEOUT):
                    raise DeviceError(f"the clock runs on, although {token!r} froze it")
        finally:
            with self._changed:
                self._n_freezing -= 1

    def thaw(self, token: str) -> None:
        """Let it go on."""
        self._thaw_pv.write(token, timeout=_TIMEOUT)

    @contextlib.contextmanager
    def frozen(self, token: str) -> Iterator[None]:
        """The clock stands inside this block, however long that takes."""
        done = threading.Event()

        def renew() -> None:
            with contextlib.suppress(CaprotoError, DeviceError):
                while not done.wait(LEASE / 3):
                    self.freeze(token)

        self.freeze(token)
        renewer = threading.Thread(target=renew, name=f"renew {token}", daemon=True)
        renewer.start()
        try:
            yield
        finally:
            done.set()
            renewer.join()
            self.thaw(token)

    def close(self) -> None:
        """Disconnect."""
        self._context.disconnect()


def main(directory: Path) -> None:
    """Serve the clock of the scenario in ``directory``."""
    scenario = Scenario.read(directory / "sim" / "scenario.json")
    clock = SimulatedClock(epoch=scenario.start, rate=scenario.rate, wall=time.time())
    server = ClockServer(scenario.clock_prefix, clock)
    serve(server.pvdb, prepare=server.prepare, background=server.run)
