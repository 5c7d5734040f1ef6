"""This file is where the small-angle detector of a scenario is described, and what scatters into it.

Intensities are shares of the photons that a sample lets through, per steradian.
"""

from pydantic import Field, model_validator

from battbeam.sim.scenario_part import Part


class Spheres(Part):
    """Particles of the active material, dilute, their radii log-normal in number.

    Attributes:
        radius: Median, at the initial lithium content, angstrom.
        width: Standard deviation of ln(radius).
        forward: Intensity at q = 0, at the initial lithium content, 1/sr; it grows with the sixth
            power of the radius.
        swelling: Relative growth of every radius with each unit of lithium content.
    """

    radius: float = Field(default=60.0, gt=0)
    width: float = Field(default=0.15, gt=0, lt=0.6)
    forward: float = Field(default=100.0, gt=0)
    swelling: float = Field(default=0.0, gt=-0.5, lt=0.5)


class Pores(Part):
    """Pores of the active material that stand in order; a peak at 2 pi over their spacing.

    Attributes:
        spacing: At the initial lithium content, angstrom.
        spread: Standard deviation of the peak, relative to its q.
        height: Of the peak, 1/sr.
        swelling: Relative growth of the spacing with each unit of lithium content.
    """

    spacing: float = Field(default=100.0, gt=0)
    spread: float = Field(default=0.07, gt=0, lt=0.5)
    height: float = Field(default=30.0, gt=0)
    swelling: float = Field(default=0.0, gt=-0.5, lt=0.5)


class Nanostructure(Part):
    """What an electrode scatters at small angles.

    Attributes:
        spheres: Or none.
        pores: Or none.
        surface: Of grains too large to be seen otherwise: Porod's constant, 1/sr/angstrom^4.
        play: Lithium content by which the structure stays behind when the cell turns from charge to
            discharge, and back: between, it does not move.
    """

    spheres: Spheres | None = None
    pores: Pores | None = None
    surface: float = Field(default=0.0, ge=0)
    play: float = Field(default=0.0, ge=0)


class SmallAngle(Part):
    """The detector ``DET3`` far behind the sample; that of diffraction has a hole for its rays.

    Attributes:
        n_rows: Pixels along the slow axis (up).
        n_columns: Pixels along the fast axis (right).
        pixel_size: mm.
        distance: From the electrode's middle, mm.
        centre_row: Where the beam would meet it, in pixels from the corner of pixel (0, 0).
        centre_column: The same along the fast axis.
        beam_stop: Diameter of what shields the detector from the beam, mm, about that point.
        background: Of air and windows, in every direction alike, 1/sr.
        gain: Counts per detected photon.
        saturation: Highest count a pixel holds.
        dark_rate: Counts per pixel and s.
        readout_delay: From the end of an exposure to its stamp, s of wall time.
        clock_offset: The clock of the detector's computer minus the session's at the start, s.
        clock_drift: Relative rate of that clock, 1.
        compute_freezes_clock: Whether the simulated clock stands while a frame is computed.
        standard_position: (x, y) of the sample stage with silver behenate in the beam, mm.
        structures: What the electrode of each cell scatters, that of cell 1 first; a cell without
            one has none.
    """

    n_rows: int = Field(default=256, ge=16)
    n_columns: int = Field(default=256, ge=16)
    pixel_size: float = Field(default=0.344, gt=0)
    distance: float = Field(default=3000.0, gt=0)
    centre_row: float = 125.3
    centre_column: float = 131.7
    beam_stop: float = Field(default=3.0, gt=0)
    background: float = Field(default=0.3, ge=0)
    gain: float = Field(default=1.0, gt=0)
    saturation: int = Field(default=1_000_000, gt=0)
    dark_rate: float = Field(default=0.002, ge=0)
    readout_delay: float = Field(default=0.003, ge=0)
    clock_offset: float = 0.0
    clock_drift: float = 0.0
    compute_freezes_clock: bool = True
    standard_position: tuple[float, float] = (12.0, 6.0)
    structures: tuple[Nanostructure, ...] = (Nanostructure(),)

    @model_validator(mode="after")
    def _beam_is_stopped_on_the_detector(self) -> "SmallAngle":
        inside = 0 <= self.centre_row <= self.n_rows and 0 <= self.centre_column <= self.n_columns
        if not inside:
            raise ValueError(
                f"the beam must be stopped on the small-angle detector, got row {self.centre_row:g} "
                f"and column {self.centre_column:g} of {self.n_rows} x {self.n_columns}"
            )
        return self
