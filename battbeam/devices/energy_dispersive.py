"""This file is where spectra of a white beam are counted, by energy, at one angle."""

import math
import threading
from typing import Any

from ophyd import Component as Cpt

from battbeam.connection import WhiteBeamCalibration
from battbeam.devices.clock_watch import ClockWatch
from battbeam.devices.frames import FrameTrain, train_faults
from battbeam.devices.interruptible import Interruptible
from battbeam.devices.signals import Action, ArrayReadback, Note, Readback, Setting, put_new
from battbeam.devices.status import TimedStatus, already_done
from battbeam.errors import DeviceError

#: Wall seconds that a spectrum may take beyond its exposure: a busy server.
COUNT_MARGIN = 60.0
#: Relative length by which a spectrum may be shorter than asked: of a tick of the analyser's clock.
SHORT = 1e-3


class EnergyDispersive(Interruptible):
    """A multichannel analyser (EPICS mca record) behind a detector that tells energies.

    It takes the place of an area detector in a plan: one spectrum a point.

    Args:
        calibration: The white beam as the staff know it.

    >>> RE(edxrd_layers(mca, axis, ends=(-0.18, -0.09), beam=white_beam, ...))  # doctest: +SKIP
    """

    spectrum = Cpt(
        ArrayReadback,
        "VAL",
        length="n_channels",
        units="count",
        kind="normal",
        timeout=10.0,
        doc="of each channel",
    )
    real_time = Cpt(Note, units="s", kind="normal", doc="of the spectrum")
    live_time = Cpt(Note, units="s", kind="normal", doc="of it, that the analyser was free")
    stamp = Cpt(
        Note, units="s", kind="normal", doc="end, since 1970; NaN: the spectrum is no new one"
    )
    n_channels = Cpt(Readback, "NUSE", dtype="integer", kind="config", doc="in use")
    offset = Cpt(Readback, "CALO", units="eV", kind="config", doc="of channel 0, by its maker")
    slope = Cpt(Readback, "CALS", units="eV", kind="config", doc="of a channel, by its maker")
    two_theta = Cpt(Readback, "TWOTH", units="degree", kind="config", doc="by a ruler")
    preset = Cpt(Setting, "PRTM", units="s", kind="config", doc="real time asked for")
    start = Cpt(Action, "EraseStart", kind="omitted", doc="put 1 to count")
    halt = Cpt(Setting, "Stop", dtype="integer", kind="omitted", doc="put 1 to break off")
    acquiring = Cpt(Readback, "ACQG", dtype="integer", kind="omitted", doc="1 while counting")
    fault = Cpt(Readback, "FAULT", dtype="string", kind="omitted", doc="empty: sound")
    counted_real = Cpt(Readback, "ERTM", units="s", kind="omitted", doc="real time")
    counted_live = Cpt(Readback, "ELTM", units="s", kind="omitted", doc="live time")
    counted_stamp = Cpt(Readback, "STAMP", units="s", kind="omitted", doc="end, since 1970")

    clock_watch: ClockWatch | None = None

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        calibration: WhiteBeamCalibration | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix, name=name, **kwargs)
        self.calibration = WhiteBeamCalibration() if calibration is None else calibration
        self._found: float | None = None
        self.without_frames()

    @property
    def frame_shape(self) -> tuple[int, int]:
        """One row of channels."""
        return 1, int(self.n_channels.value_now())

    def train_faults(self, *, exposure: float, n_frames: int = 1, period: float = 0.0) -> list[str]:
        """What is wrong with a train, one sentence each: a point has one spectrum."""
        faults = train_faults(exposure=exposure, n_frames=n_frames, period=period)
        if not faults and n_frames != 1:
            faults.append(f"one spectrum a point, got {n_frames}")
        return [f"{self.name}: {fault}" for fault in faults]

    def stage(self) -> list[Any]:
        """Remember how it was found.

        Raises:
            DeviceError: If it is counting.
        """
        if int(self.acquiring.value_now()) != 0:
            raise DeviceError(f"{self.name}: already counting; stop it first")
        self._found = float(self.preset.value_now())
        staged: list[Any] = super().stage()
        return staged

    def unstage(self) -> list[Any]:
        """Break off what is counting, and put the preset back."""
        self._abandon()
        found, self._found = self._found, None
        if found is not None:
            put_new(self.preset, found)
        unstaged: list[Any] = super().unstage()
        return unstaged

    def prepare(self, train: FrameTrain) -> TimedStatus:
        """Let the next spectra last as long as the exposures of a train.

        Raises:
            ValueError: If it cannot count so.
        """
        if faults := self.train_faults(exposure=train.exposure, n_frames=train.n_frames):
            raise ValueError("; ".join(faults))
        put_new(self.preset, float(train.exposure))
        return already_done()

    def trigger(self) -> TimedStatus:
        """Count one spectrum."""
        self.without_frames()
        asked = float(self.preset.value_now())
        status = self._begin("counted", limit=asked + COUNT_MARGIN)
        arguments = (status, asked)
        threading.Thread(target=self._count, args=arguments, name=self.name, daemon=True).start()
        return status

    def _count(self, status: TimedStatus, asked: float) -> None:
        """Watch one spectrum from its own thread, so that the RunEngine is free meanwhile."""
        ended = threading.Event()
        try:
            self.start.begin(ended.set)
            ended.wait(status.timeout)
            fault = "" if status.done else self._fault(asked)
            if not fault and not status.done:
                self.real_time.put(float(self.counted_real.value_now()))
                self.live_time.put(float(self.counted_live.value_now()))
                self.stamp.put(float(self.counted_stamp.value_now()))
        except TimeoutError as error:
            fault = str(error)
        if fault:
            status.fail(DeviceError(f"{self.name}: {fault}"))
        else:
            status.finish()

    def _fault(self, asked: float) -> str:
        """What is wrong with the last spectrum, of ``asked`` s; empty: nothing."""
        fault, counted = str(self.fault.value_now()), float(self.counted_real.value_now())
        if not fault and not counted >= asked * (1 - SHORT):
            fault = f"counted {counted:g} s of {asked:g} s"
        return fault

    def without_frames(self) -> None:
        """The next event's spectrum is not that of its point."""
        for note in (self.real_time, self.live_time, self.stamp):
            note.put(math.nan)

    def _break_off(self) -> None:
        self.halt.put(1, wait=False)
