"""This file is where the clock of an instrument's computer is compared with the session's.

Its server stamps a record that changes again and again, and the session notes when that arrives.
What arrives is late, never early: of the latest arrivals the promptest counts. While the session's
clock stands none does: the session may not know yet that it goes on, and take for early what is not.
"""

import math
import threading
from collections import deque
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Note, Readback
from battbeam.experiment.clock import Clock

#: Wall s that a prompt arrival takes, and is uncertain by: Channel Access on one network.
LATENCY = 0.002
#: Arrivals of which the promptest counts; few enough that no clock drifts meanwhile.
N_ARRIVALS = 32
#: Wall s by which a single arrival may be late: a busy machine.
UNPROVEN = 0.5
#: s, the resolution of a server's stamp.
RESOLUTION = 1e-3


class ClockWatch(Device):  # type: ignore[misc]
    """Compares one clock; each reading is the best comparison of the latest.

    Args:
        prefix: Record that changes often, on the computer whose clock it is.
        clock: The session's.
    """

    heartbeat = Cpt(Readback, "", tolerant=True, kind="omitted", doc="changes often")
    device_time = Cpt(Note, units="s", kind="normal", doc="what it showed, s since 1970")
    session_time = Cpt(Note, units="s", kind="normal", doc="what the session's clock showed then")
    uncertainty = Cpt(Note, units="s", kind="normal", doc="of the comparison")

    def __init__(self, prefix: str, *, name: str, clock: Clock, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: deque[tuple[float, float]] = deque(maxlen=N_ARRIVALS)
        self.heartbeat.subscribe(self._arrived, run=False)

    def _arrived(self, timestamp: float | None = None, **_: Any) -> None:
        if timestamp and self._clock.rate > 0:
            with self._lock:
                self._arrivals.append((float(timestamp), self._clock.now()))

    def comparison(self) -> tuple[float, float, float]:
        """Device time, session time and uncertainty, s; NaN before anything has arrived."""
        with self._lock:
            arrivals = list(self._arrivals)
        if not arrivals:
            return math.nan, math.nan, math.nan
        rate = max(self._clock.rate, 1.0)
        arrivals.sort(key=lambda each: each[1] - each[0])
        (device, session), late = arrivals[0], LATENCY * rate
        # Two that are equally prompt prove each other; a single one may have come at any time.
        unproven = UNPROVEN * rate
        if len(arrivals) > 1:
            unproven = (arrivals[1][1] - arrivals[1][0]) - (session - device)
        return device, session - late, math.hypot(late, unproven, RESOLUTION)

    def read(self) -> dict[str, Any]:
        """The comparison as it is now."""
        notes = (self.device_time, self.session_time, self.uncertainty)
        for note, value in zip(notes, self.comparison(), strict=True):
            note.put(value)
        found: dict[str, Any] = super().read()
        return found
