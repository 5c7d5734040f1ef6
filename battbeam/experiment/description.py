"""This file is where an experiment is described before it runs: cell, protocol, schedule, costs,
site.

Everything here is what a visitor and the staff know; nothing is asked of an instrument. A recipe
makes a description from the same constants as its plan, and `battbeam.experiment.forecast` says what
will come of it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from battbeam.connection import SiteNotes
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.dispatch import Parking
from battbeam.experiment.dose import DoseBudget, MassModel
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_curve import Curve
from battbeam.experiment.rotation import Turntable
from battbeam.experiment.schedule import Schedule

#: Resistance times electrode area that is believed of a cell, ohm cm2, where nothing is given:
#: some tens are usual for coin cells near room temperature. Chosen here.
AREA_RESISTANCE = 40.0
#: Time constant with which an electrode's surface is believed to follow its mean, s. Chosen here:
#: it is some seconds in thin electrodes and many minutes in thick ones, and shifts where a current
#: ends by this times the C-rate.
RELAXATION = 60.0


#: Photons that chambers detect of those that come, where nothing is known: chambers before and
#: behind a sample are filled so that they absorb about this much. Chosen here.
_I0_SHARE, _IT_SHARE = 0.1, 0.5


@dataclass(frozen=True)
class BeamFacts:
    """The beam as the staff know it.

    Attributes:
        flux: Photons per s on the sample when the experiment begins, at the attenuator's present
            transmission.
        size: Full width and height on the sample, mm.
        energy: eV.
        lifetime: Of the ring's current, s; infinite with top-up.
        transmissions: That the attenuator can be set to, 1.
    """

    flux: float = 2.0e8
    size: tuple[float, float] = (0.3, 0.3)
    energy: float = 22163.0
    lifetime: float = math.inf
    transmissions: tuple[float, ...] = ()

    def photons(self, begin: float, end: float) -> float:
        """On the sample between two times, s since the experiment began, at an open shutter.

        >>> BeamFacts(flux=100.0).photons(5.0, 15.0)
        1000.0
        """
        if math.isinf(self.lifetime):
            return self.flux * (end - begin)
        decay = math.exp(-begin / self.lifetime) - math.exp(-end / self.lifetime)
        return self.flux * self.lifetime * decay


@dataclass(frozen=True)
class DetectorFacts:
    """A flat area detector, its middle in the beam.

    Attributes:
        n_rows: Pixels along the slow axis.
        n_columns: Pixels along the fast axis.
        pixel_bytes: Before compression.
        pixel_size: mm.
        distance: From the sample, mm.
        saturation: Largest count of a pixel in one frame.
        gain: Counts per photon.
        peak_width: Full width at half maximum of a line, degree of 2 theta.
    """

    n_rows: int = 512
    n_columns: int = 512
    pixel_bytes: int = 4
    pixel_size: float = 0.172
    distance: float = 130.0
    saturation: float = 1e6
    gain: float = 1.0
    peak_width: float = 0.1

    @property
    def frame_bytes(self) -> int:
        """Of one frame, before compression."""
        return self.n_rows * self.n_columns * self.pixel_bytes


@dataclass(frozen=True)
class CounterFacts:
    """The counters of spectra.

    Attributes:
        i0_share: Photons that I0 counts, of those on the sample.
        it_share: Photons that are counted behind the sample, of those that get there.
    """

    i0_share: float = _I0_SHARE
    it_share: float = _IT_SHARE


@dataclass(frozen=True)
class SpectrumRequest:
    """A spectrum that is asked for.

    Attributes:
        grid: Its energies.
        signal: How absorption is measured.
    """

    grid: EnergyGrid
    signal: Literal["transmission", "fluorescence"] = "transmission"


_CAMERA, _TABLE = CameraFacts(), Turntable(counts_per_degree=1e4, acceleration=0.2)


@dataclass(frozen=True)
class SiteFacts:
    """What a measurement costs at this beamline.

    Attributes:
        beam: The light.
        detector: What sees it.
        counters: What counts it.
        camera: What takes radiographs.
        table: What turns the sample.
        overhead: s of session clock that a point takes beside its exposure: shutter, readout, the
            event.
        count_overhead: s that a point of a spectrum takes beside its dwell.
        move: s from one cell to another, new files for its run included.
        set_up: s from the start of the experiment until the cell's first step begins.
        reading_interval: s between two looks at a cell: a rule is seen that late, at the most; None
            is as close together as is quick.
        free_bytes: On the disk that frames go to; None is not known.
        name: Where these are from.
    """

    beam: BeamFacts = BeamFacts()
    detector: DetectorFacts = DetectorFacts()
    counters: CounterFacts = CounterFacts()
    camera: CameraFacts = _CAMERA
    table: Turntable = _TABLE
    overhead: float = 0.3
    count_overhead: float = 0.1
    move: float = 5.0
    set_up: float = 0.0
    reading_interval: float | None = None
    free_bytes: float | None = None
    name: str = "defaults"

    @classmethod
    def of(
        cls, notes: SiteNotes, *, free_bytes: float | None = None, name: str = ""
    ) -> "SiteFacts":
        """What the staff wrote into ``site.json``; the ring is taken to be full."""
        beam, flux = BeamFacts(lifetime=notes.ring_lifetime or math.inf), notes.flux
        shares = {} if notes.counters is None else notes.counters.shares
        counters = CounterFacts(shares.get("i0", _I0_SHARE), shares.get("it", _IT_SHARE))
        if flux is not None:
            beam = replace(
                beam,
                flux=flux.photons_per_milliampere * flux.ring_current_max,
                size=flux.beam_size,
                energy=flux.energy,
            )
        rows, columns = notes.frame_shape
        counts = None if notes.camera is None else notes.camera.counts_per_degree
        detector = DetectorFacts(
            n_rows=rows,
            n_columns=columns,
            pixel_size=notes.pixel_size,
            distance=notes.distance,
            saturation=notes.saturation,
        )
        return cls(
            beam=beam,
            detector=detector,
            counters=counters,
            camera=CameraFacts.of(notes.camera),
            table=_TABLE if counts is None else replace(_TABLE, counts_per_degree=counts),
            overhead=notes.point_overhead,
            count_overhead=notes.count_overhead,
            move=notes.cell_change,
            free_bytes=free_bytes,
            name=name or "site.json",
        )


def light_of(exposure: float, n_frames: int = 1) -> float:
    """s of light of ``n_frames`` exposures.

    Raises:
        ValueError: If there is none.

    >>> light_of(2.0, 3)
    6.0
    """
    if not (exposure > 0 and math.isfinite(exposure)):
        raise ValueError(f"exposure must be greater than 0 s, got {exposure:g} s")
    if n_frames < 1:
        raise ValueError(f"n_frames must be at least 1, got {n_frames}")
    return exposure * n_frames


def point_cost(
    site: SiteFacts, exposure: float, *, n_frames: int = 1, spot: tuple[float, float] = (0.0, 0.0)
) -> Cost:
    """What one point costs: its frames one after the other on one spot.

    >>> point_cost(SiteFacts(overhead=0.5), 30.0).duration
    30.5
    """
    light = light_of(exposure, n_frames)
    return Cost(
        duration=light + site.overhead,
        spots=(Spot(*spot, exposure=light),),
        n_frames=n_frames,
        n_bytes=n_frames * site.detector.frame_bytes,
        span=light,
    )


def map_cost(
    site: SiteFacts,
    exposure: float,
    positions: Iterable[tuple[float, float]],
    *,
    n_frames: int = 1,
    move: float = 0.0,
) -> Cost:
    """What a map costs: ``n_frames`` at each position, ``move`` s from one to the next.

    >>> map_cost(SiteFacts(overhead=0.5), 2.0, [(0.0, 0.0), (0.1, 0.0)]).duration
    5.0
    """
    light = light_of(exposure, n_frames)
    spots = tuple(Spot(x, y, exposure=light) for x, y in positions)
    n = len(spots) * n_frames
    return Cost(
        duration=len(spots) * (light + site.overhead + move),
        spots=spots,
        n_frames=n,
        n_bytes=n * site.detector.frame_bytes,
    )


@dataclass(frozen=True)
class Description:
    """One cell's part of an experiment.

    Attributes:
        site: Where it is.
        costs: Of each measurement, by name.
        passport: Of the cell; None where no cell is asked for.
        protocol: That it follows, as a document; a schedule needs one.
        schedule: When it is measured; rules of other cells are left out.
        sequence: Measurements one after the other, where nothing is scheduled.
        cell: Name of the guard's cell.
        curve: Open-circuit voltage against the state of charge; None is the chemistry's published
            one.
        resistance: ohm; None is `AREA_RESISTANCE` over the electrode's area.
        relaxation: s with which the electrode's surface follows its mean.
        budget: Of light on every spot.
        material: In which dose is counted; None is the budget's, or the active material.
        parking: When the cell is given up.
        spectra: That are measured, so that it is known whether they can be.
    """

    site: SiteFacts
    costs: Mapping[str, Cost]
    passport: CellPassport | None = None
    protocol: Mapping[str, Any] | None = None
    schedule: Schedule | None = None
    sequence: Sequence[str] = ()
    cell: str = "cell1"
    curve: Curve | None = None
    resistance: float | None = None
    relaxation: float = RELAXATION
    budget: DoseBudget | None = None
    material: MassModel | None = None
    parking: Parking | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    spectra: Sequence[SpectrumRequest] = ()

    @property
    def sample_uid(self) -> str:
        """Of the passport, or the cell's name."""
        return self.cell if self.passport is None else self.passport.sample_uid

    @property
    def own_schedule(self) -> Schedule | None:
        """Rules of this cell alone; None without any."""
        rules = () if self.schedule is None else self.schedule.rules
        own = tuple(rule for rule in rules if rule.cell == self.cell)
        return Schedule(rules=own) if own else None
