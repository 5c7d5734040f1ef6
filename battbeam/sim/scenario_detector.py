"""This file is where the detector of a scenario is described, and what it may do wrong."""

from pydantic import Field, model_validator

from battbeam.sim.scenario_part import Part


class DetectorFaults(Part):
    """What a detector does wrong; without any its counts are those of a good one.

    Attributes:
        lag_fraction: Share of its counts above dark that a frame leaves in the next one, right after it.
        lag_time: In which that falls to 1/e, s.
        dark_drift: What ``dark_rate`` gains, counts per pixel and s, in an hour after the start.
        dead_time: Of a pixel after each photon that it counts, s; not extended by those that come meanwhile.
        hot_cluster: (row, column, size, factor): a square of pixels from there on counts so many times what
            it should; or not.
        moves: (after so many s, distance, row, column): the detector is moved once, by so many mm away
            from the sample, and the beam's centre by so many pixels; or not.
    """

    lag_fraction: float = Field(default=0.0, ge=0, lt=1)
    lag_time: float = Field(default=5.0, gt=0)
    dark_drift: float = Field(default=0.0, ge=0)
    dead_time: float = Field(default=0.0, ge=0)
    hot_cluster: tuple[int, int, int, float] | None = None
    moves: tuple[float, float, float, float] | None = None


class Detector(Part):
    """A flat area detector.

    Attributes:
        n_rows: Pixels along the slow axis (up).
        n_columns: Pixels along the fast axis (right).
        pixel_size: mm.
        distance: From the electrode's middle to the point where the beam meets the detector plane, mm.
        centre_row: Where the beam meets the plane, in pixels from the corner of pixel (0, 0).
        centre_column: The same along the fast axis.
        tilt: Angle between the detector's normal and the beam, degree.
        tilt_direction: Azimuth about the beam towards which the normal leans, degree from x to y.
        gain: Counts per detected photon.
        saturation: Highest count a pixel holds.
        dark_rate: Counts per pixel and s.
        readout_delay: From the end of an exposure to its stamp, s of wall time.
        peak_width: Full width at half maximum of a line at 2 theta = 0, degree: beam, divergence and grains.
        peak_width_slope: Growth of the width with tan(theta), degree.
        peak_lorentzian: Lorentzian share of a line (pseudo-Voigt), 0 to 1.
        clock_offset: The clock of the detector's computer minus the session's at the start, s.
        clock_drift: Relative rate of that clock, 1 (1e-6 is one part per million).
        compute_freezes_clock: Whether the simulated clock stands while a frame is computed.
        faults: What it does wrong.
    """

    n_rows: int = Field(default=512, ge=16)
    n_columns: int = Field(default=512, ge=16)
    pixel_size: float = Field(default=0.172, gt=0)
    distance: float = Field(default=130.0, gt=0)
    centre_row: float = 251.3
    centre_column: float = 262.7
    tilt: float = 0.6
    tilt_direction: float = 35.0
    gain: float = Field(default=1.0, gt=0)
    saturation: int = Field(default=1_000_000, gt=0)
    dark_rate: float = Field(default=0.002, ge=0)
    readout_delay: float = Field(default=0.002, ge=0)
    peak_width: float = Field(default=0.085, gt=0)
    peak_width_slope: float = Field(default=0.05, ge=0)
    peak_lorentzian: float = Field(default=0.3, ge=0, le=1)
    clock_offset: float = 0.0
    clock_drift: float = 0.0
    compute_freezes_clock: bool = True
    faults: DetectorFaults = DetectorFaults()

    @model_validator(mode="after")
    def _can_be_faulty(self) -> "Detector":
        hot, moves = self.faults.hot_cluster, self.faults.moves
        found = []
        if hot is not None:
            row, column, size, factor = hot
            on_it = 0 <= row < self.n_rows and 0 <= column < self.n_columns
            if not (on_it and size > 0 and factor >= 0):
                found.append(
                    f"hot_cluster must begin on one of {self.n_rows} x {self.n_columns} pixels, with a size "
                    f"of 1 or more and a factor of 0 or more, got {hot}"
                )
        if moves is not None and not (moves[0] >= 0 and self.distance + moves[1] > 0):
            found.append(
                f"moves must be after the start and leave the detector behind the sample, got {moves}"
            )
        if found:
            raise ValueError("; ".join(found))
        return self
