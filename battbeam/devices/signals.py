"""This file is where a Channel Access value gets its unit, its type and its time-outs.

An integer that is a float in the next event breaks a table, and a value that cannot be read must
not look like a number: readings are coerced to their declared type, and a disconnected one is NaN,
-1 or the empty string where its device may live without it.
"""

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from ophyd import EpicsSignal, EpicsSignalRO, Signal

Dtype = Literal["number", "integer", "string"]

#: Wall seconds for one read and one connection; a loopback read takes a millisecond.
READ_TIMEOUT = 2.0
CONNECTION_TIMEOUT = 5.0
#: Wall seconds for a put that waits for its completion; longer ones state their own.
WRITE_TIMEOUT = 10.0

_NUMPY = {"number": "<f8", "integer": "<i8"}
_COERCE: dict[str, Any] = {"number": float, "integer": int, "string": str}
#: What stands for a value that could not be read.
UNKNOWN: dict[str, Any] = {"number": math.nan, "integer": -1, "string": ""}


class Described:
    """A unit, one declared type and a reading that may be unknown; mixed into ophyd's signals.

    Args:
        units: As the documents state them; the server's own where none is given.
        dtype: ``number``, ``integer`` or ``string``.
        tolerant: Whether a disconnected signal reads as unknown instead of raising.
    """

    name: str
    connected: bool

    def __init__(
        self,
        *args: Any,
        units: str = "",
        dtype: Dtype = "number",
        tolerant: bool = False,
        **kwargs: Any,
    ) -> None:
        self.declared_units, self.declared_dtype, self.tolerant = units, dtype, tolerant
        super().__init__(*args, **kwargs)

    def value_now(self) -> Any:
        """The value, coerced to the declared type; unknown if disconnected and tolerant."""
        if self.tolerant and not self.connected:
            return UNKNOWN[self.declared_dtype]
        try:
            value = self.get()  # type: ignore[attr-defined]
        except TimeoutError:
            if self.tolerant:
                return UNKNOWN[self.declared_dtype]
            raise
        return (
            UNKNOWN[self.declared_dtype] if value is None else _COERCE[self.declared_dtype](value)
        )

    def read(self) -> dict[str, dict[str, Any]]:
        """One reading, as Bluesky wants it."""
        value = self.value_now()
        stamp = getattr(self, "timestamp", None) or time.time()
        return {self.name: {"value": value, "timestamp": float(stamp)}}

    def describe(self) -> dict[str, dict[str, Any]]:
        """Source, type and unit."""
        metadata = getattr(self, "metadata", {})
        key: dict[str, Any] = {
            "source": getattr(self, "source_name", f"SIM:{self.name}"),
            "dtype": self.declared_dtype,
            "shape": [],
            "units": self.declared_units or metadata.get("units") or "",
        }
        if self.declared_dtype in _NUMPY:
            key["dtype_numpy"] = _NUMPY[self.declared_dtype]
        precision = metadata.get("precision")
        if precision is not None and self.declared_dtype == "number":
            key["precision"] = int(precision)
        return {self.name: key}


def _with_timeouts(kwargs: dict[str, Any]) -> dict[str, Any]:
    kwargs["string"] = kwargs.get("dtype") == "string"
    kwargs.setdefault("timeout", READ_TIMEOUT)
    kwargs.setdefault("connection_timeout", CONNECTION_TIMEOUT)
    return kwargs


class Readback(Described, EpicsSignalRO):  # type: ignore[misc]
    """A value that the hardware tells."""

    def __init__(self, pv: str, **kwargs: Any) -> None:
        super().__init__(pv, **_with_timeouts(kwargs))


class FreshReadback(Readback):
    """A value that changes by itself, read when it is asked for: value and stamp belong together.

    Ophyd reads a signal that somebody follows anew, and stamps it with the last update before.
    """

    def read(self) -> dict[str, dict[str, Any]]:
        """One reading, as Bluesky wants it."""
        told = self._get_with_timeout(
            self._read_pv, self.timeout, self.connection_timeout, None, self._string, "time", False
        )
        value = _COERCE[self.declared_dtype](told["value"])
        return {self.name: {"value": value, "timestamp": float(told["timestamp"])}}


class Setting(Described, EpicsSignal):  # type: ignore[misc]
    """A value that may be put."""

    def __init__(self, pv: str, **kwargs: Any) -> None:
        kwargs.setdefault("write_timeout", WRITE_TIMEOUT)
        super().__init__(pv, **_with_timeouts(kwargs))


def put_new(signal: Setting, value: float | str) -> None:
    """Put a value unless it is there already, to the last bit, and wait until the record has it.

    Raises:
        TimeoutError: If the server does not answer.
    """
    if signal.value_now() != value:
        signal.put(value, wait=True)


class Note(Described, Signal):  # type: ignore[misc]
    """A value of the session's own that goes into events beside the hardware's."""

    def __init__(self, *, name: str, dtype: Dtype = "number", **kwargs: Any) -> None:
        kwargs.setdefault("value", UNKNOWN[dtype])
        super().__init__(name=name, dtype=dtype, **kwargs)


class Action(Setting):
    """A record that works while a put to it has not completed: a count, a sweep."""

    def __init__(self, pv: str, **kwargs: Any) -> None:
        super().__init__(pv, **{"dtype": "integer", **kwargs})

    def begin(self, ended: Callable[[], None]) -> None:
        """Put 1, and have ``ended`` called, in another thread, when the record says it is done."""
        # No time-out here: how long it may take is known to whoever begins it.
        self.put(1, callback=lambda *_, **__: ended(), timeout=None)


class Lengthy:
    """Numbers in the place of one, as many as a sibling says; mixed into signals.

    Args:
        length: The sibling's attribute in the device.
    """

    name: str
    parent: Any

    def __init__(self, *args: Any, length: str, **kwargs: Any) -> None:
        self._length = length
        super().__init__(*args, **kwargs)

    @property
    def _n(self) -> int:
        return int(getattr(self.parent, self._length).value_now())

    def value_now(self) -> list[float]:
        """The numbers in use, not those that the record has room for."""
        values = np.atleast_1d(self.get())  # type: ignore[attr-defined]
        return [float(number) for number in values[: self._n]]

    def describe(self) -> dict[str, dict[str, Any]]:
        """As of a number, with the shape of an array."""
        described: dict[str, dict[str, Any]] = super().describe()  # type: ignore[misc]
        described[self.name] |= {"dtype": "array", "shape": [self._n]}
        return described


class ArrayReadback(Lengthy, Readback):
    """Numbers that the hardware tells."""
