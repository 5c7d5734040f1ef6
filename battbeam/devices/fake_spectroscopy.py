"""This file is where counters, sweeps, foils and furnaces without hardware are made, for tests.

They are the real classes: a count ends at once and takes its time of the clock that a test turns.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from ophyd.sim import fake_device_cache

from battbeam.connection import CounterCalibration
from battbeam.devices.beamline import Beamline
from battbeam.devices.counters import Counters
from battbeam.devices.energy_sweep import EnergySweep
from battbeam.devices.fakes import FakeReadback, FakeSetting, ManualClock, fake
from battbeam.devices.foil import Foil
from battbeam.devices.furnace import Furnace
from battbeam.devices.mass_spectrometer import MassSpectrometer
from battbeam.devices.signals import Action, ArrayReadback, FreshReadback, Lengthy

#: Counts per s of light in each channel, and without; of fake counters.
FAKE_RATES = {"i0": 1e6, "it": 4e5, "ir": 2e5, "fluorescence": 1e4, "fluorescence_input": 1.1e4}
FAKE_DARK_RATE = 100.0


class FakeAction(FakeSetting):
    """Has done what it does when it is begun."""

    def begin(self, ended: Callable[[], None]) -> None:
        """Put 1, and be done."""
        self.put(1)
        ended()


class FakeArrayReadback(Lengthy, FakeReadback):
    """Holds what the test puts with ``sim_put``."""


fake_device_cache.update(
    {Action: FakeAction, ArrayReadback: FakeArrayReadback, FreshReadback: FakeReadback}
)


def ready_counters(
    counters: Counters, clock: ManualClock, is_lit: Callable[[], bool] = lambda: True
) -> Counters:
    """Let fake counters count at `FAKE_RATES`, in the dark at `FAKE_DARK_RATE`."""
    for attribute in ("bragg", "stamp", "elapsed", "preset", *FAKE_RATES):
        getattr(counters, attribute).sim_put(0.0)
    counters.fault.sim_put("")
    for amplifier in counters.amplifiers.values():
        amplifier.index.sim_put(2)

    def count(value: int, **_: Any) -> None:
        if not value:
            return
        preset = float(counters.preset.get())
        clock.time += preset
        for channel, rate in FAKE_RATES.items():
            getattr(counters, channel).sim_put(preset * (rate if is_lit() else FAKE_DARK_RATE))
        counters.elapsed.sim_put(preset)
        counters.stamp.sim_put(clock.time)

    counters.count.sim_set_putter(count)
    return counters


def ready_sweep(sweep: EnergySweep, clock: ManualClock) -> EnergySweep:
    """Let a fake sweep have ramps of counts, from its start to its end."""
    for setting in (sweep.start, sweep.end, sweep.duration):
        setting.sim_put(0.0)
    sweep.n_samples.sim_put(0)
    sweep.fault.sim_put("")
    sweep.encoder_period.sim_put(1e-5)

    def go(value: int, **_: Any) -> None:
        if not value:
            return
        duration, n = float(sweep.duration.get()), int(sweep.n_samples.get())
        sweep.stamp_start.sim_put(clock.time)
        times = clock.time + np.linspace(duration / n, duration, n)
        clock.time += duration
        sweep.stamp_end.sim_put(clock.time)
        sweep.time.sim_put(times)
        sweep.bragg.sim_put(np.linspace(sweep.start.get(), sweep.end.get(), n))
        for channel in FAKE_RATES:
            getattr(sweep, channel).sim_put(np.full(n, FAKE_RATES[channel] * duration / n))

    sweep.go.sim_set_putter(go)
    return sweep


def ready_foil(foil: Foil, element: str = "") -> Foil:
    """Let a fake wheel turn at once."""
    foil.element.sim_put(element)
    foil.is_in.sim_put(int(bool(element)))
    return foil


def ready_furnace(furnace: Furnace, temperature: float = 25.0) -> Furnace:
    """Let a fake furnace be wherever it is sent."""

    def go(value: float, **_: object) -> None:
        furnace.programme.sim_put(value)
        furnace.readback.sim_put(value)

    go(temperature)
    furnace.ramp.sim_put(5.0)
    furnace.setpoint.sim_put(temperature)
    furnace.setpoint.sim_set_putter(go)
    return furnace


def ready_mass_spectrometer(
    spectrometer: MassSpectrometer, masses: tuple[float, ...] = (2, 28, 32, 36, 44)
) -> MassSpectrometer:
    """Let a fake mass spectrometer look at these masses, and open its valve at once."""
    spectrometer.n_masses.sim_put(len(masses))
    spectrometer.masses.sim_put(np.array(masses, dtype=float))
    spectrometer.ion_current.sim_put(np.zeros(len(masses)))
    for signal in (spectrometer.period, spectrometer.pulse, spectrometer.pulse_start):
        signal.sim_put(0.0)
    spectrometer.last_error.sim_put("")
    return spectrometer


def with_spectroscopy(beamline: Beamline) -> Beamline:
    """A fake beamline that can also measure spectra."""
    clock, shutter = beamline.clock, beamline.beam.shutter
    if not isinstance(clock, ManualClock):
        raise TypeError(f"a fake beamline has a clock that is turned by hand, not {clock!r}")
    counters = fake(
        Counters,
        name="counters",
        amplifiers="X:AMP_",
        calibration=CounterCalibration(
            counts_per_photon={"i0": 1e-3, "it": 1e-3, "ir": 1e-3, "if": 1.0},
            shares={"i0": 0.1, "it": 0.5},
            overload=1e7,
        ),
    )
    return replace(
        beamline,
        counters=ready_counters(counters, clock, lambda: shutter.position == 1),
        energy_sweep=ready_sweep(fake(EnergySweep, name="energy_sweep"), clock),
        foil=ready_foil(fake(Foil, name="foil")),
        furnace=ready_furnace(fake(Furnace, name="furnace")),
        mass_spectrometer=ready_mass_spectrometer(fake(MassSpectrometer, name="mass_spectrometer")),
    )
