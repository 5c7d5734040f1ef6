"""This file is where the reduction of a diffraction frame says what it was asked and what it
found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from battbeam.materials import HOSTS, LITHIUM_RANGE, PHASES
from battbeam.units import FloatArray


@dataclass(frozen=True)
class ScatteringPhase:
    """One crystalline phase in the beam.

    Attributes:
        phase: A name of `battbeam.materials.PHASES`.
        depth: Of its layer along the beam, mm from the electrode's middle, > 0 towards the
            detector.
        downstream: Share of the cell's absorption that lies behind the layer, 0 to 1.
        reference: Whether its lattice is known, within `XrdOptions.reference_error`, and tells where
            the cell stands.
        moves: Whether its layer moves with the cell.
    """

    phase: str
    depth: float = 0.0
    downstream: float = 0.5
    reference: bool = False
    moves: bool = True

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ValueError(f"unknown phase {self.phase!r}; known: {', '.join(PHASES)}")
        if not 0 <= self.downstream <= 1:
            raise ValueError(
                f"downstream of {self.phase} must lie in 0 to 1, got {self.downstream}"
            )

        if self.reference and self.phase in HOSTS:
            raise ValueError(f"{self.phase} holds lithium: its lattice is no reference")

    @property
    def host(self) -> Literal["working", "counter"] | None:
        """The electrode whose lithium it holds."""
        return HOSTS.get(self.phase)

    @property
    def is_active(self) -> bool:
        """Whether it holds lithium of the electrode and counts in the phase fractions."""
        return self.phase in LITHIUM_RANGE


@dataclass(frozen=True)
class XrdOptions:
    """How a frame is reduced. The defaults are meant to be right for a coin cell.

    Attributes:
        polarization: Horizontal degree of linear polarization; ``"instrument"`` takes the value
            of the instrument file, None leaves the correction out.
        two_theta_range: Degree; None takes everything from a little below the first line.
        bin_width: Degree; None takes half of the smallest pixel. Wider than a pixel is refused.
        knot_spacing: Of the background's cubic splines, degree.
        reflections: Followed ones, as "hkl", for each active phase that has them.
        fraction_by: ``moles`` of formula units, or ``weight``.
        initial_lithium_content: Of the material as it was built in, which inactive grains keep,
            and how well that is known.
        displacement: How far the cell may stand from where the standard stood, along the beam, mm
            (standard deviation of the prior); None for 0.1 where a phase is a reference, and for a
            cell that stands still where none is.
        reference_error: Relative standard deviation of the lattice of phases that are a reference;
            2 K of aluminium.
        free_intensities: Phases whose reflections have intensities of their own: where grains have a
            texture, or a structure is not trusted. Reflections nearer than 0.3 line widths have one.
        broadening: Widest extra Gaussian that the active phases' lines are thought to have, full
            width at half maximum in degree (standard deviation of the prior); None for none.
        fatigued_lithium_content: Lithium content at which fatigued grains of a layered oxide stop,
            and how well that is known; None where there are none.
        references: Measured end members by name, see `battbeam.reduction.xrd_references`.
        blank: Measured pattern of the cell without its electrodes, taken off before the fit.
        optical_depth: -ln of the transmission of the cell as built, which tells how much less light
            comes out at an angle where a frame's transmission was not measured; None takes that as
            none.
        dark_max_age: s from which on a dark is said to be old; dark currents of panels drift within
            hours.
        saturation: Counts from which on a pixel is left out; None for no limit.
        cache_directory: Where the response of a geometry is kept; None computes it each time.
    """

    polarization: float | Literal["instrument"] | None = "instrument"
    two_theta_range: tuple[float, float] | None = None
    bin_width: float | None = None
    knot_spacing: float = 0.8
    reflections: tuple[str, ...] = ("311", "101", "003", "110")
    fraction_by: Literal["moles", "weight"] = "moles"
    initial_lithium_content: tuple[float, float] = (0.985, 0.015)
    displacement: float | None = None
    reference_error: float = 5e-5
    free_intensities: tuple[str, ...] = ()
    broadening: float | None = None
    fatigued_lithium_content: tuple[float, float] | None = None
    references: Mapping[str, Path] = field(default_factory=dict, hash=False)
    blank: Path | None = None
    optical_depth: float | None = None
    dark_max_age: float = 3600.0
    saturation: float | None = None
    cache_directory: Path | None = None


@dataclass(frozen=True)
class Dark:
    """Frames without beam, summed.

    Attributes:
        counts: Sum of the frames, shape (n_rows, n_columns).
        exposure: Sum of the exposures, s.
        time: When they were taken, s since the Unix epoch; NaN if that is not known.
    """

    counts: FloatArray
    exposure: float
    time: float = np.nan


@dataclass(frozen=True)
class PhaseResult:
    """What one frame says about one phase; errors are one standard deviation.

    Attributes:
        fraction: Moles of formula units over those of all active phases, of graphite's phases over
            those of its own; NaN if inert.
        fraction_error: Of it.
        amount: Moles of formula units per beam area, per monitor count and transmission: mol/cm2
            up to
            one constant of the instrument.
        amount_error: Of it.
        lattice: Free edges, angstrom, the mean over all grains in the beam.
        lattice_error: Angstrom. Where the phase is too weak to tell it is that of the prior.
        lattice_shared_error: Angstrom, the part of it that all frames of a run share: of the lattices
            that are known, and of the geometry. The difference of two frames does not have it.
        two_theta: Angle of each followed reflection for electrode depth 0 at the energy of the
            calibration, degree.
        two_theta_error: Degree.
        lithium_content: From the lattice; NaN if inert. Of graphite's phases per six carbon.
        lithium_content_error: Of it.
        intensity: Of each reflection that has its own, as "hkl": the amount that this reflection
            alone tells; the same for all where there is no texture.
        intensity_error: Of it.
        fatigued: Grains that stopped, None where they were not asked for.
    """

    fraction: float
    fraction_error: float
    amount: float
    amount_error: float
    lattice: Mapping[str, float]
    lattice_error: Mapping[str, float]
    two_theta: Mapping[str, float]
    two_theta_error: Mapping[str, float]
    lithium_content: float
    lithium_content_error: float
    intensity: Mapping[str, float] = field(default_factory=dict)
    intensity_error: Mapping[str, float] = field(default_factory=dict)
    lattice_shared_error: Mapping[str, float] = field(default_factory=dict)
    fatigued: "FatiguedResult | None" = None


@dataclass(frozen=True)
class FatiguedResult:
    """Grains of a layered oxide that stopped at a lithium content while the others went on.

    All are NaN unless their lines lie a line width or more from the others'. Where they do,
    `PhaseResult.lattice` and `PhaseResult.two_theta` are those of the grains that went on.

    Attributes:
        fraction: Of the phase's moles.
        fraction_error: Of it.
        lattice: Free edges, angstrom.
        lattice_error: Angstrom.
        lithium_content: Where they stopped.
        lithium_content_error: Of it.
    """

    fraction: float
    fraction_error: float
    lattice: Mapping[str, float]
    lattice_error: Mapping[str, float]
    lithium_content: float
    lithium_content_error: float


@dataclass(frozen=True)
class EndMemberResult:
    """How much of a measured end member is in a frame.

    Attributes:
        amount: Over that which the end member's own frame showed, per monitor count and transmission.
        amount_error: Of it.
        fraction: Over the sum of the amounts of all end members of its electrode.
        fraction_error: Of it.
    """

    amount: float
    amount_error: float
    fraction: float
    fraction_error: float


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What one fit says about the phases; errors are one standard deviation, NaN is not known.

    Attributes:
        phases: By name.
        active_amount: Sum of `PhaseResult.amount` over the active phases, and its error.
        active_amount_error: Of it.
        lithium_content: X-ray-based, mean over all active material.
        lithium_content_error: Of it.
        counter_amount: Sum of `PhaseResult.amount` over graphite's phases, moles of six carbon, and
            its error; NaN without them.
        counter_amount_error: Of it.
        lithium_content_counter: y of LiyC6, mean over all graphite.
        lithium_content_counter_error: Of it.
        displacement: Of the cell towards the detector, mm, and its error; NaN where it was not looked
            for.
        displacement_error: Of it.
        reference_strain: By how much the references' lattices seem to differ from those known,
            relative, without the prior that holds them; as much as wavelength or distance are off.
        reference_strain_error: Of it.
        broadening: Extra full width at half maximum of the active phases' lines, degree (< 0: they
            are narrower than the instrument's).
        broadening_error: Of it.
        end_members: By name.
    """

    phases: Mapping[str, PhaseResult] = field(default_factory=dict)
    active_amount: float = np.nan
    active_amount_error: float = np.nan
    lithium_content: float = np.nan
    lithium_content_error: float = np.nan
    counter_amount: float = np.nan
    counter_amount_error: float = np.nan
    lithium_content_counter: float = np.nan
    lithium_content_counter_error: float = np.nan
    displacement: float = np.nan
    displacement_error: float = np.nan
    reference_strain: float = np.nan
    reference_strain_error: float = np.nan
    broadening: float = np.nan
    broadening_error: float = np.nan
    end_members: Mapping[str, EndMemberResult] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class XrdResult(Derived):
    """One reduced frame.

    Attributes:
        valid: Whether the numbers may be used.
        reason: Why not, "" if valid.
        intensity: Counts over the sum of the correction factors, shape (n_bins,).
        intensity_error: Of it, shape (n_bins,).
        model: Of the intensity, shape (n_bins,).
        background: The smooth part of the model, shape (n_bins,).
        residual: Reduced chi squared, 1 if the model holds.
        residual_deviation: Standard deviation of `residual` expected from counting.
        unexplained: Largest unexplained peak, in standard deviations (< 0: the model has one too
            many).
        unexplained_two_theta: Where it is, degree.
        counts: Sum over the pixels in use, dark subtracted.
        n_saturated: Pixels left out because they were saturated.
    """

    valid: bool
    reason: str
    intensity: FloatArray
    intensity_error: FloatArray
    model: FloatArray
    background: FloatArray
    residual: float = np.nan
    residual_deviation: float = np.nan
    unexplained: float = np.nan
    unexplained_two_theta: float = np.nan
    counts: float = 0.0
    n_saturated: int = 0
