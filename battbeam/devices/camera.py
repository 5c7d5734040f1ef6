"""This file is where the records of a camera are: the `cam1:` part of an area detector."""

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Readback, Setting

#: cam1:ImageMode of a counted train, and of frames without end.
MULTIPLE, CONTINUOUS = 1, 2
#: cam1:TriggerMode of frames that the camera times, and of those that pulses do.
INTERNAL, EXTERNAL = 0, 1


class Camera(Device):  # type: ignore[misc]
    """What exposes."""

    acquire = Cpt(Setting, "Acquire", dtype="integer", kind="omitted", doc="1 while exposing")
    exposure = Cpt(
        Setting,
        "AcquireTime_RBV",
        write_pv="AcquireTime",
        units="s",
        kind="config",
        doc="of one frame",
    )
    period = Cpt(
        Setting,
        "AcquirePeriod_RBV",
        write_pv="AcquirePeriod",
        units="s",
        kind="config",
        doc="start to start",
    )
    n_images = Cpt(
        Setting,
        "NumImages_RBV",
        write_pv="NumImages",
        dtype="integer",
        kind="config",
        doc="frames of a train",
    )
    image_mode = Cpt(
        Setting,
        "ImageMode_RBV",
        write_pv="ImageMode",
        dtype="integer",
        kind="omitted",
        doc="1: counted",
    )
    trigger_mode = Cpt(
        Setting,
        "TriggerMode_RBV",
        write_pv="TriggerMode",
        dtype="integer",
        kind="omitted",
        doc="0: by itself; 1: a frame a pulse",
    )
    counter = Cpt(
        Readback, "ArrayCounter_RBV", dtype="integer", kind="omitted", doc="frames so far"
    )
    n_columns = Cpt(Readback, "ArraySizeX_RBV", dtype="integer", kind="config", doc="fast axis")
    n_rows = Cpt(Readback, "ArraySizeY_RBV", dtype="integer", kind="config", doc="slow axis")
