"""Calibrate photon energies: foils, measured with nothing else in the beam.

Leaves ``foil_Ni_K.json`` and so on in the beamline's calibration directory, where other recipes look
for them: all spectra of an experiment are then compared with one curve, and energies are as good as
the foil. Known compounds are measured the same way, see `battbeam.plans.energy_standards`.
"""

from collections.abc import Sequence

from battbeam.devices.beamline import Beamline
from battbeam.experiment.description import Description, SiteFacts
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_spectrum import xanes_cost
from battbeam.plans.energy_standards import calibrate_energy
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import Plan

#: (x, y) of the sample stage with nothing in the beam, mm: between the places of the changer.
FREE = (9.0, 9.0)
#: V/A behind the free place: without a sample there is more light than chambers take at 1e8 V/A.
GAIN = 1e7


def plan(
    beamline: Beamline,
    edges: Sequence[str] = ("Ni K", "Co K"),
    dwell: float = 1.0,
    n_spectra: int = 1,
) -> Plan:
    """The foil of each of ``edges``, ``dwell`` s at each energy, ``n_spectra`` times."""
    stage = beamline.sample_stage
    yield from calibrate_energy(
        edges,
        # No cell is in the beam.
        Station.of(beamline, potentiostat=None),
        calibration=beamline.calibration,
        dwell=dwell,
        repeats=Repeats(n_max=n_spectra),
        gains={edge: {"i0": 1e8, "it": GAIN, "ir": GAIN} for edge in edges},
        positions=[(stage.x, FREE[0]), (stage.y, FREE[1])],
    )


def describe(
    site: SiteFacts,
    edges: Sequence[str] = ("Ni K", "Co K"),
    dwell: float = 1.0,
    n_spectra: int = 1,
) -> Description:
    """The same, for ``battbeam forecast``; the light falls on the foils."""
    grids = [EnergyGrid.of(edge, dwell=dwell) for edge in edges]
    costs = {"foils": xanes_cost(site, *grids, n_spectra=n_spectra)}
    return Description(site=site, costs=costs, sequence=tuple(costs), cell="foil")
