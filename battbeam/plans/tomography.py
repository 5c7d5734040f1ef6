"""This file is where tomograms are taken: in steps, or while the sample turns.

A tomogram that loses its beam or some of its pulses is not repeated: the cell has gone on. What
came is kept, and its trains say what is wrong with it. Only where the plan is suspended without
beam, or somebody pauses it, a rotation is taken again, whole.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from battbeam.devices.beam import Beam
from battbeam.devices.fly_camera import FlyCamera
from battbeam.devices.frames import Flight
from battbeam.devices.sample_stage import SampleStage
from battbeam.experiment.clock import Clock
from battbeam.experiment.cost import Cost
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.passage import shortest_period
from battbeam.plans.fields import ROLES, Fields, Light
from battbeam.plans.imaging import Imager, Trains, labelled
from battbeam.plans.measurements import OwnRun
from battbeam.plans.stubs import Plan, also_read
from battbeam.plans.tomogram import N_PROJECTIONS, N_REPEATS, Mode, Tomogram, tomography_cost
from battbeam.plans.tomogram_run import TomogramRun
from battbeam.plans.xrd_series import PATIENCE

__all__ = ["continuous_tomography", "tomogram", "tomography", "tomography_cost"]


def tomography(
    fly_camera: FlyCamera,
    *,
    beam: Beam,
    clock: Clock,
    stage: SampleStage,
    fields: Fields,
    exposure: float,
    n_projections: int = N_PROJECTIONS,
    omega_start: float = 0.0,
    omega_stop: float = 180.0,
    n_repeats: int = N_REPEATS,
    mode: Mode = "fly",
    period: float | None = None,
    energy: float = math.nan,
    position: tuple[float, float] | None = None,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    label: str = "",
    suspend: bool = False,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """One tomogram.

    Parameters
    ----------
    fly_camera : FlyCamera
        Camera, rotation and the pulses between them.
    beam : Beam
        Its shutter is open only while exposing.
    clock : Clock
        The session's.
    stage : SampleStage
        Moves the sample out of the beam for flats.
    fields : Fields
        How darks and flats are taken; give the same one to every tomogram that shares them.
    exposure : float
        Of one projection, s.
    n_projections : int
        From start to stop, both included.
    omega_start : float
        degree.
    omega_stop : float
        degree.
    n_repeats : int
        Frames that are taken once more at the end, standing still, a quarter of a turn from the
        start and at the start: with them motion of the sample is told from another axis. 0 is none.
    mode : str
        ``fly`` turns at constant speed while it exposes, ``step`` stands still.
    period : float, optional
        From one projection's start to the next while it flies, s; as fast as the camera reads out
        where nothing is said.
    energy : float
        Of the photons, eV, for the start document.
    position : tuple of float, optional
        (x, y) of the sample stage with the sample in the beam, mm; where it is by default.
    readables : list of Readable
        What else stands in every event: the potentiostat.
    reduction : dict, optional
        Options of the reduction.
    label : str
        The run's name for people; ``CR2-{:03d}`` counts the measurements of its rule.
    suspend : bool
        Suspend the plan while there is no beam, and take the rotation again then.
    patience : float
        s that darks, flats and steps wait for beam.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    asked = Tomogram(
        mode,
        "ascending",
        omega_start,
        omega_stop,
        n_projections,
        1,
        exposure,
        period or shortest_period(exposure, fly_camera.facts.readout_time),
        fly_camera.rotation.table,
        n_repeats,
    )
    made = TomogramRun(
        "tomography",
        fly_camera,
        _imager(fly_camera, beam, clock, stage, readables, budget, patience),
        asked,
        fields.for_run(Light(exposure, energy, beam.attenuator.position), clock.now()),
        position,
        reduction,
        suspend,
    )
    made.refuse()

    def projections(trains: Trains) -> Plan:
        if mode == "step":
            yield from made.steps()
        else:
            yield from trains.take(Flight("projection", asked.first_arc()))
            yield from made.repeats(trains)

    return (yield from made.around(projections, labelled(label, md)))


def continuous_tomography(
    fly_camera: FlyCamera,
    *,
    beam: Beam,
    clock: Clock,
    stage: SampleStage,
    fields: Fields,
    exposure: float,
    n_per_arc: int = 60,
    n_arcs: int | None = None,
    stop_when: Callable[[], bool] | None = None,
    omega_start: float = 0.0,
    omega_stop: float = 180.0,
    mode: Mode = "fly",
    period: float | None = None,
    energy: float = math.nan,
    position: tuple[float, float] | None = None,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    label: str = "",
    suspend: bool = False,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Projections without end, in golden order: any window of them is a tomogram.

    In ``fly`` mode the stage turns to and fro, each arc a golden part of a step further than the
    one before; a window of two arcs holds a whole one. In ``step`` mode each projection is a golden
    part of the arc further, and a window may begin and end anywhere.

    Parameters
    ----------
    fly_camera : FlyCamera
        Camera, rotation and the pulses between them.
    beam : Beam
        Its shutter is open only while exposing.
    clock : Clock
        The session's.
    stage : SampleStage
        Moves the sample out of the beam for flats.
    fields : Fields
        How darks and flats are taken; with a ``max_age`` also between two arcs.
    exposure : float
        Of one projection, s.
    n_per_arc : int
        Projections from start to stop, which is not included.
    n_arcs : int, optional
        How many; None is until ``stop_when`` holds or the RunEngine is stopped.
    stop_when : callable, optional
        Asked before every arc, and in ``step`` mode before every projection.
    omega_start : float
        degree.
    omega_stop : float
        degree.
    mode : str
        ``fly`` or ``step``.
    period : float, optional
        From one projection's start to the next in an arc, s.
    energy : float
        Of the photons, eV, for the start document.
    position : tuple of float, optional
        (x, y) of the sample stage with the sample in the beam, mm; where it is by default.
    readables : list of Readable
        What else stands in every event: the potentiostat.
    reduction : dict, optional
        Options of the reduction.
    label : str
        The run's name for people.
    suspend : bool
        Suspend the plan while there is no beam, and take the arc again then.
    patience : float
        s that darks, flats and steps wait for beam.
    budget : DoseBudget, optional
        Limit of light on each spot.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    asked = Tomogram(
        mode,
        "golden_arcs" if mode == "fly" else "golden_angle",
        omega_start,
        omega_stop,
        n_per_arc,
        n_arcs,
        exposure,
        period or shortest_period(exposure, fly_camera.facts.readout_time),
        fly_camera.rotation.table,
    )
    light = Light(exposure, energy, beam.attenuator.position)
    made = TomogramRun(
        "continuous_tomography",
        fly_camera,
        _imager(fly_camera, beam, clock, stage, readables, budget, patience),
        asked,
        fields.for_run(light, clock.now()),
        position,
        reduction,
        suspend,
    )
    made.refuse()

    def projections(trains: Trains) -> Plan:
        if mode == "step":
            yield from made.steps(stop_when)
            return
        while (n_arcs is None or trains.n_arcs < n_arcs) and not (stop_when and stop_when()):
            for role in ROLES:
                if fields.max_age is not None and fields.is_due(role, light, clock.now()):
                    yield from trains.take_field(made.fields, role)
            yield from trains.take(Flight("projection", asked.arc(trains.n_arcs)))

    return (yield from made.around(projections, labelled(label, md)))


def tomogram(
    fly_camera: FlyCamera,
    *,
    stage: SampleStage,
    spot: tuple[float, float] = (0.0, 0.0),
    cost: Cost | None = None,
    n_repeats: int = 0,
    **options: Any,
) -> OwnRun:
    """A tomogram as what a rule of a schedule measures.

    Args:
        fly_camera: Camera, rotation and pulses.
        stage: The sample stage.
        spot: (x, y) in the cell's frame that the beam's middle meets, mm.
        cost: As `tomography_cost` says.
        n_repeats: Of `tomography`; none by default, for the cell goes on meanwhile, and the next
            tomogram shows whether it moved.
        **options: Of `tomography`.
    """

    def plan(said: Mapping[str, Any]) -> Plan:
        x, y = said.get("cell_position", (0.0, 0.0))
        place = (float(x) + spot[0], float(y) + spot[1])
        asked = {"n_repeats": n_repeats, **options, "md": said}
        return tomography(fly_camera, stage=stage, position=place, **asked)

    return OwnRun(plan, motors=(fly_camera.rotation, stage.x, stage.y), cost=cost)


def _imager(
    fly_camera: FlyCamera,
    beam: Beam,
    clock: Clock,
    stage: SampleStage,
    readables: Sequence[Any],
    budget: DoseBudget | None,
    patience: float,
) -> Imager:
    also = also_read(tuple(dict.fromkeys((*readables, stage))), [fly_camera.rotation])
    return Imager(fly_camera, beam, clock, stage, also, budget=budget, patience=patience)
