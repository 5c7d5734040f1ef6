"""This file is where a plan is made safe: shutter closed, positions put back, no beam no point."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
from bluesky.utils import Msg, RunEngineControlException

from battbeam.devices.beam import CLOSED, Beam, reason_without_beam
from battbeam.devices.channel import Channel
from battbeam.plans.stubs import Plan

#: s of wall time for which the beam must have been back before measuring goes on.
SETTLE = 0.5
#: By exit status: who broke a run off. The RunEngine keeps the reason that it was given to itself.
_ENDED_BY = {
    "abort": "aborted by RE.abort(), or with its session",
    "success": "ended before its end by RE.stop()",
}


def shutter_closed_after(plan: Plan, beam: Beam) -> Plan:
    """Close the shutter however the plan ends."""

    def close() -> Plan:
        yield from bps.mv(beam.shutter, CLOSED)

    return (yield from bpp.finalize_wrapper(plan, close))


def positions_put_back(plan: Plan, motors: Sequence[Any]) -> Plan:
    """Move every motor back to where it is now, however the plan ends."""
    found = [(motor, motor.position) for motor in motors]

    def put_back() -> Plan:
        moves = [part for motor, position in found for part in (motor, position)]
        if moves:
            yield from bps.mv(*moves)

    return (yield from bpp.finalize_wrapper(plan, put_back))


def run(body: Callable[[str], Plan], md: dict[str, Any]) -> Plan:
    """Open a run, give its uid to ``body``, and close it with what became of it.

    Returns:
        The uid of the run.
    """
    uid = yield from bps.open_run(md)

    def failed(error: Exception) -> Plan:
        if isinstance(error, RunEngineControlException):
            status = error.exit_status
            yield from bps.close_run(exit_status=status, reason=_ENDED_BY.get(status, ""))
        else:
            yield from bps.close_run(exit_status="fail", reason=why(error))

    yield from bpp.contingency_wrapper(body(str(uid)), except_plan=failed, else_plan=bps.close_run)
    return uid


def staged_run(
    body: Plan, md: dict[str, Any], *, detectors: Sequence[Any], motors: Sequence[Any]
) -> Plan:
    """A run with its detectors staged; every motor is put back, however it ends.

    Returns:
        The uid of the run.
    """
    whole = run(lambda _: positions_put_back(body, motors), md)
    return (yield from bpp.stage_wrapper(whole, list(detectors)))


def recorded(plan: Plan, channels: Sequence[Channel]) -> Plan:
    """Record channels at their own rates during a plan's run, each in a stream ``<name>_monitor``.

    Where a plan opens runs within its run, they are in the outer one. While the plan is paused they are
    not recorded; what is read of them later has a gap there.

    Parameters
    ----------
    plan : Plan
        Of one run, or an `operando`.
    channels : list of Channel
        Any signals: of the mass spectrometer, of the furnace, ...
    """
    keys: list[Any] = []

    def beside(message: Msg) -> tuple[Plan | None, Plan | None]:
        if message.command not in ("open_run", "close_run"):
            return None, None
        keys.append(message.run)
        if message.run != keys[0]:
            return None, None
        return (None, begun()) if message.command == "open_run" else (ended(message), None)

    def begun() -> Plan:
        for channel in channels:
            yield Msg("monitor", channel, name=f"{channel.name}_monitor", run=keys[0])

    def ended(message: Msg) -> Plan:
        for channel in channels:
            yield Msg("unmonitor", channel, run=keys[0])
        return (yield message)

    return (yield from bpp.plan_mutator(plan, beside))


def why(error: BaseException) -> str:
    """What an error says, in the words of what caused it."""
    cause = error.__cause__
    return str(cause) if cause is not None and str(cause) else str(error) or type(error).__name__


def contained(plan: Plan, failed: Callable[[Exception], Plan]) -> Plan:
    """Hand an inner plan's failure to ``failed``; a stop, an abort and a halt go through."""

    def except_plan(error: Exception) -> Plan:
        if isinstance(error, RunEngineControlException):
            raise error
        return (yield from failed(error))

    return (yield from bpp.contingency_wrapper(plan, except_plan=except_plan, auto_raise=False))


def suspended_without_beam(plan: Plan, beam: Beam, *, suspend: bool) -> Plan:
    """Suspend a plan while there is no beam; without ``suspend`` it is left as it is."""
    if not suspend:
        return (yield from plan)
    return (yield from bpp.suspend_wrapper(plan, BeamSuspender(beam)))


class BeamSuspender:
    """Suspends the RunEngine while there is no beam; not a number and no connection are no beam.

    Unlike Bluesky's own it is armed on the RunEngine's loop, so that a callback that blocks cannot
    keep it from arming, and it is released only by a number above the threshold.

    Args:
        beam: Whose ring current is watched.
    """

    def __init__(self, beam: Beam) -> None:
        self._beam = beam
        self._engine: Any = None
        self._released: asyncio.Event | None = None
        self.reason = ""

    def install(self, engine: Any, *, event_type: str | None = None) -> None:
        """Watch from now on."""
        self._engine = engine
        signal = self._beam.ring_current
        signal.subscribe(self._value, run=True)
        signal.subscribe(self._connection, event_type=signal.SUB_META, run=False)
        self._judge(float(signal.value_now()))

    def remove(self) -> None:
        """Watch no more, and let the RunEngine go on."""
        self._beam.ring_current.clear_sub(self._value)
        self._beam.ring_current.clear_sub(self._connection)
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.loop.call_soon_threadsafe(self._release)

    def get_futures(self) -> tuple[list[Callable[[], Any]], str]:
        """What a plan that is about to start must wait for."""
        if not self.reason or self._engine is None:
            return [], ""
        return [self._wait], self.reason

    async def _wait(self) -> None:
        while self.reason and self._engine is not None:
            await asyncio.sleep(SETTLE)

    def _value(self, value: Any = None, **_: Any) -> None:
        self._judge(math.nan if value is None else float(value))

    def _connection(self, connected: bool = True, **_: Any) -> None:
        if not connected:
            self._judge(math.nan)

    def _judge(self, current: float) -> None:
        self.reason = reason_without_beam(
            current, float(self._beam.minimum_ring_current.value_now())
        )
        if self._engine is not None:
            self._engine.loop.call_soon_threadsafe(self._arm if self.reason else self._release)

    def _arm(self) -> None:
        """On the loop: suspend what runs, as soon as it can be resumed."""
        engine = self._engine
        if engine is None or self._released is not None or not self.reason:
            return
        if not engine.state.is_running or not engine.resumable:
            if engine.state.is_running:
                engine.loop.call_later(SETTLE / 10, self._arm)
            return
        self._released = asyncio.Event()
        engine.request_suspend(self._released.wait, justification=f"no beam: {self.reason}")

    def _release(self) -> None:
        if self._released is not None:
            self._released.set()
            self._released = None
