"""This file is where an imaging measurement is checked before anything moves."""

from collections.abc import Mapping, Sequence
from typing import Any

from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.frames import Flight
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.rotation import Rotation
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.fields import FieldsOfRun
from battbeam.plans.imaging import Imager
from battbeam.plans.preflight import connection_faults, position_faults


def imager_faults(
    imager: Imager,
    facts: CameraFacts,
    *,
    exposure: float,
    positions: Sequence[tuple[Any, float]] = (),
) -> list[str]:
    """What is wrong with the instruments, the exposure and where it is, one sentence each."""
    flyer, beam = imager.flyer, imager.beam
    motors = [flyer.rotation] if isinstance(flyer, FlyCamera) else []
    faults = connection_faults(
        [flyer, flyer.camera, *motors, imager.stage, beam, *imager.readables]
    )
    if faults:
        return faults
    faults += flyer.camera.train_faults(exposure=exposure)
    faults += facts.exposure_faults(exposure, beam.attenuator.position)
    faults += position_faults(positions)
    return faults + exposure_faults(beam, imager.budget, None)


def place_faults(
    imager: Imager, fields: FieldsOfRun | None, position: tuple[float, float] | None
) -> list[str]:
    """Positions of the sample, in the beam and out of it, that the stage does not reach."""
    stage = imager.stage
    if connection_faults([stage]):
        return []
    x, y = position or (stage.x.position, stage.y.position)
    faults = position_faults([(stage.x, x), (stage.y, y)])
    if fields is not None and fields.at["flat"] and fields.fields.flat_offset:
        out = position_faults([(stage.x, x + fields.fields.flat_offset)])
        faults += [f"flats: {fault}" for fault in out]
    return faults


def arc_faults(flyer: FlyCamera, arcs: Sequence[Rotation]) -> list[str]:
    """Why arcs cannot be flown, one sentence each."""
    if connection_faults([flyer.rotation]):
        return []
    faults = []
    for arc in arcs:
        faults += flyer.flight_faults(Flight("projection", arc))
        faults += position_faults([(flyer.rotation, end) for end in (arc.begin, arc.end)])
    return list(dict.fromkeys(faults))


def imaging_reduction_faults(reduction: Mapping[str, Any] | None, method: str) -> list[str]:
    """What is wrong with how images shall be reduced, one sentence each."""
    if reduction is None or reduction.get("method", method) == method:
        return []
    return [f"reduction must have the method {method!r}, got {reduction['method']!r}"]
