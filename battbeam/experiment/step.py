"""This file is where one step of a protocol is, as it will run: in A, V, mAh and s, loops unrolled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from battbeam.experiment.cell import Window


class StepType(StrEnum):
    """What the cycler controls during a step."""

    REST = "open_circuit_voltage"
    CONSTANT_CURRENT = "constant_current"
    CONSTANT_VOLTAGE = "constant_voltage"
    CONSTANT_RESISTANCE = "constant_resistance"
    CURRENT_RAMP = "current_ramp"
    VOLTAGE_SCAN = "voltage_scan"
    IMPEDANCE = "impedance_spectroscopy"
    TEMPERATURE = "temperature"


@dataclass(frozen=True)
class Step:
    """One step as it will run.

    Attributes:
        index: Of the step in the protocol's method, from 0; -1 for a hold that no protocol asked
            for.
        type: What is controlled.
        cycle_number: From 1; rises with each current of the first current's sign after one of the
            other sign.
        current: A, of a constant current, and where a ramp begins; None otherwise.
        voltage: V, of a constant voltage, and where a scan begins; None otherwise.
        duration: Longest duration, s of cell time; None when it ends by something else alone. Of a
            ramp and a scan it is how long they take from end to end.
        until_voltage: V at which a constant current ends, from below for a positive current; None
            if it does not.
        until_current: Magnitude in A below which a constant voltage ends; None if it does not.
        direction: Sign of the current to expect: 1, -1, 0 at rest or where it is not known.
        until_charge: Magnitude in mAh, passed in this step, at which it ends; None if it does not.
        until_voltage_rate: Magnitude of dV/dt in V/h below which a rest or a current ends; None if
            it does not.
        until_current_rate: Magnitude of dI/dt in A/h below which a constant voltage ends; None if
            it does not.
        current_end: A, where a ramp ends.
        voltage_end: V, where a scan ends.
        scan_rate: Magnitude, V/s, of a scan.
        resistance: ohm, of a constant resistance, which always discharges.
        amplitude: V, of an impedance spectrum.
        frequency_start: Hz, of an impedance spectrum.
        frequency_end: Hz, of an impedance spectrum.
        points_per_decade: Of an impedance spectrum.
        measures_per_point: Of an impedance spectrum.
        temperature: degC, to be reached while the circuit is open.
        tolerance: K, within which a temperature counts as reached.
    """

    index: int
    type: StepType
    cycle_number: int = 1
    current: float | None = None
    voltage: float | None = None
    duration: float | None = None
    until_voltage: float | None = None
    until_current: float | None = None
    direction: int = 0
    until_charge: float | None = None
    until_voltage_rate: float | None = None
    until_current_rate: float | None = None
    current_end: float | None = None
    voltage_end: float | None = None
    scan_rate: float | None = None
    resistance: float | None = None
    amplitude: float | None = None
    frequency_start: float | None = None
    frequency_end: float | None = None
    points_per_decade: int | None = None
    measures_per_point: int | None = None
    temperature: float | None = None
    tolerance: float | None = None

    def after(self, elapsed: float, charge: float = 0.0) -> "Step | None":
        """What is left of the step after ``elapsed`` s of it; None when nothing is.

        A ramp or a scan goes on where it was. An impedance spectrum is taken again from its first
        frequency.

        Args:
            elapsed: s of cell time in the step.
            charge: Passed in the step, mAh; only its magnitude counts.

        >>> Step(0, StepType.REST, duration=60.0).after(45.0).duration
        15.0
        >>> Step(0, StepType.VOLTAGE_SCAN, voltage=3.0, voltage_end=4.0, scan_rate=1e-3).after(100.0).voltage
        3.1
        """
        left = None if self.duration is None else self.duration - elapsed
        until_charge = None if self.until_charge is None else self.until_charge - abs(charge)
        if (left is not None and left <= 0) or (until_charge is not None and until_charge <= 0):
            return None
        found = replace(self, duration=left, until_charge=until_charge)
        if self.type is StepType.CURRENT_RAMP and self.duration and self.current_end is not None:
            begun = self.current or 0.0
            current = begun + (self.current_end - begun) * elapsed / self.duration
            return replace(found, current=current)
        if self.type is StepType.VOLTAGE_SCAN:
            return _scan_after(found, elapsed)
        return found

    def to_document(self) -> dict[str, Any]:
        """As plain values."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Step":
        """The step that `to_document` wrote."""
        return cls(**{**document, "type": StepType(document["type"])})


@dataclass(frozen=True)
class CompiledProtocol:
    """A protocol for one cell.

    Attributes:
        steps: In the order in which they run, loops unrolled.
        record_interval: s of cell time between records.
        record_voltage: V of change that makes a record too, or none.
        record_current: A of change that makes a record too, or none.
        window: Limits that the protocol asks for itself, within those of the cell.
        charge_max: Largest magnitude of charge in one direction, mAh (the log's `capacity`), beyond
            which the protocol is to be cancelled: the smaller one of what protocol and passport
            say; none if neither says anything.
        delay: s of cell time for which a limit of the protocol's own must be exceeded before it is
            cancelled. The cell's and the guard's limits, wider or as wide, act at once.
    """

    steps: tuple[Step, ...]
    record_interval: float
    record_voltage: float | None
    record_current: float | None
    window: Window
    charge_max: float | None = None
    delay: float = 0.0


def _scan_after(step: Step, elapsed: float) -> Step | None:
    begun, end = step.voltage or 0.0, step.voltage_end or 0.0
    moved = (step.scan_rate or 0.0) * elapsed
    if moved >= abs(end - begun):
        return None
    return replace(step, voltage=begun + (moved if end > begun else -moved))
