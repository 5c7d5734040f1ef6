"""This file is where a protocol says how a cell is cycled, and is checked as a whole before
anything flows.

The language is aurora-unicycler's (`aurora_unicycler.CyclingProtocol`), with further steps and
endings (`battbeam.experiment.protocol_steps`, `battbeam.experiment.protocol_presets`). Positive
current oxidises the working electrode. Loops and presets are unrolled and C-rates become amperes,
once, from the passport's nominal capacity; what runs is a plain sequence of `Step`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurora_unicycler import CyclingProtocol  # type: ignore[import-untyped]

from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport, Window
from battbeam.experiment.document import read_document
from battbeam.experiment.protocol_compile import MAX_STEPS, compiled_steps, current_of
from battbeam.experiment.protocol_duration import TYPICAL_CONSTANT_VOLTAGE, expected_duration
from battbeam.experiment.protocol_faults import (
    header_of,
    parsed_steps,
    protocol_faults,
    safety_window,
)
from battbeam.experiment.step import CompiledProtocol, Step, StepType

__all__ = [
    "MAX_STEPS",
    "TYPICAL_CONSTANT_VOLTAGE",
    "CompiledProtocol",
    "Protocol",
    "Step",
    "StepType",
    "current_of",
    "expected_duration",
]


@dataclass(frozen=True)
class Protocol:
    """A protocol as it was written; whether it is right for a cell, `faults` says."""

    document: Mapping[str, Any]

    @classmethod
    def read(cls, source: "Path | str | Mapping[str, Any] | CyclingProtocol") -> "Protocol":
        """A protocol from a .json or .yaml file, from what such a file holds, or from unicycler's
        own object.

        Raises:
            PreflightError: If there is no such file or it holds no object. Faults inside are left
                to `faults`.
        """
        if isinstance(source, CyclingProtocol):
            return cls(source.to_dict(mode="json"))
        if isinstance(source, Mapping):
            return cls(copy.deepcopy(dict(source)))
        return cls(read_document(Path(source), "protocol"))

    def faults(self, passport: CellPassport, window: Window | None = None) -> list[str]:
        """Every fault of the protocol for this cell, inside ``window`` too where it is given."""
        return protocol_faults(self.document, passport, _allowed(passport, window))

    def compile(self, passport: CellPassport, window: Window | None = None) -> CompiledProtocol:
        """The protocol as it will run on this cell.

        Raises:
            PreflightError: With every fault.
        """
        faults = self.faults(passport, window)
        if faults:
            raise PreflightError("protocol", faults)
        model = header_of(self.document)[0]
        safety, record = model.safety, model.record
        charges = (safety.max_capacity_mAh, passport.limits.charge_max)
        return CompiledProtocol(
            steps=compiled_steps(parsed_steps(self.document)[0], passport),
            record_interval=record.time_s,
            record_voltage=record.voltage_V,
            record_current=None if record.current_mA is None else record.current_mA * 1e-3,
            window=_allowed(passport, window).within(safety_window(safety)),
            # A 0 is no limit, as in unicycler.
            charge_max=min((charge for charge in charges if charge), default=None),
            delay=safety.delay_s or 0.0,
        )


def _allowed(passport: CellPassport, window: Window | None) -> Window:
    return passport.window if window is None else passport.window.within(window)
