"""This file is where pulses that the beamline and the cycler both see are passed on: a TTL line.

The beamline announces a pulse a moment before it begins, so that a cycler that comes to that time
knows of it. An auxiliary analog input of the cycler shows `Markers.level`; a pulse should outlast
the interval of its records.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from battbeam.sim.device_clock import DeviceClock

#: Wall seconds between the announcement of a pulse and its rising edge.
LEAD = 0.5
#: V that the line shows while a pulse lasts, and otherwise.
HIGH, LOW = 5.0, 0.0


def marker_path(directory: Path) -> Path:
    """Where the pulses of a simulated beamline are."""
    return directory / "sim" / "markers.jsonl"


@dataclass(frozen=True)
class Pulse:
    """One pulse: its rising and falling edge, s since the Unix epoch, on the session's clock."""

    rise: float
    fall: float


class MarkerWriter:
    """Announces pulses."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path

    def add(self, pulse: Pulse) -> None:
        """Announce a pulse.

        Raises:
            ValueError: If it ends before it begins.
        """
        if not pulse.rise < pulse.fall:
            raise ValueError(
                f"a pulse from {pulse.rise} to {pulse.fall} does not end after it begins"
            )
        line = json.dumps({"rise": pulse.rise, "fall": pulse.fall})
        with self._path.open("a") as file:
            file.write(line + "\n")


class Markers:
    """The line as a device sees it, while pulses are announced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._pulses: list[Pulse] = []

    @property
    def pulses(self) -> tuple[Pulse, ...]:
        """Every pulse that was announced, the first one first."""
        self._read()
        return tuple(self._pulses)

    def pulses_on(self, clock: DeviceClock) -> list[tuple[float, float]]:
        """Both edges of every pulse by a device's own clock, s since the Unix epoch."""
        return [(clock.at(pulse.rise), clock.at(pulse.fall)) for pulse in self.pulses]

    def level(self, time: float) -> float:
        """V on the line at ``time``, s since the Unix epoch on the session's clock."""
        self._read()
        is_high = any(pulse.rise <= time < pulse.fall for pulse in reversed(self._pulses))
        return HIGH if is_high else LOW

    def next_edge(self, time: float) -> float:
        """Time of the first known edge after ``time``; infinite without one."""
        self._read()
        edges = (edge for pulse in self._pulses for edge in (pulse.rise, pulse.fall))
        return min((edge for edge in edges if edge > time), default=float("inf"))

    def _read(self) -> None:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size == self._position:
            return
        with self._path.open("rb") as file:
            file.seek(self._position)
            whole = file.read().rpartition(b"\n")[0]
        if whole:
            self._position += len(whole) + 1
            self._pulses += [Pulse(**json.loads(line)) for line in whole.split(b"\n")]
