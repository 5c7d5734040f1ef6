"""This file is where it is said what spectra are measured with, and how those of one edge are taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from battbeam.devices.beam import Beam
from battbeam.devices.beamline import Beamline
from battbeam.devices.counters import Counters
from battbeam.devices.detector import AreaDetector
from battbeam.devices.energy_sweep import EnergySweep, Sweep
from battbeam.devices.foil import OUT, Foil
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.potentiostat import Potentiostat
from battbeam.errors import DeviceError
from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.experiment.clock import Clock
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.energy_grid import EnergyGrid

#: Wall seconds that a point takes beside its dwell, and a sweep beside its duration: Channel Access,
#: one step of the axis; measured with a busy machine. What is reserved for a spectrum until one has
#: shown how long it takes; a longer one reserves again.
POINT_OVERHEAD, SWEEP_OVERHEAD = 0.15, 2.0


@dataclass(frozen=True)
class Station:
    """What spectra are measured with.

    Attributes:
        counters: Count.
        monochromator: Is moved in eV.
        beam: Its shutter is open for one spectrum at a time.
        clock: The session's.
        foil: Reference foils; None where there are none.
        energy_sweep: The monochromator in motion; None where it only steps.
        potentiostat: Of the cell in the beam, for the smear; None is not known.
        readables: What else stands in every event.
        detectors: Area detectors that expose at every energy as long as the counters count.
        budget: Limit of light on each spot, and what is done at it.
        suspend: Whether the plan is suspended while there is no beam.
        patience: s that a point waits for beam when it is not.
    """

    counters: Counters
    monochromator: Monochromator
    beam: Beam
    clock: Clock
    foil: Foil | None = None
    energy_sweep: EnergySweep | None = None
    potentiostat: Potentiostat | None = None
    readables: tuple[Any, ...] = ()
    detectors: tuple[AreaDetector, ...] = ()
    budget: DoseBudget | None = None
    suspend: bool = True
    patience: float = 600.0

    @classmethod
    def of(cls, beamline: Beamline, **settings: Any) -> "Station":
        """That of a beamline, with the cell in its beam.

        Args:
            beamline: Whose instruments they are.
            **settings: Of the attributes above, what is to be otherwise.

        Raises:
            DeviceError: If the beamline declares no counters.
        """
        if beamline.counters is None:
            raise DeviceError("the beamline declares no counters (Beamline.counters): no spectra")
        own = {
            "foil": beamline.foil,
            "energy_sweep": beamline.energy_sweep,
            "potentiostat": beamline.potentiostat,
        }
        return cls(
            beamline.counters,
            beamline.monochromator,
            beamline.beam,
            beamline.clock,
            **{**own, **settings},
        )

    @property
    def devices(self) -> list[Any]:
        """All of them."""
        several = (self.counters, self.monochromator, self.beam, self.foil, self.energy_sweep)
        besides = (self.potentiostat, *self.readables, *self.detectors)
        return [each for each in (*several, *besides) if each is not None]

    @property
    def moved(self) -> list[Any]:
        """What spectra move, and what is put back after them; the energy first."""
        amplifiers = self.counters.amplifiers.values()
        return [self.monochromator.bragg, *amplifiers, *([self.foil] if self.foil else [])]

    def foil_for(self, edge: AbsorptionEdge) -> str:
        """Element of the foil that belongs to an edge; empty where there is none."""
        has = self.foil is not None and edge.element in self.foil.elements
        return edge.element if has else OUT


@dataclass(frozen=True)
class EdgeScan:
    """How the spectra of one edge are taken: step by step or in a sweep.

    Attributes:
        edge: That they go through.
        how: Energies and dwells, or the sweep up.
        gains: V/A by channel; those that are left out stay as they are.
    """

    edge: AbsorptionEdge
    how: EnergyGrid | Sweep
    gains: Mapping[str, float] = field(default_factory=dict)

    @property
    def n_samples(self) -> int:
        """Energies of one spectrum."""
        return self.how.n_samples if isinstance(self.how, Sweep) else len(self.how)

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest energy, eV."""
        if isinstance(self.how, Sweep):
            return self.how.start, self.how.stop
        return float(self.how.energies[0]), float(self.how.energies[-1])

    @property
    def longest(self) -> float:
        """s without a pause between counts: a dwell, or the sweep; a dark is as long."""
        return self.how.duration if isinstance(self.how, Sweep) else float(self.how.dwells.max())

    def length(self, rate: float, beside: float = 0.0) -> float:
        """s of session clock that the shutter is open.

        Args:
            rate: Of that clock, s per wall second.
            beside: What a point is known to take beside its dwell, s of session clock.
        """
        if isinstance(self.how, Sweep):
            return self.how.duration + max(SWEEP_OVERHEAD * rate, beside)
        return self.how.duration + max(POINT_OVERHEAD * rate, beside) * len(self.how)

    def beside(self, length: float, n_points: int) -> float:
        """What each of the points of a spectrum that took ``length`` s took beside its dwell, s."""
        if isinstance(self.how, Sweep):
            return length - self.how.duration
        return (length - float(self.how.dwells[:n_points].sum())) / n_points
