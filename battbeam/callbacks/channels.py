"""This file is where channels that are recorded at their own rates are taken from a run's documents."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from battbeam.reduction.joining import gaps, joined
from battbeam.units import FloatArray

Document = Mapping[str, Any]
_NONE = (np.empty(0), np.empty(0))


@dataclass(frozen=True)
class ChannelRecord:
    """One channel of a run.

    Attributes:
        key: In events.
        unit: Of its values.
        time: Of the samples, s since the Unix epoch, session clock, ascending, shape (n,).
        values: Shape (n,), or (n, k) of a channel with k numbers a sample.
        configuration: Of its device.
    """

    key: str
    unit: str
    time: FloatArray = field(repr=False)
    values: FloatArray = field(repr=False)
    configuration: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def gaps(self, period: float) -> list[tuple[float, float]]:
        """Where it was not recorded: from and to, s since the Unix epoch.

        Args:
            period: Of the channel, s; twice as long without a sample is a gap.
        """
        return gaps(self.time, period=period)


class Channels:
    """Channels of a run by their keys, as its documents come.

    Args:
        *keys: Wanted ones, of whatever stream.
    """

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._streams: dict[str, tuple[str, ...]] = {}
        self._units: dict[str, str] = {}
        self._configuration: dict[str, dict[str, Any]] = {key: {} for key in keys}
        self._samples: list[tuple[str, float, Any]] = []

    def __len__(self) -> int:
        """Samples so far."""
        return len(self._samples)

    def __call__(self, name: str, doc: Document) -> None:
        """Take a document; what is no event of a wanted channel is passed over."""
        if name == "descriptor":
            held = tuple(key for key in self._keys if key in doc["data_keys"])
            self._streams[doc["uid"]] = held
            for key in held:
                self._units[key] = str(doc["data_keys"][key].get("units") or "")
                for configured in doc.get("configuration", {}).values():
                    self._configuration[key].update(configured["data"])
        elif name == "event":
            for key in self._streams.get(doc["descriptor"], ()):
                self._samples.append((key, float(doc["timestamps"][key]), doc["data"][key]))

    def record(self, key: str, first: int | None = None) -> ChannelRecord:
        """What a channel said, in the order of time.

        Args:
            key: Of the channel.
            first: Only of so many samples of all channels, those that came first; None: of all.
        """
        found = {time: value for one, time, value in self._samples[:first] if one == key}
        times = sorted(found)
        return ChannelRecord(
            key=key,
            unit=self._units.get(key, ""),
            time=np.array(times, dtype=float),
            values=np.array([found[time] for time in times], dtype=float),
            configuration=dict(self._configuration.get(key, {})),
        )

    def at(self, key: str, time: float, *, period: float, first: int | None = None) -> float:
        """What a channel of one number showed at a moment, between its samples; NaN in a gap.

        Args:
            key: Of the channel.
            time: s since the Unix epoch, session clock.
            period: See `battbeam.reduction.joining.joined`.
            first: See `record`.
        """
        if math.isnan(time):
            return math.nan
        near: list[tuple[float, float]] = []
        for index in range(len(self._samples) if first is None else first, 0, -1):
            one, stamp, value = self._samples[index - 1]
            if one == key:
                near.append((stamp, float(value)))
                if stamp < time - 2 * period:
                    break
        stamps, values = (
            (np.array(each, dtype=float) for each in zip(*near, strict=True)) if near else _NONE
        )
        return float(joined(np.array([time]), stamps, values, period=period)[0])


def channel_of(documents: Iterable[tuple[str, Document]], key: str) -> ChannelRecord:
    """A channel of a recorded run.

    Args:
        documents: Of the run.
        key: Of the channel, such as ``mass_spectrometer_ion_current`` or ``furnace``.
    """
    channels = Channels(key)
    for name, doc in documents:
        channels(name, doc)
    return channels.record(key)
