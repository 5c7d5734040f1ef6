"""This file is where radiographs are taken: one after the other, or around an event of the cell.

A series exposes at absolute times, an event a frame. A burst lets the camera run into a ring buffer
and watches the cell; what happens to it fires the buffer, which keeps what came before.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.clock import Clock
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.dose import DoseBudget
from battbeam.plans.fields import Fields, FieldsOfRun, Light
from battbeam.plans.imaging import Imager, Trains, imaging_run, labelled
from battbeam.plans.imaging_faults import imager_faults, imaging_reduction_faults, place_faults
from battbeam.plans.preflight import refuse
from battbeam.plans.preprocessors import suspended_without_beam
from battbeam.plans.stubs import (
    Exposure,
    Plan,
    also_read,
    expose_point,
    wait_for_beam,
    wait_until,
)
from battbeam.plans.xrd_series import PATIENCE


def radiography_series(
    fly_camera: FlyCamera,
    *,
    beam: Beam,
    clock: Clock,
    stage: SampleStage,
    fields: Fields,
    exposure: float,
    n_points: int | None = 1,
    interval: float = 0.0,
    omega: float | None = None,
    energy: float = math.nan,
    position: tuple[float, float] | None = None,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    stop_when: Callable[[], bool] | None = None,
    label: str = "",
    suspend: bool = False,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Radiographs at one place, at absolute times.

    Parameters
    ----------
    fly_camera : FlyCamera
        Camera and rotation.
    beam : Beam
        Its shutter is open only while exposing.
    clock : Clock
        The session's.
    stage : SampleStage
        Moves the sample out of the beam for flats.
    fields : Fields
        How darks and flats are taken; give the same one to every run that shares them.
    exposure : float
        Of one radiograph, s.
    n_points : int, optional
        How many; None is until ``stop_when`` holds or the RunEngine is stopped.
    interval : float
        From one radiograph's start to the next, s; 0 is as fast as it goes. A slot that has passed
        is left out, no other is shifted: its number is missing in ``point``.
    omega : float, optional
        Where to turn the sample, degree; as it stands by default.
    energy : float
        Of the photons, eV, for the start document.
    position : tuple of float, optional
        (x, y) of the sample stage with the sample in the beam, mm; where it is by default.
    readables : list of Readable
        What else stands in every event: the potentiostat.
    reduction : dict, optional
        Options of the reduction.
    stop_when : callable, optional
        Asked before every radiograph.
    label : str
        The run's name for people.
    suspend : bool
        Suspend the plan while there is no beam.
    patience : float
        s that a radiograph waits for beam when the plan is not suspended.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    also = also_read(tuple(dict.fromkeys((*readables, stage))), [fly_camera.rotation])
    imager = Imager(fly_camera, beam, clock, stage, also, budget=budget, patience=patience)
    light = Light(exposure, energy, beam.attenuator.position)
    of_run = fields.for_run(light, clock.now())
    facts, turned = fly_camera.facts, [] if omega is None else [(fly_camera.rotation, omega)]
    refuse(
        "radiography_series",
        imager_faults(imager, facts, exposure=exposure, positions=turned),
        fields.faults(),
        place_faults(imager, of_run, position),
        [] if n_points is None or n_points > 0 else [f"n_points must be above 0, got {n_points}"],
        [] if interval >= 0 else [f"interval must not be negative, got {interval:g} s"],
        imaging_reduction_faults(reduction, "radiography"),
    )
    train = FrameTrain(exposure)
    how = Exposure((fly_camera.camera,), beam, train, imager.readables, budget=budget)

    def points() -> Plan:
        yield from bps.prepare(fly_camera, Flight("projection", train), wait=True)
        notes, begin, point = PointNotes(), clock.now(), 0
        while (n_points is None or point < n_points) and not (stop_when and stop_when()):
            yield from wait_until(clock, begin + point * interval)
            if not suspend:
                yield from wait_for_beam(beam, clock, patience=patience)
            yield from expose_point(how, notes, point)
            passed = int((clock.now() - begin) / interval) if interval > 0 else point
            point = max(point + 1, passed)

    def body(trains: Trains) -> Plan:
        if position is not None:
            yield from bps.mv(stage.x, position[0], stage.y, position[1])
        for motor, angle in turned:
            yield from bps.mv(motor, angle)
        yield from trains.take_fields(of_run, "start")
        yield from points()
        yield from trains.take_fields(of_run, "end")

    series = {"mode": "series", "n_frames": n_points, "interval": interval}
    said = radiography_said("radiography_series", imager, facts, of_run, series, reduction)
    motors = [stage.x, stage.y, *(motor for motor, _ in turned)]
    plan = imaging_run(
        imager,
        body,
        motors,
        {**said, "n_points": n_points, "interval": interval, **labelled(label, md)},
    )
    return (yield from suspended_without_beam(plan, beam, suspend=suspend))


def radiography_said(
    plan_name: str,
    imager: Imager,
    facts: CameraFacts,
    fields: FieldsOfRun,
    radiography: Mapping[str, Any],
    reduction: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the start document of radiographs says."""
    light = fields.light
    return {
        "technique": "radiography",
        "kind": "measurement",
        "plan_name": plan_name,
        "detectors": [imager.flyer.camera.name],
        "exposure": light.exposure,
        "period": 0.0,
        "frames_per_point": 1,
        "energy": light.energy,
        "radiography": {**radiography, "pixel_size": facts.pixel_size, "energy": light.energy},
        "camera": facts.document(),
        "fields": fields.document(),
        "warnings": [],
        "reduction": {"method": "radiography", **(reduction or {})},
    }


def radiography_cost(
    site: SiteFacts,
    *,
    exposure: float,
    n_points: int = 1,
    interval: float = 0.0,
    spot: tuple[float, float] = (0.0, 0.0),
) -> Cost:
    """What such a series costs, without darks and flats.

    Args:
        site: Of the beamline.
        exposure: Of one radiograph, s.
        n_points: How many.
        interval: From one radiograph's start to the next, s.
        spot: (x, y) of the beam's middle in the cell's frame, mm.

    >>> radiography_cost(SiteFacts(overhead=0.5), exposure=1.0, n_points=3, interval=10.0).duration
    21.5
    """
    each = max(interval, exposure + site.overhead)
    light = n_points * exposure
    return Cost(
        duration=(n_points - 1) * each + exposure + site.overhead,
        spots=(Spot(*spot, exposure=light),),
        n_frames=n_points,
        n_bytes=n_points * site.camera.frame_bytes,
        span=(n_points - 1) * each + exposure,
    )
