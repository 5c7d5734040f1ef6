"""This file is where the result of a forecast is, and which hard budgets it breaks."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from battbeam.errors import PreflightError
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.dispatch import Lateness
from battbeam.experiment.forecast_spectrum import SpectrumForecast
from battbeam.experiment.forecast_tally import MeasurementForecast


@dataclass(frozen=True)
class SpotForecast:
    """Light on one spot.

    Attributes:
        x: In the cell's frame, mm.
        y: mm.
        photons: On the sample.
        fluence: The largest in the footprint, photons per mm2, overlaps and earlier light counted.
        dose: The same in Gy; NaN without a declared material.
    """

    x: float
    y: float
    photons: float
    fluence: float
    dose: float


@dataclass(frozen=True)
class CellForecast:
    """What becomes of one cell.

    Attributes:
        cell: Its name.
        duration: s until its protocol has ended.
        state_of_charge: At the start, the lowest, the highest, and at the end.
        charge: Passed at the end, mAh, > 0 charges.
        throughput: Of either sign, mAh.
        lithium_content: By charge balance, at the start and at the end.
        ended: How the protocol ended.
        measurements: By kind.
        spots: Where light fell.
        transmission: Of the stack at the start and at the end, 1; NaN where it is not known.
        brightest_pixel: Counts expected in one frame of the longest exposure; NaN likewise.
        lateness: From becoming true to the start of its measurement, and how many were missed.
        missed: One line a rule that missed.
        limits: What else was reached: dose, parking.
        spectra: That are measured.
    """

    cell: str
    duration: float
    state_of_charge: tuple[float, float, float, float] = (math.nan, math.nan, math.nan, math.nan)
    charge: float = 0.0
    throughput: float = 0.0
    lithium_content: tuple[float, float] = (math.nan, math.nan)
    ended: str = "no protocol"
    measurements: tuple[MeasurementForecast, ...] = ()
    spots: tuple[SpotForecast, ...] = ()
    transmission: tuple[float, float] = (math.nan, math.nan)
    brightest_pixel: float = math.nan
    lateness: Lateness = field(default_factory=Lateness)
    missed: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    spectra: tuple[SpectrumForecast, ...] = ()


@dataclass(frozen=True)
class Forecast:
    """What an experiment will cost.

    Attributes:
        duration: s from its start to its end.
        cells: One each.
        n_frames: Of all detectors.
        n_bytes: Of frames, before compression.
        busy: Share of the time in which the beamline measures or moves, 1.
        faults: Why it is refused; empty if it may run.
        remarks: What the numbers rest on.
        site: Of which beamline.
    """

    duration: float = math.nan
    cells: tuple[CellForecast, ...] = ()
    n_frames: int = 0
    n_bytes: int = 0
    busy: float = math.nan
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    site: SiteFacts = field(default_factory=SiteFacts)

    def refuse(self) -> "Forecast":
        """Itself, if the experiment may run.

        Raises:
            PreflightError: With every fault.
        """
        if self.faults:
            raise PreflightError("forecast", self.faults)
        return self

    def to_document(self) -> dict[str, Any]:
        """As plain values; what is not known is null."""
        return dict(_plain(asdict(self)))

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_document(), indent=2)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def hard_faults(found: Forecast) -> list[str]:
    """Budgets of the site that it breaks, and what would fit."""
    faults, site = [], found.site
    if site.free_bytes is not None and found.n_bytes > site.free_bytes:
        n = int(site.free_bytes / found.n_bytes * found.n_frames)
        faults.append(
            f"frames need {found.n_bytes / 1e9:.3g} GB, {site.free_bytes / 1e9:.3g} GB are free: "
            f"what fits is at most {n} of {found.n_frames} frames, or another disk"
        )
    for cell in found.cells:
        faults += [f"{cell.cell}: {why}" for each in cell.spectra for why in each.faults]
        if cell.brightest_pixel > site.detector.saturation:
            share = site.detector.saturation / cell.brightest_pixel
            longest = max((each.exposure_max for each in cell.measurements), default=math.nan)
            faults.append(
                f"{cell.cell}: the brightest pixel would count {cell.brightest_pixel:.3g}, the "
                f"detector saturates at {site.detector.saturation:.3g}: what fits is an exposure "
                f"of at most {share * longest:.3g} s a frame, or a transmission of {share:.2g}"
            )
    return faults
