"""A pouch that stands edge-on in a white beam, and analysers without the wire, for tests."""

import contextlib
import json
from dataclasses import dataclass

import numpy as np

from battbeam.sim.analyser import Analyser, Request
from battbeam.sim.beam import BeamLog
from battbeam.sim.history import HiddenState, History
from battbeam.sim.scenario import (
    Beam,
    Cell,
    CounterElectrode,
    EnergyDispersive,
    Scenario,
    pouch_stack,
)
from battbeam.sim.truth import TruthWriter

#: Middle of the graphite, its thickness, mm.
GRAPHITE, THICKNESS = -0.1375, 0.114


@dataclass
class StandingClock:
    """A clock that nobody turns."""

    time: float = 1_750_000_000.0
    rate: float = 1.0

    def now(self):
        return self.time

    def frozen(self, _token):
        return contextlib.nullcontext()


def pouch(*, seed=1, content=0.6, motion=None, **settings):
    """A scenario whose cell has graphite."""
    counter = CounterElectrode(
        material="graphite", initial_lithium_content=content, gradient_depth=10.0
    )
    cell = Cell(
        chemistry="nmc811", active_loading=12.0, dead_spot=None, counter=counter, motion=motion
    )
    return Scenario(
        seed=seed,
        cells=(cell,),
        stack=pouch_stack(),
        beam=Beam(lifetime=1e9),
        standard="CeO2",
        energy_dispersive=EnergyDispersive(**settings),
    )


def state(content, lag=0.0, displacement=0.0):
    """The cell at one instant."""
    values = (0.0, 0.5, 3.8, 0.0, 0.0, 0.0, 0.0, content, lag, 0.0, 0.0, displacement)
    return HiddenState(*(np.array([value]) for value in values))


class Bench:
    """An analyser with a cell whose graphite holds ``content``, even if its surfaces lead by ``lag``."""

    def __init__(self, path, *, content=0.6, lag=0.0, **settings):
        self.scenario = pouch(content=content, **settings)
        self.start, self.path = self.scenario.start, path / "truth.jsonl"
        row = {"lithium_content": 0.5, "voltage": 3.8, "current": 0.0, "charge": 0.0}
        row |= {"side_charge": 0.0, "cycles": 0.0, "counter_content": content, "counter_lag": lag}
        history = path / "history.jsonl"
        rows = [row | {"time": self.start + time} for time in (-10, 1e6)]
        history.write_text("".join(json.dumps(each) + "\n" for each in rows))
        self.white = BeamLog(self.scenario.beam, start=self.start)
        self.analyser = Analyser(
            self.scenario,
            clock=StandingClock(),
            histories=[History(history)],
            white=self.white,
            truth=TruthWriter(self.path),
        )
        self.number = 0

    def open(self, *, is_open=True):
        """The shutter, from the start on."""
        self.white.change(self.start, is_open=is_open)

    def take(self, z, *, exposure=10.0, at=None):
        """A spectrum at depth z, of the standard where ``at`` is its place."""
        self.number += 1
        begin = self.start + 20.0 * self.number
        x, y = (0.0, 0.0) if at is None else at
        return self.analyser.take(Request(self.number, begin, begin + exposure, x, y, z))

    @property
    def truth(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]
