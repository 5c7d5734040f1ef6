"""One NMC811 cell, three techniques: diffraction map, Ni K spectra and tomogram at every state of charge.

The cell rests at steps of its charge, and in each rest the schedule measures a map, then sweeps over
the Ni edge, then a tomogram; the rest lasts until all three are there. Maps and tomograms are taken at
the energy at which the experiment begins: after the sweeps it is put back. All three have the state of
charge in their rows, so that one axis holds them. The cell has windows of Kapton and neither steel nor
copper; a tomogram sees a piece of it, 0.3 mm wide. Calibrate first (``plans/calibrate.py``,
``plans/calibrate_energy.py``); its scenario is ``sim/three_techniques.toml``. It is mounted if none
is; the guard opens the circuit when the protocol has ended.
"""

from collections.abc import Mapping
from typing import Any

from battbeam.devices.beamline import Beamline
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts, SpectrumRequest
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_spectrum import quick_xanes_cost
from battbeam.experiment.schedule import Schedule
from battbeam.plans.energy_standards import xanes_reduction
from battbeam.plans.fields import Fields
from battbeam.plans.measurements import Measurement, OwnRun
from battbeam.plans.operando import operando
from battbeam.plans.patterns import POLICIES
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan, mounted
from battbeam.plans.tomography import tomogram, tomography_cost
from battbeam.plans.xanes import quick_xanes, spectrum
from battbeam.plans.xrd_map import xrd_map, xrd_map_cost
from battbeam.plans.xrd_series import xrd_reduction

EDGE = "Ni K"

#: Everything crystalline in the beam.
PHASES = ("NMC811", "Al", "Li")

PASSPORT = {
    "cell": "NMC811-window-3",
    "sample_uid": "nmc811-window-3",
    "chemistry": "NMC811",
    "active_mass": 14.14,
    "electrode_area": 1.767,
    "nominal_capacity": 2.8,
    "nominal_capacity_definition": "third C/10 discharge, 2.8 to 4.3 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.97,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.8, "voltage_max": 4.45, "current_max": 0.01},
    "stack": [
        {"material": "Kapton", "thickness": 0.025, "depth": -0.4},
        {"material": "Li", "thickness": 0.2, "depth": -0.2},
        {"material": "polyethylene", "thickness": 0.025, "depth": -0.05},
        {"material": "active", "thickness": 0.03, "depth": 0.0},
        {"material": "carbon", "thickness": 0.004, "depth": 0.0},
        {"material": "Al", "thickness": 0.01, "depth": 0.03},
        {"material": "Kapton", "thickness": 0.025, "depth": 0.1},
    ],
}

#: 1/h, of charge and discharge.
RATE = 2.0
#: Share of the nominal capacity that passes before each rest; the last charge ends by its voltage.
STEPS = (0.2, 0.2, 0.2, 0.2, 0.25, -0.5)
#: s of a rest beside what is measured in it: rules take a moment each.
REST = 300.0
#: mm by which the stage moves the cell out for flats, and s for which those are good.
FLAT_OFFSET, FLATS_FOR = 19.0, 3600.0
#: Half a map's width and height, mm.
HALF_WIDTH = 1.2
#: degree from end to end of a tomogram: a whole turn finds the axis whatever edges scatter.
OMEGA = (-180.0, 180.0)
#: Projections take turns with so long a pause, of an exposure: the sample hardly turns in one.
PAUSE = 3.0


def protocol() -> dict[str, Any]:
    """Rests between steps of charge; at the end the cell is charged half way down again."""
    rest = {"step": "open_circuit_voltage", "until_time_s": REST}
    method: list[dict[str, Any]] = [rest]
    for fraction in STEPS:
        current = {
            "step": "constant_current",
            "rate_C": RATE if fraction > 0 else -RATE,
            "until_charge_fraction": abs(fraction),
            "until_voltage_V": 4.4 if fraction > 0 else 3.0,
        }
        method += [current, rest]
    return {"record": {"time_s": 10}, "method": method}


def schedule() -> Schedule:
    """At each state: the map, the sweeps, the tomogram, in this order."""
    when = "any of (every 24 h, 1 times; when a rest step begins)"
    return Schedule.parse(
        "\n".join(
            f"{name}: {when}, measure {name} (step then measure)"
            for name in ("map", "spectra", "tomogram")
        )
    )


def fields() -> Fields:
    """How darks and flats are taken: those of an earlier tomogram, while they are young."""
    return Fields(flat_offset=FLAT_OFFSET, n_darks=10, n_flats=20, max_age=FLATS_FOR)


def _square(beamline: Beamline, exposure: float, n_points: int) -> OwnRun:
    stage, energy = beamline.sample_stage, beamline.monochromator.position
    side = (-HALF_WIDTH, HALF_WIDTH, n_points)

    def square(said: Mapping[str, Any]) -> Plan:
        return xrd_map(
            [beamline.detector],
            *(stage.y, *side),
            *(stage.x, *side),
            beam=beamline.beam,
            clock=beamline.clock,
            exposure=exposure,
            readables=[beamline.potentiostat, stage],
            reduction=xrd_reduction(beamline.calibration, PHASES),
            suspend=False,
            md={**said, "energy": energy},
        )

    return OwnRun(square, motors=(stage.x, stage.y), may_be_asked=True)


def measurements(
    beamline: Beamline,
    exposure: float,
    n_points: int,
    duration: float,
    n_projections: int,
    projection: float,
) -> dict[str, Measurement]:
    """What the rules measure, by name."""
    stage, guard = beamline.sample_stage, beamline.potentiostat
    fly_camera = beamline.fly_camera
    if fly_camera is None:
        raise PreflightError("three_techniques", ["this beamline declares no fly_camera"])
    return {
        "map": _square(beamline, exposure, n_points),
        "spectra": spectrum(
            quick_xanes,
            EDGE,
            Station.of(beamline),
            stage=stage,
            duration=duration,
            reduction=xanes_reduction(beamline.calibration, [EDGE]),
        ),
        "tomogram": tomogram(
            fly_camera,
            stage=stage,
            beam=beamline.beam,
            clock=beamline.clock,
            fields=fields(),
            exposure=projection,
            period=projection * (1 + PAUSE),
            n_projections=n_projections,
            omega_start=OMEGA[0],
            omega_stop=OMEGA[1],
            energy=beamline.monochromator.position,
            readables=[guard],
            label="NMC811-{:02d}",
        ),
    }


def plan(
    beamline: Beamline,
    exposure: float = 12.0,
    n_points: int = 3,
    duration: float = 20.0,
    n_projections: int = 150,
    projection: float = 0.1,
) -> Plan:
    """One charge and half a discharge.

    ``exposure`` s a pattern of a square map of ``n_points`` a side, ``duration`` s a sweep,
    ``n_projections`` of ``projection`` s a tomogram.
    """
    guard = beamline.potentiostat
    measured = measurements(beamline, exposure, n_points, duration, n_projections, projection)
    yield from mounted(guard, PASSPORT)
    return (
        yield from operando(
            schedule(),
            measured,
            potentiostat=guard,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=protocol(),
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts,
    exposure: float = 12.0,
    n_points: int = 3,
    duration: float = 20.0,
    n_projections: int = 150,
    projection: float = 0.1,
) -> Description:
    """The same, for ``battbeam forecast``; of the spectra it says whether the cell lets them through."""
    side = (-HALF_WIDTH, HALF_WIDTH, n_points)
    return Description(
        site=site,
        costs={
            "map": xrd_map_cost(site, "y", *side, "x", *side, exposure=exposure),
            "spectra": quick_xanes_cost(site, duration),
            "tomogram": tomography_cost(
                site,
                exposure=projection,
                period=projection * (1 + PAUSE),
                n_projections=n_projections,
                omega_start=OMEGA[0],
                omega_stop=OMEGA[1],
                fields=fields(),
            ),
        },
        passport=CellPassport.read(PASSPORT),
        protocol=protocol(),
        schedule=schedule(),
        # A sweep passes 400 eV.
        spectra=[SpectrumRequest(EnergyGrid.of(EDGE, dwell=duration / 400))],
    )
