"""This file is where the channels of an energy-dispersive detector at one fixed angle get lattice spacings.

At a fixed angle a plane reflects the energy h c / (2 d sin(theta)), so 1 / d goes straight with the
channel. That line is all that a standard tells, and all that spacings need: neither the energy scale nor
the angle is known alone.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from battbeam.errors import ReductionError
from battbeam.materials import structure
from battbeam.reduction.peak_fit import fit_peaks
from battbeam.reduction.reflections import Reflections, free_edges_of, reflections_of
from battbeam.units import HC, AnyArray, FloatArray

# Lines of a standard: at least so strong beside the strongest, and so many widths from others.
_LEAST_STRENGTH, _APART = 0.05, 2.0
# Fewest lines of a standard, and how many channels one may lie beside the guess, in widths.
_LEAST_LINES, _REACH = 3, 3.0
# A line of the standard counts as found at this many errors.
_FOUND = 8.0
# Reduced chi squared of the standard's lines from which on they are not those of it.
_WORST_RESIDUAL = 20.0


@dataclass(frozen=True)
class EdxrdGuess:
    """What is known before: the detector's energy scale from its maker, the angle from a ruler.

    Attributes:
        offset: Energy of channel 0, eV.
        slope: eV a channel.
        two_theta: Degree, within 1 %.
        resolution: Full width at half maximum of a line at 40 keV, eV, within a third.
    """

    offset: float
    slope: float
    two_theta: float
    resolution: float = 350.0

    def channel(self, d_spacing: FloatArray) -> FloatArray:
        """Where a spacing is, roughly."""
        energy = HC / (2 * np.asarray(d_spacing) * np.sin(np.radians(self.two_theta) / 2))
        return np.asarray((energy - self.offset) / self.slope)


@dataclass(frozen=True)
class EdxrdCalibration:
    """Spacing against channel: channel = zero + scale / d.

    Attributes:
        zero: Channel.
        scale: Channel times angstrom.
        covariance: Of the two.
        width: Square of a line's full width at half maximum, channels squared: constant, and what it
            grows by a channel.
        two_theta: As guessed, degree; energies are those that belong to it.
        residual: Reduced chi squared of the standard's lines.
        standard: Which.
        time: Of the calibration, s since the Unix epoch.
    """

    zero: float
    scale: float
    covariance: tuple[tuple[float, float], tuple[float, float]] = field(repr=False)
    width: tuple[float, float]
    two_theta: float
    residual: float
    standard: str
    time: float

    @classmethod
    def fit(
        cls, counts: AnyArray, *, standard: str = "CeO2", guess: EdxrdGuess, time: float
    ) -> "EdxrdCalibration":
        """From the spectrum of a standard.

        Args:
            counts: Of each channel, shape (n,).
            standard: A phase of `battbeam.materials` whose lattice is known.
            guess: Where to begin.
            time: Of the spectrum, s since the Unix epoch.

        Raises:
            ReductionError: If fewer than three lines of it are found, or they are not its.
        """
        spacing, expected = _standard_lines(standard, guess, len(counts))
        width = np.full(len(expected), guess.resolution / guess.slope)
        axis, values = np.arange(len(counts), dtype=float), np.asarray(counts, dtype=float)
        errors = counting_errors(values)
        found = [
            fit_peaks(
                axis, values, errors, positions=expected[k : k + 1], full_width=width[k : k + 1]
            )
            for k in range(len(expected))
        ]
        position, error, full, full_error, area, area_error = (
            np.array([getattr(each, name)[0, 0] for each in found])
            for name in ("position", "position_error", "width", "width_error", "area", "area_error")
        )
        seen = np.isfinite(position) & (area > _FOUND * area_error)
        seen &= np.abs(position - expected) < _REACH * width
        if np.count_nonzero(seen) < _LEAST_LINES:
            raise ReductionError(
                f"{np.count_nonzero(seen)} lines of {standard} are found, {_LEAST_LINES} needed: check "
                f"the standard, the angle and the energy scale of the guess"
            )
        line, covariance, squares = _straight(1 / spacing[seen], position[seen], error[seen])
        residual = squares / max(int(np.count_nonzero(seen)) - 2, 1)
        if residual > _WORST_RESIDUAL:
            raise ReductionError(
                f"the lines are not those of {standard}: residual {residual:.0f}; check the guess"
            )
        widths, _, _ = _straight(position[seen], full[seen] ** 2, 2 * full[seen] * full_error[seen])
        return cls(
            zero=float(line[0]),
            scale=float(line[1]),
            covariance=(
                (float(covariance[0, 0]), float(covariance[0, 1])),
                (float(covariance[1, 0]), float(covariance[1, 1])),
            ),
            width=(float(widths[0]), float(widths[1])),
            two_theta=guess.two_theta,
            residual=residual,
            standard=standard,
            time=time,
        )

    @classmethod
    def read(cls, path: Path) -> "EdxrdCalibration":
        """From its .json.

        Raises:
            ReductionError: If the file is missing or malformed.
        """
        try:
            fields = json.loads(path.read_text())
            fields["covariance"] = tuple(tuple(row) for row in fields["covariance"])
            fields["width"] = tuple(fields["width"])
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise ReductionError(f"energy-dispersive calibration {path}: {fault}") from fault

    def write(self, path: Path) -> None:
        """As .json."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @property
    def energy_scale(self) -> float:
        """eV a channel, if the angle is as guessed."""
        return float(HC / (2 * np.sin(np.radians(self.two_theta) / 2) * self.scale))

    def channel(self, d_spacing: FloatArray | float) -> FloatArray:
        """Where a spacing is."""
        return np.asarray(self.zero + self.scale / np.asarray(d_spacing))

    def spacing(self, channel: FloatArray | float) -> FloatArray:
        """That a channel shows, angstrom."""
        return np.asarray(self.scale / (np.asarray(channel) - self.zero))

    def spacing_error(self, channel: float, error: float) -> float:
        """One standard deviation of it, angstrom, by that of a channel and of the calibration."""
        d = float(self.spacing(channel))
        gradient = np.array([d, 1.0]) * d / self.scale
        by_channel = d**2 / self.scale * error
        return float(np.sqrt(gradient @ np.array(self.covariance) @ gradient + by_channel**2))

    def energy(self, d_spacing: float) -> float:
        """eV at which a spacing reflects, if the angle is as guessed."""
        return float(HC / (2 * d_spacing * np.sin(np.radians(self.two_theta) / 2)))

    def full_width(self, channel: FloatArray | float) -> FloatArray:
        """Of a line at half maximum, channels."""
        square = self.width[0] + self.width[1] * np.asarray(channel, dtype=float)
        return np.asarray(np.sqrt(np.maximum(square, 1.0)))


def counting_errors(values: FloatArray) -> FloatArray:
    """One standard deviation of counts, from a mean over neighbours: own counts would draw a fit down."""
    smooth = np.convolve(np.pad(values, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    return np.asarray(np.sqrt(np.maximum(smooth, 1.0)), dtype=float)


def _standard_lines(
    standard: str, guess: EdxrdGuess, n_channels: int
) -> tuple[FloatArray, FloatArray]:
    """Spacings and expected channels of the strong lines of a standard that lie apart."""
    lowest = HC / (2 * (guess.offset + guess.slope * n_channels))
    smallest = float(lowest / np.sin(np.radians(guess.two_theta) / 2))
    base = structure(standard)
    reach = 2 * np.degrees(np.arcsin(min(1.0, HC / 40e3 / (2 * smallest))))
    lines: Reflections = reflections_of(standard, energy=40e3, two_theta_max=float(reach))
    edges = free_edges_of(base)
    spacing = 1 / np.sqrt(lines.metric @ (1 / edges**2))
    # Of a flat spectrum: multiplicity abs(F)^2 d^2.
    strength = lines.multiplicity * lines.squares(None)[0] * spacing**2
    channel = guess.channel(spacing)
    width = guess.resolution / guess.slope
    kept = []
    for index in np.argsort(-strength):
        if strength[index] < _LEAST_STRENGTH * strength.max():
            break
        inside = _APART * width < channel[index] < n_channels - _APART * width
        others = np.delete(channel, index)[np.delete(strength, index) > 0.02 * strength[index]]
        if inside and np.abs(others - channel[index]).min(initial=np.inf) > _APART * width:
            kept.append(int(index))
    order = sorted(kept, key=lambda index: -spacing[index])
    return np.asarray(spacing[order]), np.asarray(channel[order])


def _straight(
    x: FloatArray, y: FloatArray, error: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Height at 0 and slope of a line, their covariance, and chi squared."""
    weighted = np.column_stack([np.ones_like(x), x]) / error[:, None]
    covariance = np.asarray(np.linalg.inv(weighted.T @ weighted), dtype=float)
    found = covariance @ (weighted.T @ (y / error))
    left = y / error - weighted @ found
    return found, covariance, float(left @ left)
