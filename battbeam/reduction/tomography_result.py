"""This file is where the reduction of a tomogram says what it was asked and what it found.

Convention, everywhere in the imaging reduction: a volume has the axes (row, z, x), in 1/mm. Row 0 is
row 0 of the detector, the bottom one (y up, along the rotation axis); seen from the source x points
right and z downstream at omega 0, both measured from the rotation axis, which stands in the middle of
the last two axes, at ``(n - 1) / 2``. At ``omega > 0`` the sample has turned clockwise as seen from
above: the point (x, z) is seen in column ``axis + (x cos(omega) + z sin(omega)) / pixel_size``.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray


@dataclass(frozen=True)
class TomographyOptions:
    """How a tomogram is reduced. The defaults are meant to be right for a cell.

    Attributes:
        method: ``nufft`` needs finufft; ``fbp`` is numpy alone, agrees with it, and is slower.
        window: On the ramp filter: none (``ramp``), the one that linear interpolation between pixels
            is (``linear``), or more resolution traded for less noise (``hann``).
        axis: Column of the rotation axis, from 0; None finds it in the projections.
        ring_width: Columns over which a sinogram must vary for it not to be a ring; 0 leaves
            rings as they are.
        air_width: Columns at either side that are looked at for air, to follow the beam's
            intensity; 0 takes the flats' word for it.
        propagation_distance: Sample to scintillator, mm; with ``delta_over_beta``, the phase is
            retrieved.
        delta_over_beta: Of the material whose edges matter; None leaves the phase alone.
        saturation: Counts at which a pixel is full; None for no limit.
        preview_binning: Pixels along each side that become one in a preview's volume.
    """

    method: Literal["nufft", "fbp"] = "nufft"
    window: Literal["ramp", "linear", "hann"] = "ramp"
    axis: float | None = None
    ring_width: int = 15
    air_width: int = 8
    propagation_distance: float | None = None
    delta_over_beta: float | None = None
    saturation: float | None = 65535.0
    preview_binning: int = 4

    def __post_init__(self) -> None:
        known = {"method": ("nufft", "fbp"), "window": ("ramp", "linear", "hann")}
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise ReductionError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}"
                )
        if self.ring_width and (self.ring_width < 5 or self.ring_width % 2 == 0):
            raise ReductionError(f"ring_width must be 0, or odd and >= 5, got {self.ring_width}")
        if self.preview_binning < 1 or self.air_width < 0:
            raise ReductionError(
                f"preview_binning must be >= 1 and air_width >= 0, got {self.preview_binning} and "
                f"{self.air_width}"
            )
        if (self.propagation_distance is None) != (self.delta_over_beta is None):
            raise ReductionError(
                "phase retrieval wants both propagation_distance (mm) and delta_over_beta"
            )

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "TomographyOptions":
        """From a start document's ``reduction``, whose ``method`` names the technique.

        The method of reconstruction is its ``reconstruction``.

        Raises:
            ReductionError: If an option is unknown or out of range.
        """
        asked = {name: value for name, value in document.items() if name != "method"}
        if "reconstruction" in asked:
            asked["method"] = asked.pop("reconstruction")
        known = {option.name for option in dataclasses.fields(cls)}
        unknown = sorted(set(asked) - known)
        if unknown:
            raise ReductionError(
                f"unknown option of tomography: {', '.join(unknown)}; "
                f"known: reconstruction, {', '.join(sorted(known - {'method'}))}"
            )
        return cls(**asked)


def _nothing(n_axes: int) -> AnyArray:
    return np.zeros((0,) * n_axes, dtype=np.float32)


@dataclass(frozen=True)
class TomographyResult:
    """One reduced tomogram.

    Attributes:
        valid: Whether the volume may be used as it is.
        reason: Why not, "" if valid. A partial or blurred volume has a reason and is there.
        partial: Whether projections are missing.
        volume: Attenuation coefficient, 1/mm, axes (row, z, x), single precision; empty if there
            is none. Outside of the circle that every projection saw it is 0.
        voxel_size: Edge, mm.
        axis: Column of the rotation axis, from 0.
        axis_error: Standard deviation of it, columns; NaN where the axis was given.
        n_projections: That the volume was made from.
        n_left_out: Frames without beam or angle.
        missing_wedge: Degree out of 180 that no projection covers.
        motion: Of the sample from the first to the last projection, voxels (x, y, z).
        motion_error: Of each, voxels.
        noise: Standard deviation of a voxel of the centre slice, 1/mm, from two halves of the
            projections.
        metrics: More figures, by name.
    """

    valid: bool
    reason: str
    partial: bool = False
    volume: AnyArray = field(default_factory=lambda: _nothing(3))
    voxel_size: float = np.nan
    axis: float = np.nan
    axis_error: float = np.nan
    n_projections: int = 0
    n_left_out: int = 0
    missing_wedge: float = np.nan
    motion: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    motion_error: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    noise: float = np.nan
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def centre_slice(self) -> AnyArray:
        """The middle row of the volume, axes (z, x); empty if there is no volume."""
        return self.volume[len(self.volume) // 2] if len(self.volume) else _nothing(2)


@dataclass(frozen=True)
class TomographyPreview:
    """What a scan looks like so far.

    Attributes:
        centre_slice: 1/mm, axes (z, x), at full resolution.
        volume: 1/mm, axes (row, z, x), of binned voxels.
        voxel_size: Edge of a voxel of the volume, mm.
        axis: Column of the rotation axis, from 0.
        n_projections: So far.
        reason: Why there is nothing to see yet, "" if there is.
    """

    centre_slice: AnyArray = field(default_factory=lambda: _nothing(2))
    volume: AnyArray = field(default_factory=lambda: _nothing(3))
    voxel_size: float = np.nan
    axis: float = np.nan
    n_projections: int = 0
    reason: str = ""
