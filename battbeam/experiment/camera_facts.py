"""This file is where it is said what is known of an imaging camera before it is asked."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from battbeam.connection import CameraCalibration

#: Part of its saturation that a pixel may reach in the open beam: the beam is not even, and the
#: ring may be filled up. Chosen here.
FULL = 0.9


@dataclass(frozen=True)
class CameraFacts:
    """An imaging camera with its scintillator and lens.

    Attributes:
        pixel_size: At the sample, mm.
        n_rows: Pixels along the rotation axis.
        n_columns: Pixels across it.
        saturation: Largest count of a pixel in one frame.
        flat_rate: Counts a s of the brightest pixel in the open beam, attenuator open, ring full;
            NaN where nobody has measured it.
        readout_time: Shortest time from the end of an exposure to the start of the next, s.
        pixel_bytes: Before compression.
        distance: From the rotation axis to the scintillator, mm; NaN is not known.
    """

    pixel_size: float = 0.005
    n_rows: int = 64
    n_columns: int = 256
    saturation: float = 65535.0
    flat_rate: float = math.nan
    readout_time: float = 0.0
    pixel_bytes: int = 4
    distance: float = math.nan

    @classmethod
    def of(cls, notes: CameraCalibration | None) -> "CameraFacts":
        """What the staff wrote into ``site.json``; the defaults where they wrote nothing."""
        if notes is None:
            return cls()
        return cls(
            pixel_size=notes.pixel_size,
            n_rows=notes.n_rows,
            n_columns=notes.n_columns,
            saturation=notes.saturation,
            flat_rate=math.nan if notes.flat_rate is None else notes.flat_rate,
            readout_time=notes.readout_time,
            pixel_bytes=notes.pixel_bytes,
            distance=notes.distance,
        )

    @property
    def frame_bytes(self) -> int:
        """Of one frame, before compression."""
        return self.n_rows * self.n_columns * self.pixel_bytes

    def exposure_faults(self, exposure: float, transmission: float = 1.0) -> list[str]:
        """Why an exposure would saturate the open beam, one sentence; nothing where it is not known.

        >>> CameraFacts(flat_rate=1e5, saturation=65535.0).exposure_faults(1.0)
        ['an exposure of 1 s saturates: 1e+05 counts in the open beam, a pixel holds 65535; \
at most 0.59 s']
        """
        counts = self.flat_rate * exposure * transmission
        if not counts > FULL * self.saturation:
            return []
        fit = FULL * self.saturation / (self.flat_rate * transmission)
        return [
            f"an exposure of {exposure:g} s saturates: {counts:.3g} counts in the open beam, a "
            f"pixel holds {self.saturation:g}; at most {fit:.3g} s"
        ]

    def document(self) -> dict[str, Any]:
        """For the start document."""
        return asdict(self)
