"""This file is where light on samples is written down, so that no session forgets it.

One file a beamline, append-only JSON lines, each on disk before the call returns. What is about to
shine is reserved first, as much as it can be at the most; once the shutter is closed it is settled
to what it was. A reservation that nobody settled counts in full: whoever wrote it may have died
with the shutter open. Several processes may read and write.
"""

import fcntl
import json
import os
import socket
import time as wall_clock
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.experiment.fluence import FluenceMap, Light, MassModel, described

#: In a beamline's directory.
LEDGER = Path("dose") / "ledger.jsonl"
#: The same of a white beam: its spots are depths, and its photons another kind of light.
WHITE_LEDGER = Path("dose") / "white_ledger.jsonl"


@dataclass(frozen=True)
class Writer:
    """The process that wrote a line.

    Attributes:
        host: Its name.
        pid: Process number there.
        started: When the process started, in the host's own ticks, so that a later process of the
            same number is not taken for it; 0 where the system does not tell.
    """

    host: str
    pid: int
    started: int

    @classmethod
    def this(cls) -> "Writer":
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()))

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended; of another host nothing is known."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return _started(self.pid) != self.started


def _started(pid: int) -> int:
    """Field 22 of /proc/<pid>/stat; 0 where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[19])


@dataclass(frozen=True)
class Reservation:
    """Light that is about to shine, or may have shone.

    Attributes:
        id: Unique.
        sample_uid: Of the passport.
        light: As much as it can be at the most.
        time: When it was reserved, session clock, s since the Unix epoch.
        open_time: s of session clock that the shutter may be open for it.
        wall: When it was reserved, wall clock.
        purpose: What it is for: the plan, an alignment, a look.
        writer: Who reserved it.
    """

    id: str
    sample_uid: str
    light: Light
    time: float
    open_time: float
    wall: float
    purpose: str
    writer: Writer


class DoseLedger:
    """Light on every sample of one beamline.

    Args:
        path: Of the file; made when missing.

    Attributes:
        unreadable: Lines that were torn by the death of their writer. Nothing was exposed on a torn
            reservation, and a torn settlement leaves its reservation in full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self._map = FluenceMap()
        self._unsettled: dict[str, Reservation] = {}
        self._open_times: dict[str, float] = {}
        self._read = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    # Writing.

    def reserve(
        self,
        sample_uid: str,
        x: float,
        y: float,
        photons: float,
        *,
        size: tuple[float, float],
        energy: float,
        time: float,
        open_time: float = 0.0,
        purpose: str = "",
    ) -> str:
        """Reserve light before the shutter opens; on disk when this returns.

        Args:
            sample_uid: Of the passport.
            x: Middle of the footprint in the cell's frame, mm.
            y: mm.
            photons: The most that can come.
            size: Full width and height of the beam, mm.
            energy: eV.
            time: Session clock, s since the Unix epoch.
            open_time: s of session clock that the shutter may be open.
            purpose: What for.

        Returns:
            The id to settle it by.

        Raises:
            ValueError: If a number is not finite, photons are negative or an extent not positive.
        """
        numbers = {"x": x, "y": y, "width": size[0], "height": size[1], "photons": photons}
        numbers |= {"energy": energy, "time": time, "open_time": open_time}
        positive = ("width", "height", "energy")
        faults = [
            f"{name} must be {'greater than 0' if name in positive else 'a finite number'}, got {n}"
            for name, n in numbers.items()
            if not abs(n) < float("inf")
            or (name in positive and n <= 0)
            or (name in ("photons", "open_time") and n < 0)
        ]
        if faults:
            raise ValueError(f"no light can be reserved on {sample_uid}: " + "; ".join(faults))
        identity, writer = uuid.uuid4().hex[:16], Writer.this()
        self._append(
            {
                "kind": "reserve",
                "id": identity,
                "sample_uid": sample_uid,
                **described(Light(x, y, size, photons, energy)),
                "time": time,
                "open_time": open_time,
                "wall": wall_clock.time(),
                "purpose": purpose,
                **vars(writer),
            }
        )
        return identity

    def settle(
        self, identity: str, photons: float, time: float, *, open_time: float = 0.0, why: str = ""
    ) -> None:
        """Say what a reservation came to once the shutter was seen closed; more is possible.

        Args:
            identity: That `reserve` answered.
            photons: That came.
            time: When the shutter was seen closed, session clock.
            open_time: s of session clock that it was open.
            why: What else is worth keeping.

        Raises:
            ValueError: If nothing of that id is unsettled, or photons are no count.
        """
        self._refresh()
        if identity not in self._unsettled:
            raise ValueError(f"reservation {identity} is unknown or settled already")
        if not 0 <= photons < float("inf"):
            raise ValueError(f"photons must be a finite number of at least 0, got {photons}")
        line = {"kind": "settle", "id": identity, "photons": photons, "time": time}
        self._append({**line, "open_time": open_time, "why": why})

    def _append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # A line torn by a dying writer must not swallow the next one.
            if file.seek(0, os.SEEK_END) > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    text = "\n" + text
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    # Reading.

    def unsettled(self) -> tuple[Reservation, ...]:
        """Reservations that nobody has settled, the oldest first."""
        self._refresh()
        return tuple(self._unsettled.values())

    def fluence(self, sample_uid: str, x: float, y: float, size: tuple[float, float]) -> float:
        """The largest fluence in a footprint, photons per mm2, what is reserved included."""
        self._refresh()
        return self._map.fluence(sample_uid, x, y, size)

    def dose(
        self, sample_uid: str, x: float, y: float, size: tuple[float, float], material: MassModel
    ) -> float:
        """The largest dose in a footprint, Gy, what is reserved included."""
        self._refresh()
        return self._map.dose(sample_uid, x, y, size, material)

    def open_time(self, sample_uid: str) -> float:
        """s for which the shutter was open on a sample, what is not settled left out."""
        self._refresh()
        return self._open_times.get(sample_uid, 0.0)

    def copy(self) -> FluenceMap:
        """What there is now, in memory, to try out on it what is planned."""
        self._refresh()
        return self._map.copy()

    def _refresh(self) -> None:
        """Take note of every whole line since the last look, one's own among them."""
        if self.path.stat().st_size <= self._read:
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                self.unreadable += 1

    def _take(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == "reserve":
            reservation = _reservation(line)
            self._unsettled[reservation.id] = reservation
            self._map.add(reservation.sample_uid, reservation.light)
            return
        reservation = self._unsettled[line["id"]]
        light, photons = reservation.light, float(line["photons"])
        open_time = float(line["open_time"])
        more = Light(light.x, light.y, light.size, photons - light.photons, light.energy)
        self._map.add(reservation.sample_uid, more)
        uid = reservation.sample_uid
        self._open_times[uid] = self._open_times.get(uid, 0.0) + open_time
        del self._unsettled[line["id"]]


def _reservation(line: Mapping[str, Any]) -> Reservation:
    x, y, width, height, photons, energy = (
        float(line[key]) for key in ("x", "y", "width", "height", "photons", "energy")
    )
    return Reservation(
        id=str(line["id"]),
        sample_uid=str(line["sample_uid"]),
        light=Light(x, y, (width, height), photons, energy),
        time=float(line["time"]),
        open_time=float(line["open_time"]),
        wall=float(line["wall"]),
        purpose=str(line["purpose"]),
        writer=Writer(str(line["host"]), int(line["pid"]), int(line["started"])),
    )
