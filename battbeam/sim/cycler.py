"""This file is where the simulated cycler is served, under the PV names of EPICS-ECLab.

``SIM:ECLAB:C1:EWE`` and so on, ``SIM:`` being the scenario's prefix; technique parameters are
``C1:T:<TECHNIQUE>:<instance>:<NAME>:SP``.
A list of techniques is loaded by putting their names to ``LOADTECH:SP`` ("ocv,cplimit") after their
parameters; the first OCV of a list takes instance 0, the second instance 1. What it refuses leaves
everything as it was, sets the PV's alarm (WRITE, INVALID), and is logged. After STOP a list has to
be loaded again. ``STARTED`` (START by the cycler's own clock, s since the Unix epoch) is the one PV
that the real IOC lacks. Live values are stamped with the session's clock, like every IOC host;
``TIME`` is the cycler's own. ``SIM:ECLAB:TEMP1:SP`` and ``:RBV`` are the holder of the cell on
channel 1, degC: its set-point, and the cell's temperature.

What is not imitated: hardware configuration, DEFINETECH, UPDATE, faults of the connection.
"""

import asyncio
import random
import time as wall
from pathlib import Path

from caproto import ChannelData, ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock
from battbeam.sim.cell import HalfCell
from battbeam.sim.channel import Channel
from battbeam.sim.channel_pvs import ChannelGroup
from battbeam.sim.clock import ClockClient
from battbeam.sim.data_file import DataFiles
from battbeam.sim.device_clock import DeviceClock
from battbeam.sim.history import HistoryWriter, history_path
from battbeam.sim.scenario import Scenario
from battbeam.sim.server import serve

#: Wall seconds between updates: shortest (50 live values a second) and longest.
UPDATE_INTERVALS = (0.02, 0.2)
#: Wall seconds between looks whether the clock was frozen.
_LOOK = 0.004


class CyclerGroup(PVGroup):  # type: ignore[misc]
    """The PVs of the whole instrument."""

    version = pvproperty(
        name="VERSION", value="simulated", dtype=ChannelType.STRING, read_only=True
    )
    host = pvproperty(name="HOST", value="SIM", dtype=ChannelType.STRING, read_only=True)
    n_channels = pvproperty(name="NUMCHANNELS", value=0, read_only=True)


class SimulatedCycler:
    """All channels of a scenario, each with its cell."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self._scenario = scenario
        self._data = directory / "sim" / "eclab"
        self._data.mkdir(parents=True, exist_ok=True)
        self._instrument = CyclerGroup(scenario.cycler_prefix)
        self._clock: ClockClient | None = None
        self.channels = [
            self._channel(number, directory) for number in range(1, len(scenario.cells) + 1)
        ]

    def _channel(self, number: int, directory: Path) -> ChannelGroup:
        scenario = self._scenario
        settings, prefix = scenario.cycler, scenario.cycler_prefix
        clock = DeviceClock.of_cycler(settings, start=scenario.start, seed=scenario.seed)
        model = Channel(
            HalfCell(scenario.cells[number - 1]),
            time=scenario.start,
            clock=clock,
            noise=random.Random(f"{scenario.seed}-{number}"),
        )
        return ChannelGroup(
            f"{prefix}C{number}:",
            thermostat_prefix=f"{prefix}TEMP{number}:",
            channel=model,
            settings=settings,
            files=DataFiles(number, buffered=settings.buffers_data_file),
            history=HistoryWriter(history_path(directory, number)),
        )

    @property
    def database(self) -> dict[str, ChannelData]:
        """Every PV by name."""
        pvs = dict(self._instrument.pvdb)
        for group in self.channels:
            pvs.update(group.pvdb)
            pvs.update(group.parameters.pvdb)
            pvs.update(group.thermostat.pvdb)
        return pvs

    async def prepare(self) -> None:
        """Connect to the clock, and fill in what a client may read at once."""
        clock = self._clock = await asyncio.to_thread(ClockClient, self._scenario.clock_prefix)
        await self._instrument.n_channels.write(len(self.channels))
        for number, group in enumerate(self.channels, start=1):
            group.now = clock.now
            await group.prepare(self._data / f"C{number}")

    async def run(self) -> None:
        """Keep every channel up to date."""
        clock = self._clock
        if clock is None:
            raise DeviceError("the cycler is not connected to the clock yet: prepare() comes first")
        shortest, longest = UPDATE_INTERVALS
        while True:
            began = wall.monotonic()
            for group in self.channels:
                await group.update()
            interval = self._scenario.cycler.live_interval / max(clock.rate, 1e-3)
            interval = shortest if clock.rate == 0 else min(max(interval, shortest), longest)
            await until_due(clock, began + interval)


async def until_due(clock: Clock, deadline: float) -> None:
    """Wait until ``deadline``, wall s (monotonic); no longer than until the clock is frozen: whoever
    did that waits for the cells to come to where it stands.
    """
    stood = clock.rate == 0
    while True:
        await asyncio.sleep(min(max(deadline - wall.monotonic(), 0.001), _LOOK))
        if wall.monotonic() >= deadline or (clock.rate == 0 and not stood):
            return


def main(directory: Path) -> None:
    """Serve the cycler of the scenario in ``directory``."""
    cycler = SimulatedCycler(Scenario.read(directory / "sim" / "scenario.json"), directory)
    serve(cycler.database, prepare=cycler.prepare, background=cycler.run)
