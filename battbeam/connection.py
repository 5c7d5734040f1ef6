"""This file is where the addresses of a running beamline are written down and found again.

``battbeam sim`` and ``battbeam serve`` write ``connection.json`` into their directory; sessions, plans and
tests read it. A real beamline has one written by hand.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from battbeam.errors import ProcessError

FILE_NAME = "connection.json"
SITE_FILE_NAME = "site.json"


class GuardAddress(BaseModel):
    """Where one cell guard answers and where it writes.

    Attributes:
        prefix: Of its PVs, with the closing colon.
        log: The guard's append-only log.
    """

    model_config = ConfigDict(extra="forbid")
    prefix: str
    log: Path


class BeamLight(BaseModel):
    """What the staff of a beamline have measured of a beam in which nothing counts.

    Attributes:
        photons_per_milliampere: On the sample per s and mA of ring current, attenuator open.
        ring_current_max: mA; no filling is above.
        beam_size: Full width and height on the sample, mm.
        energy: At which this holds, of a white beam the mean of its photons, eV.
        date: When it was measured, ISO 8601; empty where nobody wrote it down.
    """

    model_config = ConfigDict(extra="forbid")
    photons_per_milliampere: float = Field(gt=0)
    ring_current_max: float = Field(gt=0)
    beam_size: tuple[float, float]
    energy: float = Field(gt=0)
    date: str = ""


class FluxCalibration(BeamLight):
    """The same of a beam with an I0, by a calibrated diode say.

    Attributes:
        photons_per_count: On the sample for each count of I0, which counts behind the attenuator.
    """

    photons_per_count: float = Field(gt=0)


class CounterCalibration(BaseModel):
    """What the staff of a beamline have measured of the counters of its spectra.

    Channels are ``i0``, ``it`` and ``ir``, ionisation chambers before the sample, behind it and
    behind the foil, and ``if``, the fluorescence detector; one that is left out is not known.

    Attributes:
        counts_per_photon: By channel, of a photon that is detected, at the gain below.
        reference_gain: Of the chambers' amplifiers, V/A; counts per photon go with the gain.
        shares: By chamber, photons detected of those that come; ``i0`` of those on the sample,
            ``ir`` of those that would come if there were no chamber before it.
        overload: Counts/s from which on a chamber does not follow.
    """

    model_config = ConfigDict(extra="forbid")
    counts_per_photon: dict[str, float] = Field(default_factory=dict)
    reference_gain: float = Field(default=1e8, gt=0)
    shares: dict[str, float] = Field(default_factory=dict)
    overload: float | None = Field(default=None, gt=0)


class WhiteBeamCalibration(BaseModel):
    """What the staff of a beamline have measured of its white beam and of the detector for it.

    Attributes:
        resolution: Full width at half maximum of a line at 40 keV, eV.
        flux: (energy in eV, photons per eV times what the detector detects, relative), ascending; empty
            where nobody has measured it.
        light: On the cell, its size along and across the layers; None where nobody has measured it.
    """

    model_config = ConfigDict(extra="forbid")
    resolution: float = Field(default=350.0, gt=0)
    flux: list[tuple[float, float]] = Field(default_factory=list)
    light: BeamLight | None = None


class CameraCalibration(BaseModel):
    """What the staff of a beamline have measured of its imaging camera and rotation stage.

    Attributes:
        pixel_size: At the sample, mm.
        n_rows: Pixels along the rotation axis.
        n_columns: Pixels across it.
        saturation: Largest count of a pixel in one frame.
        flat_rate: Counts a s of the brightest pixel in the open beam, attenuator open, ring full;
            None where nobody has measured it.
        readout_time: From the end of an exposure to the next one's earliest start, s of the session's
            clock.
        readout_delay: From the end of an exposure to its stamp, s of the session's clock.
        distance: From the rotation axis to the scintillator, mm.
        counts_per_degree: Of the rotation stage's encoder.
        pixel_bytes: Of a pixel in a file, before compression.
    """

    model_config = ConfigDict(extra="forbid")
    pixel_size: float = Field(gt=0)
    n_rows: int = Field(gt=0)
    n_columns: int = Field(gt=0)
    saturation: float = Field(gt=0)
    flat_rate: float | None = Field(default=None, gt=0)
    readout_time: float = Field(default=0.0, ge=0)
    readout_delay: float = Field(default=0.0, ge=0)
    distance: float = Field(default=0.0, ge=0)
    counts_per_degree: float | None = Field(default=None, gt=0)
    pixel_bytes: int = Field(default=4, gt=0)


class SmallAngleNotes(BaseModel):
    """What the staff of a beamline know of its small-angle detector.

    Attributes:
        distance: From the cell as a ruler says, mm, within a tenth.
        centre: Where the beam would meet it, pixels along rows' and columns' index, roughly.
        pixel_size: mm.
        beam_stop: Diameter of the shadow of the beam stop, mm.
        standard_position: (x, y) of the sample stage with silver behenate in the beam, mm.
        frame_shape: Pixels along rows' and columns' index.
        saturation: Largest count of a pixel in one frame.
        readout_delay: From the end of an exposure to its stamp, s of the session's clock.
    """

    model_config = ConfigDict(extra="forbid")
    distance: float = Field(gt=0)
    centre: tuple[float, float]
    pixel_size: float = Field(gt=0)
    beam_stop: float = Field(default=0.0, ge=0)
    standard_position: tuple[float, float]
    frame_shape: tuple[int, int] = (256, 256)
    saturation: float = 1e6
    readout_delay: float = Field(default=0.0, ge=0)


class SiteNotes(BaseModel):
    """What the staff of a beamline know of it and write into ``site.json``.

    Attributes:
        standard: Calibrant that is mounted beside the cell.
        standard_position: (x, y) of the sample stage with it in the beam, mm.
        cell_positions: (x, y) of the sample stage with the middle of each cell in the beam, mm, by
            the cell's name; ``cell1`` at (0, 0) where nothing else is written.
        readout_delay: From the end of an exposure to the detector's stamp, s of the session's clock.
        distance: From the cell to the detector as a ruler says, mm.
        centre: Where the beam meets the detector, pixels along rows' and columns' index.
        pixel_size: mm.
        flux: Of the beam, for the doses of samples; None where it was not measured.
        counters: Of spectra; None where they were not calibrated.
        camera: For imaging, and its rotation stage; None where there is none.
        small_angle: The small-angle detector; None where there is none.
        white_beam: And the energy-dispersive detector for it; None where there is none.
        top_up_length: Of an injection, s of the session's clock, until the beam is good again.
        ring_lifetime: Of the ring's current, s; None with top-up, or where it is not known.
        frame_shape: Of the detector, pixels along rows' and columns' index.
        saturation: Largest count of a pixel in one frame.
        point_overhead: s of session clock that a point takes beside its exposure.
        count_overhead: The same of a point of a spectrum.
        shutter_overhead: Wall s beside an exposure that the shutter may be open: that much light is
            reserved with every opening.
        cell_change: s of session clock from one cell to another: the move, new files.
        mass_spectrometer: Whether there is one.
    """

    model_config = ConfigDict(extra="forbid")
    standard: str
    standard_position: tuple[float, float]
    cell_positions: dict[str, tuple[float, float]] = Field(
        default_factory=lambda: {"cell1": (0.0, 0.0)}
    )
    readout_delay: float
    distance: float
    centre: tuple[float, float]
    pixel_size: float
    flux: FluxCalibration | None = None
    counters: CounterCalibration | None = None
    camera: CameraCalibration | None = None
    small_angle: SmallAngleNotes | None = None
    white_beam: WhiteBeamCalibration | None = None
    top_up_length: float = 2.0
    ring_lifetime: float | None = None
    frame_shape: tuple[int, int] = (512, 512)
    saturation: float = 1e6
    point_overhead: float = 0.3
    count_overhead: float = 0.1
    shutter_overhead: float = Field(default=1.0, gt=0)
    cell_change: float = 5.0
    mass_spectrometer: bool = False

    def write(self, directory: Path) -> None:
        """Write ``site.json`` into a beamline's directory."""
        (directory / SITE_FILE_NAME).write_text(self.model_dump_json(indent=2))

    @classmethod
    def read(cls, directory: Path) -> "SiteNotes":
        """The notes in a beamline's directory.

        Raises:
            ProcessError: If there are none.
        """
        path = directory / SITE_FILE_NAME
        if not path.exists():
            raise ProcessError(f"{path} is missing; a beamline's declaration needs it")
        return cls.model_validate_json(path.read_text())


class Connection(BaseModel):
    """The addresses of one beamline, simulated or real.

    Attributes:
        directory: Everything that the beamline's processes write lies under it.
        simulated: Whether any of it is a simulation.
        ca_addresses: ``host:port`` of every Channel Access server.
        clock: PV prefix of the clock server; empty on real hardware, where the wall clock counts.
        beamline: PV prefix of motors, counters and detectors.
        guards: By the cell's position name, ``cell1`` first.
        devices: Python file that declares the instruments.
        catalog_uri: Of the tiled server, empty while none runs.
    """

    model_config = ConfigDict(extra="forbid")
    directory: Path
    simulated: bool
    ca_addresses: list[str] = Field(default_factory=list)
    clock: str = ""
    beamline: str = ""
    guards: dict[str, GuardAddress] = Field(default_factory=dict)
    devices: Path | None = None
    catalog_uri: str = ""

    @property
    def frames(self) -> Path:
        """Where detectors write."""
        return self.directory / "frames"

    @property
    def spool(self) -> Path:
        """Raw documents, one file a run."""
        return self.directory / "spool"

    @property
    def reduced_spool(self) -> Path:
        """Documents of reduced results, one file a run."""
        return self.directory / "reduced"

    @property
    def volumes(self) -> Path:
        """Reduced results that are too large for a row, one file a run."""
        return self.directory / "volumes"

    @property
    def alarms(self) -> Path:
        """A line of JSON for each alarm that the reducer raised."""
        return self.directory / "alarms.jsonl"

    @property
    def catalog(self) -> Path:
        """Database, tables and arrays of the tiled server."""
        return self.directory / "catalog"

    @property
    def catalog_key_file(self) -> Path:
        """The catalogue's API key, readable by its owner alone."""
        return self.catalog / "api_key"

    @property
    def calibration(self) -> Path:
        """Geometry (.poni), masks and darks."""
        return self.directory / "calibration"

    def environment(self) -> dict[str, str]:
        """The environment in which a Channel Access client finds this beamline and nothing else."""
        return {
            "EPICS_CA_ADDR_LIST": " ".join(self.ca_addresses),
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
        }

    def use(self) -> None:
        """Let Channel Access clients of this process find this beamline; before any is made."""
        os.environ.update(self.environment())

    def write(self) -> Path:
        """Write ``connection.json`` into the directory, whole or not at all."""
        path = self.directory / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(self.model_dump_json(indent=2))
        scratch.replace(path)
        return path

    @classmethod
    def read(cls, directory: Path) -> "Connection":
        """The connection written in ``directory``.

        Raises:
            ProcessError: If there is none: no beamline was started there.
        """
        path = directory / FILE_NAME
        if not path.exists():
            raise ProcessError(
                f"no beamline at {directory}: {FILE_NAME} is missing; start a simulated one with "
                f"`battbeam sim --directory {directory}`"
            )
        return cls.model_validate_json(path.read_text())
