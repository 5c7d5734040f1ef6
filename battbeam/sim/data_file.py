"""This file is where the simulated cycler writes its data files, one a technique, as CSV.

The first lines begin with ``#`` and say ``key: value``; then comes the line of column names, then a
line a record. The columns up to ``Cycle`` are those of EPICS-ECLab, where ``AbsTime`` is the IOC
host's time of START plus the elapsed time; ``Technique``, ``Step`` and ``Sequence`` are this
simulation's addition (indices from 0, and a number that counts the records since START from 1),
and so are the header lines (``Started`` is START by the cycler's own clock, s since the Unix
epoch) and ``Ece``. A PEIS has two files, as there: records over time in the one that ends in
``_0``, one line a frequency in the one that ends in ``_1`` (moduli in V and A, phase in rad).
"""

import cmath
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

COLUMNS = ("AbsTime", "Time", "Loop", "Ewe", "I", "Cycle", "Ece", "Technique", "Step", "Sequence")
SPECTRUM_COLUMNS = (
    "AbsTime", "Time", "Loop", "Freq", "Mod Ewe", "Mod I", "Phase Zwe", "Ewe", "I", "Step"
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One line of a data file.

    Attributes:
        time: s since the Unix epoch, on the session's clock.
        elapsed: s since START, on the cycler's clock.
        voltage: V, as read.
        current: A, as read.
        technique: Index in the list.
        name: Of the technique.
        step: Index in the technique.
        cycle: How often the technique's steps were done before.
        loop: How often a LOOP went back since START.
        sequence: Counts the records since START, from 1.
        entry: Counts the techniques entered since START, from 1: one data file each.
        ends_step: Whether it is the last of its step.
        counter: Counter electrode against reference electrode, V; 0 where the cell has none.
        frequency: Hz, at which an impedance was measured; 0 if none was.
        impedance: ohm.
        amplitude: V, of that measurement.
    """

    time: float
    elapsed: float
    voltage: float
    current: float
    technique: int
    name: str
    step: int
    cycle: int
    loop: int
    sequence: int
    entry: int
    ends_step: bool
    counter: float = 0.0
    frequency: float = 0.0
    impedance: complex = 0j
    amplitude: float = 0.0


class DataFiles:
    """Writes the records of one channel, a file for each technique entered.

    Attributes:
        path: The file written last; none before the first.
    """

    def __init__(self, channel: int, *, buffered: bool) -> None:
        """A writer.

        Args:
            channel: Number of the channel.
            buffered: Whether records reach the file only when a step ends, as with some cyclers.
        """
        self.path: Path | None = None
        self._channel = channel
        self._buffered = buffered
        self._file: IO[str] | None = None
        self._spectrum: IO[str] | None = None
        self._entry = 0
        self._n_files = 0
        self._held: list[str] = []

    def write(self, record: Record, *, prefix: str, started: float) -> None:
        """Append one record.

        Args:
            record: What was measured.
            prefix: Directory and start of the name of a file that is opened for it.
            started: START by the cycler's own clock, s since the Unix epoch.

        Raises:
            OSError: If the file cannot be opened or written.
        """
        if self._file is None or record.entry != self._entry:
            self._open(record, prefix, started)
        when = datetime.fromtimestamp(record.time, UTC).isoformat(timespec="milliseconds")
        start = f"{when.removesuffix('+00:00')},{record.elapsed:.6f},{record.loop}"
        self._held.append(
            f"{start},{record.voltage:.7f},{record.current:.9g},{record.cycle},{record.counter:.7f},"
            f"{record.technique},{record.step},{record.sequence}\n"
        )
        if self._spectrum is not None and record.frequency > 0:
            modulus, phase = cmath.polar(record.impedance)
            self._spectrum.write(
                f"{start},{record.frequency:.9g},{record.amplitude:.9g},"
                f"{record.amplitude / modulus:.9g},{phase:.9g},{record.voltage:.7f},"
                f"{record.current:.9g},{record.step}\n"
            )
            self._spectrum.flush()
        if record.ends_step or not self._buffered:
            self.flush(write_held=True)

    def flush(self, *, write_held: bool = False) -> None:
        """Show readers what was written."""
        if self._file is None:
            return
        if write_held or not self._buffered:
            self._file.writelines(self._held)
            self._held.clear()
        self._file.flush()

    def close(self) -> None:
        """Close the file that is open; a new one is opened for the next record."""
        if self._file is not None:
            self.flush(write_held=True)
            self._file.close()
            self._file = None
        if self._spectrum is not None:
            self._spectrum.close()
            self._spectrum = None

    def _open(self, record: Record, prefix: str, started: float) -> None:
        self.close()
        stamp = datetime.fromtimestamp(record.time - record.elapsed, UTC).strftime("%Y%m%dT%H%M%S")
        technique = f"C{self._channel}_T{record.technique}_{record.name}"
        name = f"{prefix}_{stamp}_{technique}_{self._n_files}"
        header = (
            f"# Channel: {self._channel}\n# Technique: {record.name}\n# Started: {started:.6f}\n"
        )
        self.path = Path(f"{name}_0.csv" if record.name == "PEIS" else f"{name}.csv")
        self._file = self.path.open("w")
        self._file.write(header + ",".join(COLUMNS) + "\n")
        if record.name == "PEIS":
            spectrum = Path(f"{name}_1.csv")
            self._spectrum = spectrum.open("w")
            self._spectrum.write(header + ",".join(SPECTRUM_COLUMNS) + "\n")
        self._entry = record.entry
        self._n_files += 1
