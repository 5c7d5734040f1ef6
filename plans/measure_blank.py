"""Measure a blank: a cell without its electrodes, for what windows, casing, electrolyte and air scatter.

Mount the empty cell as the others will be, and find it (``plans/align_cell.py``). Leaves ``blank.npz`` in
the beamline's calibration directory. It is taken off every pattern of a run that asks for it, with its
noise:

    blank = str(beamline.calibration / "blank.npz")
    xrd_reduction(beamline.calibration, PHASES, options={"blank": blank})

Its noise is in every pattern, so measure it some times as long as one of them: ten frames of a pattern's
exposure add at most 5 % to the error. Calibrate first (``plans/calibrate.py``): the dark is taken off here. Give a
``transmission_reference``, counts behind over before without a cell, where the runs have one, and only
there.
"""

from battbeam.devices.beamline import Beamline
from battbeam.experiment.description import Description, SiteFacts, point_cost
from battbeam.plans.measure_blank import measure_blank
from battbeam.plans.stubs import Plan


def plan(
    beamline: Beamline,
    exposure: float = 20.0,
    n_frames: int = 10,
    x: float = 0.0,
    y: float = 0.0,
    name: str = "blank",
    transmission_reference: float | None = None,
) -> Plan:
    """``n_frames`` of ``exposure`` s with the stage at ``x`` and ``y``, mm, kept as ``name``."""
    stage = beamline.sample_stage
    return (
        yield from measure_blank(
            beamline.detector,
            beam=beamline.beam,
            exposure=exposure,
            blank=beamline.calibration / f"{name}.npz",
            dark=beamline.calibration / "dark.npz",
            transmission_reference=transmission_reference,
            n_frames=n_frames,
            positions=[(stage.x, x), (stage.y, y)],
            readables=[stage, beamline.monochromator],
        )
    )


def describe(
    site: SiteFacts,
    exposure: float = 20.0,
    n_frames: int = 10,
    x: float = 0.0,
    y: float = 0.0,
    name: str = "blank",
    transmission_reference: float | None = None,
) -> Description:
    """The same, for ``battbeam forecast``; the light falls on the empty cell."""
    costs = {name: point_cost(site, exposure, n_frames=n_frames, spot=(x, y))}
    return Description(site=site, costs=costs, sequence=tuple(costs), cell="blank")
