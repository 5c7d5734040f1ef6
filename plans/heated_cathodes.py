"""A charged cathode that is heated: layered oxide, spinel, rock salt, and the gas that it sets free.

The powder of a charged cathode sits in a capillary between windows of Kapton, without a foil: foils
expand, and their lines would lie about. The furnace heats it at an even rate, and a pattern is taken
each time that another ``step`` kelvin are passed; rows carry the temperature of the middle of their
exposures and the share of the metal in each phase. Where the beamline has a mass spectrometer its ion
currents (O2 at 32, CO2 at 44) are recorded meanwhile at its own rate, in the same run. Gas comes late
through its capillary: ``lag`` first measures by how much, with a pulse of argon. A pause stops the
ramp; the sample waits at its temperature, and the gas that nobody saw then is a gap in the record.

Afterwards `battbeam.reduction.heating` says at which temperatures half of each transition is over and
at which gas leaves fastest, and `battbeam.plots_heating` draws both. Calibrate first
(``plans/calibrate.py``); its scenario is ``sim/heated_cathode.toml``.
"""

from dataclasses import replace

import numpy as np

from battbeam.devices.beamline import Beamline
from battbeam.errors import PreflightError
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import Description, SiteFacts, map_cost
from battbeam.plans.heating_xrd import COLD, heated_reduction, heating_faults, heating_xrd
from battbeam.plans.measure_lag import capillary_metadata, measure_lag
from battbeam.plans.preflight import reduction_faults, refuse
from battbeam.plans.stubs import Plan

#: s that a pulse of argon and what comes after it take.
LAG = 140.0


def temperatures(start: float, stop: float, step: float) -> list[float]:
    """degC at which patterns are taken."""
    return [float(each) for each in np.arange(start, stop + step / 2, step)]


def faults(
    start: float, stop: float, step: float, ramp: float, lithium_content: float
) -> list[str]:
    """What is wrong with them, one sentence each."""
    found = []
    if not (start <= stop and step > 0):
        found.append(
            "start must not lie above stop, and step must be above 0 K, "
            f"got {start:g} to {stop:g} degC every {step:g} K"
        )
    if not ramp > 0:
        found.append(f"ramp must be greater than 0 K/min, got {ramp:g}")
    if not 0 <= lithium_content <= 1:
        found.append(f"lithium_content must be 0 to 1, got {lithium_content:g}")
    return found


def plan(
    beamline: Beamline,
    oxide: str = "HEC",
    lithium_content: float = 0.33,
    start: float = 30.0,
    stop: float = 450.0,
    step: float = 5.0,
    ramp: float = 5.0,
    exposure: float = 10.0,
    lag: bool = True,
) -> Plan:
    """Heat from ``start`` to ``stop`` degC at ``ramp`` K/min, a pattern of ``exposure`` s every ``step`` K.

    ``oxide`` is the layered phase, charged to ``lithium_content``; ``lag``: measure that of the mass
    spectrometer first.
    """
    furnace, spectrometer = beamline.furnace, beamline.mass_spectrometer
    if furnace is None:
        raise PreflightError("heated_cathodes", ["this beamline declares no furnace"])
    refuse("heated_cathodes", faults(start, stop, step, ramp, lithium_content))
    at = temperatures(start, stop, step)
    reduction = heated_reduction(beamline.calibration, oxide, lithium_content)
    # Before any argon is let in.
    refuse(
        "heated_cathodes",
        heating_faults(furnace, at, ramp, COLD),
        beamline.detector.train_faults(exposure=exposure),
        reduction_faults(reduction),
    )
    channels = [] if spectrometer is None else [spectrometer.channel]
    if spectrometer is not None and lag:
        yield from measure_lag(spectrometer, clock=beamline.clock, calibration=beamline.calibration)
    stage = beamline.sample_stage
    return (
        yield from heating_xrd(
            [beamline.detector],
            furnace,
            temperatures=at,
            ramp=ramp,
            beam=beamline.beam,
            exposure=exposure,
            channels=channels,
            readables=[stage],
            positions=[(stage.x, 0.0), (stage.y, 0.0)],
            reduction=reduction,
            md={
                "energy": beamline.monochromator.position,
                **capillary_metadata(beamline.calibration),
            },
        )
    )


def describe(
    site: SiteFacts,
    oxide: str = "HEC",
    lithium_content: float = 0.33,
    start: float = 30.0,
    stop: float = 450.0,
    step: float = 5.0,
    ramp: float = 5.0,
    exposure: float = 10.0,
    lag: bool = True,
) -> Description:
    """The same, for ``battbeam forecast``: the ramp takes the time, all light falls on one spot."""
    refuse("heated_cathodes", faults(start, stop, step, ramp, lithium_content))
    places = [(0.0, 0.0)] * len(temperatures(start, stop, step))
    heating = replace(map_cost(site, exposure, places), duration=60 * (stop - start) / ramp)
    costs = {"heating": heating}
    if lag:
        costs = {"lag": Cost(LAG)} | costs
    return Description(site=site, costs=costs, sequence=tuple(costs), cell=oxide)
