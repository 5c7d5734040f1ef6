"""Operando tomography of tin oxide: particles swell, crack and lose their core while lithium goes in.

SnO becomes Li2O and Sn, and Sn then takes up lithium until it is Li4.4Sn. A tomogram of the fresh
particles, one whenever 12.5 % of the capacity has passed, and one at rest at the end; each takes 43 s,
0.6 % of the capacity at C/2. Darks and flats are shared while they are younger than half an hour. The
cell is a bed of particles in a tube of Kapton, 1.3 mm wide; its scenario is ``sim/sno_particles.toml``.
It is mounted if none is; the guard opens the circuit when the protocol has ended.
"""

from battbeam.devices.beamline import Beamline
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.forecast_curve import TableCurve
from battbeam.experiment.schedule import Schedule
from battbeam.plans.fields import Fields
from battbeam.plans.operando import operando
from battbeam.plans.patterns import POLICIES
from battbeam.plans.stubs import Plan, mounted
from battbeam.plans.tomography import tomogram, tomography_cost

PASSPORT = {
    "cell": "SnO-bed-1",
    "sample_uid": "sno-bed-1",
    "chemistry": "SnO",
    "molar_mass": 134.71,
    "active_mass": 3.53,
    "electrode_area": 1.767,
    "nominal_capacity": 4.5,
    "nominal_capacity_definition": "6.4 Li for each Sn: Li2O and Li4.4Sn",
    # Charged is without lithium: the first discharge puts it in.
    "initial_state_of_charge": 1.0,
    "initial_lithium_content": 0.03,
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 0.01, "voltage_max": 3.0, "current_max": 0.01},
}

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 600},
        {"step": "constant_current", "rate_C": -0.5, "until_voltage_V": 0.05, "until_time_s": 7200},
        {"step": "open_circuit_voltage", "until_time_s": 300},
    ],
}

#: V of an SnO electrode against lithium, by its state of charge: drawn by hand after what is usual.
CURVE = TableCurve(
    (0.0, 0.05, 0.15, 0.3, 0.5, 0.65, 0.7, 0.9, 0.97, 1.0),
    (0.02, 0.15, 0.28, 0.4, 0.53, 0.65, 0.8, 0.98, 1.2, 1.8),
    "drawn by hand",
)

#: mm by which the stage moves the tube out for flats, and s for which those are good.
FLAT_OFFSET, FLATS_FOR = 3.0, 1800.0


def schedule(fraction: float) -> Schedule:
    """The rests last until their tomogram is there."""
    return Schedule.parse(
        "fresh: every 60 s, 1 times, measure tomogram (step then measure)\n"
        "rest: when a rest step begins, measure tomogram (step then measure)\n"
        f"states: each time {100 * fraction:g} % of the capacity has passed, measure tomogram\n"
    )


def fields() -> Fields:
    """How darks and flats are taken: those of an earlier tomogram, while they are young."""
    return Fields(flat_offset=FLAT_OFFSET, n_darks=10, n_flats=30, max_age=FLATS_FOR)


def plan(
    beamline: Beamline,
    exposure: float = 0.1,
    period: float = 0.24,
    n_projections: int = 181,
    fraction: float = 0.125,
) -> Plan:
    """One discharge; a tomogram in each rest and whenever ``fraction`` of the capacity has passed."""
    guard, fly_camera = beamline.potentiostat, beamline.fly_camera
    if fly_camera is None:
        raise PreflightError("tin_oxide_tomography", ["this beamline declares no fly_camera"])
    measured = tomogram(
        fly_camera,
        stage=beamline.sample_stage,
        beam=beamline.beam,
        clock=beamline.clock,
        fields=fields(),
        exposure=exposure,
        period=period,
        n_projections=n_projections,
        energy=beamline.monochromator.position,
        readables=[guard],
        label="SnO-{:02d}",
    )
    yield from mounted(guard, PASSPORT)
    return (
        yield from operando(
            schedule(fraction),
            {"tomogram": measured},
            potentiostat=guard,
            beam=beamline.beam,
            clock=beamline.clock,
            protocol=PROTOCOL,
            policies=POLICIES,
        )
    )


def describe(
    site: SiteFacts,
    exposure: float = 0.1,
    period: float = 0.24,
    n_projections: int = 181,
    fraction: float = 0.125,
) -> Description:
    """The same, for ``battbeam forecast``."""
    cost = tomography_cost(
        site, exposure=exposure, period=period, n_projections=n_projections, fields=fields()
    )
    return Description(
        site=site,
        costs={"tomogram": cost},
        passport=CellPassport.read(PASSPORT),
        protocol=PROTOCOL,
        schedule=schedule(fraction),
        curve=CURVE,
    )
