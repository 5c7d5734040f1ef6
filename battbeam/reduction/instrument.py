"""This file is where the shape of a line, as a standard showed it, is kept and computed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import FloatArray

_GAUSSIAN = 4 * np.log(2)


@dataclass(frozen=True)
class Instrument:
    """How wide the instrument makes a line. Angles are in degree.

    Attributes:
        width: Coefficients of the full width at half maximum in powers of tan(theta), degree.
        width_error: Of each.
        lorentzian: Share of the Lorentzian in the pseudo-Voigt.
        lorentzian_error: Of it.
        polarization: Horizontal degree of linear polarization that the calibration used.
        energy: eV.
        calibrant: Name of the standard.
        time: Of the calibration, s since the Unix epoch.
        geometry_error: Standard deviation of distance (mm), poni1 (mm), poni2 (mm), rot1, rot2
            (radian).
        spacing_error: Relative standard deviation of every lattice spacing because of the geometry.
        residual: Reduced chi squared of the calibration.
    """

    width: tuple[float, ...]
    width_error: tuple[float, ...]
    lorentzian: float
    lorentzian_error: float
    polarization: float | None
    energy: float
    calibrant: str
    time: float
    geometry_error: tuple[float, ...] = ()
    spacing_error: float = 0.0
    residual: float = float("nan")

    @classmethod
    def read(cls, path: Path) -> "Instrument":
        """From its .json.

        Raises:
            ReductionError: If the file is missing or malformed.
        """
        try:
            fields = json.loads(path.read_text())
            for name in ("width", "width_error", "geometry_error"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise ReductionError(
                f"instrument file {path} cannot be read: {fault}; make it with calibrate_geometry"
            ) from fault

    def write(self, path: Path) -> None:
        """As .json."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def full_width(self, two_theta: FloatArray) -> FloatArray:
        """Full width at half maximum at each angle, degree."""
        tangent = np.tan(np.radians(two_theta) / 2)
        return np.asarray(
            sum(c * tangent**power for power, c in enumerate(self.width)) + 0 * tangent
        )


def pseudo_voigt(distance: FloatArray, full_width: FloatArray, lorentzian: float) -> FloatArray:
    """Line of unit area at a distance from its middle; both in the unit of the width."""
    square = (distance / full_width) ** 2
    gaussian = np.sqrt(_GAUSSIAN / np.pi) * np.exp(-_GAUSSIAN * square)
    lorentz = 2 / np.pi / (1 + 4 * square)
    return np.asarray((lorentzian * lorentz + (1 - lorentzian) * gaussian) / full_width)
