"""This file is where a plan looks after beam, clocks and cells between two measurements."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.notes import BeamNotes, ClockNotes
from battbeam.devices.potentiostat import Potentiostat
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.clock import Clock
from battbeam.experiment.guard_state import UNDER_WAY, GuardState
from battbeam.experiment.protocol import Step
from battbeam.experiment.schedule import Due
from battbeam.experiment.watchers import CellReading
from battbeam.plans.stubs import Plan, write_down

#: s of session clock between two comparisons of an instrument's clock with the session's.
COMPARISON_INTERVAL = 60.0


@dataclass
class CellWatch:
    """One cell of the experiment: what is known of it, and what the plan has done to it.

    Attributes:
        name: Of its guard, as rules name it.
        potentiostat: Behind its guard.
        passport: Of the cell, if one is mounted.
        steps: Of its protocol as it will run, as far as it is known here.
        position: (x, y) of the sample stage with its middle in the beam, mm; None is not known.
        md: What every run that measures it says of it.
        has_protocol: Whether this experiment started its protocol.
        has_begun: Whether it was seen to cycle; one that is joined may be at rest at first.
        lost: Why it is not measured any more; empty while it is.
    """

    name: str
    potentiostat: Potentiostat
    passport: CellPassport | None = None
    steps: tuple[Step, ...] = ()
    position: tuple[float, float] | None = None
    md: Mapping[str, Any] = field(default_factory=dict)
    has_protocol: bool = False
    has_begun: bool = False
    lost: str = ""
    _heard: float = field(default_factory=time.monotonic)
    _n_losses: int = 0

    def __post_init__(self) -> None:
        self._n_losses = len(self.potentiostat.losses)

    def news(self) -> list[str]:
        """What befell this session's ownership of the cell since this was asked last."""
        news = self.potentiostat.losses[self._n_losses :]
        self._n_losses += len(news)
        return news

    @property
    def silence(self) -> float:
        """Wall seconds since the guard was last heard."""
        return time.monotonic() - self._heard

    def reading(self, now: float) -> CellReading:
        """What is known of the cell."""
        reading = self.potentiostat.cell_reading(now)
        if reading.state:
            self._heard = time.monotonic()
        self.has_begun = self.has_begun or reading.state in UNDER_WAY
        if reading.state == GuardState.FINISHED and not (self.has_begun or self.has_protocol):
            # What ended before this experiment joined was another one.
            return replace(reading, state=GuardState.OPEN_CIRCUIT.value)
        return reading


class Watch:
    """Writes down interruptions of the beam and comparisons of clocks."""

    def __init__(
        self,
        cells: Sequence[CellWatch],
        beam: Beam,
        clock: Clock,
        detectors: Sequence[AreaDetector] = (),
    ) -> None:
        self.cells, self.beam, self.clock = tuple(cells), beam, clock
        self._detectors = tuple(each for each in detectors if each.clock_watch is not None)
        self._compared: dict[str, float] = {}
        self._beam_notes = BeamNotes("", name="beam")
        self._clock_notes = ClockNotes("", name="clocks")
        self._lost_at, self._reason = math.nan, ""
        self._interruptions: list[tuple[float, float, str]] = []
        self._next_comparison = -math.inf
        self._is_fresh = True

    @property
    def is_dark(self) -> bool:
        """Whether the beam was away at the last look."""
        return not math.isnan(self._lost_at)

    def look(self) -> Plan:
        """Write down what has changed since the last look."""
        now, reason = self.clock.now(), self.beam.why_down()
        if reason and not self.is_dark:
            self._lost_at, self._reason = now, reason
            yield from self._beam("lost", math.nan)
            for cell in self.cells:
                if cell.potentiostat.connected and cell.potentiostat.is_owned:
                    # Not awaited: the schedule goes on whatever the guard does to the cell.
                    cell.potentiostat.occasion("beam_loss")
        elif self.is_dark and not reason:
            begin, self._lost_at = self._lost_at, math.nan
            self._interruptions.append((begin, now, self._reason))
            yield from self._beam("back", now - begin, start=begin)
        elif self._is_fresh:
            self._is_fresh = False
            yield from self._beam("up", 0.0)
        if now >= self._next_comparison:
            self._next_comparison = now + COMPARISON_INTERVAL
            for cell in self.cells:
                yield from self._compare(cell)
            for detector in self._detectors:
                yield from self._compare_detector(detector)

    def excuse(self, due: Due) -> str:
        """Why something may have been missed: the beam was away while it was due."""
        spans = [*self._interruptions]
        if self.is_dark:
            spans.append((self._lost_at, math.inf, self._reason))
        for begin, end, reason in spans:
            if begin <= due.expires and end >= due.due:
                return f"no beam: {reason}"
        return ""

    def _beam(self, event: str, length: float, start: float | None = None) -> Plan:
        yield from write_down(
            self._beam_notes,
            "beam",
            event=event,
            reason=self._reason if event != "up" else "",
            start=self.clock.now() if start is None else start,
            length=length,
            ring_current=float(self.beam.ring_current.value_now()),
            i0_rate=_number(self.beam.i0_rate),
        )

    def _compare(self, cell: CellWatch) -> Plan:
        signal = cell.potentiostat.sample_time
        device_time, stamp = float(signal.value_now()), signal.timestamp
        if math.isnan(device_time) or not stamp:
            return
        yield from write_down(
            self._clock_notes,
            "clocks",
            device="cycler",
            cell=cell.name,
            time=self.clock.now(),
            device_time=device_time,
            session_time=float(stamp),
            uncertainty=max(self.clock.rate, 1.0) * 0.05,
        )

    def _compare_detector(self, detector: AreaDetector) -> Plan:
        """Write the best of the latest comparisons down, unless it stands there already."""
        if detector.clock_watch is None:
            return
        device_time, session_time, uncertainty = detector.clock_watch.comparison()
        if math.isnan(device_time) or self._compared.get(detector.name) == device_time:
            return
        self._compared[detector.name] = device_time
        yield from write_down(
            self._clock_notes,
            "clocks",
            device=detector.name,
            time=self.clock.now(),
            device_time=device_time,
            session_time=session_time,
            uncertainty=uncertainty,
        )


def _number(signal: Any) -> float:
    return float(signal.value_now()) if signal.connected else math.nan
