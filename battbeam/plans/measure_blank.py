"""This file is where patterns are measured that others are compared with: of a cell without electrodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  registers the filters that frames are compressed with
import numpy as np

from battbeam.devices.beam import Beam
from battbeam.devices.detector import AreaDetector
from battbeam.devices.frames import FrameTrain
from battbeam.errors import DeviceError
from battbeam.plans.calibrate import summed
from battbeam.plans.one_point import at_one_point, check_frames
from battbeam.plans.preflight import missing_file, transmission_reference_faults
from battbeam.plans.stubs import Plan, in_thread

#: Where NDFileHDF5 keeps one value a frame of each counter.
BESIDE = "/entry/instrument/NDAttributes"


@dataclass(frozen=True)
class PatternOf:
    """What a pattern is measured of, and by what it is set beside others.

    Attributes:
        path: Where it is kept (.npz).
        dark: Frames without beam, taken off; None for none.
        transmission_reference: Counts behind over before, without a cell; None where the patterns that
            it is compared with have no transmission either.
        lithium_content: Of the electrode; NaN of a blank.
        host: ``working`` or ``counter``: which electrode.
    """

    path: Path
    dark: Path | None = None
    transmission_reference: float | None = None
    lithium_content: float = float("nan")
    host: str = "working"

    def faults(self) -> list[str]:
        """What is wrong with it before anything is measured, one sentence each."""
        found = transmission_reference_faults(self.transmission_reference)
        if self.dark is not None:
            found += missing_file("dark", self.dark)
        if self.lithium_content < 0:
            found.append(f"lithium_content must not be below 0, got {self.lithium_content:g}")
        return found


def measure_blank(
    detector: AreaDetector,
    *,
    beam: Beam,
    exposure: float,
    blank: Path,
    dark: Path | None = None,
    transmission_reference: float | None = None,
    n_frames: int = 5,
    positions: Sequence[tuple[Any, float]] = (),
    readables: Sequence[Any] = (),
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """The pattern of a cell without its electrodes: windows, casing, electrolyte, air.

    It is taken off with its noise where a run's ``reduction`` says ``{"options": {"blank": path}}``.
    Its noise goes into every pattern: measure it some times as long as one of them.

    Parameters
    ----------
    detector : AreaDetector
        That will measure the cells.
    beam : Beam
        Its shutter is open only while exposing.
    exposure : float
        Of one frame, s.
    blank : Path
        Where the pattern is kept (.npz).
    dark : Path, optional
        Frames without beam, as `measure_dark` left them.
    transmission_reference : float, optional
        Counts behind over before, without a cell.
    n_frames : int
        Added up.
    positions : list of (motor, position)
        Where the empty cell is in the beam; the motors are put back at the end.
    readables : list of Readable
        What else stands in the event.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    what = PatternOf(blank, dark, transmission_reference)
    return (
        yield from measured_pattern(
            detector,
            what,
            plan_name="measure_blank",
            beam=beam,
            exposure=exposure,
            n_frames=n_frames,
            positions=positions,
            readables=readables,
            md=md or {},
        )
    )


def measured_pattern(
    detector: AreaDetector,
    what: PatternOf,
    *,
    beam: Beam,
    exposure: float,
    n_frames: int,
    md: Mapping[str, Any],
    **point: Any,
) -> Plan:
    """Frames at one point, and their sum with what is needed to compare others with it.

    See `battbeam.plans.one_point.at_one_point`.
    """

    def keep() -> Plan:
        check_frames(detector, n_frames)
        train = FrameTrain(exposure=exposure, n_frames=n_frames)
        file, first = detector.file_path, int(detector.frame.get())
        dark_rate = float(beam.i0_dark_rate.get())
        yield from in_thread(lambda: keep_pattern(what, file, first, train, dark_rate))

    return (
        yield from at_one_point(
            detector,
            keep,
            beam=beam,
            exposure=exposure,
            n_frames=n_frames,
            md={"pattern": str(what.path), **md},
            faults=what.faults(),
            **point,
        )
    )


def keep_pattern(
    what: PatternOf, file: Path, first: int, train: FrameTrain, i0_dark_rate: float
) -> None:
    """Write the sum of frames as a measured pattern, whole or not at all.

    Args:
        what: Where, and of what.
        file: That their writer still holds open.
        first: Index of the first frame.
        train: How they were exposed.
        i0_dark_rate: Of the counter before the sample, 1/s.

    Raises:
        DeviceError: If the frames cannot be read in time, or no beam was counted beside them.
    """
    from battbeam.reduction.xrd_references import MeasuredPattern

    n_frames, exposure = train.n_frames, train.n_frames * train.exposure
    counts = summed(file, first, n_frames)
    variance = counts.copy()
    if what.dark is not None:
        with np.load(what.dark) as dark:
            ratio = exposure / float(dark["exposure"])
            below = np.asarray(dark["counts"], dtype=float)
        counts, variance = counts - ratio * below, variance + ratio**2 * below
    before, behind = (_beside(file, name, first, n_frames) for name in ("I0", "IT"))
    if not before > i0_dark_rate * exposure:
        raise DeviceError(f"{file}: no beam was counted beside its frames")
    reference = what.transmission_reference
    found = MeasuredPattern(
        counts=counts,
        variance=variance,
        i0=before - i0_dark_rate * exposure,
        transmission=1.0 if reference is None else behind / before / reference,
        lithium_content=what.lithium_content,
        host=what.host,
    )
    what.path.parent.mkdir(parents=True, exist_ok=True)
    scratch = what.path.with_suffix(".tmp.npz")
    found.write(scratch)
    scratch.replace(what.path)


def _beside(file: Path, name: str, first: int, n_frames: int) -> float:
    """Counts of a counter during some frames; NaN if they are not noted beside them."""
    with h5py.File(file, "r", libver="latest", swmr=True) as opened:
        noted = opened.get(f"{BESIDE}/{name}")
        if not isinstance(noted, h5py.Dataset) or len(noted) < first + n_frames:
            return float("nan")
        return float(np.sum(noted[first : first + n_frames]))
