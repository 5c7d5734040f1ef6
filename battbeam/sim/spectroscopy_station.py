"""This file is where everything that a beamline serves for spectra is put together."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor

from caproto import ChannelData
from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.count_request import Kind, Reading, Request
from battbeam.sim.counting_panel import CountingPanel
from battbeam.sim.energy_sweep import EnergySweep
from battbeam.sim.furnace import FurnaceGroup
from battbeam.sim.mass_spectrometer import station_of
from battbeam.sim.motor import Motor
from battbeam.sim.scaler import Scaler
from battbeam.sim.spectrometer import Spectrometer
from battbeam.units import FloatArray


class SpectroscopyStation:
    """Scaler, sweeps, amplifiers, foils, furnace and mass spectrometer of a beamline.

    Args:
        prefix: Of the beamline's PVs.
        spectrometer: What counts.
        axis: Of the crystal.
        clock: The session's.
        executor: In which counts are worked out, after what else it does.
        stage: Where the sample stage is, (x, y) in mm.
    """

    def __init__(
        self,
        prefix: str,
        *,
        spectrometer: Spectrometer,
        axis: Motor,
        clock: Clock,
        executor: Executor,
        stage: Callable[[], tuple[float, float]],
    ) -> None:
        self._spectrometer, self._axis = spectrometer, axis
        self._executor, self._stage = executor, stage
        self._n_working = 0
        settings = spectrometer.scenario.spectroscopy
        self.panel = CountingPanel(prefix)
        self.scaler = Scaler(
            f"{prefix}SCALER1:",
            clock=clock,
            ask=lambda number, edges: self._request("count", number, edges),
            take=self._take,
        )
        self.sweep = EnergySweep(
            f"{prefix}SWEEP1:",
            axis=axis,
            clock=clock,
            encoder_period=settings.encoder_period,
            ask=lambda number, edges: self._request("sweep", number, edges, lag=settings.lag),
            take=self._take,
        )
        self.furnace = FurnaceGroup(f"{prefix}FURNACE:", model=spectrometer.furnace, clock=clock)
        self.mass_spectrometer = station_of(
            spectrometer.scenario,
            prefix,
            clock=clock,
            heated_to=spectrometer.furnace.highest_until,
        )
        self._cycles: asyncio.Future[None] | None = None

    @property
    def _groups(self) -> tuple[PVGroup, ...]:
        gas = () if self.mass_spectrometer is None else (self.mass_spectrometer,)
        return (*self.panel.groups, self.scaler, self.sweep, self.furnace, *gas)

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        return (item for group in self._groups for item in group.pvdb.items())

    @property
    def is_working(self) -> bool:
        """Whether counts are being worked out, which bring the ledger of fluence along."""
        return self._n_working > 0

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        await self.sweep.prepare()
        await self.furnace.prepare()
        if self.mass_spectrometer is not None:
            await self.mass_spectrometer.prepare()
            self._cycles = asyncio.ensure_future(self.mass_spectrometer.run())

    async def show(self) -> None:
        """Bring the live values up to date."""
        await self.furnace.show()

    def _request(self, kind: Kind, number: int, edges: FloatArray, *, lag: float = 0.0) -> Request:
        x, y = self._stage()
        axis = self._axis
        gains, foil = self.panel.gains, self.panel.foil
        return Request(kind, number, edges, x, y, gains, foil, axis, axis.n_turns, lag)

    async def _take(self, request: Request) -> Reading:
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, self._spectrometer.take, request)
        self._n_working += 1
        cancelled = False
        # Counts that are being worked out are finished, or two would use the ledger at a time.
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
        self._n_working -= 1
        if cancelled:
            raise asyncio.CancelledError
        return work.result()
