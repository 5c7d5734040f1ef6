"""This file is where the photons of an exposure are counted: ring, shutter, attenuator, and what
fails of them.

Times are s on the session's clock. The ring decays exponentially from the start of the simulation,
or from the last injection where it is topped up; while an injection lasts, part of the photons is
lost. Dumps of the scenario and the fault ``Down`` take the beam away.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from battbeam.sim.scenario import Beam
from battbeam.units import AnyArray, FloatArray

#: Ring current at which ``Beam.flux`` is given, mA.
REFERENCE_CURRENT = 100.0
#: Changes kept: an exposure never reaches back further.
_KEPT_CHANGES = 4096
#: Pieces an exposure is cut into at least, and Gauss-Legendre points in each: exact where the
#: hidden state is linear in each piece, and within 1 % of an exposure's smear where it has a kink
#: inside one.
_PIECES, _POINTS = 4, 5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_POINTS)


@dataclass(frozen=True)
class BeamState:
    """What lets the beam through since ``time``."""

    time: float
    is_open: bool = False
    is_down: bool = False
    transmission: float = 1.0


@dataclass(frozen=True)
class Instants:
    """An exposure as a sum over instants.

    Attributes:
        times: Within the exposure, session clock, shape (n,); one (the middle) when there was no
            beam.
        photons: On the sample at each, shape (n,).
    """

    times: FloatArray
    photons: FloatArray

    @property
    def total(self) -> float:
        """Photons of the whole exposure."""
        return float(self.photons.sum())


class BeamLog:
    """Remembers when the beam was let through."""

    def __init__(self, beam: Beam, *, start: float) -> None:
        self.beam = beam
        self.start = start
        self._states: list[BeamState] = [BeamState(time=start)]

    @property
    def state(self) -> BeamState:
        """The latest."""
        return self._states[-1]

    def change(
        self,
        time: float,
        *,
        is_open: bool | None = None,
        is_down: bool | None = None,
        transmission: float | None = None,
    ) -> None:
        """Note that shutter, ring or attenuator are otherwise from ``time`` on."""
        state = replace(self.state, time=max(time, self.state.time))
        if is_open is not None:
            state = replace(state, is_open=is_open)
        if is_down is not None:
            state = replace(state, is_down=is_down)
        if transmission is not None:
            state = replace(state, transmission=transmission)
        self._states.append(state)
        del self._states[:-_KEPT_CHANGES]

    def state_at(self, time: float) -> BeamState:
        """The state that held at ``time``."""
        for state in reversed(self._states):
            if state.time <= time:
                return state
        return self._states[0]

    def was_closed(self, since: float) -> bool:
        """Whether the shutter has been closed all the time from ``since`` on."""
        return not self.state.is_open and self.state_at(since) is self.state

    def _is_dumped(self, time: float) -> bool:
        return any(begin <= time - self.start < begin + length for begin, length in self.beam.dumps)

    def ring_current(self, time: float) -> float:
        """mA at ``time``; 0 while the beam is lost."""
        if self._is_dumped(time) or self.state_at(time).is_down:
            return 0.0
        return self.beam.ring_current * math.exp(-self._since_filled(time) / self.beam.lifetime)

    def _since_filled(self, time: float) -> float:
        """s since the simulation started or the last injection began."""
        since, interval = max(time - self.start, 0.0), self.beam.top_up_interval
        return since if interval is None else since % interval

    def is_injecting(self, time: float) -> bool:
        """Whether the ring is being topped up at ``time``."""
        interval = self.beam.top_up_interval
        if interval is None or time - self.start < interval:
            return False
        return self._since_filled(time) < self.beam.top_up_length

    def next_top_up(self, time: float) -> float:
        """s from ``time`` to the beginning of the next injection, 0 while one lasts; NaN where
        there is none.
        """
        if self.beam.top_up_interval is None:
            return math.nan
        if self.is_injecting(time):
            return 0.0
        return self.beam.top_up_interval - self._since_filled(time)

    def flux(self, time: float) -> float:
        """Photons per s on the sample at ``time``."""
        state = self.state_at(time)
        share = self.ring_current(time) / REFERENCE_CURRENT * state.transmission
        if self.is_injecting(time):
            share *= 1 - self.beam.top_up_dip
        return self.beam.flux * share if state.is_open else 0.0

    def _edges(self, start: float, end: float) -> Sequence[float]:
        edges = {start, end, *np.linspace(start, end, _PIECES + 1).tolist()}
        edges.update(state.time for state in self._states)
        for begin, length in self.beam.dumps:
            edges.update((self.start + begin, self.start + begin + length))
        edges.update(self._injections(start, end))
        return sorted(edge for edge in edges if start <= edge <= end)

    def _injections(self, start: float, end: float) -> Iterator[float]:
        """Beginning and end of each injection that touches the time from ``start`` to ``end``."""
        interval = self.beam.top_up_interval
        if interval is None:
            return
        first = max(math.floor((start - self.start) / interval), 1)
        for number in range(first, math.floor((end - self.start) / interval) + 1):
            begin = self.start + number * interval
            yield from (begin, begin + self.beam.top_up_length)

    def instants(self, start: float, end: float) -> Instants:
        """Times and photons that stand for the exposure from ``start`` to ``end``."""
        times, photons = [], []
        edges = self._edges(start, end)
        for first, last in itertools.pairwise(edges):
            flux = self.flux((first + last) / 2)
            if flux == 0 or last <= first:
                continue
            inside = first + (_NODES + 1) / 2 * (last - first)
            decay = np.exp(-(inside - (first + last) / 2) / self.beam.lifetime)
            times.append(inside)
            photons.append(flux * decay * _WEIGHTS / 2 * (last - first))
        if not times:
            return Instants(np.array([(start + end) / 2]), np.zeros(1))
        return Instants(np.concatenate(times), np.concatenate(photons))

    def cumulative(self, times: FloatArray) -> FloatArray:
        """Photons on the sample from the first of ascending times, s, to each; shape (n,), exact."""
        edges = np.array(self._edges(float(times[0]), float(times[-1])))
        first, last = edges[:-1], edges[1:]
        middles, lifetime = (first + last) / 2, self.beam.lifetime
        flux = np.array([self.flux(float(middle)) for middle in middles])
        at_first = flux * np.exp((middles - first) / lifetime)

        def since(part: AnyArray, duration: FloatArray) -> FloatArray:
            return np.asarray(-at_first[part] * lifetime * np.expm1(-duration / lifetime))

        whole = since(np.arange(len(first)), last - first)
        part = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(first) - 1)
        before = np.concatenate(([0.0], np.cumsum(whole)))[part]
        return np.asarray(before + since(part, times - first[part]))
