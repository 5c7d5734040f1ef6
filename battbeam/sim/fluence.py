"""This file is where every photon that the shutter lets through is counted to the spot that it meets.

Whether a frame is taken or not: alignment, repeats and a shutter left open count too. While a train
of exposures runs, the detector's worker brings the ledger from exposure to exposure; otherwise the
beamline does, a few times a second.
"""

import math
import threading
from collections.abc import Sequence

import numpy as np

from battbeam.sim.beam import BeamLog
from battbeam.sim.changer import Place, place_of
from battbeam.sim.damage import Damage, FluenceMap
from battbeam.sim.electrode import footprint
from battbeam.sim.history import History
from battbeam.sim.scenario import Scenario


class FluenceLedger:
    """The photons on every spot of every cell of a scenario."""

    def __init__(
        self, scenario: Scenario, *, beam_log: BeamLog, histories: Sequence[History]
    ) -> None:
        """An empty ledger; ``histories`` are those of the cells, the first one's first."""
        self._scenario, self._beam_log, self._histories = scenario, beam_log, histories
        self._maps = [
            FluenceMap(scenario.beam, beam_damage=cell.beam_damage) for cell in scenario.cells
        ]
        self._time = scenario.start
        self._stage: tuple[float, float] | None = None
        self._lock = threading.Lock()

    def advance(self, time: float, x: float, y: float) -> None:
        """Count what came until ``time``, the stage then at (x, y) mm; what is past stays.

        Where the stage stood elsewhere the last time, either place takes half.
        """
        with self._lock:
            here = (x, y)
            places = [here] if self._stage in (None, here) else [self._stage or here, here]
            self._stage = here
            if time <= self._time:
                return
            since, self._time = self._time, time
            if self._beam_log.was_closed(since):
                return
            photons = self._beam_log.instants(since, time).total
            if photons > 0:
                for at in places:
                    self._add(at, photons / len(places), (since + time) / 2)

    def _add(self, stage: tuple[float, float], photons: float, time: float) -> None:
        place = place_of(self._scenario, *stage)
        if place.cell:
            content = self._content(place.cell, time)
            self._maps[place.cell - 1].add(place.x, place.y, photons, lithium_content=content)

    def _content(self, cell: int, time: float) -> float:
        """Mean lithium content of a cell, as near to a time as its history goes."""
        truth, history = self._scenario.cells[cell - 1], self._histories[cell - 1]
        if truth.beam_damage == 0:
            return truth.initial_lithium_content
        history.covers(time)
        if math.isinf(history.newest):
            return truth.initial_lithium_content
        within = min(max(time, history.oldest), history.newest)
        return float(history.at(np.array([within])).lithium_content[0])

    def damage(self, place: Place) -> Damage | None:
        """What ceased to take part under the points of the footprint at a place."""
        if not place.cell:
            return None
        cell = self._scenario.cells[place.cell - 1]
        beam = self._scenario.beam
        x, y, _ = footprint(place.x, place.y, beam=beam, cell=cell, way=place.way)
        with self._lock:
            return self._maps[place.cell - 1].damage(x, y)

    def largest(self, place: Place) -> float:
        """Largest fluence so far under the footprint at a place, photons per mm2; NaN without a
        cell.
        """
        if not place.cell:
            return math.nan
        with self._lock:
            return self._maps[place.cell - 1].largest(place.x, place.y)
