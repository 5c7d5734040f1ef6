"""This file is where the simulated detector's file writer is: the ``HDF1:`` records of NDFileHDF5.

Capture opens a file of the name that the template makes, and closes it. What cannot be written is
told in WriteStatus and WriteMessage, never by an end of the process.
"""

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.frame_file import FrameFile
from battbeam.sim.records import as_text, choice, follow, setting, shown, shown_text, text
from battbeam.sim.shots import Kept, Shot

#: Seconds from 1970 to 1990, where areaDetector's stamps start.
EPICS_EPOCH = 631_152_000.0
#: What h5py raises when a file cannot be made or grown.
_FILE_ERRORS = (OSError, RuntimeError, ValueError)


async def _put_path(group: "Writer", instance: Any, value: Any) -> str:
    path = as_text(value)
    await follow(group, instance, path)
    await group.look_for_path(path)
    return path


async def _put_text(group: "Writer", instance: Any, value: Any) -> str:
    return str(await follow(group, instance, as_text(value)))


async def _put_capture(group: "Writer", _instance: Any, value: Any) -> str:
    return "Capture" if await group.capture(str(value) in ("1", "Capture")) else "Done"


class Writer(PVGroup):  # type: ignore[misc]
    """One HDF5 plugin behind the camera."""

    PluginType_RBV = shown("NDFileHDF5 ver1.13.0", dtype=ChannelType.STRING)
    PortName_RBV = shown("FileHDF1", dtype=ChannelType.STRING)
    NDArrayPort, NDArrayPort_RBV = setting("CAM", dtype=ChannelType.STRING)
    NDArrayAddress, NDArrayAddress_RBV = setting(0)
    EnableCallbacks, EnableCallbacks_RBV = choice("Disable", "Enable")
    BlockingCallbacks, BlockingCallbacks_RBV = choice("No", "Yes")
    MinCallbackTime, MinCallbackTime_RBV = setting(0.0)
    ArrayCounter, ArrayCounter_RBV = setting(0)
    DroppedArrays, DroppedArrays_RBV = setting(0)
    ArrayCallbacks, ArrayCallbacks_RBV = choice("Disable", "Enable")
    ArraySize0_RBV, ArraySize1_RBV, ArraySize2_RBV = shown(0), shown(0), shown(0)
    NDimensions_RBV = shown(2)
    DataType_RBV = shown("UInt32", dtype=ChannelType.STRING)
    ColorMode_RBV = shown("Mono", dtype=ChannelType.STRING)
    UniqueId_RBV = shown(0)
    TimeStamp_RBV = shown(0.0, precision=6, units="s", doc="readout, s since 1990-01-01 UTC")
    EpicsTSSec_RBV, EpicsTSNsec_RBV = shown(0), shown(0)
    QueueSize, QueueSize_RBV = setting(16)
    QueueFree = shown(16)
    FilePath, FilePath_RBV = text(put=_put_path)
    FilePathExists_RBV = shown("No", enum_strings=("No", "Yes"), dtype=ChannelType.ENUM)
    FileName, FileName_RBV = text(put=_put_text)
    FileTemplate, FileTemplate_RBV = text("%s%s_%6.6d.h5", put=_put_text)
    FileNumber, FileNumber_RBV = setting(0)
    FullFileName_RBV = shown_text()
    FileFormat, FileFormat_RBV = choice("HDF5")
    FileWriteMode, FileWriteMode_RBV = choice("Single", "Capture", "Stream")
    AutoIncrement, AutoIncrement_RBV = choice("No", "Yes")
    AutoSave, AutoSave_RBV = choice("No", "Yes")
    DeleteDriverFile, DeleteDriverFile_RBV = choice("No", "Yes")
    LazyOpen, LazyOpen_RBV = choice("No", "Yes")
    CreateDirectory, CreateDirectory_RBV = setting(0, doc="< 0: make that many levels")
    TempSuffix, TempSuffix_RBV = setting("", dtype=ChannelType.STRING)
    Capture, Capture_RBV = choice("Done", "Capture", put=_put_capture)
    NumCapture, NumCapture_RBV = setting(0, doc="0: until told to stop")
    NumCaptured_RBV = shown(0)
    WriteStatus = shown(
        "Write OK", enum_strings=("Write OK", "Write error"), dtype=ChannelType.ENUM
    )
    WriteMessage = shown_text()
    WriteFile_RBV, ReadFile_RBV = shown(0), shown(0)
    Compression, Compression_RBV = choice("Blosc", "None", "N-bit", "szip", "zlib", "BSLZ4")
    NumFramesChunks, NumFramesChunks_RBV = setting(1)
    NumFramesFlush, NumFramesFlush_RBV = setting(1)
    NumRowChunks, NumRowChunks_RBV = setting(0)
    NumColChunks, NumColChunks_RBV = setting(0)
    NumExtraDims, NumExtraDims_RBV = setting(0)
    StoreAttr, StoreAttr_RBV = choice("Yes", "No")
    StorePerform, StorePerform_RBV = choice("No", "Yes")
    PositionMode, PositionMode_RBV = choice("Off", "On")
    XMLFileName, XMLFileName_RBV = text(put=_put_text)
    XMLValid_RBV = shown("Yes", enum_strings=("No", "Yes"), dtype=ChannelType.ENUM)
    XMLErrorMsg_RBV = shown_text()
    SWMRMode, SWMRMode_RBV = choice("Off", "On")
    SWMRSupported_RBV = shown("Supported", dtype=ChannelType.STRING)
    SWMRActive_RBV = shown("Off", enum_strings=("Off", "Active"), dtype=ChannelType.ENUM)
    SWMRCbCounter_RBV = shown(0)
    FlushNow = pvproperty(value=0)
    RunTime, IOSpeed = shown(0.0), shown(0.0)

    def __init__(
        self, *args: Any, executor: Executor, shape: tuple[int, int], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._executor, self._shape = executor, shape
        self._file: FrameFile | None = None

    async def prepare(self) -> None:
        """Show a frame's size from the start, or ophyd takes the plugin for unprimed."""
        rows, columns = self._shape
        await self.ArraySize0_RBV.write(columns)
        await self.ArraySize1_RBV.write(rows)
        for record in (
            self.EnableCallbacks,
            self.AutoIncrement,
            self.SWMRMode,
            self.ArrayCallbacks,
        ):
            await record.write(1)
        await self.FileWriteMode.write("Stream")
        await self.Compression.write("BSLZ4")

    async def look_for_path(self, path: str) -> None:
        """Say whether the directory is there; make it when CreateDirectory allows that."""
        directory = Path(path)
        if path and not directory.is_dir() and self.CreateDirectory.value < 0:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                await self._tell(f"no directory {directory}: {error}")
        await self.FilePathExists_RBV.write("Yes" if path and directory.is_dir() else "No")

    async def capture(self, wanted: bool) -> bool:
        """Open or close a file; whether one is open then."""
        await self._close()
        if not wanted:
            return False
        path = Path(self._next_name())
        try:
            self._file = await self._run(lambda: FrameFile(path, shape=self._shape))
        except _FILE_ERRORS as error:
            await self._tell(f"cannot open {path}: {error}")
            return False
        await self._tell("")
        await self.NumCaptured_RBV.write(0)
        await self.FullFileName_RBV.write(str(path))
        if self.AutoIncrement.value == "Yes":
            await self.FileNumber.write(self.FileNumber.value + 1)
        await self.SWMRActive_RBV.write("Active")
        await self.Capture_RBV.write(1)
        return True

    def _next_name(self) -> str:
        directory = as_text(self.FilePath.value)
        if directory and not directory.endswith("/"):
            directory += "/"
        parts = (directory, as_text(self.FileName.value), int(self.FileNumber.value))
        template = as_text(self.FileTemplate.value)
        n_fields = template.count("%") - 2 * template.count("%%")
        try:
            return template % parts[:n_fields]
        except (TypeError, ValueError):
            return f"{parts[0]}{parts[1]}_{parts[2]:06d}.h5"

    def keep(self, shot: Shot, stamp: float) -> Kept:
        """Write a shot (in the worker thread).

        Raises:
            OSError: If the disk takes no more.
        """
        file = self._file
        if file is None or self._is_full(file) or self.EnableCallbacks.value != "Enable":
            return shot, "", -1
        attributes = {
            "NDArrayTimeStamp": stamp - EPICS_EPOCH,
            "NDArrayUniqueId": shot.request.number,
            "I0": shot.i0,
            "IT": shot.transmitted,
            "RingCurrent": shot.ring_current,
            "SampleX": shot.request.x,
            "SampleY": shot.request.y,
            "SampleXEnd": shot.request.stage_end[0],
            "SampleYEnd": shot.request.stage_end[1],
            "Shutter": float(shot.is_open),
            "Omega": shot.request.turn.reading,
            "Energy": shot.request.nominal_energy,
        }
        index = file.add(shot.frame, attributes)
        return shot, str(file.path), index

    def _is_full(self, file: FrameFile) -> bool:
        """Whether a file holds what was asked for; it may stand open a moment longer."""
        return bool(0 < self.NumCapture.value <= file.n_frames)

    async def kept(self, number: int, stamp: float, *, n: int = 1) -> None:
        """Show the last of n frames, and close the file when it holds what was asked for."""
        await self.UniqueId_RBV.write(number)
        seconds = stamp - EPICS_EPOCH
        await self.TimeStamp_RBV.write(seconds)
        await self.EpicsTSSec_RBV.write(int(seconds))
        await self.EpicsTSNsec_RBV.write(int(seconds % 1 * 1e9))
        await self.ArrayCounter.write(self.ArrayCounter.value + n)
        if self._file is None:
            return
        await self.NumCaptured_RBV.write(self._file.n_frames)
        if self._is_full(self._file):
            await self.Capture.write(0)

    async def failed(self, error: Exception) -> None:
        """Tell that the last frame could not be written, and give the file up."""
        await self._tell(f"frame lost: {error}")
        await self.DroppedArrays.write(self.DroppedArrays.value + 1)
        await self.Capture.write(0)

    async def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                await self._run(file.close)
            except _FILE_ERRORS as error:
                await self._tell(f"cannot close {file.path}: {error}")
        await self.SWMRActive_RBV.write("Off")
        await self.Capture_RBV.write(0)

    async def _tell(self, message: str) -> None:
        await self.WriteStatus.write("Write error" if message else "Write OK")
        await self.WriteMessage.write(message)

    async def _run(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
