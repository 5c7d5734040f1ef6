"""This file is where cells of known lithium content are measured, for others to be compared with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.plans.measure_blank import PatternOf, measured_pattern
from battbeam.plans.stubs import Plan


def measure_end_member(
    detector: AreaDetector,
    *,
    beam: Beam,
    exposure: float,
    end_member: Path,
    lithium_content: float,
    host: Literal["working", "counter"] = "working",
    dark: Path | None = None,
    transmission_reference: float | None = None,
    n_frames: int = 5,
    positions: Sequence[tuple[Any, float]] = (),
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """The pattern of a cell whose lithium content is known, as it stands now.

    Measure two: a cell at rest fully charged, and fully discharged. Patterns are then unmixed into
    them, without any structure, where a run's ``reduction`` says
    ``{"options": {"references": {"charged": path, "discharged": path}}}``. Lattices must not change
    between the two but by their mixture: iron phosphate, stages of graphite. What noise one of them
    has is in the error of every pattern: measure them some times as long.

    Parameters
    ----------
    detector : AreaDetector
        That will measure the cells.
    beam : Beam
        Its shutter is open only while exposing.
    exposure : float
        Of one frame, s.
    end_member : Path
        Where the pattern is kept (.npz).
    lithium_content : float
        Of the electrode now, by its charge.
    host : str
        Which electrode's: ``working`` or ``counter``.
    dark : Path, optional
        Frames without beam, as `measure_dark` left them.
    transmission_reference : float, optional
        Counts behind over before, without a cell.
    n_frames : int
        Added up.
    positions : list of (motor, position)
        Where the cell is in the beam; the motors are put back at the end.
    readables : list of Readable
        What else stands in the event: the potentiostat.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    what = PatternOf(end_member, dark, transmission_reference, lithium_content, host)
    return (
        yield from measured_pattern(
            detector,
            what,
            plan_name="measure_end_member",
            beam=beam,
            exposure=exposure,
            n_frames=n_frames,
            positions=positions,
            readables=readables,
            md={"lithium_content": lithium_content, "host": host, **(md or {})},
        )
    )
