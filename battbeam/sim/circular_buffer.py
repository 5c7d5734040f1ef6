"""This file is where the latest frames are kept until they matter: ``CB1:``, NDPluginCircularBuff.

While it captures, it remembers the last PreCount frames. After Trigger the next frame brings those
out, and it and those after it, PostCount altogether, pass. When that has happened PresetTriggerCount
times (0: without end) it captures no more. What passes is written where ``HDF1:NDArrayPort`` is
``CB1``. Not imitated: triggers by attributes, and a flush without a new frame.
"""

from collections import deque
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.records import choice, setting, shown
from battbeam.sim.shots import Shot

#: Name of this plugin as a source of frames.
PORT = "CB1"
#: A shot and its stamp.
Stamped = tuple[Shot, float]


class Ring:
    """What is kept; no records.

    >>> ring = Ring()
    >>> ring.start(n_before=2, n_after=2, n_triggers=1)
    >>> [ring.take(frame) for frame in "abc"]
    [[], [], []]
    >>> ring.trigger()
    >>> [ring.take(frame) for frame in "def"]
    [['b', 'c', 'd'], ['e'], []]
    """

    def __init__(self) -> None:
        self._kept: deque[Any] = deque(maxlen=0)
        self._n_after, self._wanted = 1, 1
        self.is_capturing = self.is_triggered = False
        self.n_passed = self.n_triggers = 0

    @property
    def n_kept(self) -> int:
        """Frames in it now."""
        return len(self._kept)

    def start(self, *, n_before: int, n_after: int, n_triggers: int) -> None:
        """Forget everything and keep frames from now on."""
        self._kept = deque(maxlen=max(n_before, 0))
        self._n_after, self._wanted = max(n_after, 1), max(n_triggers, 0)
        self.is_capturing, self.is_triggered = True, False
        self.n_passed = self.n_triggers = 0

    def stop(self) -> None:
        """Keep and pass no more."""
        self.is_capturing = self.is_triggered = False

    def trigger(self) -> None:
        """What it has, and what comes, matters."""
        if self.is_capturing and not self.is_triggered:
            self.is_triggered, self.n_passed = True, 0
            self.n_triggers += 1

    def take(self, frame: Any) -> list[Any]:
        """A frame comes; those that pass."""
        if not self.is_capturing:
            return []
        if not self.is_triggered:
            self._kept.append(frame)
            return []
        passing = [*self._kept, frame]
        self._kept.clear()
        self.n_passed += 1
        if self.n_passed >= self._n_after:
            self.is_triggered = False
            if self._wanted and self.n_triggers >= self._wanted:
                self.is_capturing = False
        return passing


async def _put_capture(group: "CircularBuffer", _instance: Any, value: Any) -> str:
    return await group.capture(str(value) in ("1", "Capture"))


async def _put_trigger(group: "CircularBuffer", _instance: Any, value: Any) -> str:
    if str(value) in ("1", "Trigger"):
        await group.trigger()
    return "Done"


class CircularBuffer(PVGroup):  # type: ignore[misc]
    """One circular buffer behind the camera."""

    PluginType_RBV = shown("NDPluginCircularBuff ver1.13.0", dtype=ChannelType.STRING)
    PortName_RBV = shown(PORT, dtype=ChannelType.STRING)
    NDArrayPort, NDArrayPort_RBV = setting("CAM", dtype=ChannelType.STRING)
    EnableCallbacks, EnableCallbacks_RBV = choice("Enable", "Disable")
    Capture = pvproperty(
        value="Done",
        enum_strings=("Done", "Capture"),
        dtype=ChannelType.ENUM,
        put=_put_capture,
        doc="1 while it keeps frames",
    )
    Capture_RBV = shown("Done", enum_strings=("Done", "Capturing"), dtype=ChannelType.ENUM)
    PreCount, PreCount_RBV = setting(100, doc="frames kept from before")
    PostCount, PostCount_RBV = setting(100, doc="frames that pass from then on")
    PresetTriggerCount, PresetTriggerCount_RBV = setting(1, doc="0: without end")
    ActualTriggerCount_RBV = shown(0)
    CurrentQty_RBV = shown(0, doc="frames that it keeps now")
    PostTriggerQty_RBV = shown(0, doc="frames passed since the trigger")
    Trigger = pvproperty(
        value="Done", enum_strings=("Done", "Trigger"), dtype=ChannelType.ENUM, put=_put_trigger
    )
    Trigger_RBV = shown("Done", enum_strings=("Done", "Triggered"), dtype=ChannelType.ENUM)
    StatusMessage = shown("Idle", dtype=ChannelType.STRING)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ring = Ring()

    def passed(self, shot: Shot, stamp: float) -> list[Stamped]:
        """A frame comes (in the worker thread); those that pass."""
        return self._ring.take((shot, stamp)) if self.EnableCallbacks.value == "Enable" else []

    async def capture(self, wanted: bool) -> str:
        """Keep frames from now on, or no more."""
        if wanted:
            self._ring.start(
                n_before=int(self.PreCount.value),
                n_after=int(self.PostCount.value),
                n_triggers=int(self.PresetTriggerCount.value),
            )
        else:
            self._ring.stop()
        await self._show()
        return "Capture" if wanted else "Done"

    async def trigger(self) -> None:
        """Let what it keeps pass with the next frame."""
        self._ring.trigger()
        await self._show()

    async def show(self) -> None:
        """Bring the records up to date."""
        if not self._ring.is_capturing and self.Capture.value == "Capture":
            await self.Capture.write("Done", verify_value=False)
        await self._show()

    async def _show(self) -> None:
        ring = self._ring
        await self.Capture_RBV.write("Capturing" if ring.is_capturing else "Done")
        await self.Trigger_RBV.write("Triggered" if ring.is_triggered else "Done")
        for record, value in (
            (self.CurrentQty_RBV, ring.n_kept),
            (self.PostTriggerQty_RBV, ring.n_passed),
            (self.ActualTriggerCount_RBV, ring.n_triggers),
        ):
            if record.value != value:
                await record.write(value)
        state = "Flushing" if ring.is_triggered else "Buffer filling"
        await self.StatusMessage.write(state if ring.is_capturing else "Idle")
