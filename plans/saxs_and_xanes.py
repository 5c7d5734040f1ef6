"""Spectrum and grains at once: a small-angle frame at each energy of a spectrum.

At every energy the chambers before and behind the cell count while the small-angle detector exposes, so an
event holds the absorbance and the frame of one moment: I0, It and grains' sizes of the same state. The run
has a spectrum and, by its own reduction, a row for each frame, whose q goes with its energy. It is one
look at a cell as it stands; in an experiment a rule measures it again and again.

The cell needs windows without the edge's metal, such as Kapton. Calibrate first (``plans/calibrate_saxs.py``);
its scenario is ``sim/saxs_and_xrd.toml``.
"""

from dataclasses import replace

from battbeam.devices.beamline import Beamline
from battbeam.errors import DeviceError
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.experiment.forecast_spectrum import xanes_cost
from battbeam.plans.small_angle import also_reduced, saxs_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan
from battbeam.plans.xanes import xanes

#: V/A: light enough for frames is too much for chambers at 1e8 V/A.
GAINS = {"i0": 1e7, "it": 1e7, "ir": 1e7}
#: Bytes of a small-angle frame.
SAXS_BYTES = 4 * 256 * 256


def energies(edge: str, dwell: float, step: float) -> EnergyGrid:
    """Before the edge, over it every ``step`` eV, and beyond."""
    regions = [Region(-60, -10, 25.0, dwell), Region(-5, 25, step, dwell)]
    return EnergyGrid.of(edge, [*regions, Region(40, 120, 40.0, dwell)])


def plan(beamline: Beamline, edge: str = "Fe K", dwell: float = 10.0, step: float = 2.0) -> Plan:
    """One spectrum near ``edge``, ``dwell`` s and one frame at each energy, ``step`` eV apart."""
    saxs, notes, stage = beamline.saxs, beamline.saxs_notes, beamline.sample_stage
    if saxs is None or notes is None:
        raise DeviceError("the beamline declares no small-angle detector (Beamline.saxs)")
    return (
        yield from xanes(
            energies(edge, dwell, step),
            Station.of(beamline, detectors=(saxs,)),
            gains=GAINS,
            positions=[(stage.x, 0.0), (stage.y, 0.0)],
            md=also_reduced(
                saxs_reduction(beamline.calibration, saturation=notes.saturation, surface=True)
            ),
        )
    )


def describe(
    site: SiteFacts, edge: str = "Fe K", dwell: float = 10.0, step: float = 2.0
) -> Description:
    """The same, for ``battbeam forecast``."""
    grid = energies(edge, dwell, step)
    cost = xanes_cost(site, grid)
    costs = {"spectrum": replace(cost, n_frames=len(grid), n_bytes=len(grid) * SAXS_BYTES)}
    return Description(site=site, costs=costs, sequence=tuple(costs))
