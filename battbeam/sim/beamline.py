"""This file is where the simulated beamline serves its instruments: axes, ring, shutter, counters,
detector.

What is seen is the physics of `battbeam.sim.shots`; here are only its records. `SAMPLE:X` and
`SAMPLE:Y` are the point of the changer (mm) in the beam; cell 1 has its middle at (0, 0). Counters
hold the counts of the detector's last exposure. `DET1:HEARTBEAT`, which iocStats serves on a real
beamline, counts a few times a second and is stamped by the clock of the detector's computer: a
client that watches it compares that clock with its own.
"""

import asyncio
import math
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.analyser import Analyser
from battbeam.sim.beam import BeamLog
from battbeam.sim.changer import stage_limits
from battbeam.sim.clock import ClockClient
from battbeam.sim.detector import Detector
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History, history_path
from battbeam.sim.imaging_shots import ImagingCamera
from battbeam.sim.imaging_station import ImagingStation
from battbeam.sim.marker import MarkerWriter, marker_path
from battbeam.sim.marker_line import MarkerLine
from battbeam.sim.mca import EnergyDispersiveStation
from battbeam.sim.monochromator import D_SPACING, Monochromator, angle_at, energy_at
from battbeam.sim.motor import Motor
from battbeam.sim.pso import Pulses
from battbeam.sim.records import shown
from battbeam.sim.scenario import Scenario
from battbeam.sim.server import serve
from battbeam.sim.shots import DARK_RATE, DiffractionCamera, Pose, Shot
from battbeam.sim.small_angle_shots import SmallAngleCamera
from battbeam.sim.small_angle_station import SmallAngleStation, TriggerOut
from battbeam.sim.spectrometer import Spectrometer
from battbeam.sim.spectroscopy_station import SpectroscopyStation
from battbeam.sim.statistics import Statistics
from battbeam.sim.truth import TruthWriter
from battbeam.sim.writer import Writer

#: What the attenuator can put in.
FILTERS = (1.0, 0.3, 0.1, 0.03, 0.01)
#: Counts per mm of the sample stage, and per degree of its tilt; degree to which it tilts.
STAGE_ENCODER, TILT_REACH = 1e4, 30.0
#: Wall seconds between two live values.
_LIVE_INTERVAL = 0.2
#: A frame number that no frame has, for the random numbers of the live counters.
_LIVE_STREAM = 0


async def _put_shutter(beamline: "Beamline", _instance: Any, value: Any) -> Any:
    await beamline.open_shutter(str(value) in ("1", "Open"))
    return value


async def _put_fault(beamline: "Beamline", instance: Any, value: Any) -> Any:
    name = instance.enum_strings[int(value)] if str(value).isdigit() else str(value)
    await beamline.set_fault(name)
    return value


async def _put_filter(beamline: "Beamline", _instance: Any, value: Any) -> int:
    index = min(max(int(value), 0), len(FILTERS) - 1)
    await beamline.set_filter(index)
    return index


async def _put_transmission(beamline: "Beamline", _instance: Any, value: Any) -> float:
    wanted = min(max(float(value), FILTERS[-1]), FILTERS[0])
    index = int(np.argmin(np.abs(np.log(np.array(FILTERS) / wanted))))
    await beamline.FilterIndex.write(index)
    return float(value)


async def _get_next_top_up(beamline: "Beamline", _instance: Any) -> None:
    await beamline.show_top_up()


class Beamline(PVGroup):  # type: ignore[misc]
    """The records beside the axes and the detector."""

    BootId = shown("", name="BOOT_ID", dtype=ChannelType.STRING)
    RingCurrent = shown(0.0, name="RING:CURRENT", units="mA", precision=3)
    RingFault = pvproperty(
        value="None",
        name="RING:FAULT",
        enum_strings=("None", "NaN", "Down"),
        dtype=ChannelType.ENUM,
        put=_put_fault,
        doc="NaN: the reading fails; Down: the beam is lost",
    )
    ShutterCommand = pvproperty(
        value="Close",
        name="SHUTTER:CMD",
        enum_strings=("Close", "Open"),
        dtype=ChannelType.ENUM,
        put=_put_shutter,
    )
    ShutterStatus = shown(
        "Closed", name="SHUTTER:STATUS", enum_strings=("Closed", "Open"), dtype=ChannelType.ENUM
    )
    FilterTransmission = pvproperty(
        value=1.0,
        name="ATT:SP",
        put=_put_transmission,
        doc="asked for; the nearest filter is taken",
    )
    FilterIndex = pvproperty(value=0, name="ATT:INDEX", put=_put_filter)
    Transmission = shown(1.0, name="ATT:TRANSMISSION", precision=4)
    Filters = shown(list(FILTERS), name="ATT:FILTERS", max_length=len(FILTERS))
    I0Counts = shown(0.0, name="I0:COUNTS", units="count")
    ItCounts = shown(0.0, name="IT:COUNTS", units="count")
    I0Rate = shown(0.0, name="I0:RATE", units="count/s")
    ItRate = shown(0.0, name="IT:RATE", units="count/s")
    TopUp = shown(
        "Idle", name="RING:TopUp", enum_strings=("Idle", "Injecting"), dtype=ChannelType.ENUM
    )
    NextTopUp = pvproperty(
        value=math.nan,
        name="RING:NextTopUp",
        get=_get_next_top_up,
        read_only=True,
        units="s",
        precision=2,
        doc="of the session's clock until the next injection, 0 while one lasts; NaN: none",
    )
    TopUpLength = shown(0.0, name="RING:TopUpLength", units="s", precision=2)
    Heartbeat = shown(
        0, name="DET1:HEARTBEAT", doc="stamped by the clock of the detector's computer"
    )
    I0DarkRate = shown(DARK_RATE, name="I0:DARK_RATE", units="count/s")
    ItDarkRate = shown(DARK_RATE, name="IT:DARK_RATE", units="count/s")
    Energy = shown(0.0, name="MONO:ENERGY", units="eV", precision=3)
    DSpacing = shown(D_SPACING, name="MONO:D_SPACING", units="angstrom", precision=5)
    Hkl = shown("1 1 1", name="MONO:HKL", dtype=ChannelType.STRING)

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
        self.x, self.y = (
            Motor(
                f"{prefix}SAMPLE:{name}",
                units="mm",
                limits=stage_limits(scenario, axis),
                velocity=50,
                acceleration_time=0.02,
                encoder=STAGE_ENCODER,
                clock=clock,
                on_change=self._count_photons,
            )
            for axis, name in enumerate("XY")
        )
        self.tilt = Motor(
            f"{prefix}SAMPLE:TILT",
            units="deg",
            limits=(-TILT_REACH, TILT_REACH),
            velocity=10,
            encoder=STAGE_ENCODER,
            clock=clock,
        )
        self.rotation = Motor(
            f"{prefix}ROT",
            units="deg",
            limits=(-360, 360),
            velocity=90,
            acceleration_time=0.2,
            encoder=scenario.imaging.encoder,
            clock=clock,
        )
        self.bragg = Motor(
            f"{prefix}MONO:BRAGG",
            units="deg",
            limits=(1, 60),
            velocity=5,
            acceleration_time=0.05,
            precision=7,
            position=angle_at(scenario.beam.energy),
            encoder=scenario.spectroscopy.encoder,
            clock=clock,
        )
        self.map_pulses = Pulses(f"{prefix}PSO2:", axis=self.x, clock=clock)
        self.monochromator = Monochromator(scenario)
        rows, columns = scenario.detector.n_rows, scenario.detector.n_columns
        self.writer = Writer(f"{prefix}DET1:HDF1:", executor=self.executor, shape=(rows, columns))
        self.statistics = Statistics(f"{prefix}DET1:STATS1:")
        self.trigger_out = TriggerOut(f"{prefix}DET1:")
        self.detector = Detector(
            f"{prefix}DET1:cam1:",
            settings=scenario.detector,
            start=scenario.start,
            rate=scenario.rate,
            camera=camera,
            clock=clock,
            writer=self.writer,
            executor=self.executor,
            preparer=self.preparer,
            pose=self._pose,
            rotation=self.rotation,
            show_counters=self._show_counters,
            began=self.trigger_out.fire,
            pulses=self.map_pulses,
        )
        self.imaging = ImagingStation(
            prefix,
            camera=imaging_camera,
            rotation=self.rotation,
            clock=clock,
            executor=self.executor,
            pose=self._pose,
        )
        self.small_angle = SmallAngleStation.of(
            prefix,
            small_angle_camera,
            trigger=self.trigger_out,
            clock=clock,
            executor=self.executor,
            pose=self._pose,
            rotation=self.rotation,
        )
        self.spectroscopy = SpectroscopyStation(
            prefix,
            spectrometer=spectrometer,
            axis=self.bragg,
            clock=clock,
            executor=self.executor,
            stage=lambda: (self.x.position, self.y.position),
        )
        self.white = analyser.white
        self.energy_dispersive = EnergyDispersiveStation(
            prefix,
            analyser=analyser,
            clock=clock,
            executor=self.executor,
            stage=lambda: (self.x.position, self.y.position),
        )
        self.marker = MarkerLine(f"{prefix}MARKER", clock=clock, markers=markers)
        self._rng = np.random.default_rng([scenario.seed, _LIVE_STREAM])

    @property
    def database(self) -> dict[str, Any]:
        """Every record, by name."""
        axes = (self.x, self.y, self.tilt, self.rotation, self.bragg)
        groups = (
            self,
            *axes,
            self.map_pulses,
            self.writer,
            self.detector,
            self.statistics,
            self.marker,
        )
        own = {name: record for group in groups for name, record in group.pvdb.items()}
        own |= self.trigger_out.pvdb
        own |= {} if self.small_angle is None else dict(self.small_angle.records)
        stations = (self.spectroscopy, self.imaging, self.energy_dispersive)
        return own | {name: record for station in stations for name, record in station.records}

    @property
    def energy(self) -> float:
        """What the monochromator's angle says, eV."""
        return float(energy_at(self.bragg.position))

    @property
    def true_energy(self) -> float:
        """eV."""
        return float(self.monochromator.energy(self.bragg.position))

    def _pose(self, time: float) -> Pose:
        x, y, angle = (float(axis.position_at(time)) for axis in (self.x, self.y, self.bragg))
        tilt = float(self.tilt.position_at(time))
        return Pose(x, y, float(self.monochromator.energy(angle)), float(energy_at(angle)), tilt)

    def _count_photons(self) -> None:
        """Bring the ledger of fluence to now; while exposures run the detector does, and whoever
        works counts out.
        """
        if not (self.detector.is_busy or self.spectroscopy.is_working):
            self.camera.ledger.advance(self.clock.now(), self.x.position, self.y.position)

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.BootId.write(uuid.uuid4().hex)
        if self.scenario.beam.top_up_interval is not None:
            await self.TopUpLength.write(self.scenario.beam.top_up_length)
        for axis in (self.x, self.y, self.tilt, self.rotation, self.bragg):
            await axis.prepare()
        await self.map_pulses.prepare()
        await self.detector.prepare()
        await self.spectroscopy.prepare()
        await self.imaging.prepare()
        if self.small_angle is not None:
            await self.small_angle.prepare()
        await self.energy_dispersive.prepare()
        await self._show_live()

    async def run(self) -> None:
        """Work out the first scenes, and keep the live values going."""
        loop = asyncio.get_running_loop()
        for x, y in ((self.x.position, self.y.position), self.scenario.standard_position):
            loop.run_in_executor(self.preparer, self.camera.prepare, x, y, self.true_energy)
        while True:
            self._count_photons()
            await self._show_live()
            await self.spectroscopy.show()
            await self.imaging.show()
            if self.small_angle is not None:
                await self.small_angle.show()
            await self._beat()
            await asyncio.sleep(_LIVE_INTERVAL)

    async def _beat(self) -> None:
        stamp = self.detector.device_clock.at(self.clock.now())
        await self.Heartbeat.write(self.Heartbeat.value + 1, timestamp=stamp)

    async def open_shutter(self, is_open: bool) -> None:
        """Open or close it; at once."""
        now = self.clock.now()
        self.beam_log.change(now, is_open=is_open)
        await self.ShutterStatus.write("Open" if is_open else "Closed", timestamp=now)

    async def set_fault(self, name: str) -> None:
        """A fault of the ring, or none."""
        for log in (self.beam_log, self.white):
            log.change(self.clock.now(), is_down=name == "Down")
        await self._show_ring(self.clock.now(), is_readable=name != "NaN")

    async def set_filter(self, index: int) -> None:
        """Put a filter in."""
        now = self.clock.now()
        self.beam_log.change(now, transmission=FILTERS[index])
        await self.Transmission.write(FILTERS[index], timestamp=now)

    async def _show_ring(self, now: float, *, is_readable: bool) -> None:
        current = self.beam_log.ring_current(now) if is_readable else math.nan
        await self.RingCurrent.write(current, timestamp=now)

    async def show_top_up(self) -> None:
        """Say when the ring is filled up next."""
        now = self.clock.now()
        if self.scenario.beam.top_up_interval is not None:
            is_injecting = self.beam_log.is_injecting(now)
            await self.TopUp.write("Injecting" if is_injecting else "Idle", timestamp=now)
            await self.NextTopUp.write(self.beam_log.next_top_up(now), timestamp=now)

    async def _show_live(self) -> None:
        now, beam = self.clock.now(), self.scenario.beam
        await self._show_ring(now, is_readable=self.RingFault.value != "NaN")
        await self.show_top_up()
        flux, energy = self.beam_log.flux(now), self.true_energy
        passed = self.camera.transmission(self.x.position, self.y.position, energy)
        i0 = self._rng.poisson(flux * beam.i0_efficiency + DARK_RATE)
        behind = self._rng.poisson(flux * passed * beam.transmission_efficiency + DARK_RATE)
        await self.I0Rate.write(float(i0), timestamp=now)
        await self.ItRate.write(float(behind), timestamp=now)
        if self.Energy.value != self.energy:
            await self.Energy.write(self.energy, timestamp=now)

    async def _show_counters(self, shot: Shot, stamp: float) -> None:
        await self.I0Counts.write(shot.i0, timestamp=stamp)
        await self.ItCounts.write(shot.transmitted, timestamp=stamp)
        await self.statistics.show(shot, stamp)


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
