"""This file is where what a beamline serves of its small-angle detector is put together.

``DET3`` is an area detector of its own. With an External trigger it exposes whenever ``DET1`` does:
each exposure of that one gives a pulse on ``DET1:TRIGGER_OUT`` when it begins.
"""

from concurrent.futures import Executor
from typing import Any

from battbeam.sim.camera_station import CameraStation
from battbeam.sim.pulse_queue import PulseQueue
from battbeam.sim.small_angle_shots import SmallAngleCamera


def small_angle_station(
    prefix: str,
    camera: SmallAngleCamera | None,
    *,
    trigger: PulseQueue,
    executor: Executor,
    **more: Any,
) -> CameraStation | None:
    """The small-angle detector with its plugins, and the pulses that it follows; None where there is
    no camera.

    Args:
        prefix: Of the beamline's PVs.
        camera: What takes frames.
        trigger: Of the detector that it follows.
        executor: In which frames are taken, after what else it does.
        more: Further arguments of `battbeam.sim.camera_station.CameraStation`.
    """
    if camera is None:
        return None
    return CameraStation(
        f"{prefix}DET3:",
        camera=camera,
        settings=camera.settings,
        executor=executor,
        preparer=executor,
        pulses=trigger,
        **more,
    )
