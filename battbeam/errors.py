"""This file is where battbeam's own errors are named.

    BattbeamError
    |-- PreflightError      wrong before anything moved; carries every fault found
    |-- GuardError          the cell guard refused, tripped or does not answer
    |-- DeviceError         an instrument did not do what it was asked
    |   `-- DoseError       the shutter stays closed: light would pass the limit of a spot
    |-- ReductionError      a frame, geometry or parameter from which no result can be had
    |-- StorageError        the spool or the catalogue cannot keep or find what was asked
    `-- ProcessError        one of battbeam's own processes did not start or has died

Wrong arguments of pure functions raise ValueError, as everywhere in Python.
"""

from collections.abc import Sequence


class BattbeamError(Exception):
    """Anything that battbeam raises on its own account."""


class PreflightError(BattbeamError):
    """Wrong before anything moved.

    Attributes:
        faults: Every fault, one sentence each: the thing, what was wanted, what came, what to do.
    """

    def __init__(self, subject: str, faults: Sequence[str]) -> None:
        self.subject = subject
        self.faults = tuple(faults)
        listed = "".join(f"\n  - {fault}" for fault in self.faults)
        super().__init__(f"{subject}: {len(self.faults)} fault(s), nothing was moved{listed}")


class GuardError(BattbeamError):
    """The cell guard refused, tripped or does not answer.

    Attributes:
        faults: That it found, one sentence each, where it looked for faults.
    """

    def __init__(self, text: str, faults: Sequence[str] = ()) -> None:
        self.faults = tuple(faults)
        super().__init__(text)


class DeviceError(BattbeamError):
    """An instrument did not do what it was asked."""


class DoseError(DeviceError):
    """The shutter stays closed: light would pass the limit of a spot."""


class ReductionError(BattbeamError):
    """A frame, geometry or parameter from which no result can be had."""


class StorageError(BattbeamError):
    """The spool or the catalogue cannot keep or find what was asked."""


class ProcessError(BattbeamError):
    """One of battbeam's own processes did not start or has died."""
