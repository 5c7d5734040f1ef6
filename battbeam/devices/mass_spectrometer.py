"""This file is where gas from the sample is looked at: the ion currents of a mass spectrometer."""

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.channel import Channel
from battbeam.devices.signals import ArrayReadback, Readback, Setting


class MassSpectrometer(Device):  # type: ignore[misc]
    """Ion currents of some masses, over and over at a period of its own.

    A plan does not read it: its currents are recorded beside the plan, every cycle by itself.

    >>> RE(recorded(plan, mass_spectrometer.channel))  # doctest: +SKIP
    """

    n_masses = Cpt(Readback, "N", dtype="integer", kind="omitted", doc="ion currents in a cycle")
    masses = Cpt(ArrayReadback, "MASSES", length="n_masses", kind="config", doc="m/z")
    ion_current = Cpt(
        ArrayReadback, "CYCLE", length="n_masses", units="A", kind="normal", doc="one a mass"
    )
    period = Cpt(Setting, "PERIOD", units="s", kind="config", doc="from one cycle to the next")
    pulse = Cpt(
        Setting,
        "PULSE",
        units="s",
        kind="omitted",
        doc="put lets argon in at the sample for so long",
    )
    pulse_start = Cpt(Readback, "PULSE_START", units="s", kind="omitted", doc="since 1970")
    last_error = Cpt(Readback, "LastError", dtype="string", kind="omitted", doc="last refusal")

    @property
    def channel(self) -> Channel:
        """Its ion currents, to be recorded: stream ``<name>_monitor``."""
        return Channel(self.ion_current, name=str(self.name))
