"""Everything for spectra together, without the wire: records, axis, ring, a real sample."""

import asyncio
import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from battbeam.devices.fakes import ManualClock
from battbeam.sim.beam import BeamLog
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History
from battbeam.sim.mass_spectrometer import station_of
from battbeam.sim.monochromator import angle_at, energy_at
from battbeam.sim.motor import Motor
from battbeam.sim.scenario import (
    Beam,
    Cell,
    MassSpectrometer,
    Scenario,
    Spectroscopy,
    spectroscopy_stack,
)
from battbeam.sim.spectrometer import Spectrometer
from battbeam.sim.spectroscopy_station import SpectroscopyStation
from battbeam.sim.truth import TruthWriter


@dataclass
class SteppedClock:
    """A clock that goes on by a step each time that it is asked."""

    step: float = 0.01
    time: float = 1_750_000_100.0
    rate: float = 1e9

    def now(self) -> float:
        self.time += self.step
        return self.time

    def frozen(self, _token):
        return contextlib.nullcontext()


class Bench:
    def __init__(self, path, **settings):
        self.scenario = Scenario(
            cells=(Cell(chemistry="nmc811", active_loading=4.0, initial_lithium_content=0.9),),
            stack=spectroscopy_stack(),
            beam=Beam(energy=8300.0, lifetime=1e9),
            spectroscopy=Spectroscopy(**settings),
        )
        start = self.scenario.start
        history = path / "history.jsonl"
        rows = [
            {"time": start + time, "lithium_content": 0.7, "voltage": 3.8, "current": 0.0}
            | {"charge": 0.0, "side_charge": 0.0, "cycles": 0.0}
            for time in (-10, 1e6)
        ]
        history.write_text("".join(json.dumps(row) + "\n" for row in rows))
        histories, log = [History(history)], BeamLog(self.scenario.beam, start=start)
        log.change(start, is_open=True)
        self.path = path / "truth.jsonl"
        self.clock = SteppedClock()
        self.axis = Motor(
            "BRAGG",
            units="deg",
            limits=(1, 60),
            velocity=5.0,
            acceleration_time=0.05,
            position=angle_at(8300.0),
            encoder=self.scenario.spectroscopy.encoder,
            clock=self.clock,
        )
        self.executor = ThreadPoolExecutor(max_workers=1)
        self.station = SpectroscopyStation(
            "BL:",
            spectrometer=Spectrometer(
                self.scenario,
                clock=self.clock,
                histories=histories,
                ledger=FluenceLedger(self.scenario, beam_log=log, histories=histories),
                beam_log=log,
                truth=TruthWriter(self.path),
            ),
            axis=self.axis,
            clock=self.clock,
            executor=self.executor,
            stage=lambda: (0.0, 0.0),
        )

    async def ready(self):
        await self.axis.prepare()
        await self.station.prepare()
        await self.station.panel.wheel.Name.write("Ni")
        await self.station.panel.wheel.IsIn.write("In")

    async def count(self, energy):
        await self.axis.start(angle_at(energy))
        await self.axis.arrive()
        await self.station.scaler.count()
        scaler = self.station.scaler
        assert scaler.Fault.value == ""
        return [record.value for record in (scaler.I0, scaler.Transmitted, scaler.Reference)]

    @property
    def truth(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(**settings):
        made.append(Bench(tmp_path, **settings))
        return made[-1]

    yield make
    for each in made:
        each.executor.shutdown()


def test_step_by_step_the_counts_say_the_absorbance_of_the_truth_and_the_foils(bench):
    stand = bench(glitches=(), harmonics=0.0)
    energies = [8300.0, 8345.0, 8360.0, 8500.0]

    async def steps():
        await stand.ready()
        return np.array([await stand.count(energy) for energy in energies])

    i0, transmitted, reference = asyncio.run(steps()).T
    settings = stand.scenario.spectroscopy
    dark = settings.dark_rates[2]
    efficiency = settings.transmission_efficiency / settings.i0_efficiency
    absorbance = -np.log((transmitted - dark) / (i0 - dark) / efficiency)
    truth = np.array([line["absorbance"] for line in stand.truth])
    # 4e6 and 2e6 counts: 9e-4; four of them and a little.
    np.testing.assert_allclose(absorbance, truth, atol=4e-3)
    assert truth[-1] - truth[0] > 0.3
    foil = -np.log((reference - dark) / (transmitted - dark))
    assert foil[-1] - foil[0] > 1.0
    assert [line["count"] for line in stand.truth] == [1, 2, 3, 4]
    assert stand.truth[0]["valence"] == pytest.approx(stand.truth[-1]["valence"])


def test_a_sweep_shows_the_same_edge_as_steps_but_for_its_lag(bench):
    lag, duration = 0.02, 4.0
    stand = bench(lag=lag, energy_jitter=0.0, energy_repeatability=0.0)

    async def steps():
        await stand.ready()
        sweep = stand.station.sweep
        for record, value in (
            (sweep.Start, 8300.0),
            (sweep.Stop, 8400.0),
            (sweep.Duration, duration),
            (sweep.NSamples, 400),
        ):
            await record.write(value)
        await sweep.sweep()
        assert sweep.Fault.value == ""
        return energy_at(np.array(sweep.Bragg.value)), np.array(sweep.Transmitted.value)

    energy, _ = asyncio.run(steps())
    (line,) = stand.truth
    # 25 eV/s, 1 % less at one end than at the other.
    shift = np.array(line["energy"]) - energy
    np.testing.assert_allclose(shift, -25 * lag, atol=0.02)
    assert stand.station.sweep.Number.value == line["sweep"] == 1


def test_every_record_has_a_line_in_the_documentation_and_every_line_a_record(bench):
    page = Path(__file__).parents[2] / "docs" / "reference" / "beamline-pvs.md"
    cells = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("|")]
    documented = {name for cell in cells for name in re.findall(r"`([A-Z0-9_]+:\w+)`", cell)}
    served = {name.removeprefix("BL:") for name, _ in bench().station.records}
    with_gas = Scenario(mass_spectrometer=MassSpectrometer())
    gas = station_of(with_gas, "", clock=ManualClock(), heated_to=lambda time: 25.0)
    served |= set(gas.pvdb)
    axes = {"SAMPLE:X", "SAMPLE:Y", "SAMPLE:TILT", "MONO:BRAGG"}
    assert documented == served | axes


def test_the_ledger_is_left_to_it_only_while_it_works(bench):
    stand = bench()

    async def steps():
        await stand.ready()
        await stand.station.scaler.count()

    asyncio.run(steps())
    assert not stand.station.is_working
