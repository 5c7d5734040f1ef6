"""This file is where what every tomogram has in common is done: checks, steps, the start document."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.frames import Flight, FrameTrain
from battbeam.devices.notes import PointNotes
from battbeam.plans.fields import FieldsOfRun
from battbeam.plans.imaging import Imager, Trains, imaging_run
from battbeam.plans.imaging_faults import (
    arc_faults,
    imager_faults,
    imaging_reduction_faults,
    place_faults,
)
from battbeam.plans.preflight import connection_faults, position_faults, refuse
from battbeam.plans.preprocessors import suspended_without_beam
from battbeam.plans.stubs import Exposure, Plan, expose_point, wait_for_beam
from battbeam.plans.tomogram import Tomogram
from battbeam.plans.xrd_map import BEAM_RETAKES

#: Arcs that are checked before a run without end; later ones lie between them.
CHECKED_ARCS = 16


@dataclass(frozen=True)
class TomogramRun:
    """One run with a tomogram in it.

    Attributes:
        plan_name: As the start document says it.
        fly_camera: Camera, rotation and the pulses between them.
        imager: Everything that is beside them.
        asked: The angles.
        fields: Darks and flats of the run.
        position: (x, y) of the sample stage with the sample in the beam, mm; None: where it is.
        reduction: Its options.
        suspend: Whether the plan is suspended while there is no beam.
    """

    plan_name: str
    fly_camera: FlyCamera
    imager: Imager
    asked: Tomogram
    fields: FieldsOfRun
    position: tuple[float, float] | None = None
    reduction: Mapping[str, Any] | None = None
    suspend: bool = False

    def refuse(self) -> None:
        """Refuse what cannot be, before anything moves.

        Raises:
            PreflightError: With every fault.
        """
        wrong = self.asked.faults()
        refuse(
            self.plan_name,
            wrong,
            imager_faults(self.imager, self.fly_camera.facts, exposure=self.asked.exposure),
            self.fields.fields.faults(),
            place_faults(self.imager, self.fields, self.position),
            [] if wrong else self._angle_faults(),
            imaging_reduction_faults(self.reduction, "tomography"),
        )

    def _angle_faults(self) -> list[str]:
        asked, rotation = self.asked, self.fly_camera.rotation
        if connection_faults([rotation]):
            return []
        if asked.mode == "step":
            return position_faults([(rotation, end) for end in (asked.start, asked.stop)])
        n_arcs = CHECKED_ARCS if asked.n_arcs is None else min(asked.n_arcs, CHECKED_ARCS)
        return arc_faults(self.fly_camera, [asked.arc(number) for number in range(n_arcs)])

    def around(self, projections: Callable[[Trains], Plan], md: Mapping[str, Any]) -> Plan:
        """The run: darks and flats, projections, and everything put back; its uid.

        Args:
            projections: Takes them.
            md: What the start document says besides.
        """
        stage = self.imager.stage

        def body(trains: Trains) -> Plan:
            if self.position is not None:
                x, y = self.position
                yield from bps.mv(stage.x, x, stage.y, y)
            yield from trains.take_fields(self.fields, "start")
            yield from projections(trains)
            yield from trains.take_fields(self.fields, "end")

        motors = [self.fly_camera.rotation, stage.x, stage.y]
        plan = imaging_run(self.imager, body, motors, {**self.said(), **md})
        return (yield from suspended_without_beam(plan, self.imager.beam, suspend=self.suspend))

    def repeats(self, trains: Trains) -> Plan:
        """After a sweep that was flown: some of its angles once more, standing still."""
        for omega in dict.fromkeys(self.asked.repeated()):
            yield from bps.mv(self.fly_camera.rotation, omega)
            train = FrameTrain(self.asked.exposure, self.asked.n_repeats)
            yield from trains.take(Flight("projection", train), omega=omega)

    def steps(self, stop_when: Callable[[], bool] | None = None) -> Plan:
        """A projection at each angle, an event each; one without beam is taken again."""
        imager, fly_camera = self.imager, self.fly_camera
        train, notes = FrameTrain(self.asked.exposure), PointNotes()
        how = Exposure(
            (fly_camera.camera,), imager.beam, train, imager.readables, budget=imager.budget
        )
        yield from bps.prepare(fly_camera, Flight("projection", train), wait=True)
        for point, omega in enumerate(self._all_angles()):
            if stop_when and stop_when():
                return
            for _ in range(BEAM_RETAKES + 1):
                yield from bps.checkpoint()
                yield from bps.mv(fly_camera.rotation, omega)
                has_beam = self.suspend or (
                    yield from wait_for_beam(imager.beam, imager.clock, patience=imager.patience)
                )
                lost = yield from expose_point(how, notes, point)
                if not lost or not has_beam:
                    break

    @property
    def _n_points(self) -> int | None:
        n = self.asked.n_projections
        return None if self.asked.mode == "fly" or n is None else n + len(self.asked.repeated())

    def _all_angles(self) -> Iterator[float]:
        return itertools.chain(self.asked.angles(), self.asked.repeated())

    def said(self) -> dict[str, Any]:
        """What the start document says."""
        fly_camera, asked, light = self.fly_camera, self.asked, self.fields.light
        return {
            "technique": "tomography",
            "kind": "measurement",
            "plan_name": self.plan_name,
            "detectors": [fly_camera.camera.name],
            "motors": [fly_camera.rotation.name],
            "exposure": asked.exposure,
            "period": asked.period if asked.mode == "fly" else 0.0,
            "frames_per_point": 1,
            "n_points": self._n_points,
            "energy": light.energy,
            "tomography": asked.document(fly_camera.facts, light.energy),
            "camera": fly_camera.facts.document(),
            "fields": self.fields.document(),
            "warnings": asked.warnings(fly_camera.facts),
            "reduction": {"method": "tomography", **(self.reduction or {})},
        }
