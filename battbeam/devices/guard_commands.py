"""This file is where commands wait for their guard's answer.

A command is a put of JSON with an id; the guard answers all of its clients in one record, each with
the id that it answers.
"""

import json
import threading
import uuid
from collections.abc import Mapping
from typing import Any

from ophyd import Device
from ophyd.utils.errors import WaitTimeoutError

from battbeam.devices.signals import Setting
from battbeam.devices.status import TimedStatus
from battbeam.errors import GuardError

#: Wall seconds after which an answer is looked for instead of waited for.
LOOK_AFTER = 2.0


class SilentGuardError(GuardError):
    """A guard has not answered."""


class GuardCommands:
    """What one client has asked of a guard, until each is answered.

    Args:
        guard: With ``result``, the record of its answers.
    """

    def __init__(self, guard: Device) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._pending: dict[str, TimedStatus] = {}
        guard.result.subscribe(self._answered, run=False)

    @property
    def _name(self) -> str:
        return f"guard {self._guard.name} ({self._guard.prefix})"

    def send(
        self, signal: Setting, verb: str, content: Mapping[str, Any], *, timeout: float
    ) -> TimedStatus:
        """Put a command; its status ends with the answer, or fails after ``timeout`` wall s.

        Args:
            signal: Of the verb.
            verb: As errors name it.
            content: Of the command, token included; its id is made here.
            timeout: Wall s for the guard to answer.
        """
        command = uuid.uuid4().hex
        text = f"{self._name}: {verb}: no answer within {timeout:g} s; is it running?"
        status = TimedStatus(timeout=timeout, overdue=SilentGuardError(text))
        with self._lock:
            self._pending = {key: one for key, one in self._pending.items() if not one.done}
            self._pending[command] = status
        if not self._guard.result.connected:
            status.fail(GuardError(f"{self._name}: not connected; is it running?"))
            return status
        signal.put(json.dumps({"id": command, **content}), wait=False)
        threading.Thread(target=self._listen, args=(status,), name=verb, daemon=True).start()
        return status

    def _listen(self, status: TimedStatus) -> None:
        """Look for the answer in case its monitor was lost on the way."""
        while not status.done:
            try:
                status.wait(timeout=LOOK_AFTER)
            except WaitTimeoutError:
                self._answered(self._guard.result.value_now())
            except GuardError:
                return

    def _answered(self, value: Any = None, **_: Any) -> None:
        """The guard has answered a command, ours or somebody's."""
        try:
            answer = json.loads(str(value or "{}"))
        except json.JSONDecodeError:
            return
        with self._lock:
            status = self._pending.pop(str(answer.get("id", "")), None)
        if status is None:
            return
        if answer.get("ok"):
            status.finish()
            return
        error = str(answer.get("error") or "refused")
        told = [fault for fault in answer.get("faults") or () if str(fault) not in error]
        faults = "".join(f"\n  - {fault}" for fault in told)
        text = f"{self._name}: {answer.get('verb')}: {error}{faults}"
        status.fail(GuardError(text, [str(fault) for fault in answer.get("faults") or ()]))
