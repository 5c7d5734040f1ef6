"""This file is where photons are counted: before the sample, behind it, behind the reference foil,
and those that it fluoresces.
"""

import math
from collections.abc import Mapping
from typing import Any

from ophyd import Component as Cpt
from ophyd import FormattedComponent as FCpt

from battbeam.connection import CounterCalibration
from battbeam.devices.amplifier import Amplifier
from battbeam.devices.interruptible import Interruptible
from battbeam.devices.signals import Action, Readback, Setting, put_new
from battbeam.devices.status import TimedStatus, already_done

#: Wall seconds that a count may take beyond its preset: a busy server.
COUNT_MARGIN = 30.0
#: Relative length by which a count may be shorter than its preset: of a tick of the scaler's clock.
SHORT = 1e-3
#: What is behind an amplifier; the fluorescence detector counts photons itself.
AMPLIFIED = ("i0", "it", "ir")
CHANNELS = (*AMPLIFIED, "if")


class Counters(Interruptible):
    """A scaler behind ionisation chambers and a fluorescence detector.

    Args:
        amplifiers: Prefix of the amplifiers' records, before ``I0:``, ``IT:`` and ``IR:``.
        calibration: As the staff know them.

    >>> RE(bps.trigger_and_read([counters]))  # doctest: +SKIP
    """

    i0 = Cpt(Readback, "I0", units="count", kind="hinted", doc="before the sample")
    it = Cpt(Readback, "IT", units="count", kind="hinted", doc="behind the sample")
    ir = Cpt(Readback, "IR", units="count", kind="normal", doc="behind the reference foil")
    fluorescence = Cpt(Readback, "IF", units="count", kind="normal", doc="output, with dead time")
    fluorescence_input = Cpt(
        Readback, "IF_INPUT", units="count", kind="normal", doc="of the fast channel"
    )
    bragg = Cpt(Readback, "BRAGG", units="degree", kind="normal", doc="mean encoder while counting")
    stamp = Cpt(Readback, "STAMP", units="s", kind="normal", doc="end of the count, since 1970")
    elapsed = Cpt(Readback, "T", units="s", kind="normal", doc="counted")
    preset = Cpt(Setting, "TP", units="s", kind="normal", doc="asked for, session clock")
    count = Cpt(Action, "CNT", kind="omitted", doc="1 while counting; put 0 to break off")
    fault = Cpt(Readback, "FAULT", dtype="string", kind="omitted", doc="empty: sound")
    amplifier_i0 = FCpt(Amplifier, "{_amplifiers}I0:", kind="config", doc="of I0")
    amplifier_it = FCpt(Amplifier, "{_amplifiers}IT:", kind="config", doc="of It")
    amplifier_ir = FCpt(Amplifier, "{_amplifiers}IR:", kind="config", doc="of Ir")

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        amplifiers: str,
        calibration: CounterCalibration | None = None,
        **kwargs: Any,
    ) -> None:
        self._amplifiers = amplifiers
        self.calibration = CounterCalibration() if calibration is None else calibration
        super().__init__(prefix, name=name, **kwargs)
        self.fluorescence.name = f"{name}_if"
        self.fluorescence_input.name = f"{name}_if_input"
        for channel, amplifier in self.amplifiers.items():
            amplifier.gain.name = f"{name}_gain_{channel}"

    @property
    def amplifiers(self) -> dict[str, Amplifier]:
        """By channel."""
        return {channel: getattr(self, f"amplifier_{channel}") for channel in AMPLIFIED}

    @property
    def gains(self) -> dict[str, float]:
        """V/A by channel, now."""
        return {channel: amplifier.position for channel, amplifier in self.amplifiers.items()}

    def counts_per_photon(self, gains: Mapping[str, float]) -> dict[str, float]:
        """By channel at these gains, as the staff know it; NaN where they do not."""
        known, reference = self.calibration.counts_per_photon, self.calibration.reference_gain
        return {
            channel: known.get(channel, math.nan)
            * (gains[channel] / reference if channel in gains else 1.0)
            for channel in CHANNELS
        }

    def shares(self) -> dict[str, float]:
        """Photons detected of those that come, by chamber, as the staff know it; NaN where they do
        not.
        """
        return {channel: self.calibration.shares.get(channel, math.nan) for channel in AMPLIFIED}

    def overload_faults(
        self, flux: float, transmission: float, gains: Mapping[str, float]
    ) -> list[str]:
        """Chambers that light will overload, one sentence each; nothing where that is not known.

        Args:
            flux: Photons per s on the sample.
            transmission: Of the sample where it absorbs least, 1.
            gains: V/A by channel, as they will be.
        """
        overload, per_photon = self.calibration.overload, self.counts_per_photon(gains)
        faults = []
        for channel, photons in (("i0", flux), ("it", flux * transmission)):
            share = self.calibration.shares.get(channel, math.nan)
            rate = photons * share * per_photon[channel]
            if overload is not None and rate >= overload:
                faults.append(
                    f"{self.name}: {rate:.2g} counts/s expected in {channel} at "
                    f"{gains[channel]:g} V/A, it overloads at {overload:.2g}: what fits is a gain "
                    f"of at most {gains[channel] * overload / rate:.2g} V/A, or "
                    f"{overload / rate:.2g} of the light"
                )
        return faults

    def key(self, channel: str) -> str:
        """Of a channel's counts in events."""
        return f"{self.name}_{channel}"

    def dwell_faults(self, dwell: float) -> list[str]:
        """What is wrong with a time to count, one sentence."""
        if dwell > 0 and math.isfinite(dwell):
            return []
        return [f"{self.name}: dwell must be greater than 0 s, got {dwell:g} s"]

    def prepare(self, dwell: float) -> TimedStatus:
        """Let the next counts last ``dwell`` s of session clock.

        Raises:
            ValueError: If that is no time.
        """
        if faults := self.dwell_faults(dwell):
            raise ValueError(faults[0])
        put_new(self.preset, float(dwell))
        return already_done()

    def trigger(self) -> TimedStatus:
        """Count once."""
        limit = float(self.preset.value_now()) + COUNT_MARGIN
        status = self._begin("counted", limit=limit)
        self.count.begin(status.finish)
        return status

    def fault_now(self, asked: float) -> str:
        """What is wrong with the last count, of ``asked`` s; empty: nothing."""
        fault, counted = str(self.fault.value_now()), float(self.elapsed.value_now())
        if not fault and not counted >= asked * (1 - SHORT):
            fault = f"counted {counted:g} s of {asked:g} s"
        return fault

    def _break_off(self) -> None:
        self.count.put(0, wait=False)
