"""This file is where it is found where a cell stands in the beam: by what it lets through."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from numbers import Integral, Real
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.devices.notes import PointNotes, VerdictNotes
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.dose import DoseBudget
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.preflight import refuse, xrd_faults
from battbeam.plans.preprocessors import (
    shutter_closed_after,
    staged_run,
    suspended_without_beam,
)
from battbeam.plans.stubs import Exposure, Plan, also_read, expose_point, prepared, write_down
from battbeam.plans.xrd_series import xrd_metadata
from battbeam.reduction.edges_of_cell import (
    CellCentre,
    CellTilt,
    centre_of,
    edge_of_transmission,
    tilt_of_transmission,
    transmission,
)
from battbeam.units import FloatArray


@dataclass
class Scan:
    """Counts along one axis.

    Attributes:
        positions: Of the points that were counted.
        before: Counts before the sample.
        behind: Counts behind it.
    """

    positions: list[float] = field(default_factory=list)
    before: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)

    def curve(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Positions, transmission and its error, shape (n,) each.

        Raises:
            ReductionError: If a point has no counts.
        """
        ratio, error = transmission(np.array(self.before), np.array(self.behind))
        return np.array(self.positions), ratio, error


class _Scans:
    """The points of one run, counted through all its scans."""

    def __init__(self, how: Exposure) -> None:
        self._beam, self._n_points = how.beam, 0
        self._how = replace(how, before_event=self._count)
        self._notes = PointNotes()
        self._counts: tuple[float, float] | None = None

    def _count(self) -> Plan:
        beam = self._beam
        self._counts = float(beam.i0.value_now()), float(beam.transmission_counts.value_now())
        yield from bps.null()

    def along(self, motor: Any, positions: FloatArray) -> Plan:
        """Count at each position of a motor, which stays at the last; a `Scan`."""
        scan = Scan()
        for position in positions:
            yield from bps.checkpoint()
            yield from bps.mv(motor, float(position))
            self._counts = None
            yield from expose_point(self._how, self._notes, self._n_points)
            self._n_points += 1
            if self._counts is not None:
                scan.positions.append(float(position))
                scan.before.append(self._counts[0])
                scan.behind.append(self._counts[1])
        return scan


def align_cell(
    detector: AreaDetector,
    stage: SampleStage,
    *,
    beam: Beam,
    size: tuple[float, float],
    centre: tuple[float, float] = (0.0, 0.0),
    reach: float = 1.0,
    n_points: int = 21,
    exposure: float = 1.0,
    tilt: Any = None,
    tilt_reach: float = 15.0,
    readables: Sequence[Any] = (),
    suspend: bool = True,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Where the middle of a cell is, and at which tilt it is perpendicular to the beam.

    The stage goes over the left, right, lower and upper edge of what absorbs; where half of the beam
    is beside it is the edge, and the middle of two is the centre. There the cell is tilted to either
    side: the way through it is shortest where it is perpendicular. Counters before and behind the
    cell are gated by the detector's exposures. Everything is put back at the end: what was found
    stands in the stream ``alignment``, and is what to write into ``site.json`` (cell_positions) and
    to put the tilt axis to.

    Parameters
    ----------
    detector : AreaDetector
        Gates the counters.
    stage : SampleStage
        Moves the cell.
    beam : Beam
        Its shutter is open only while exposing.
    size : tuple of float
        Full width and height of what absorbs, mm: the electrode's.
    centre : tuple of float
        (x, y) of the stage where its middle is believed to be, mm.
    reach : float
        mm to either side of where an edge is believed to be.
    n_points : int
        Over each edge, and of the tilt.
    exposure : float
        Of each point, s.
    tilt : positioner, optional
        The tilt axis, degree; without one no tilt is looked for.
    tilt_reach : float
        To either side of where it is, degree.
    readables : list of Readable
        What else stands in every event.
    suspend : bool
        Suspend the plan while there is no beam.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run; its stream ``alignment`` holds the verdict as JSON.
    """
    refuse("align_cell", _scan_faults(size, centre, reach=reach, n_points=n_points))
    steps = np.linspace(-reach, reach, n_points)
    axes = (stage.x, stage.y)
    ends = [
        (axis, middle + sign * (length / 2 + reach))
        for axis, middle, length in zip(axes, centre, size, strict=True)
        for sign in (-1, 1)
    ]
    tilts = [] if tilt is None else [tilt.position - tilt_reach, tilt.position + tilt_reach]
    motors = [*axes, *([] if tilt is None else [tilt])]
    train = FrameTrain(exposure)
    refuse(
        "align_cell",
        xrd_faults(
            [detector],
            exposure=exposure,
            n_frames=1,
            period=0.0,
            reduction=None,
            positions=[*ends, *((tilt, position) for position in tilts)],
            devices=(detector, beam, stage, *motors, *readables),
        ),
        exposure_faults(beam, budget, None),
    )
    how = Exposure((detector,), beam, train, also_read(readables, motors), budget=budget)

    def body() -> Plan:
        yield from prepared([detector], train)
        scans, found = _Scans(how), {}
        here = list(centre)
        for k, (name, axis) in enumerate(zip("xy", axes, strict=True)):
            yield from bps.mv(axes[1 - k], here[1 - k])
            edges = []
            for sign in (-1, 1):
                scan = yield from scans.along(axis, centre[k] + sign * size[k] / 2 + steps)
                edges.append(edge_of_transmission(*scan.curve()))
            found[name] = centre_of(*edges)
            here[k] = found[name].position
            yield from bps.mv(axis, here[k])
        verdict = {name: asdict(each) for name, each in found.items()}
        if tilt is not None:
            at = float(tilt.position)
            scan = yield from scans.along(tilt, at + _tilts(tilt_reach, n_points))
            verdict["tilt"] = asdict(tilt_of_transmission(*scan.curve()))
        notes = VerdictNotes("", name="alignment")
        yield from write_down(notes, "alignment", document=json.dumps(verdict))

    said = {
        **xrd_metadata(how, plan_name="align_cell", reduction=None),
        "kind": "calibration",
        "n_points": (4 + (tilt is not None)) * n_points,
        "motors": [motor.name for motor in motors],
        "believed": {"centre": list(centre), "size": list(size)},
    }
    safe = shutter_closed_after(body(), beam)
    plan = staged_run(safe, {**said, **(md or {})}, detectors=[detector], motors=motors)
    return (yield from suspended_without_beam(plan, beam, suspend=suspend))


def alignment(document: str) -> dict[str, CellCentre | CellTilt]:
    """What the verdict of an `align_cell` says: ``x``, ``y`` and, if it was looked for, ``tilt``."""
    kinds = {"x": CellCentre, "y": CellCentre, "tilt": CellTilt}
    return {name: kinds[name](**each) for name, each in json.loads(document).items()}


def _tilts(reach: float, n_points: int) -> FloatArray:
    return np.linspace(-reach, reach, n_points)


def _scan_faults(
    size: tuple[float, float], centre: tuple[float, float], *, reach: float, n_points: int
) -> list[str]:
    faults = [
        f"{name} must be two numbers in mm, {what}, got {pair!r}"
        for name, what, pair in (
            ("size", "the full width and height of what absorbs", size),
            ("centre", "x and y of the stage", centre),
        )
        if np.shape(pair) != (2,)
        or not all(isinstance(value, Real) and isfinite(value) for value in pair)
    ]
    if not faults and not min(size) > 2 * reach > 0:
        faults.append(
            f"reach must be above 0 and below half of the cell, {min(size) / 2:g} mm, got {reach:g} mm"
        )
    if not isinstance(n_points, Integral) or n_points < 8:
        faults.append(f"n_points must be at least 8 for an edge with its sides, got {n_points!r}")
    return faults
