"""This file is where the cell itself says when radiographs are kept.

The camera runs into a ring buffer behind an open shutter. The same conditions that make a rule of a
schedule due, a voltage that dips, a temperature that rises faster than so much, fire the buffer:
it hands on the frames that it had and those that come then.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beam import Beam
from battbeam.devices.frames import Flight
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.ring_buffer import BurstCamera, BurstTrain
from battbeam.devices.sample_stage import SampleStage
from battbeam.devices.train_notes import TriggerNotes
from battbeam.experiment.clock import Clock
from battbeam.experiment.conditions import Condition
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.met import Met
from battbeam.experiment.watchers import watcher
from battbeam.plans.fields import Fields, Light
from battbeam.plans.imaging import Imager, Trains, imaging_run, labelled
from battbeam.plans.imaging_faults import imager_faults, imaging_reduction_faults, place_faults
from battbeam.plans.preflight import connection_faults, mounted_cell, refuse
from battbeam.plans.radiography import radiography_said
from battbeam.plans.stubs import SLICE, Plan, also_read, write_down
from battbeam.plans.xrd_series import PATIENCE


def radiography_burst(
    burst_camera: BurstCamera,
    *,
    beam: Beam,
    clock: Clock,
    stage: SampleStage,
    potentiostat: Potentiostat,
    condition: Condition,
    longest: float,
    exposure: float,
    n_before: int,
    n_after: int,
    fields: Fields,
    period: float = 0.0,
    energy: float = math.nan,
    position: tuple[float, float] | None = None,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    label: str = "",
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Radiographs from before and after an event of the cell.

    Parameters
    ----------
    burst_camera : BurstCamera
        Camera with a ring buffer.
    beam : Beam
        Its shutter is open while the cell is watched.
    clock : Clock
        The session's.
    stage : SampleStage
        Holds the cell.
    potentiostat : Potentiostat
        Of the cell that is watched.
    condition : Condition
        What fires the buffer: ``FastChange``, ``VoltageCrossing``, ...
    longest : float
        s of session clock for which it is watched; then the run ends without frames.
    exposure : float
        Of one radiograph, s.
    n_before : int
        Frames that are kept from before.
    n_after : int
        Frames from the event on.
    fields : Fields
        How darks and flats are taken, before the watch.
    period : float
        From one radiograph's start to the next, s; 0 is as fast as the camera reads out.
    energy : float
        Of the photons, eV, for the start document.
    position : tuple of float, optional
        (x, y) of the sample stage with the sample in the beam, mm; where it is by default.
    readables : list of Readable
        What else stands in the event of the train.
    reduction : dict, optional
        Options of the reduction.
    label : str
        The run's name for people.
    patience : float
        s that flats wait for beam.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    also = also_read(tuple(dict.fromkeys((*readables, potentiostat, stage))), [])
    imager = Imager(burst_camera, beam, clock, stage, also, budget=budget, patience=patience)
    of_run = fields.for_run(Light(exposure, energy, beam.attenuator.position), clock.now())
    asked: dict[str, Any] = {"exposure": exposure, "n_before": n_before, "n_after": n_after}
    refuse(
        "radiography_burst",
        imager_faults(imager, burst_camera.facts, exposure=exposure),
        _burst_faults(**asked, period=period, longest=longest),
        _condition_faults(condition, potentiostat),
        fields.faults(),
        place_faults(imager, of_run, position),
        imaging_reduction_faults(reduction, "radiography"),
    )
    train = BurstTrain(exposure, n_before + n_after, period, n_before=n_before)
    watch = _Watch(burst_camera, potentiostat, clock, condition, longest)

    def body(trains: Trains) -> Plan:
        if position is not None:
            yield from bps.mv(stage.x, position[0], stage.y, position[1])
        yield from trains.take_fields(of_run, "start")
        yield from trains.take(
            Flight("burst", train), until=watch.watched, light_time=longest + train.duration
        )
        yield from watch.written()
        yield from trains.take_fields(of_run, "end")

    burst = {"mode": "burst", "n_frames": train.n_frames, **asked, **watch.said()}
    said = radiography_said(
        "radiography_burst", imager, burst_camera.facts, of_run, burst, reduction
    )
    said |= {"period": max(period, exposure), **labelled(label, md)}
    return (yield from imaging_run(imager, body, [stage.x, stage.y], said))


class _Watch:
    """Watches a cell until what fires the buffer has happened."""

    def __init__(
        self,
        camera: BurstCamera,
        potentiostat: Potentiostat,
        clock: Clock,
        condition: Condition,
        longest: float,
    ) -> None:
        self._camera, self._potentiostat, self._clock = camera, potentiostat, clock
        self._condition, self._longest = condition, longest
        self._met: Met | None = None
        self._seen = self._fired = math.nan
        self._n_kept, self._why = -1, f"not met within {longest:g} s"

    def said(self) -> dict[str, Any]:
        """The condition, for the start document."""
        condition = self._condition
        return {"condition": condition.model_dump(mode="json"), "sentence": condition.sentence()}

    def watched(self, make_ready: Callable[[], Plan]) -> Plan:
        """Wait for it; whether it has happened."""
        begin = self._clock.now()
        seen = watcher(self._condition, mounted_cell(self._potentiostat), begin)
        while (now := self._clock.now()) < begin + self._longest:
            yield from bps.checkpoint()
            if not self._camera.is_armed:
                # A pause has stopped it.
                yield from make_ready()
            mets = [*seen.update(self._potentiostat.cell_reading(now)), *seen.due(now)]
            self._met = next((met for met in mets if not met.missed), None)
            if self._met is not None:
                self._n_kept, self._why = self._camera.n_kept, "met"
                self._seen, self._fired = now, self._clock.now()
                return True
            yield from bps.sleep(SLICE / 5)
        return False

    def written(self) -> Plan:
        """The event that says what fired it."""
        met = self._met
        yield from write_down(
            TriggerNotes("", name="trigger"),
            "trigger",
            condition=self._condition.sentence(),
            due=math.nan if met is None else met.due,
            gap=math.nan if met is None else met.gap,
            met=self._seen,
            fired=self._fired,
            n_kept=self._n_kept,
            why=self._why,
        )


def _burst_faults(
    *, exposure: float, n_before: int, n_after: int, period: float, longest: float
) -> list[str]:
    faults = []
    if n_before < 0 or n_after < 1:
        faults.append(
            f"n_before must be at least 0 and n_after at least 1, got {n_before} and {n_after}"
        )
    if period != 0 and period < exposure:
        faults.append(f"period must be 0 or at least {exposure:g} s, got {period:g} s")
    if not 0 < longest < math.inf:
        faults.append(
            f"longest must be above 0 s and have an end, got {longest:g} s: the shutter is open"
        )
    return faults


def _condition_faults(condition: Condition, potentiostat: Potentiostat) -> list[str]:
    if found := connection_faults([potentiostat]):
        return found
    try:
        watcher(condition, mounted_cell(potentiostat))
    except ValueError as error:
        return [str(error)]
    return []
