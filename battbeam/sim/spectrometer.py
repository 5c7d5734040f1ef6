"""This file is where counts of a spectrum are made: axis, ring, sample, foil, counters and chance
come together.

A count of the scaler is one gate, a sweep many. It knows no Channel Access; everything here may take
a while and runs in the worker that frames are made in.
"""

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from battbeam.sim.beam import BeamLog, Instants
from battbeam.sim.changer import Place, place_of
from battbeam.sim.count_request import Reading, Request
from battbeam.sim.count_truth import count_truth
from battbeam.sim.counters import CounterModel, Photons, glitch_shares
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.furnace import FurnaceModel
from battbeam.sim.history import History
from battbeam.sim.in_beam import InBeam, Samples
from battbeam.sim.monochromator import Monochromator, energy_at
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import SessionClock
from battbeam.sim.truth import TruthWriter
from battbeam.units import FloatArray

#: Widest piece of a gate over which the energy counts as one, eV, and how many pieces a gate has at
#: least and at most; the narrowest feature, a glitch, is 0.6 eV.
_WIDEST_PIECE, _PIECES = 0.2, (3, 64)
#: Pieces of a gate in which the axis stands: the cell changes while it is counted.
_PIECES_AT_REST = 16
#: Change of lithium content over which a sweep's cell counts as one state.
_CONTENT_STEP = 0.002
#: Tell the random numbers of counts and sweeps from each other's and from those of frames.
_STREAMS = {"count": 4, "sweep": 5}


@dataclass(frozen=True)
class _Pieces:
    """The gates in pieces, shape (n_gates, n_pieces) each.

    Attributes:
        times: Middle of each, as the counters see it, s.
        photons: On the sample, glitches not taken off.
        energy: True, eV.
    """

    times: FloatArray
    photons: FloatArray
    energy: FloatArray

    @property
    def instant(self) -> Instants:
        """All of them as one instant, in the middle of the light."""
        total = float(self.photons.sum())
        weights = self.photons if total > 0 else None
        middle = float(np.average(self.times, weights=weights))
        return Instants(np.array([middle]), np.array([total]))

    @property
    def mean_energy(self) -> FloatArray:
        """Of each gate, eV."""
        return np.asarray(self.energy.mean(axis=1))

    def part(self, gates: slice) -> "_Pieces":
        """Of some gates."""
        return _Pieces(self.times[gates], self.photons[gates], self.energy[gates])


class Spectrometer:
    """Counts photons of a scenario."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        clock: SessionClock,
        histories: Sequence[History],
        ledger: FluenceLedger,
        beam_log: BeamLog,
        truth: TruthWriter,
        samples: Samples | None = None,
    ) -> None:
        """A spectrometer; ``histories`` are those of the cells, the first one's first, ``samples``
        what can be in the beam, made of the scenario if None.
        """
        self.scenario, self.clock = scenario, clock
        self.counters = CounterModel(scenario.spectroscopy)
        self.monochromator = Monochromator(scenario)
        self._histories, self._ledger, self._beam_log = histories, ledger, beam_log
        self.furnace = FurnaceModel(scenario.furnace, start=scenario.start)
        self._truth = truth
        self._samples = Samples(scenario) if samples is None else samples

    def take(self, request: Request) -> Reading:
        """What was counted in gates that are over; the clock stands meanwhile.

        Raises:
            ProcessError: If the cell's history does not come to the end of the last gate.
        """
        freezes = self.scenario.detector.compute_freezes_clock
        with self.clock.frozen("counters") if freezes else contextlib.nullcontext():
            place = place_of(self.scenario, request.x, request.y)
            if place.cell:
                self._histories[place.cell - 1].wait(request.end)
            return self.read(request, place)

    def read(self, request: Request, place: Place) -> Reading:
        """The same, without waiting; the same request gives the same counts."""
        self._ledger.advance(request.end, request.x, request.y)
        rng = np.random.default_rng([self.scenario.seed, _STREAMS[request.kind], request.number])
        pieces = self._pieces(request, rng)
        parts = self._parts(place, pieces)
        photons = _joined(
            [self._photons(pieces.part(gates), seen, request.foil) for gates, seen in parts]
        )
        counts = self.counters.count(
            photons, duration=np.diff(request.edges), gains=request.gains, rng=rng
        )
        fault = f"overload {' '.join(counts.overloaded)}" if counts.overloaded else ""
        bragg = self._bragg(request, pieces.energy.shape[1])
        self._truth.add(self._line(request, place, pieces, parts, bragg))
        return Reading(counts, bragg, fault)

    def _pieces(self, request: Request, rng: np.random.Generator) -> _Pieces:
        edges = request.edges - request.lag
        settings, middle = self.scenario.spectroscopy, (request.start + request.end) / 2
        at_edges = energy_at(request.axis.position_at(edges))
        widest = float(np.abs(np.diff(at_edges)).max())
        fewest, most = _PIECES
        n_pieces = min(max(math.ceil(widest / _WIDEST_PIECE), fewest), most)
        if widest == 0:
            n_pieces = _PIECES_AT_REST
        fine = _divided(edges, n_pieces)
        times = ((fine[1:] + fine[:-1]) / 2).reshape(-1, n_pieces)
        photons = np.diff(self._beam_log.cumulative(fine)).reshape(-1, n_pieces)
        energy = self.monochromator.energy_in_scan(
            request.axis.position_at(times), time=middle, n_turns=request.n_turns
        )
        jitter = settings.energy_jitter * rng.standard_normal((len(times), 1))
        return _Pieces(times, photons, energy + jitter)

    def _bragg(self, request: Request, n_pieces: int) -> FloatArray:
        """Mean reading in each gate: by the trapezoidal rule over what the encoder had last."""
        period = self.scenario.spectroscopy.encoder_period
        times = np.floor(_divided(request.edges, n_pieces) / period) * period
        readings = request.axis.reading_at(times)
        steps = (readings[1:] + readings[:-1]) / 2
        return np.asarray(steps.reshape(-1, n_pieces).mean(axis=1))

    def _parts(self, place: Place, pieces: _Pieces) -> list[tuple[slice, InBeam]]:
        """Gates between which the cell hardly changes, and what they see."""
        n_gates = len(pieces.times)
        if not place.cell:
            return [(slice(0, n_gates), self._samples.without_cell(place))]
        history = self._histories[place.cell - 1]
        ends = history.at(pieces.times[[0, -1], [0, -1]])
        change = abs(float(np.diff(ends.lithium_content)[0]))
        n_parts = min(max(math.ceil(change / _CONTENT_STEP), 1), n_gates)
        borders = np.linspace(0, n_gates, n_parts + 1).astype(int)
        heated_to = self.furnace.highest_until(float(pieces.times[-1, -1]))
        damage, cycles = self._ledger.damage(place), float(ends.cycles[-1])
        parts: list[tuple[slice, InBeam]] = []
        for first, last in itertools.pairwise(borders):
            gates = slice(int(first), int(last))
            seen = self._samples.cell(
                place,
                instants=pieces.part(gates).instant,
                mean_lithium_content=lambda times: history.at(times).lithium_content,
                cycles=cycles,
                heated_to=heated_to,
                damage=damage,
            )
            parts.append((gates, seen))
        return parts

    def _photons(self, pieces: _Pieces, seen: InBeam, foil: str) -> Photons:
        """What is expected in each gate of a part."""
        settings = self.scenario.spectroscopy
        # An axis that stands has one energy in all pieces of a gate.
        energy, back = np.unique(pieces.energy, return_inverse=True)
        shape = pieces.energy.shape
        on_i0, further = glitch_shares(energy, settings.glitches)
        through, foiled = seen.transmission(energy), self._samples.foil(foil, energy)
        third = np.array([3 * float(energy.mean())])
        hard, hard_foil = seen.transmission(third), self._samples.foil(foil, third)
        glows = seen.fluorescence(energy) * settings.fluorescence_efficiency + settings.scatter
        share = settings.harmonics

        def summed(of_energy: FloatArray) -> FloatArray:
            return np.asarray((pieces.photons * of_energy[back].reshape(shape)).sum(axis=1))

        return Photons(
            incident=summed(on_i0 * (1 + share)),
            behind_sample=summed(on_i0 * further * (through + share * hard)),
            behind_foil=summed(on_i0 * further * (through * foiled + share * hard * hard_foil)),
            fluorescence=summed(on_i0 * further * glows),
        )

    def _line(
        self,
        request: Request,
        place: Place,
        pieces: _Pieces,
        parts: Sequence[tuple[slice, InBeam]],
        bragg: FloatArray,
    ) -> dict[str, Any]:
        """For the truth file."""
        energy = pieces.mean_energy
        absorbance = [seen.absorbance(energy[gates]) for gates, seen in parts]
        arrays = {
            "energy": energy,
            "nominal_energy": energy_at(bragg),
            "absorbance": np.concatenate(absorbance),
            "photons": pieces.photons.sum(axis=1),
        }
        cell_state = None
        if place.cell:
            times = np.array([request.start, (request.start + request.end) / 2, request.end])
            cell_state = self._histories[place.cell - 1].at(times)
        _, middle = parts[len(parts) // 2]
        return (
            count_truth(request, place, arrays, cell_state)
            | middle.truth(float(energy[len(energy) // 2]))
            | {
                "temperature": self.furnace.temperature_at(request.end),
                "fluence": self._ledger.largest(place),
            }
        )


def _divided(edges: FloatArray, n_pieces: int) -> FloatArray:
    """Edges of the pieces of every gate, shape (n_gates * n_pieces + 1,)."""
    steps = np.arange(n_pieces) / n_pieces
    fine = edges[:-1, None] + np.diff(edges)[:, None] * steps
    return np.append(fine.ravel(), edges[-1])


def _joined(parts: Sequence[Photons]) -> Photons:
    """The gates of several parts after one another."""
    return Photons(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("incident", "behind_sample", "behind_foil", "fluorescence")
        )
    )
