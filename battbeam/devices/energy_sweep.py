"""This file is where the energy is swept while counters are read at a steady pace.

One sweep is one reading: arrays of encoder and counts, each sample with its own time.
"""

import math
from dataclasses import dataclass
from typing import Any

from ophyd import Component as Cpt

from battbeam.devices.interruptible import Interruptible
from battbeam.devices.signals import Action, ArrayReadback, Note, Readback, Setting, put_new
from battbeam.devices.status import TimedStatus, already_done

#: Samples that one sweep can hold.
MAX_SAMPLES = 4000
#: Relative length by which a sweep may be shorter than asked: of its first gate.
SHORT = 0.01
#: Wall seconds that a sweep may take beyond its duration: the way to its start, a busy server.
SWEEP_MARGIN = 120.0


@dataclass(frozen=True)
class Sweep:
    """One continuous sweep of the energy, at constant angular speed.

    Attributes:
        start: eV.
        stop: eV; below ``start`` it sweeps down.
        duration: s of session clock between the two.
        n_samples: At most 4000.
    """

    start: float
    stop: float
    duration: float
    n_samples: int

    @property
    def direction(self) -> int:
        """1 up, -1 down."""
        return 1 if self.stop > self.start else -1

    @property
    def reversed(self) -> "Sweep":
        """The same way back."""
        return Sweep(self.stop, self.start, self.duration, self.n_samples)

    def faults(self, limits: tuple[float, float] = (0.0, math.inf)) -> list[str]:
        """Everything that is wrong with it, one sentence each.

        Args:
            limits: Lowest and highest energy of the monochromator, eV.
        """
        low, high = limits
        checks = [
            (
                self.duration > 0 and math.isfinite(self.duration),
                f"duration must be greater than 0 s, got {self.duration:g} s",
            ),
            (
                2 <= self.n_samples <= MAX_SAMPLES,
                f"n_samples must be 2 to {MAX_SAMPLES}, got {self.n_samples}",
            ),
            (self.start != self.stop, f"it goes nowhere: start and stop are {self.start:g} eV"),
        ]
        checks += [
            (
                low <= energy <= high,
                f"{energy:g} eV is outside the monochromator's limits, {low:g} to {high:g} eV",
            )
            for energy in (self.start, self.stop)
        ]
        return [f"sweep: {why}" for holds, why in checks if not holds]


def _samples(suffix: str, units: str, doc: str) -> Any:
    return Cpt(
        ArrayReadback, suffix, length="n_samples", units=units, kind="normal", timeout=10.0, doc=doc
    )


class EnergySweep(Interruptible):
    """A controller that moves the monochromator and reads the counters meanwhile.

    >>> RE(bps.trigger_and_read([energy_sweep]))  # doctest: +SKIP
    """

    start = Cpt(Setting, "START", units="eV", kind="config", doc="nominal, by the axis")
    end = Cpt(Setting, "STOP", units="eV", kind="config", doc="nominal, by the axis")
    duration = Cpt(Setting, "DURATION", units="s", kind="config", doc="from start to end")
    n_samples = Cpt(Setting, "N", dtype="integer", kind="config", doc="of one sweep")
    go = Cpt(Action, "GO", kind="omitted", doc="1 while sweeping; put 0 to break off")
    fault = Cpt(Readback, "FAULT", dtype="string", kind="omitted", doc="empty: sound")
    time = _samples("TIME", "s", "end of each sample's gate, since 1970")
    bragg = _samples("BRAGG", "degree", "encoder")
    i0 = _samples("I0", "count", "before the sample")
    it = _samples("IT", "count", "behind the sample")
    ir = _samples("IR", "count", "behind the reference foil")
    fluorescence = _samples("IF", "count", "fluorescence, with dead time")
    fluorescence_input = _samples("IF_INPUT", "count", "of the fast channel")
    encoder_period = Cpt(
        Readback, "ENCODER_PERIOD", units="s", kind="config", doc="between two readings of it"
    )
    direction = Cpt(Note, dtype="integer", kind="normal", doc="1: energy ascends, -1: it descends")
    stamp_start = Cpt(Readback, "STAMP_START", units="s", kind="normal", doc="since 1970")
    stamp_end = Cpt(Readback, "STAMP_END", units="s", kind="normal", doc="since 1970")

    def __init__(self, prefix: str, *, name: str, **kwargs: Any) -> None:
        super().__init__(prefix, name=name, **kwargs)
        # The words that stand in a paper, not the path through the device tree.
        for attribute in ("time", "bragg", "i0", "it", "ir", "direction"):
            getattr(self, attribute).name = f"sweep_{attribute}"
        self.fluorescence.name = "sweep_if"
        self.fluorescence_input.name = "sweep_if_input"
        self.stamp_start.name, self.stamp_end.name = "sweep_stamp_start", "sweep_stamp_end"

    def key(self, channel: str) -> str:
        """Of a channel's counts in events."""
        return f"sweep_{channel}"

    def prepare(self, sweep: Sweep) -> TimedStatus:
        """Let the next sweeps be like this one.

        Raises:
            ValueError: If it is none.
            TimeoutError: If its server does not answer.
        """
        if faults := sweep.faults():
            raise ValueError("; ".join(faults))
        put_new(self.start, float(sweep.start))
        put_new(self.end, float(sweep.stop))
        put_new(self.duration, float(sweep.duration))
        put_new(self.n_samples, int(sweep.n_samples))
        return already_done()

    def trigger(self) -> TimedStatus:
        """Sweep once."""
        begin, end = float(self.start.value_now()), float(self.end.value_now())
        self.direction.put(1 if end > begin else -1)
        limit = float(self.duration.value_now()) + SWEEP_MARGIN
        status = self._begin("swept", limit=limit)
        self.go.begin(status.finish)
        return status

    def fault_now(self, asked: float) -> str:
        """What is wrong with the last sweep, of ``asked`` s; empty: nothing."""
        fault = str(self.fault.value_now())
        counted = float(self.stamp_end.value_now()) - float(self.stamp_start.value_now())
        if not fault and not counted >= asked * (1 - SHORT):
            fault = f"swept {counted:g} s of {asked:g} s"
        return fault

    def _break_off(self) -> None:
        self.go.put(0, wait=False)
