"""This file is where the simulated beamline serves its instruments: axes, ring, shutter, counters,
detectors.

What is seen is the physics of `battbeam.sim.shots`; here are only its records. `SAMPLE:X` and
`SAMPLE:Y` are the point of the changer (mm) in the beam; cell 1 has its middle at (0, 0). Counters
hold the counts of the detector's last exposure. `DET1:HEARTBEAT`, which iocStats serves on a real
beamline, counts a few times a second and is stamped by the clock of the detector's computer: a
client that watches it compares that clock with its own.
"""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup

from battbeam.sim.analyser import Analyser
from battbeam.sim.axes import Axes
from battbeam.sim.beam import BeamLog
from battbeam.sim.clock import ClockClient
from battbeam.sim.diffraction_station import DiffractionStation
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.front_end import FrontEnd
from battbeam.sim.history import History, history_path
from battbeam.sim.imaging_shots import ImagingCamera
from battbeam.sim.imaging_station import ImagingStation
from battbeam.sim.intensities import Intensities
from battbeam.sim.marker import MarkerWriter, marker_path
from battbeam.sim.marker_line import MarkerLine
from battbeam.sim.mca import EnergyDispersiveStation
from battbeam.sim.records import shown
from battbeam.sim.scenario import Scenario
from battbeam.sim.server import serve
from battbeam.sim.shots import DiffractionCamera
from battbeam.sim.small_angle_shots import SmallAngleCamera
from battbeam.sim.small_angle_station import small_angle_station
from battbeam.sim.spectrometer import Spectrometer
from battbeam.sim.spectroscopy_station import SpectroscopyStation
from battbeam.sim.truth import TruthWriter

#: Wall seconds between two live values.
_LIVE_INTERVAL = 0.2


class Beamline(PVGroup):  # type: ignore[misc]
    """All instruments, and the record that says when they were started."""

    BootId = shown("", name="BOOT_ID", dtype=ChannelType.STRING)

    def __init__(
        self,
        prefix: str,
        *,
        scenario: Scenario,
        clock: ClockClient,
        camera: DiffractionCamera,
        imaging_camera: ImagingCamera,
        beam_log: BeamLog,
        spectrometer: Spectrometer,
        analyser: Analyser,
        markers: MarkerWriter,
        small_angle_camera: SmallAngleCamera | None = None,
    ) -> None:
        super().__init__(prefix)
        self.scenario, self.clock, self.camera, self.beam_log = scenario, clock, camera, beam_log
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")
        self.preparer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scenes")
        self.axes = Axes(prefix, scenario=scenario, clock=clock, moved=self._count_photons)
        self.front_end = FrontEnd(prefix, clock=clock, beam_log=beam_log, white=analyser.white)
        self.intensities = Intensities(prefix, scenario=scenario)
        self.diffraction = DiffractionStation(
            prefix,
            camera=camera,
            stage=self.axes.x,
            rotation=self.axes.rotation,
            intensities=self.intensities,
            clock=clock,
            executor=self.executor,
            preparer=self.preparer,
            pose=self.axes.pose,
        )
        self.imaging = ImagingStation(
            prefix,
            camera=imaging_camera,
            rotation=self.axes.rotation,
            clock=clock,
            executor=self.executor,
            pose=self.axes.pose,
        )
        self.small_angle = small_angle_station(
            prefix,
            small_angle_camera,
            trigger=self.diffraction.trigger_out,
            clock=clock,
            executor=self.executor,
            pose=self.axes.pose,
            rotation=self.axes.rotation,
        )
        self.spectroscopy = SpectroscopyStation(
            prefix,
            spectrometer=spectrometer,
            axis=self.axes.bragg,
            clock=clock,
            executor=self.executor,
            stage=lambda: self.axes.stage,
        )
        self.energy_dispersive = EnergyDispersiveStation(
            prefix,
            analyser=analyser,
            clock=clock,
            executor=self.executor,
            stage=lambda: self.axes.stage,
        )
        self.marker = MarkerLine(f"{prefix}MARKER", clock=clock, markers=markers)

    @property
    def database(self) -> dict[str, Any]:
        """Every record, by name."""
        groups = (self, self.front_end, self.intensities, self.marker)
        small_angle = () if self.small_angle is None else (self.small_angle,)
        stations = (
            self.axes,
            self.diffraction,
            *small_angle,
            self.spectroscopy,
            self.imaging,
            self.energy_dispersive,
        )
        own = {name: record for group in groups for name, record in group.pvdb.items()}
        return own | {name: record for station in stations for name, record in station.records}

    def _count_photons(self) -> None:
        """Bring the ledger of fluence to now; while exposures run the detector does, and whoever
        works counts out.
        """
        if not (self.diffraction.detector.is_busy or self.spectroscopy.is_working):
            self.camera.ledger.advance(self.clock.now(), *self.axes.stage)

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.BootId.write(uuid.uuid4().hex)
        await self.front_end.prepare()
        await self.axes.prepare()
        await self.diffraction.prepare()
        await self.spectroscopy.prepare()
        await self.imaging.prepare()
        if self.small_angle is not None:
            await self.small_angle.prepare()
        await self.energy_dispersive.prepare()
        await self._show_live()

    async def run(self) -> None:
        """Work out the first scenes, and keep the live values going."""
        loop = asyncio.get_running_loop()
        for x, y in (self.axes.stage, self.scenario.standard_position):
            energy = self.axes.true_energy
            loop.run_in_executor(self.preparer, self.camera.prepare, x, y, energy)
        while True:
            self._count_photons()
            await self._show_live()
            await self.spectroscopy.show()
            for station in (self.imaging, self.small_angle, self.diffraction):
                if station is not None:
                    await station.heartbeat.beat()
            await asyncio.sleep(_LIVE_INTERVAL)

    async def _show_live(self) -> None:
        now, axes = self.clock.now(), self.axes
        await self.front_end.show(now)
        passed = self.camera.transmission(*axes.stage, axes.true_energy)
        await self.intensities.show_rates(self.beam_log.flux(now), passed, now)
        await axes.show(now)


def main(directory: Path) -> None:
    """Serve the beamline of the scenario in ``directory``."""
    scenario = Scenario.read(directory / "sim" / "scenario.json")
    clock = ClockClient(scenario.clock_prefix)
    beam_log = BeamLog(scenario.beam, start=scenario.start)
    histories = [
        History(history_path(directory, number)) for number in range(1, len(scenario.cells) + 1)
    ]
    ledger = FluenceLedger(scenario, beam_log=beam_log, histories=histories)
    truth = TruthWriter(directory / "sim" / "truth.jsonl")
    imaging_camera = ImagingCamera(
        scenario, clock=clock, histories=histories, beam_log=beam_log, truth=truth
    )
    spectrometer = Spectrometer(
        scenario, clock=clock, histories=histories, ledger=ledger, beam_log=beam_log, truth=truth
    )
    camera = DiffractionCamera(
        scenario,
        clock=clock,
        histories=histories,
        ledger=ledger,
        beam_log=beam_log,
        truth=truth,
        heated_to=spectrometer.furnace.highest_until,
    )
    white = BeamLog(scenario.beam, start=scenario.start)
    analyser = Analyser(scenario, clock=clock, histories=histories, white=white, truth=truth)
    (directory / "frames").mkdir(parents=True, exist_ok=True)
    beamline = Beamline(
        scenario.beamline_prefix,
        scenario=scenario,
        clock=clock,
        camera=camera,
        imaging_camera=imaging_camera,
        beam_log=beam_log,
        spectrometer=spectrometer,
        analyser=analyser,
        markers=MarkerWriter(marker_path(directory)),
        small_angle_camera=SmallAngleCamera.of(
            scenario, clock=clock, histories=histories, beam_log=beam_log, truth=truth
        ),
    )
    serve(beamline.database, prepare=beamline.prepare, background=beamline.run)
    for executor in (beamline.executor, beamline.preparer):
        executor.shutdown(wait=False, cancel_futures=True)
