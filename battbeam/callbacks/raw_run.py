"""This file is where the events of a raw run become frames: where, when, under what beam."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from battbeam.callbacks.event_values import as_number, first_number
from battbeam.callbacks.flown_rows import FlownRow, FlownRows
from battbeam.callbacks.frames import EPICS_EPOCH, FrameFile
from battbeam.callbacks.raw_frame import STAGE, RawFrame, moved
from battbeam.callbacks.xrd_row import FrameContext
from battbeam.experiment.clock_relation import (
    IDENTITY,
    WINDOW,
    ClockRelation,
    clock_relation,
    middle_of_exposure,
)

#: Standard deviations by which I0 must exceed what it counts in the dark.
I0_SIGMAS = 5.0


class RawRun:
    """What the documents of one run say about its frames.

    Args:
        start: The start document. ``clocks.detector`` may hold comparisons of the detector's clock
            with the session's, each (device_time, session_time, uncertainty) in s; every event may
            bring one more (``<detector>_clock_device_time`` and so on). Without any the two are one.
        detector: Whose frames are meant, of several in one event; by default those of the first one
            among the start document's ``detectors``.
    """

    def __init__(self, start: Mapping[str, Any], *, detector: str = "") -> None:
        self.start = start
        self._meant = [detector] if detector else [str(e) for e in start.get("detectors", ())]
        self._is_one = bool(detector)
        self.detector = detector
        self.shape = (0, 0)
        self.position_units: dict[str, str] = {}
        self._configuration: dict[str, Any] = {}
        self._streams: dict[str, str] = {}
        self._flown: set[str] = set()
        self._trains: set[str] = set()
        self._rows: FlownRows[RawFrame] = FlownRows()
        self._resources: dict[str, FrameFile] = {}
        self._file: FrameFile | None = None
        self._comparisons = [
            tuple(map(float, each)) for each in start.get("clocks", {}).get("detector", [])
        ]

    def descriptor(self, doc: Mapping[str, Any]) -> None:
        """Take note of a stream that holds frames, or tells of those that were flown."""
        if doc.get("name") == "trains":
            self._trains.add(doc["uid"])
            self._configure(doc)
        images = self._images(doc["data_keys"])
        if not images:
            return
        self._streams[doc["uid"]] = str(doc.get("name", "primary"))
        if len(images) == len(doc["data_keys"]):
            # Nothing but frames: they were flown, and no events follow.
            self._flown.add(doc["uid"])
        self.detector = images[0].removesuffix("_image")
        shape = doc["data_keys"][images[0]]["shape"]
        self.shape = (int(shape[-2]), int(shape[-1]))
        self._configure(doc)
        motors = [*self.start.get("motors", ()), *self.start.get("axes", ())]
        for name in (*STAGE, *map(str, motors)):
            column = doc["data_keys"].get(name, {})
            self.position_units[name] = str(column.get("units") or "mm")

    def _configure(self, doc: Mapping[str, Any]) -> None:
        for configured in doc.get("configuration", {}).values():
            self._configuration.update(configured["data"])

    def _images(self, data_keys: Mapping[str, Any]) -> list[str]:
        """Keys of frames, those of the detector that is meant first; none where it has none."""
        found = [key for key, column in data_keys.items() if _is_image(key, column)]
        meant = [f"{name}_image" for name in self._meant if f"{name}_image" in found]
        return meant if meant or self._is_one else found

    def stream_resource(self, doc: Mapping[str, Any]) -> None:
        """Take note of a file of frames."""
        if doc["data_key"] == f"{self.detector}_image":
            self._resources[doc["uid"]] = FrameFile.of_resource(doc)

    def stream_datum(self, doc: Mapping[str, Any]) -> list[RawFrame]:
        """Take note that the next event has frames in a file; the frames of one that was flown."""
        file = self._resources.get(doc["stream_resource"], self._file)
        if doc["descriptor"] not in self._flown:
            self._file = file
            return []
        stream, clock = self._streams[doc["descriptor"]], _detector_clock(self._comparisons)
        first, number = doc["indices"]["start"], doc["seq_nums"]["start"]
        frames = [
            RawFrame(file, first + k, _flown_event(number + k), 0, 1, clock, stream)
            for k in range(doc["indices"]["stop"] - first)
        ]
        if "map" in self.start:
            self._rows.add(frames)
        return frames

    def frames(self, doc: Mapping[str, Any]) -> list[RawFrame]:
        """The frames of one event, none if it is of another stream; of a row of a map all of it."""
        if doc["descriptor"] in self._trains and doc["data"]["role"] == "map":
            return self._row(doc)
        if doc["descriptor"] not in self._streams:
            return []
        file, self._file = self._file, None
        data = doc["data"]
        first = int(data.get(f"{self.detector}_frame", -1))
        n_frames = int(data.get(f"{self.detector}_n_frames", 1))
        clock, stream = self._clock_with(data), self._streams[doc["descriptor"]]
        # An event whose exposure failed has no frame; it has its row all the same.
        return [
            RawFrame(
                file if first >= 0 else None, first + k, doc, k, max(n_frames, 1), clock, stream
            )
            for k in range(max(n_frames, 1))
        ]

    def _row(self, doc: Mapping[str, Any]) -> list[RawFrame]:
        row = FlownRow.of_event(doc["data"], self.start["map"]["axes"][-1])
        clock = self._clock_with(doc["data"])
        return [
            replace(frame, event={**doc, "seq_num": frame.event["seq_num"]}, clock=clock, row=row)
            for frame in self._rows.of_train(doc["data"])
        ]

    def _clock_with(self, data: Mapping[str, Any]) -> ClockRelation:
        """The detector's clock, with the comparison that an event brings."""
        names = ("device_time", "session_time", "uncertainty")
        found = tuple(as_number(data.get(f"{self.detector}_clock_{name}")) for name in names)
        if all(map(math.isfinite, found)):
            self._comparisons = [*self._comparisons[-WINDOW:], found]
        return _detector_clock(self._comparisons)

    def close(self) -> None:
        """Close every file."""
        for file in self._resources.values():
            file.close()

    def context(self, raw: RawFrame, *, minimum_i0: float) -> FrameContext:
        """What is known of a frame, from its event and from what stands beside it in its file."""
        data, beside = raw.event["data"], raw.beside()
        places = {name: as_number(data.get(name)) for name in self.position_units}
        if raw.row is not None:
            data = raw.row.told(data, raw.index, beside[STAGE[raw.row.axis]])
            places |= {name: first_number(beside[of], data.get(name)) for name, of in STAGE.items()}
        exposure = self._exposure(data)
        middle = self._middle(raw, exposure)
        i0 = first_number(beside["I0"], data.get("i0"))
        ring = first_number(beside["RingCurrent"], data.get("ring_current"))
        shutter = first_number(beside["Shutter"], data.get("shutter"))
        faults = [*self._beam_faults(data, i0, ring, shutter, exposure, minimum_i0)]
        faults += moved(beside, data)
        if math.isnan(middle):
            faults.append("no time stamp")
        if raw.clock.fault:
            faults.append(f"detector's {raw.clock.fault}")
        return FrameContext(
            point=int(data.get("point", raw.event["seq_num"] - 1)),
            seq_num=int(raw.event["seq_num"]),
            frame=raw.position,
            time_start=middle - exposure / 2,
            time_end=middle + exposure / 2,
            exposure=exposure,
            i0=i0,
            transmission_counts=first_number(beside["IT"], data.get("transmission_counts")),
            ring_current=ring,
            file="" if raw.file is None else raw.file.path.name,
            index=raw.index,
            measurement=int(data.get("measurement", -1)),
            repeat=int(data.get("repeat", -1)),
            spot_x=as_number(data.get("spot_x")),
            spot_y=as_number(data.get("spot_y")),
            fluence=as_number(data.get("fluence")),
            positions=places,
            faults=tuple(faults),
        )

    def time_end(self, raw: RawFrame) -> float:
        """End of a frame's exposure on the session's clock; NaN while not known."""
        exposure = self._exposure(raw.event["data"])
        return self._middle(raw, exposure) + exposure / 2

    def event_time(self, raw: RawFrame, context: FrameContext) -> float:
        """The middle of the exposure; where it is not known, when the event was read."""
        if math.isfinite(context.time):
            return context.time
        # Records are stamped by the session's clock, the event itself by the wall.
        stamps = raw.event["timestamps"]
        return float(stamps.get("ring_current", stamps.get("i0", raw.event["time"])))

    def _exposure(self, data: Mapping[str, Any]) -> float:
        configured = self._configuration.get(f"{self.detector}_cam_exposure")
        # Of a point of a spectrum it is called a dwell.
        asked = (data.get("exposure"), data.get("dwell"))
        return first_number(*asked, configured, self.start.get("exposure"))

    def _middle(self, raw: RawFrame, exposure: float) -> float:
        stamp = as_number(raw.event["data"].get(f"{self.detector}_stamp"))
        if raw.n_frames > 1 or math.isnan(stamp):
            # The event's stamp is that of its last frame; each has its own in the file.
            stamp = raw.attribute("NDArrayTimeStamp") + EPICS_EPOCH
        on_detector = middle_of_exposure(
            stamp=stamp, readout_delay=self.readout_delay, exposure=exposure
        )
        return raw.clock.session_time(on_detector) if math.isfinite(on_detector) else math.nan

    def _beam_faults(
        self,
        data: Mapping[str, Any],
        i0: float,
        ring: float,
        shutter: float,
        exposure: float,
        minimum_i0: float,
    ) -> Iterator[str]:
        minimum = first_number(self._configuration.get("beam_minimum_ring_current"), 0.0)
        if "ring_current" in data and math.isnan(ring):
            yield "no beam: ring current not known"
        elif ring < minimum:
            yield f"no beam: ring current {ring:.3g} mA, below {minimum:g} mA"
        if shutter == 0:
            yield "shutter closed"
        if "i0" not in data:
            return
        dark = first_number(self._configuration.get("beam_i0_dark_rate"), 0.0) * exposure
        needed = max(minimum_i0, dark + I0_SIGMAS * math.sqrt(dark + 1))
        if math.isnan(i0):
            yield "no beam: I0 not known"
        elif i0 < needed:
            yield f"no beam: I0 {i0:.4g} counts, at least {needed:.4g} wanted"

    @property
    def readout_delay(self) -> float:
        """Of the detector, from the end of an exposure to its stamp, s."""
        return first_number(self._configuration.get(f"{self.detector}_readout_delay"), 0.0)

    def dark_i0(self, exposure: float) -> float:
        """Counts of I0 without beam."""
        return first_number(self._configuration.get("beam_i0_dark_rate"), 0.0) * exposure


def _flown_event(number: int) -> dict[str, Any]:
    """What stands for the event of a frame that has none."""
    return {"seq_num": number, "time": math.nan, "data": {}, "timestamps": {}}


def _is_image(key: str, column: Mapping[str, Any]) -> bool:
    return column.get("external") == "STREAM:" and key.endswith("_image")


def _detector_clock(comparisons: Sequence[tuple[float, ...]]) -> ClockRelation:
    if not comparisons:
        return IDENTITY
    device, session, uncertainty = zip(*comparisons, strict=True)
    return clock_relation(device_time=device, session_time=session, uncertainty=uncertainty)
