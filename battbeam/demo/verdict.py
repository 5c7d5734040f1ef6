"""This file is where a demo's results are put beside the hidden truth, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from battbeam.demo import checks
from battbeam.demo.checks import Check
from battbeam.demo.options import DemoOptions
from battbeam.demo.truth import Truth
from battbeam.units import FloatArray

#: Below this fraction a phase's lines are too weak for its lattice to be asked for.
LEAST_FRACTION = 0.1
#: Reflections that are followed, by phase.
FOLLOWED = {
    "LiFePO4": ("311", "101"),
    "FePO4": ("311", "101"),
    "LixFePO4": ("311", "101"),
    "NMC811": (),
}
#: Mean reduced chi squared of a demo: largest departure from 1 that good frames have shown.
RESIDUAL = 0.05
#: A map finds the dead spot if the point with the least charge is the one that is nearest to it.
_DEAD_SPOT = "map: distance of the least charged point from the dead spot (mm)"
#: Comparisons that have an error, in one demo: sets z. Rounded up.
N_COMPARISONS = 1500


@dataclass(frozen=True)
class Measured:
    """Reduced rows and the truth of each.

    Attributes:
        rows: Along ``time``, invalid ones included.
        truth: Of every frame.
    """

    rows: xr.Dataset
    truth: Truth

    @property
    def valid(self) -> "Measured":
        """Only the frames that are said to be good."""
        keep = self.rows["valid"].to_numpy().astype(bool)
        return Measured(self.rows.isel(time=np.flatnonzero(keep)), self.truth)

    def where(self, keep: "np.typing.NDArray[np.bool_]") -> "Measured":
        """Some of the frames."""
        return Measured(self.rows.isel(time=np.flatnonzero(keep)), self.truth)

    def __len__(self) -> int:
        return int(self.rows.sizes["time"])

    def of(self, name: str) -> FloatArray:
        """A column of the rows."""
        return np.asarray(self.rows[name].to_numpy(), dtype=float)

    def true(self, *keys: str) -> FloatArray:
        """The truth of a quantity."""
        files, frames = self.rows["frame_file"].to_numpy(), self.rows["frame_index"].to_numpy()
        return self.truth.column(list(zip(map(str, files), map(int, frames), strict=True)), *keys)


def verdict(
    series: Measured,
    maps: Sequence[Measured],
    *,
    options: DemoOptions,
    passport: Mapping[str, float],
) -> list[Check]:
    """Every check of the reduction of one demo.

    Args:
        series: Patterns at the point in the middle of the cell.
        maps: The maps, in the order of time.
        options: Of the demo.
        passport: What the user believes.
    """
    z = checks.z_for(N_COMPARISONS)
    patterns, everything = series.valid, [series, *maps]
    found = [valid_frames(everything)]
    if options.phases == ("LiFePO4", "FePO4"):
        found += fractions([part.valid for part in everything], z)
    if options.chemistry == "lfp":
        found += _angles(patterns, options.phases, z)
    else:
        found += lattice(patterns, z)
    found.append(_active_amount(patterns, z))
    found += _residual(series, z)
    found.append(state_of_charge(everything, passport))
    found.append(_smeared(patterns))
    if maps and options.phases == ("LiFePO4", "FePO4"):
        found += _map(maps[-1].valid, z)
    return found


def valid_frames(parts: Sequence[Measured]) -> Check:
    """Every frame with beam is said to be good."""
    n = sum(len(part) for part in parts)
    n_beam = sum(int(part.true("beam").sum()) for part in parts)
    n_valid = sum(len(part.valid) for part in parts)
    return Check("valid frames, of those with beam", n_valid, n_beam, 0.0, n)


def fractions(parts: Sequence[Measured], z: float) -> list[Check]:
    """The fraction of FePO4, in each frame and in the mean, and its errors."""
    name = "phase_fraction_FePO4"
    values = {
        "recovered": np.concatenate([part.of(name) for part in parts]),
        "truth": np.concatenate([part.true("phase_fraction", "FePO4") for part in parts]),
        "error": np.concatenate([part.of(f"{name}_error") for part in parts]),
    }
    found = [
        checks.worst("FePO4 fraction, worst frame", **values, promised=checks.FRACTION, z=z),
        checks.mean_error(
            "FePO4 fraction, mean error", **values, promised=checks.MEAN_FRACTION, z=z
        ),
    ]
    return found + checks.pulls("FePO4 fraction", **values, z=z)


def _angles(patterns: Measured, phases: Sequence[str], z: float) -> list[Check]:
    found: list[Check] = []
    for phase in phases:
        part = patterns
        if len(phases) > 1:
            part = patterns.where(patterns.of(f"phase_fraction_{phase}") > LEAST_FRACTION)
        for hkl in FOLLOWED[phase]:
            column = f"two_theta_{phase}_{hkl}"
            values = {
                "recovered": part.of(column),
                "truth": part.true("two_theta", phase, hkl),
                "error": part.of(f"{column}_error"),
            }
            name = f"{phase} {hkl}, two theta (degree)"
            found.append(checks.worst(name, **values, promised=checks.ANGLE, z=z))
            found += checks.pulls(f"{phase} {hkl}", **values, z=z)
    return found


def lattice(patterns: Measured, z: float) -> list[Check]:
    """The edges of NMC811 and their errors."""
    found: list[Check] = []
    for edge, promised in checks.EDGE.items():
        column = f"lattice_NMC811_{edge}"
        values = {
            "recovered": patterns.of(column),
            "truth": patterns.true("lattice", "NMC811", edge),
            "error": patterns.of(f"{column}_error"),
        }
        found.append(checks.worst(f"NMC811 {edge} (angstrom)", **values, promised=promised, z=z))
        found += checks.pulls(f"NMC811 {edge}", **values, z=z)
    return found


def _active_amount(patterns: Measured, z: float) -> Check:
    return checks.constant(
        "active moles, relative to their mean",
        recovered=patterns.of("active_amount"),
        error=patterns.of("active_amount_error"),
        promised=checks.ACTIVE_AMOUNT,
        z=z,
    )


def _residual(series: Measured, z: float) -> list[Check]:
    """Of all patterns that were fitted: a bad fit makes a pattern invalid, and must show here."""
    fitted = series.where(np.isfinite(series.of("residual")))
    residual, deviation = fitted.of("residual"), fitted.of("residual_deviation")
    n = len(residual)
    sigma = float(np.sqrt(np.sum(deviation**2))) / n if n else float("nan")
    mean = float(residual.mean()) if n else float("nan")
    return [
        Check("residual: mean reduced chi squared", mean, 1.0, max(RESIDUAL, z * sigma), n, sigma)
    ]


def state_of_charge(parts: Sequence[Measured], passport: Mapping[str, float]) -> Check:
    """Of one cell, in the middle of each exposure."""
    recovered = np.concatenate([part.valid.of("state_of_charge") for part in parts])
    charge = np.concatenate([part.valid.true("charge_middle") for part in parts])
    truth = passport["initial_state_of_charge"] + charge / passport["nominal_capacity"]
    return checks.worst(
        "state of charge at mid-exposure",
        recovered=recovered,
        truth=truth,
        error=np.concatenate([checks.clock_error(part.valid.of, passport) for part in parts]),
        promised=checks.STATE_OF_CHARGE,
        z=0.0,
    )


def _smeared(patterns: Measured) -> Check:
    """At least 20 exposures must smear, or the state of charge was never put to the test."""
    n = int(np.sum(patterns.of("smear") >= 0.01))
    return Check("exposures with smear >= 0.01 (at least 20)", float(min(n, 20)), 20.0, 0.0, n)


def _map(measured: Measured, z: float) -> list[Check]:
    recovered, truth = measured.of("phase_fraction_FePO4"), measured.true("phase_fraction", "FePO4")
    found = checks.straight_line(
        "map",
        recovered=recovered,
        truth=truth,
        error=measured.of("phase_fraction_FePO4_error"),
        z=z,
    )
    if not len(measured):
        return [*found, Check(_DEAD_SPOT, float("nan"), 0.0, 0.01, 0)]
    # The simulation alone knows where the dead spot is: where the truth is least.
    x, y = measured.of("sample_stage_x"), measured.of("sample_stage_y")
    dead, seen = int(np.argmin(truth)), int(np.argmin(recovered))
    distance = float(np.hypot(x[dead] - x[seen], y[dead] - y[seen]))
    return [*found, Check(_DEAD_SPOT, distance, 0.0, 0.01, len(truth))]
