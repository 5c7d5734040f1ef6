import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from battbeam.errors import ProcessError
from battbeam.sim.mca import EnergyDispersiveStation
from tests.sim.white import GRAPHITE, Bench, StandingClock


class SteppedClock(StandingClock):
    """A clock that goes on by a step each time that it is asked."""

    step = 0.05

    def now(self):
        self.time += self.step
        return self.time


class Panel:
    """The records of a station, without the wire."""

    def __init__(self, path, **settings):
        self.bench = Bench(path, **settings)
        self.clock = SteppedClock(time=self.bench.start + 100.0, rate=1e9)
        self.executor = ThreadPoolExecutor(max_workers=1)
        self.station = EnergyDispersiveStation(
            "SIM:BL:",
            analyser=self.bench.analyser,
            clock=self.clock,
            executor=self.executor,
            stage=lambda: (0.0, 0.0),
        )
        self.mca, self.shutter = self.station.mca, self.station.shutter


@pytest.fixture
def panel(tmp_path):
    made = Panel(tmp_path)
    yield made
    made.executor.shutdown()


def test_a_spectrum_is_that_of_the_gauge_at_the_axis_position(panel):
    async def steps():
        await panel.station.prepare()
        await panel.shutter.open(True)
        await panel.station.axis.start(GRAPHITE)
        await panel.station.axis.arrive()
        await panel.mca.Preset.write(4.0)
        await panel.mca.count()

    asyncio.run(steps())
    (line,), mca = panel.bench.truth, panel.mca
    assert line["z"] == pytest.approx(GRAPHITE)
    assert line["end"] - line["start"] == pytest.approx(4.0)
    assert sum(mca.Spectrum.value) == line["counts"] > 1e4
    assert len(mca.Spectrum.value) == mca.Used.value == 4096
    assert mca.RealTime.value == pytest.approx(4.0)
    assert mca.LiveTime.value == pytest.approx(line["live_time"])
    assert (mca.Stamp.value, mca.Number.value) == (line["end"], line["mca"])
    assert (mca.Fault.value, mca.Acquiring.value, panel.shutter.Status.value) == (
        "",
        "Done",
        "Open",
    )


def test_what_its_records_say_of_angle_and_energies_is_nearly_so(panel):
    asyncio.run(panel.station.prepare())
    settings = panel.bench.scenario.energy_dispersive
    assert panel.mca.Angle.value == settings.two_theta + settings.angle_offset
    assert panel.mca.Slope.value == settings.slope * (1 + settings.slope_offset)
    assert panel.mca.Offset.value == settings.offset


def test_a_spectrum_that_is_stopped_keeps_what_was_counted(panel):
    panel.clock.rate = 1.0

    async def steps():
        await panel.shutter.open(True)
        await panel.mca.Preset.write(1e4)
        counting = asyncio.ensure_future(panel.mca.count())
        for _ in range(5):
            await asyncio.sleep(0)
        busy = panel.mca.Acquiring.value
        panel.mca.stop()
        await counting
        return busy

    assert asyncio.run(steps()) == "Acquiring"
    (line,) = panel.bench.truth
    assert panel.mca.RealTime.value == pytest.approx(line["end"] - line["start"])
    assert 0 < panel.mca.RealTime.value < 100
    assert panel.mca.Fault.value == ""


def test_a_closed_shutter_counts_nothing(panel):
    async def steps():
        await panel.shutter.open(True)
        await panel.shutter.open(False)
        await panel.mca.count()

    asyncio.run(steps())
    assert sum(panel.mca.Spectrum.value) == 0


def test_a_fault_stands_in_a_record_and_the_next_spectrum_is_sound(panel, monkeypatch):
    take = panel.bench.analyser.take

    def fails(_request):
        raise ProcessError("the history has ended")

    async def steps():
        monkeypatch.setattr(panel.bench.analyser, "take", fails)
        await panel.mca.count()
        fault = panel.mca.Fault.value
        monkeypatch.setattr(panel.bench.analyser, "take", take)
        await panel.mca.count()
        return fault

    assert asyncio.run(steps()) == "the history has ended"
    assert (panel.mca.Fault.value, panel.mca.Number.value) == ("", 1)


def test_every_record_has_a_line_in_the_documentation_and_every_line_a_record(panel):
    page = Path(__file__).parents[2] / "docs" / "reference" / "edxrd.md"
    cells = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("|")]
    documented = {name for cell in cells for name in re.findall(r"`([A-Z0-9_]+(?::\w+)+)`", cell)}
    served = {name.removeprefix("SIM:BL:") for name, _ in panel.station.records}
    assert documented == served
