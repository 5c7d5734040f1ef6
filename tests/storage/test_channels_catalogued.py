"""A channel that was recorded beside a plan, paused in between, is in the catalogue whole."""

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from battbeam.devices.fake_spectroscopy import ready_mass_spectrometer
from battbeam.devices.fakes import fake
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.storage.spool import Spool

STREAM, KEY = "mass_spectrometer_monitor", "mass_spectrometer_ion_current"


def recorded_with_a_pause(directory):
    """Cycles at 0, 2, 4, ... s, those of 10 to 18 s in a pause; the run's uid."""
    spectrometer = ready_mass_spectrometer(fake(MassSpectrometer, name="mass_spectrometer"))
    told = []

    def cycle(time):
        currents = time + np.arange(5.0)
        Signal.put(spectrometer.ion_current, currents, timestamp=time, force=True)

    def until(time):
        while time not in told:
            yield from bps.sleep(0.005)

    def plan():
        yield from bps.open_run()
        yield from bps.checkpoint()
        for time in (2.0, 4.0, 6.0, 8.0):
            cycle(time)
        yield from until(8.0)
        yield from bps.pause()
        for time in (20.0, 22.0):
            cycle(time)
        yield from until(22.0)
        yield from bps.close_run()

    cycle(0.0)
    engine = RunEngine({})
    with Spool(directory) as spool:
        engine.subscribe(spool)
        engine.subscribe(lambda name, doc: told.append(doc["timestamps"][KEY]), "event")
        with pytest.raises(RunEngineInterrupted):
            engine(bpp.monitor_during_wrapper(plan(), [spectrometer.channel]))
        for time in (10.0, 12.0, 18.0):
            cycle(time)
        (uid,) = engine.resume()
    return uid


def test_every_cycle_but_those_of_the_pause_is_catalogued_with_its_own_time(services, catalog):
    uid = recorded_with_a_pause(services.connection.spool)
    services.wait_published(timeout=20)
    table = catalog.table(uid, STREAM)
    expected = [0.0, 2.0, 4.0, 6.0, 8.0, 18.0, 20.0, 22.0]
    assert table[KEY].to_numpy()[:, 0].tolist() == expected
    np.testing.assert_array_equal(
        table[KEY].to_numpy(), np.array(expected)[:, None] + np.arange(5.0)
    )
    stored = catalog.run(uid).base[STREAM].base["internal"].read()
    assert stored[f"ts_{KEY}"].tolist() == expected
    assert stored["seq_num"].tolist() == list(range(1, 9))
