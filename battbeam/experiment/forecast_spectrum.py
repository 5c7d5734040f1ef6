"""This file is where it is said what a spectrum will be like before it is measured: how much the
cell absorbs at the edge, how many photons are left, how long it takes; and whether it may be.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.description import SiteFacts, SpectrumRequest
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_absorption import absorbance, active_absorbance

#: What absorption is measured by.
Signal = Literal["transmission", "fluorescence"]
#: Largest absorbance just above the edge of a spectrum in transmission. The least noise for given
#: light is at 2.55 (Rose and Shapiro, Phys. Rev. 74 (1948) 1853); beyond 3 less than 5 % get through
#: and a thousandth of harmonics or stray light takes 2 % of them. The 3 is chosen here.
MOST_ABSORBANCE = 3.0
#: eV on either side of the edge between which the step is taken, beyond what an edge shifts; what
#: is below is continued from as far again. Chosen here.
BESIDE = 20.0
#: Edge step below which an element is hardly there. Chosen here: with 1e6 counts in both chambers
#: its noise is 3 % of it.
LEAST_STEP = 0.05
#: Share of the edge step below which something else than the active material shows.
LEAST_ACTIVE_SHARE = 0.98


@dataclass(frozen=True)
class EdgeAbsorption:
    """How much a cell absorbs at an edge.

    Attributes:
        edge: As ``Ni K``.
        absorbance: Of the stack just above the edge, 1; NaN where a layer is not known.
        edge_step: By which it is more than just below.
        active: Absorbance of the active material alone, just above.
        active_step: Its edge step.
    """

    edge: str
    absorbance: float
    edge_step: float
    active: float
    active_step: float

    @classmethod
    def of(cls, passport: CellPassport, edge: AbsorptionEdge) -> "EdgeAbsorption":
        """At the lithium content with which the cell was mounted."""
        stack, stack_step = _at(passport, edge.energy, absorbance)
        active, active_step = _at(passport, edge.energy, active_absorbance)
        return cls(edge.label, stack, stack_step, active, active_step)

    @property
    def transmission(self) -> float:
        """Just above the edge, 1."""
        return math.exp(-self.absorbance)

    @property
    def transmission_below(self) -> float:
        """Just below the edge, 1."""
        return math.exp(self.edge_step - self.absorbance)

    def document(self) -> dict[str, float | None]:
        """For a start document; what is not known is null."""
        told = {
            "absorbance": self.absorbance,
            "edge_step": self.edge_step,
            "transmission": self.transmission,
        }
        return {name: number if math.isfinite(number) else None for name, number in told.items()}

    def faults(self, passport: CellPassport, signal: Signal) -> list[str]:
        """Why the cell is too thick for its edge, and what would fit; nothing in fluorescence, or
        where a layer is not known.
        """
        if signal == "fluorescence" or not self.absorbance > MOST_ABSORBANCE:
            return []
        return [
            f"{self.edge}: the cell's absorbance is {self.absorbance:.2f} just above the edge (edge "
            f"step {self.edge_step:.2f}), at most {MOST_ABSORBANCE:g} can be measured in "
            f"transmission: what fits is fluorescence, or {self._thinner(passport)}"
        ]

    def _thinner(self, passport: CellPassport) -> str:
        rest = self.absorbance - self.active
        share = (MOST_ABSORBANCE - rest) / self.active if self.active > 0 else 0.0
        if not share > 0:
            return (
                f"thinner windows and collectors, which alone have {rest:.2f}; no electrode is "
                "thin enough behind these"
            )
        # Rounded down, so that it does fit.
        loading = math.floor(10 * share * passport.active_loading) / 10
        single = "a single-sided electrode, or any " if share >= 0.5 else "an electrode "
        return f"{single}with at most {loading:g} mg/cm2 of active material"

    def remarks(self) -> list[str]:
        """What should be known of the spectrum, one sentence each."""
        if math.isnan(self.edge_step):
            return [f"{self.edge}: the absorbance is not known: a material of the stack is not"]
        if self.edge_step < LEAST_STEP:
            return [
                f"{self.edge}: the edge step is {self.edge_step:.3f}; the element is hardly there"
            ]
        if self.active_step < LEAST_ACTIVE_SHARE * self.edge_step:
            share = 1 - self.active_step / self.edge_step
            return [
                f"{self.edge}: {100 * share:.0f} % of the edge step is not the active material's; "
                "can and collectors show in the spectrum"
            ]
        return []


def _at(
    passport: CellPassport,
    energy: float,
    absorbance_of: Callable[[CellPassport, float, float], float],
) -> tuple[float, float]:
    """Absorbance just above an edge, and by how much that is more than what is below, continued to
    there by a straight line.
    """
    above, near, far = (
        absorbance_of(passport, passport.initial_lithium_content, energy + beside)
        for beside in (BESIDE, -BESIDE, -3 * BESIDE)
    )
    return above, above - (2 * near - far)


@dataclass(frozen=True)
class SpectrumForecast:
    """One spectrum.

    Attributes:
        edge: As ``Ni K``.
        n_points: Energies.
        duration: s of session clock, moves included.
        absorbance: Of the stack just above the edge, 1; NaN where a layer is not known.
        edge_step: By which it is more than just below.
        transmission: Just above the edge, 1.
        absorbance_error: Counting error of the absorbance at the worst point of one spectrum, 1.
        photons: On the sample, of one spectrum.
        faults: Why it is refused.
        remarks: What should be known.
    """

    edge: str
    n_points: int
    duration: float
    absorbance: float
    edge_step: float
    transmission: float
    absorbance_error: float
    photons: float
    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def spectrum_forecast(
    passport: CellPassport, request: SpectrumRequest, site: SiteFacts
) -> SpectrumForecast:
    """What a spectrum of a cell will be like.

    Args:
        passport: Of the cell.
        request: What is asked for; its grid must be without faults.
        site: Of the beamline.
    """
    grid, found = request.grid, EdgeAbsorption.of(passport, request.grid.edge)
    least = site.beam.flux * float(grid.dwells.min())
    return SpectrumForecast(
        edge=found.edge,
        n_points=len(grid),
        duration=spectrum_duration(site, grid),
        absorbance=found.absorbance,
        edge_step=found.edge_step,
        transmission=found.transmission,
        absorbance_error=_counting_error(least, found.transmission, site),
        photons=site.beam.flux * spectrum_duration(site, grid),
        faults=tuple(found.faults(passport, request.signal)),
        remarks=tuple(found.remarks()),
    )


def _counting_error(photons: float, through: float, site: SiteFacts) -> float:
    """Of ln(I0 / It), from the photons on the sample that are counted before and behind it."""
    before = photons * site.counters.i0_share
    behind = photons * through * site.counters.it_share
    if math.isnan(behind):
        return math.nan
    return math.sqrt(1 / before + 1 / behind) if min(before, behind) > 0 else math.inf


# What it costs.


def spectrum_duration(site: SiteFacts, grid: EnergyGrid) -> float:
    """s of session clock from the first point's start to the last one's end."""
    return grid.duration + len(grid) * site.count_overhead


def xanes_cost(
    site: SiteFacts,
    *grids: EnergyGrid,
    n_spectra: int = 1,
    spot: tuple[float, float] = (0.0, 0.0),
) -> Cost:
    """What spectra cost, step by step.

    Args:
        site: Of the beamline.
        *grids: One an edge; of several the edges alternate.
        n_spectra: Of each edge.
        spot: (x, y) in the cell's frame, mm.

    >>> round(xanes_cost(SiteFacts(overhead=0.3), EnergyGrid.of("Ni K")).duration, 1)
    174.3
    """
    lengths = [spectrum_duration(site, grid) for grid in grids]
    dark = max(float(grid.dwells.max()) for grid in grids)
    return _cost(site, lengths, n_spectra=n_spectra, dark=dark, spot=spot)


def quick_xanes_cost(
    site: SiteFacts,
    duration: float,
    *,
    n_sweeps: int = 2,
    dark: float = 1.0,
    spot: tuple[float, float] = (0.0, 0.0),
) -> Cost:
    """What continuous sweeps cost.

    Args:
        site: Of the beamline.
        duration: Of one sweep, s.
        n_sweeps: Up and down together.
        dark: s counted without light.
        spot: (x, y) in the cell's frame, mm.
    """
    return _cost(site, [duration + site.overhead], n_spectra=n_sweeps, dark=dark, spot=spot)


def _cost(
    site: SiteFacts, lengths: list[float], *, n_spectra: int, dark: float, spot: tuple[float, float]
) -> Cost:
    light = [length for _ in range(n_spectra) for length in lengths]
    span = sum(light) + (len(light) - 1) * site.overhead
    return Cost(
        duration=dark + span + 2 * site.overhead,
        spots=tuple(Spot(*spot, exposure=length) for length in light),
        span=span,
    )
