"""This file is where the imaging camera of a scenario is described; what it looks at is in
`battbeam.sim.scenario_phantom`.

Column u of the field increases to the right and row 0 is the bottom one, as seen from the source.
At omega the point (x, z) of a cell is seen at u = x cos(omega) + z sin(omega) from the axis. Every
place of the changer turns about an axis of its own, y through the cell's middle; the sample stage
carries those axes: at stage position X the axis of a cell at ``position`` stands ``position - X``
from the middle of the field.
"""

from pydantic import Field

from battbeam.sim.scenario_part import Part
from battbeam.sim.scenario_phantom import Phantom

__all__ = ["Imaging", "Phantom"]


class Imaging(Part):
    """The imaging camera ``DET2`` behind the sample, the wide beam for it, and the rotation stage.

    Attributes:
        n_rows: Pixels along y, up.
        n_columns: Pixels along u, to the right.
        pixel_size: At the sample, mm; the beam is parallel.
        distance: From the rotation axis to the scintillator, mm: how far edges propagate.
        photon_rate: Photons that a pixel detects a second in the middle of the beam at 100 mA and
            open attenuator.
        gain: Counts per detected photon.
        offset: Counts of every pixel without light.
        dark_rate: Counts per pixel and s beside it.
        read_noise: Standard deviation of one reading, counts.
        saturation: Highest count a pixel holds; a pixel of a frame has 32 bit whatever it is.
        readout: From the end of an exposure to the next one's earliest start, s of cell time.
        readout_delay: From the end of an exposure to its stamp, s of wall time.
        blur: Of scintillator and lens: full width at half maximum of a point, pixels.
        supersampling: Samples per pixel edge of the wave behind the sample.
        beam_height: Full width at half maximum of the beam along y, mm.
        beam_slope: Relative change of the beam's intensity along x per mm.
        beam_stripes: Relative amplitude of its horizontal stripes (multilayer).
        beam_drift: Of the beam along y, mm per h.
        ring_gain: Standard deviation of the pixels' own gains, relative.
        ring_drift: By which they change in an h, relative standard deviation.
        axis_offset: Of the rotation axis from the middle of the field, pixels, at stage position of
            the cell.
        wobble: Amplitude by which the axis moves along u twice a turn, pixels.
        motion: Of the sample on its stage along x, y and z, mm/s since the start.
        encoder: Counts per degree of the rotation stage.
        clock_offset: The clock of the camera's computer minus the session's at the start, s.
        clock_drift: Relative rate of that clock, 1.
        compute_freezes_clock: Whether the simulated clock stands while a frame is computed.
    """

    n_rows: int = Field(default=64, ge=16)
    n_columns: int = Field(default=256, ge=16)
    pixel_size: float = Field(default=0.0065, gt=0)
    distance: float = Field(default=20.0, ge=0)
    photon_rate: float = Field(default=4.0e5, gt=0)
    gain: float = Field(default=1.0, gt=0)
    offset: float = Field(default=100.0, ge=0)
    dark_rate: float = Field(default=5.0, ge=0)
    read_noise: float = Field(default=2.0, ge=0)
    saturation: int = Field(default=65_535, gt=0)
    readout: float = Field(default=0.001, ge=0)
    readout_delay: float = Field(default=0.002, ge=0)
    blur: float = Field(default=1.2, ge=0)
    supersampling: int = Field(default=2, ge=1, le=16)
    beam_height: float = Field(default=2.0, gt=0)
    beam_slope: float = 0.05
    beam_stripes: float = Field(default=0.03, ge=0, lt=0.5)
    beam_drift: float = 0.0
    ring_gain: float = Field(default=0.02, ge=0, lt=0.2)
    ring_drift: float = Field(default=0.0, ge=0, lt=0.1)
    axis_offset: float = 0.0
    wobble: float = 0.0
    motion: tuple[float, float, float] = (0.0, 0.0, 0.0)
    encoder: float = Field(default=10_000.0, gt=0)
    clock_offset: float = 0.0
    clock_drift: float = 0.0
    compute_freezes_clock: bool = True
