"""Signals that are recorded beside a plan, every update once and as it came."""

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from battbeam.callbacks.channels import channel_of
from battbeam.devices.channel import Channel
from battbeam.devices.fake_spectroscopy import ready_furnace, ready_mass_spectrometer
from battbeam.devices.fakes import fake
from battbeam.devices.furnace import Furnace
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.processes import wait_for

KEY = "mass_spectrometer_ion_current"


@pytest.fixture
def spectrometer():
    made = ready_mass_spectrometer(fake(MassSpectrometer, name="mass_spectrometer"), (32, 44))
    cycle(made, 0.0)
    return made


def cycle(spectrometer, time):
    """One more cycle, that says when it was."""
    Signal.put(spectrometer.ion_current, [time, 0.0], timestamp=time, force=True)


class Recorded:
    """A RunEngine, and what it wrote."""

    def __init__(self):
        self.engine, self.documents = RunEngine({}), []
        self.engine.subscribe(lambda name, doc: self.documents.append((name, doc)))


def test_every_update_is_an_event_of_its_own_with_its_own_stamp(spectrometer):
    recorded = Recorded()

    def plan():
        yield from bps.open_run()
        for time in range(1, 41):
            cycle(spectrometer, float(time))
        while len(channel_of(recorded.documents, KEY).time) < 41:
            yield from bps.sleep(0.01)
        yield from bps.close_run()
        cycle(spectrometer, 99.0)

    recorded.engine(bpp.monitor_during_wrapper(plan(), [spectrometer.channel]))
    found = channel_of(recorded.documents, KEY)
    assert found.time.tolist() == list(range(41))
    assert found.values[:, 0].tolist() == list(range(41))
    assert found.unit == "A"
    assert found.configuration["mass_spectrometer_masses"] == [32.0, 44.0]
    streams = [doc["name"] for name, doc in recorded.documents if name == "descriptor"]
    assert streams == ["mass_spectrometer_monitor"]


def test_while_the_plan_is_paused_nothing_is_recorded_and_the_gap_is_said(spectrometer):
    recorded = Recorded()

    def fed(*times):
        for time in times:
            cycle(spectrometer, time)
        yield from bps.checkpoint()
        while times[-1] not in channel_of(recorded.documents, KEY).time:
            yield from bps.sleep(0.01)

    def plan():
        yield from bps.open_run()
        yield from fed(2.0, 4.0, 6.0)
        yield from bps.pause()
        yield from fed(22.0, 24.0)
        yield from bps.close_run()

    with pytest.raises(RunEngineInterrupted):
        recorded.engine(bpp.monitor_during_wrapper(plan(), [spectrometer.channel]))
    for time in (8.0, 10.0, 12.0, 20.0):
        cycle(spectrometer, time)
    recorded.engine.resume()
    found = channel_of(recorded.documents, KEY)
    # On resume the present value is told, with its own stamp.
    assert found.time.tolist() == [0.0, 2.0, 4.0, 6.0, 20.0, 22.0, 24.0]
    assert found.gaps(period=2.0) == [(6.0, 20.0)]


def test_any_signal_is_a_channel():
    furnace, told = ready_furnace(fake(Furnace, name="furnace")), []
    channel = Channel(furnace.readback, name="furnace")
    channel.subscribe(told.append)
    furnace.readback.sim_put(30.0)
    wait_for(lambda: told and told[-1]["furnace"]["value"] == 30.0, timeout=5, what="an update")
    channel.clear_sub(told.append)
    assert channel.describe()["furnace"]["units"] == "degC"
    assert channel.read()["furnace"]["value"] == 30.0
    assert "furnace_ramp" in channel.read_configuration()
    assert set(channel.describe_configuration()) == set(channel.read_configuration())
