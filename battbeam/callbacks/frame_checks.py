"""This file is where frames are looked at, and set right, before a pattern is fitted to them."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.callbacks.cell_columns import INTEGER, NUMBER
from battbeam.errors import ReductionError
from battbeam.reduction.detector_faults import Lag, without_pile_up
from battbeam.reduction.frame_quality import FrameChecker
from battbeam.reduction.instrument import Instrument
from battbeam.reduction.pixels import PixelGeometry
from battbeam.reduction.reference_checks import candidates
from battbeam.reduction.reflections import free_edges_of, reflections_of
from battbeam.reduction.texture import modulation, ring_of
from battbeam.reduction.xrd import Dark, ScatteringPhase, XrdResult
from battbeam.units import AnyArray, FloatArray

#: Name, type and unit of what a row may get; the last five from the powder check.
COLUMNS: Mapping[str, tuple[str, str]] = {
    "lag_share": (NUMBER, "1"),
    "pile_up": (NUMBER, "1"),
    "error_scale": (NUMBER, "1"),
    "spottiness": (NUMBER, "1"),
    "n_outliers": (INTEGER, ""),
    "centre_shift": (NUMBER, "pixel"),
    "uneven_ring": (NUMBER, "1"),
}
#: Standard deviations from which on residual and unexplained peaks are said.
_SURE = 6.0
#: A ring is looked at over so many widths of its line, or pixels.
_RING = 6.0
#: Of all light in a ring's window, what square pixels and neighbouring lines make of an even ring: seen
#: up to 0.01 of it with pixels of 1 to 1.4 line widths, 0.035 and more where grains lie alike.
_CUT = 0.02
#: What is left of lag after so many times its own is nothing.
_FORGOTTEN = 20.0


@dataclass(frozen=True)
class AskedChecks:
    """What a start document's ``reduction["checks"]`` asks of frames before they are fitted.

    Attributes:
        powder: Whether each frame is compared with that of a smooth powder; about 0.3 s a megapixel.
        lag_fraction: Of a frame's counts that the next one shows right after it; 0: none.
        lag_time: In which that falls to 1/e, s.
        dead_time: Of a pixel after each photon, s; 0: none.
    """

    powder: bool = False
    lag_fraction: float = 0.0
    lag_time: float = math.inf
    dead_time: float = 0.0

    @classmethod
    def of(cls, asked: Mapping[str, Any] | None) -> "AskedChecks":
        """From a start document.

        Raises:
            ValueError: If something is asked that is not known, or cannot be.
        """
        if not isinstance(asked or {}, Mapping):
            raise ValueError(f"checks must be a table of powder, lag, dead_time, got {asked!r}")
        given = dict(asked or {})
        powder, lag = given.pop("powder", False), given.pop("lag", None)
        dead_time = given.pop("dead_time", 0.0)
        if given:
            raise ValueError(
                f"checks {', '.join(sorted(given))} are not known; there are powder, lag, dead_time"
            )
        if not isinstance(powder, bool):
            raise ValueError(f"powder of checks must be true or false, got {powder!r}")
        fraction, time = (0.0, math.inf) if lag is None else _numbers(lag, 2)
        if not (0 <= fraction < 1 and time > 0):
            raise ValueError(
                f"lag of checks must be [share of the frame before, 0 to 1, time > 0 s], got {lag!r}"
            )
        (lost,) = _numbers([dead_time], 1)
        if not 0 <= lost < math.inf:
            raise ValueError(f"dead_time of checks must be 0 s or more, got {dead_time!r}")
        return cls(powder=powder, lag_fraction=fraction, lag_time=time, dead_time=lost)


def _numbers(given: Any, n: int) -> tuple[float, ...]:
    """As many as that; NaN where it is something else."""
    is_so = isinstance(given, Sequence) and [isinstance(each, (int, float)) for each in given]
    return tuple(map(float, given)) if is_so == [True] * n else (math.nan,) * n


@dataclass(frozen=True)
class Looked:
    """A frame that was looked at.

    Attributes:
        frame: To be fitted, counts, shape (n_rows, n_columns).
        values: Of the columns.
        flags: What to know of it.
    """

    frame: AnyArray = field(repr=False)
    values: dict[str, Any]
    flags: tuple[str, ...] = ()


class FrameChecks:
    """Looks at the frames of one run, in their order.

    Args:
        asked: What to look for.
        geometry: A .poni.
        instrument: The .json beside it.
        phases: In the beam.
        shape: Of the frames.
        energy: eV.
        mask: True where a pixel is not used.
        saturation: Counts from which on a pixel is full; None: never.

    Raises:
        ReductionError: If a file cannot be read.
    """

    def __init__(
        self,
        asked: AskedChecks,
        *,
        geometry: Path,
        instrument: Path,
        phases: Sequence[ScatteringPhase],
        shape: tuple[int, int],
        energy: float | None,
        mask: AnyArray | None = None,
        saturation: float | None = None,
    ) -> None:
        self._saturation = saturation
        self._asked, self._phases, self._energy, self._mask = asked, phases, energy, mask
        self._lag = Lag(asked.lag_fraction, 0.0, asked.lag_time, 0.0)
        self._before: tuple[FloatArray, float] | None = None
        self._powder: FrameChecker | None = None
        if asked.powder:
            self._pixels = PixelGeometry.read(geometry, shape)
            self._widths = Instrument.read(instrument)
            polarization = self._widths.polarization
            self._powder = FrameChecker(self._pixels, mask=mask, polarization=polarization)
            self._rings = dict(self._strongest())

    @property
    def columns(self) -> dict[str, tuple[str, str]]:
        """Type and unit of each that a row gets."""
        asked = {"lag_share": self._asked.lag_fraction > 0, "pile_up": self._asked.dead_time > 0}
        return {name: key for name, key in COLUMNS.items() if asked.get(name, self._asked.powder)}

    @property
    def nothing(self) -> dict[str, Any]:
        """Values of a row without a frame."""
        return {n: -1 if kind == INTEGER else math.nan for n, (kind, _) in self.columns.items()}

    def look(self, pixels: AnyArray, *, start: float, exposure: float, dark: Dark | None) -> Looked:
        """A frame, set right where the run says what is wrong with its detector.

        Args:
            pixels: Counts, shape (n_rows, n_columns).
            start: Of the exposure, s.
            exposure: s.
            dark: Frames without beam.

        Raises:
            ReductionError: If a pixel has more counts than its dead time allows.
        """
        values, flags = self.nothing, list[str]()
        if not values:
            return Looked(pixels, values)
        below = None if dark is None else dark.counts * (exposure / dark.exposure)
        frame = np.asarray(pixels, dtype=float)
        if self._asked.lag_fraction > 0:
            frame = self._without_lag(frame, below, (start, start + exposure), values, flags)
        if self._asked.dead_time > 0:
            found = without_pile_up(frame, exposure=exposure, dead_time=self._asked.dead_time)
            frame, values["pile_up"] = found.counts, found.largest
            flags += found.flags
        if self._saturation is not None:
            # Nothing brings back what a full pixel has lost.
            frame = np.where(np.asarray(pixels) >= self._saturation, pixels, frame)
        if self._powder is not None:
            quality = self._powder.check(frame, dark=below)
            uneven, said = self._uneven(frame, below)
            values |= {
                "error_scale": quality.error_scale,
                "spottiness": quality.spottiness,
                "n_outliers": quality.n_outliers,
                "centre_shift": math.hypot(*quality.centre_shift),
                "uneven_ring": uneven,
            }
            flags += [*quality.flags, *said]
        return Looked(frame, values, tuple(flags))

    def _without_lag(
        self,
        frame: FloatArray,
        below: FloatArray | None,
        times: tuple[float, float],
        values: dict[str, Any],
        flags: list[str],
    ) -> FloatArray:
        recorded = frame if below is None else frame - below
        before, self._before = self._before, (recorded, times[1])
        if before is None:
            flags.append("lag: the frame before is not known")
            return frame
        delay = times[0] - before[1]
        if not 0 <= delay < _FORGOTTEN * self._asked.lag_time:
            values["lag_share"] = 0.0
            return frame
        share = self._lag.share(delay) * float(before[0].sum()) / max(float(recorded.sum()), 1.0)
        values["lag_share"] = share
        return self._lag.corrected(frame, before[0], delay=delay)

    def _strongest(self) -> list[tuple[str, tuple[float, float]]]:
        """Of each phase without lithium the angle of its strongest line and the width to look at."""
        if self._energy is None:
            return []
        low, high = float(self._pixels.two_theta.min()), float(self._pixels.two_theta.max())
        found = []
        for phase in self._phases:
            if phase.host is not None:
                continue
            lines = reflections_of(phase.phase, energy=self._energy, two_theta_max=high)
            edges = free_edges_of(lines.structure)
            angles = np.degrees(lines.two_theta(edges)[0])
            strength = np.where(angles > low, lines.strength(edges, None)[0], 0.0)
            if not strength.any():
                continue
            angle = float(angles[int(np.argmax(strength))])
            full = float(self._widths.full_width(np.array([angle]))[0])
            found.append((phase.phase, (angle, _RING * max(full, self._pixels.pixel_width[1]))))
        return found

    def _uneven(self, frame: FloatArray, below: FloatArray | None) -> tuple[float, list[str]]:
        """The most that a ring differs around the beam, relative, and what to say of it."""
        amplitudes, said = [math.nan], []
        for phase, (angle, width) in self._rings.items():
            # A ring that is hardly on the detector, or too weak, says nothing.
            with suppress(ReductionError):
                found = modulation(
                    ring_of(
                        frame,
                        self._pixels,
                        two_theta=angle,
                        width=width,
                        polarization=self._widths.polarization,
                        mask=self._mask,
                        dark=below,
                    )
                )
                amplitudes.append(found.amplitude)
                on = np.abs(self._pixels.two_theta - angle) <= width / 2
                # By its error of counting: all light in the ring's window over that of the line.
                light = found.cosine_error * np.sqrt(max(float(frame.ravel()[on].sum()), 1.0) / 4)
                if found.amplitude > _CUT * light:
                    said += [f"{phase} {flag}" for flag in found.flags]
        return float(np.fmax.reduce(amplitudes)), said

    def said_of(self, result: XrdResult) -> list[str]:
        """What a fit leaves over, if it was asked to look for that."""
        if not self._asked.powder:
            return []
        flags = []
        if result.residual > 1 + _SURE * result.residual_deviation:
            flags.append(f"residual {result.residual:.1f}: not all of the pattern is explained")
        if result.unexplained > _SURE:
            at = result.unexplained_two_theta
            flags.append(f"unexplained line at {at:.2f} degree{self._names(at)}")
        return flags

    def _names(self, two_theta: float) -> str:
        if self._energy is None:
            return ""
        listed = [phase.phase for phase in self._phases]
        full = float(self._widths.full_width(np.array([two_theta]))[0])
        near = max(full, self._pixels.pixel_width[1])
        found = candidates(two_theta, energy=self._energy, tolerance=near, listed=listed)
        names = ", ".join(each.phase for each in found)
        return f": {names} have one there" if names else ""
