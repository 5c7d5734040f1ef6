"""This file is where the detector is, as rays from a cell see it: the same for all photon energies."""

from dataclasses import dataclass

from battbeam.sim.diffraction import LineShape
from battbeam.sim.geometry import (
    FlatDetector,
    PixelMap,
    fine_grid,
    polarization_factor,
    samples_per_edge,
)
from battbeam.sim.scenario import Scenario
from battbeam.sim.stack import cell_slabs
from battbeam.units import FloatArray


@dataclass(frozen=True)
class Optics:
    """The detector as rays see it, for all energies.

    Attributes:
        flat: Where each pixel is.
        shape: Of a line.
        grid: Fine grid of 2 theta, degree.
        points: Samples per pixel edge.
        electrode_map: From the grid to the pixels, for rays from the electrode.
        acceptance: Solid angle (sr) times polarization of each pixel, seen from the electrode.
    """

    flat: FlatDetector
    shape: LineShape
    grid: FloatArray
    points: int
    electrode_map: PixelMap
    acceptance: FloatArray

    @classmethod
    def of(cls, scenario: Scenario, number: int = 1) -> "Optics":
        """Of the detector as a cell's stack sees it; takes about a second per megapixel and more."""
        detector = scenario.detector
        flat = FlatDetector.of(detector)
        shape = LineShape(detector.peak_width, detector.peak_width_slope, detector.peak_lorentzian)
        depths = tuple(layer.depth for layer in scenario.stack_of(number))
        electrode = active_depth(scenario, number)
        grid = fine_grid(flat, line_width=shape.width, depths=(0.0, *depths))
        points = samples_per_edge(flat, line_width=shape.width)
        electrode_map = PixelMap(flat, grid=grid, depth=electrode, points=points)
        acceptance = pixel_acceptance(flat, depth=electrode, degree=scenario.beam.polarization)
        return cls(flat, shape, grid, points, electrode_map, acceptance)


def pixel_acceptance(flat: FlatDetector, *, depth: float, degree: float) -> FloatArray:
    """Solid angle (sr) times polarization factor of each pixel, shape (rows, columns)."""
    return flat.solid_angle(depth) * polarization_factor(flat.pixel_rays(depth), degree=degree)


def active_depth(scenario: Scenario, number: int = 1) -> float:
    """z of the middle of a cell's electrode, mm."""
    return next(slab.depth for slab in cell_slabs(scenario, number) if slab.has_active)
