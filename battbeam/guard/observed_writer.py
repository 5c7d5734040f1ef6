"""This file is where an observed cell's log differs: its watermark follows what its sources tell."""

import math

from battbeam.experiment.protocol import Step
from battbeam.guard.driver import Comparison, Live
from battbeam.guard.writer import WATERMARK_INTERVAL, Writer


class ObservedWriter(Writer):
    """Writes down one observed cell."""

    def compare(self, comparison: Comparison) -> None:
        """Write a comparison of the log's clock with the session's."""
        self.line(
            "clock",
            device_time=comparison.device_time,
            session_time=comparison.session_time,
            uncertainty=comparison.uncertainty,
        )

    def sample_live(self, live: Live, step: Step | None, step_count: int) -> None:
        """Make a live value a sample, where there is no log."""
        self._commit_live(live, step, step_count)

    def mark_to(self, complete_to: float, *, wall: float) -> None:
        """Say up to when all is written, every half second."""
        if wall - self._last_watermark < WATERMARK_INTERVAL:
            return
        self._last_watermark = wall
        self._write_live()
        if not math.isnan(complete_to) and not complete_to <= self.watermark:
            self.watermark = complete_to
        self.line("watermark", complete_to=self.watermark, rate=self.clock.rate)

    def complete(self) -> None:
        """Nothing is promised at the end: the log of others may lag behind the cell."""
