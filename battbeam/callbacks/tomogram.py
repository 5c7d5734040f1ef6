"""This file is where the documents of an imaging run become stacks of frames: darks, flats,
projections, and where and when each was taken.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.callbacks.frames import EPICS_EPOCH, FrameFile
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.raw_run import RawRun
from battbeam.errors import ReductionError
from battbeam.experiment.clock_relation import middle_of_exposure
from battbeam.reduction.projections import Projections
from battbeam.units import AnyArray, FloatArray

#: Counts of I0 below this share of the middle one of all frames are no beam: the ring was lost in
#: the middle of an exposure, or before it. Chosen here.
LEAST_BEAM = 0.5


@dataclass(frozen=True)
class Stack:
    """Frames of one kind.

    Attributes:
        counts: Shape (n, n_rows, n_columns).
        omega: Encoder in the middle of each exposure, degree, shape (n,).
        time: Of the middle of each exposure, s since the Unix epoch, session clock, shape (n,).
        i0: Counts before the sample, shape (n,).
        faults: Why each may not be used, empty if it may.
    """

    counts: AnyArray
    omega: FloatArray
    time: FloatArray
    i0: FloatArray
    faults: tuple[str, ...]


class ImagingRun:
    """What the documents of one run say about its frames.

    Attributes:
        start: The start document.
        exposure: Of a frame, s.
    """

    def __init__(self, start: Mapping[str, Any]) -> None:
        self.start = start
        self.exposure = float(start.get("exposure", math.nan))
        self._raw = RawRun(start)
        self._frames: dict[str, dict[int, RawFrame]] = {"dark": {}, "flat": {}, "primary": {}}
        self._trains: set[str] = set()
        self._told: set[int] = set()
        self.arcs: list[list[RawFrame]] = []
        self.train_faults: list[str] = []

    def take(self, name: str, doc: Mapping[str, Any]) -> list[RawFrame]:
        """Take one document between start and stop; the frames that it speaks of."""
        if name == "descriptor" and doc.get("name") == "trains":
            self._trains.add(doc["uid"])
        if name in ("descriptor", "stream_resource"):
            getattr(self._raw, name)(doc)
        elif name == "stream_datum":
            return self._flown(self._raw.stream_datum(doc))
        elif name == "event" and doc["descriptor"] in self._trains:
            self._train(doc["data"])
        elif name == "event":
            return self._added(self._raw.frames(doc))
        return []

    def _flown(self, frames: Sequence[RawFrame]) -> list[RawFrame]:
        for frame in frames[:1]:
            # A pause takes a train again: what was told from its number on counts no more, for
            # fewer may come the second time.
            known = self._frames.get(frame.stream, {})
            for number in [each for each in known if each >= point_of(frame)]:
                del known[number]
        return self._added(frames)

    def _added(self, frames: Sequence[RawFrame]) -> list[RawFrame]:
        added = []
        for frame in frames:
            known = self._frames.get(frame.stream)
            if known is not None and frame.file is not None:
                # Of two with one number the last counts.
                known[point_of(frame) * frame.n_frames + frame.position] = frame
                added.append(frame)
        return added

    def _train(self, data: Mapping[str, Any]) -> None:
        # A pause just behind the event tells it again.
        is_again = data["train"] in self._told
        self._told.add(data["train"])
        if is_again or data["role"] != "projection":
            return
        path, first = Path(data["file"]), int(data["first"])
        last = first + int(data["n_frames"])
        frames = [
            frame
            for frame in self.frames("primary")
            if frame.file is not None and frame.file.path == path and first <= frame.index < last
        ]
        fault = str(data.get("fault") or "")
        if self.arcs and int(data.get("arc", 0)) < 0:
            # Angles of the rotation before, once more.
            self.arcs[-1] += frames
            self.train_faults[-1] = "; ".join(filter(None, (self.train_faults[-1], fault)))
        else:
            self.arcs.append(frames)
            self.train_faults.append(fault)

    def frames(self, stream: str) -> list[RawFrame]:
        """Of a stream, in their order."""
        return [frame for _, frame in sorted(self._frames[stream].items())]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._raw.shape

    def is_there(self, frames: Sequence[RawFrame]) -> bool:
        """Whether the pixels of all can be read."""
        last: dict[Path, RawFrame] = {}
        for frame in frames:
            if frame.file is not None:
                known = last.setdefault(frame.file.path, frame)
                last[frame.file.path] = max(known, frame, key=lambda one: one.index)
        return all(one.file is not None and one.file.holds(one.index) for one in last.values())

    def time_end(self, frames: Sequence[RawFrame]) -> float:
        """End of the last exposure, s since the Unix epoch; NaN if not known."""
        ends = [self._raw.time_end(frame) for frame in frames[-1:]]
        return ends[0] if ends else math.nan

    def stack(self, frames: Sequence[RawFrame], *, with_beam: bool = True) -> Stack:
        """The pixels of frames and what stands beside them.

        Args:
            frames: Of one stream.
            with_beam: Whether frames without beam are at fault.

        Raises:
            OSError: If pixels are missing.
        """
        parts = [self._part(file, of) for file, of in _by_file(frames)]
        if not parts:
            nothing = np.zeros(0)
            return Stack(np.zeros((0, *self.shape), np.uint32), nothing, nothing, nothing, ())
        counts, omega, time, i0, ring, shutter = (
            np.concatenate([part[k] for part in parts]) for k in range(6)
        )
        faults = _faults(time, i0, ring, shutter) if with_beam else ("",) * len(frames)
        return Stack(counts, omega, time, i0, tuple(faults))

    def _part(self, file: FrameFile, frames: Sequence[RawFrame]) -> tuple[AnyArray, ...]:
        indices = [frame.index for frame in frames]
        names = ("Omega", "NDArrayTimeStamp", "I0", "RingCurrent", "Shutter")
        omega, stamps, i0, ring, shutter = (file.attributes(name, indices) for name in names)
        times = np.array(
            [
                self._session_time(frame, stamp)
                for frame, stamp in zip(frames, stamps + EPICS_EPOCH, strict=True)
            ]
        )
        return file.frames(indices), omega, times, i0, ring, shutter

    def _session_time(self, frame: RawFrame, stamp: float) -> float:
        if not math.isfinite(stamp):
            return math.nan
        delay = self._raw.readout_delay
        middle = middle_of_exposure(stamp=stamp, readout_delay=delay, exposure=self.exposure)
        return frame.clock.session_time(middle)

    def projections(self, stack: Stack) -> Projections:
        """A stack with the darks and flats of the run, or of the earlier one that it names.

        Raises:
            ReductionError: If darks or flats cannot be read, or do not fit.
        """
        flats, darks = self.field("flat"), self.field("dark")
        said = self.start.get("tomography") or self.start.get("radiography") or {}
        omega = np.where([bool(fault) for fault in stack.faults], np.nan, stack.omega)
        return Projections(
            counts=stack.counts,
            omega=omega,
            time=stack.time,
            flats=flats.counts,
            flat_time=flats.time,
            darks=darks.counts,
            pixel_size=float(said.get("pixel_size", math.nan)),
            energy=float(said.get("energy") or math.nan),
            i0=stack.i0,
            flat_i0=flats.i0,
        )

    def field(self, role: str) -> Stack:
        """Darks or flats that are good, of the run or of the earlier one that it names.

        Raises:
            ReductionError: If an earlier run's cannot be read.
        """
        stack = self.stack(self.frames(role), with_beam=role == "flat")
        good = [k for k, fault in enumerate(stack.faults) if not fault]
        earlier = (self.start.get("fields") or {}).get(role, {}).get("earlier")
        if len(good) or not earlier:
            return Stack(
                stack.counts[good],
                stack.omega[good],
                stack.time[good],
                stack.i0[good],
                ("",) * len(good),
            )
        file = FrameFile(Path(earlier["file"]), str(earlier["dataset"]))
        first, n = int(earlier["first"]), int(earlier["n_frames"])
        indices = list(range(first, first + n))
        try:
            counts, i0 = file.frames(indices), file.attributes("I0", indices)
        except OSError as fault:
            raise ReductionError(f"the {role}s of run {earlier['run']}: {fault}") from fault
        finally:
            file.close()
        time = np.full(n, float(earlier.get("time", math.nan)))
        return Stack(counts, np.full(n, math.nan), time, i0, ("",) * n)

    def close(self) -> None:
        """Close every file."""
        self._raw.close()


def point_of(frame: RawFrame) -> int:
    """Of the plan; of a frame that was flown its number in the stream, from 1."""
    return int(frame.event["data"].get("point", frame.event["seq_num"]))


def _by_file(frames: Sequence[RawFrame]) -> Iterator[tuple[FrameFile, list[RawFrame]]]:
    """Frames that follow each other in one file, together."""
    together: list[RawFrame] = []
    for frame in frames:
        if frame.file is None:
            continue
        if together and together[-1].file is not frame.file and together[-1].file is not None:
            yield together[-1].file, together
            together = []
        together.append(frame)
    if together and together[-1].file is not None:
        yield together[-1].file, together


def _faults(
    time: FloatArray, i0: FloatArray, ring: FloatArray, shutter: FloatArray
) -> Iterator[str]:
    usual = float(np.nanmedian(i0)) if np.isfinite(i0).any() else math.nan
    for when, counts, current, is_open in zip(time, i0, ring, shutter, strict=True):
        if not math.isfinite(when):
            yield "no time stamp"
        elif is_open == 0:
            yield "shutter closed"
        elif current <= 0:
            yield f"no beam: ring current {current:.3g} mA"
        elif counts < LEAST_BEAM * usual:
            yield f"no beam: I0 {counts:.4g} counts, {usual:.4g} are usual"
        else:
            yield ""
