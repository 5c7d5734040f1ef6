"""Measure an end member: the pattern of a cell whose lithium content is known, as it stands now.

Patterns of a run are then unmixed into two such cells, without any structure. Run it twice, on a cell at
rest: once fully charged, once fully discharged.

    run_recipe(recipes["measure_end_members"], name="charged")
    ...                                               # discharge it, let it rest
    run_recipe(recipes["measure_end_members"], name="discharged")

Each leaves ``<name>.npz`` in the beamline's calibration directory; a run asks for them so:

    files = {name: str(beamline.calibration / f"{name}.npz") for name in ("charged", "discharged")}
    xrd_reduction(beamline.calibration, (), options={"references": files})

No phase is named then: foils and casing are in both. The lithium content is that by the charge since the
cell was mounted, if none is given; that of the counter electrode must be given. Lattices must not change
between the two but by their mixture: iron phosphate, stages of graphite. Their noise is in every pattern:
measure them some times as long as one. Calibrate first (``plans/calibrate.py``).
"""

from typing import Literal

from battbeam.devices.beamline import Beamline
from battbeam.errors import PreflightError
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.plans.measure_end_members import measure_end_member
from battbeam.plans.preflight import mounted_cell
from battbeam.plans.stubs import Plan


def content_by_charge(beamline: Beamline, host: str) -> float:
    """Lithium content of the working electrode by the charge that has passed.

    Raises:
        PreflightError: If no cell is mounted, or the counter electrode is asked for.
    """
    passport = mounted_cell(beamline.potentiostat)
    if passport is None or host != "working":
        why = "no cell is mounted" if passport is None else f"host is {host!r}"
        raise PreflightError(
            "measure_end_members", [f"lithium_content is not known by charge, {why}: give it"]
        )
    return float(
        passport.lithium_content_from_charge(float(beamline.potentiostat.charge.value_now()))
    )


def plan(
    beamline: Beamline,
    name: str = "charged",
    lithium_content: float | None = None,
    host: Literal["working", "counter"] = "working",
    exposure: float = 20.0,
    n_frames: int = 10,
    x: float = 0.0,
    y: float = 0.0,
    transmission_reference: float | None = None,
) -> Plan:
    """``n_frames`` of ``exposure`` s with the stage at ``x`` and ``y``, mm, kept as ``name``."""
    stage = beamline.sample_stage
    if lithium_content is None:
        lithium_content = content_by_charge(beamline, host)
    return (
        yield from measure_end_member(
            beamline.detector,
            beam=beamline.beam,
            exposure=exposure,
            end_member=beamline.calibration / f"{name}.npz",
            lithium_content=lithium_content,
            host=host,
            dark=beamline.calibration / "dark.npz",
            transmission_reference=transmission_reference,
            n_frames=n_frames,
            positions=[(stage.x, x), (stage.y, y)],
            readables=[beamline.potentiostat, stage, beamline.monochromator],
        )
    )


def describe(
    site: SiteFacts,
    name: str = "charged",
    lithium_content: float | None = None,
    host: Literal["working", "counter"] = "working",
    exposure: float = 20.0,
    n_frames: int = 10,
    x: float = 0.0,
    y: float = 0.0,
    transmission_reference: float | None = None,
) -> Description:
    """The same, for ``battbeam forecast``."""
    costs = {name: point_cost(site, exposure, n_frames=n_frames, spot=(x, y))}
    return Description(site=site, costs=costs, sequence=tuple(costs))
