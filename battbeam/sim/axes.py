"""This file is where everything of the simulated beamline that moves the sample, or sets the photon
energy, stands: the ``SAMPLE:``, ``ROT`` and ``MONO:`` records.
"""

from collections.abc import Callable, Iterator

from caproto import ChannelData, ChannelType
from caproto.server import PVGroup

from battbeam.experiment.clock import Clock
from battbeam.sim.changer import stage_limits
from battbeam.sim.monochromator import D_SPACING, Monochromator, angle_at, energy_at
from battbeam.sim.motor import Motor
from battbeam.sim.records import shown
from battbeam.sim.scenario import Scenario
from battbeam.sim.shots import Pose

#: Counts per mm of the sample stage, and per degree of its tilt; degree to which it tilts.
STAGE_ENCODER, TILT_REACH = 1e4, 30.0


class _Crystal(PVGroup):  # type: ignore[misc]
    """What the monochromator says of itself."""

    Energy = shown(0.0, name="MONO:ENERGY", units="eV", precision=3)
    DSpacing = shown(D_SPACING, name="MONO:D_SPACING", units="angstrom", precision=5)
    Hkl = shown("1 1 1", name="MONO:HKL", dtype=ChannelType.STRING)


class Axes:
    """Sample stage, rotation and monochromator.

    Args:
        prefix: Of the beamline's PVs.
        scenario: What is simulated.
        clock: The session's.
        moved: Called when the sample stage moves otherwise than before.
    """

    def __init__(
        self, prefix: str, *, scenario: Scenario, clock: Clock, moved: Callable[[], None]
    ) -> None:
        self.x, self.y = (
            Motor(
                f"{prefix}SAMPLE:{name}",
                units="mm",
                limits=stage_limits(scenario, axis),
                velocity=50,
                acceleration_time=0.02,
                encoder=STAGE_ENCODER,
                clock=clock,
                on_change=moved,
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
        self._all = (self.x, self.y, self.tilt, self.rotation, self.bragg)
        self._crystal, self._monochromator = _Crystal(prefix), Monochromator(scenario)

    @property
    def records(self) -> Iterator[tuple[str, ChannelData]]:
        """Every record with its name."""
        return (item for group in (*self._all, self._crystal) for item in group.pvdb.items())

    @property
    def stage(self) -> tuple[float, float]:
        """(x, y) of the sample stage now, mm."""
        return self.x.position, self.y.position

    @property
    def energy(self) -> float:
        """What the monochromator's angle says, eV."""
        return float(energy_at(self.bragg.position))

    @property
    def true_energy(self) -> float:
        """eV."""
        return float(self._monochromator.energy(self.bragg.position))

    def pose(self, time: float) -> Pose:
        """How everything stands at a time of the session clock, s."""
        x, y, angle = (float(axis.position_at(time)) for axis in (self.x, self.y, self.bragg))
        tilt = float(self.tilt.position_at(time))
        return Pose(x, y, float(self._monochromator.energy(angle)), float(energy_at(angle)), tilt)

    async def prepare(self) -> None:
        """Fill in what clients may read at once."""
        for axis in self._all:
            await axis.prepare()

    async def show(self, now: float) -> None:
        """The energy at a time of the session clock, s, where it is another."""
        if self._crystal.Energy.value != self.energy:
            await self._crystal.Energy.write(self.energy, timestamp=now)
