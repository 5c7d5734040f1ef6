"""Find the middle of a cell and the tilt at which it is perpendicular to the beam, by what it lets through.

The first thing to do with a cell that was just mounted. The stage goes over the left, right, lower and
upper edge of what absorbs, then the cell is tilted to either side where the beamline can; counters before
and behind it are read at each point. Everything is put back, nothing else is changed. What was found is
printed, and stands in the stream ``alignment`` of the run: write the middle into ``site.json``
(``cell_positions``) or give it to maps as their centre, and put the tilt axis to the tilt.

    run_recipe(recipes["align_cell"], width=15.0, height=15.0)

``width`` and ``height`` are those of the electrode, mm. A cell that is farther off than ``reach`` is not
found: "no edge between ..." says where was looked; take a larger ``reach`` or another ``x`` and ``y``.
"""

from typing import Any

import bluesky.preprocessors as bpp
import numpy as np

from battbeam.devices.beamline import Beamline
from battbeam.experiment.description import Description, SiteFacts, map_cost
from battbeam.plans.align_cell import align_cell, alignment
from battbeam.plans.stubs import Plan
from battbeam.reduction.edges_of_cell import CellTilt


def sentences(document: str) -> list[str]:
    """What an alignment says, to be read."""
    told = []
    for name, found in alignment(document).items():
        if isinstance(found, CellTilt):
            told.append(f"perpendicular at {found.tilt:.2f} +- {found.tilt_error:.2f} degree")
        else:
            told.append(
                f"{name} of the middle: {found.position:.3f} +- {found.position_error:.3f} mm, "
                f"{found.size:.3f} mm from edge to edge"
            )
    return told


def _print(_: str, event: dict[str, Any]) -> None:
    if document := event["data"].get("alignment_document"):
        print("\n".join(sentences(document)), flush=True)


def plan(
    beamline: Beamline,
    width: float = 15.0,
    height: float = 15.0,
    x: float = 0.0,
    y: float = 0.0,
    reach: float = 1.0,
    n_points: int = 21,
    exposure: float = 1.0,
    tilt_reach: float = 15.0,
) -> Plan:
    """``n_points`` of ``exposure`` s over each edge, ``reach`` mm to either side, and of the tilt.

    ``x`` and ``y`` of the stage, mm, are where the middle is believed to be.
    """
    aligned = align_cell(
        beamline.detector,
        beamline.sample_stage,
        beam=beamline.beam,
        size=(width, height),
        centre=(x, y),
        reach=reach,
        n_points=n_points,
        exposure=exposure,
        tilt=beamline.tilt_stage,
        tilt_reach=tilt_reach,
    )
    return (yield from bpp.subs_wrapper(aligned, {"event": [_print]}))


def describe(
    site: SiteFacts,
    width: float = 15.0,
    height: float = 15.0,
    x: float = 0.0,
    y: float = 0.0,
    reach: float = 1.0,
    n_points: int = 21,
    exposure: float = 1.0,
    tilt_reach: float = 15.0,
) -> Description:
    """The same, for ``battbeam forecast``; the tilt's light falls on the middle."""
    steps = np.linspace(-reach, reach, n_points)
    places = [(x + side * width / 2 + float(step), y) for side in (-1, 1) for step in steps]
    places += [(x, y + side * height / 2 + float(step)) for side in (-1, 1) for step in steps]
    costs = {"alignment": map_cost(site, exposure, [*places, *[(x, y)] * n_points])}
    return Description(site=site, costs=costs, sequence=tuple(costs))
