"""This file is where a signal becomes a channel that is recorded at its own rate, beside a plan.

A monitor of Bluesky reads the signal again when it is told of an update, and so writes the latest value
down twice where two updates came quickly, with a stamp that may be another's. A channel hands on each
update as it came, value and stamp together.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from ophyd import Signal

Reading = dict[str, dict[str, Any]]


class Channel:
    """A signal, for ``bpp.monitor_during_wrapper``: one event an update, in a stream ``<name>_monitor``.

    Args:
        signal: Any; of a device, its stream has the device's configuration.
        name: Of the channel; by default the signal's.

    >>> RE(bpp.monitor_during_wrapper(plan, [Channel(furnace.readback)]))  # doctest: +SKIP
    """

    parent = None

    def __init__(self, signal: Signal, *, name: str = "") -> None:
        self.signal, self.name = signal, name or str(signal.name)
        self._told: dict[Any, Any] = {}

    def describe(self) -> dict[str, Any]:
        """As the signal."""
        return dict(self.signal.describe())

    def read(self) -> Reading:
        """As the signal."""
        return dict(self.signal.read())

    def describe_configuration(self) -> dict[str, Any]:
        """Of the device whose signal it is."""
        parent = self.signal.parent
        return {} if parent is None else dict(parent.describe_configuration())

    def read_configuration(self) -> Reading:
        """Of the device whose signal it is."""
        parent = self.signal.parent
        return {} if parent is None else dict(parent.read_configuration())

    def subscribe(self, told: Callable[[Reading], Any], **_: Any) -> None:
        """Have ``told`` called with the reading of every update from now on, and with the present one."""
        self.clear_sub(told)
        dtype = self.describe()[self.signal.name]["dtype"]
        last: list[float] = []

        def updated(value: Any = None, timestamp: float | None = None, **_: Any) -> None:
            # The present value comes twice: of the signal's memory, and of the subscription.
            if value is not None and timestamp is not None and [timestamp] != last:
                last[:] = [timestamp]
                reading = {"value": _plain(value, dtype), "timestamp": float(timestamp)}
                told({self.signal.name: reading})

        self._told[told] = updated
        self.signal.subscribe(updated, event_type=self.signal.SUB_VALUE, run=True)

    def clear_sub(self, told: Callable[[Reading], Any]) -> None:
        """Do not call it any more."""
        updated = self._told.pop(told, None)
        if updated is not None:
            self.signal.clear_sub(updated)


def _plain(value: Any, dtype: str) -> Any:
    if dtype == "array":
        return np.atleast_1d(np.asarray(value, dtype=float)).tolist()
    if dtype == "string":
        return str(value)
    return int(value) if dtype == "integer" else float(value)
