"""This file is where an analyser and a white beam without hardware are made, for tests.

They are the real classes: a spectrum is there at once and takes its time of the clock that a test turns.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from battbeam.connection import WhiteBeamCalibration
from battbeam.devices import fake_spectroscopy  # noqa: F401  makes actions and arrays without hardware
from battbeam.devices.beamline import Beamline
from battbeam.devices.energy_dispersive import EnergyDispersive
from battbeam.devices.fakes import ManualClock, fake, ready_motor
from battbeam.devices.layer_stage import LayerStage
from battbeam.devices.white_beam import WhiteBeam
from battbeam.units import FloatArray


def ready_mca(
    mca: EnergyDispersive,
    clock: ManualClock,
    spectrum: Callable[[float], FloatArray],
    is_lit: Callable[[], bool] = lambda: True,
) -> EnergyDispersive:
    """Let a fake analyser count what ``spectrum`` gives for a live time, a tenth of it busy."""
    for signal in (mca.counted_real, mca.counted_live, mca.counted_stamp):
        signal.sim_put(0.0)
    for signal, value in ((mca.preset, 1.0), (mca.offset, 100.0), (mca.slope, 30.0)):
        signal.sim_put(value)
    mca.two_theta.sim_put(5.03)
    mca.fault.sim_put("")
    for signal in (mca.acquiring, mca.halt, mca.start):
        signal.sim_put(0)
    mca.spectrum.sim_put(np.zeros(4096))
    mca.n_channels.sim_put(4096)

    def count(value: int, **_: Any) -> None:
        if not value:
            return
        real = float(mca.preset.get())
        clock.time += real
        live = 0.9 * real
        mca.spectrum.sim_put(spectrum(live) if is_lit() else np.zeros(4096))
        mca.counted_real.sim_put(real)
        mca.counted_live.sim_put(live)
        mca.counted_stamp.sim_put(clock.time)

    mca.start.sim_set_putter(count)
    return mca


def ready_white_beam(white: WhiteBeam) -> WhiteBeam:
    """Let a fake white beam be up, with a shutter that follows its command."""
    white.ring_current.sim_put(100.0)
    white.shutter.status.sim_put(0)
    white.shutter.command.sim_set_putter(lambda wanted, **_: white.shutter.status.sim_put(wanted))
    return white


def with_edxrd(
    beamline: Beamline,
    spectrum: Callable[[float, float], FloatArray],
    *,
    calibration: WhiteBeamCalibration | None = None,
) -> Beamline:
    """A fake beamline that has a white beam too.

    Args:
        beamline: As `battbeam.devices.fakes.fake_beamline` makes it.
        spectrum: Counts of each channel, shape (4096,), with the layers' axis at a position (mm) for so
            many s of live time.
        calibration: Of the white beam.
    """
    if not isinstance(beamline.clock, ManualClock):
        raise TypeError("a fake beamline has a clock that is turned by hand")
    stage = fake(LayerStage, name="sample_stage")
    for axis in (stage.x, stage.y, stage.z):
        ready_motor(axis)
    white = ready_white_beam(fake(WhiteBeam, name="white_beam"))
    mca = ready_mca(
        fake(EnergyDispersive, name="mca", calibration=calibration),
        beamline.clock,
        lambda live: spectrum(float(stage.z.position), live),
        is_lit=lambda: white.shutter.position == 1,
    )
    return replace(beamline, sample_stage=stage, energy_dispersive=mca, white_beam=white)
