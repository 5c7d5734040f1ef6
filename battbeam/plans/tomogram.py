"""This file is where it is said what a tomogram is: its angles, how they are reached, what it costs."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.description import SiteFacts
from battbeam.experiment.passage import shortest_period
from battbeam.experiment.rotation import (
    Order,
    Rotation,
    Turntable,
    angle_warnings,
    golden_angle,
    golden_arc,
    whole_counts,
)
from battbeam.plans.fields import ROLES, Fields

Mode = Literal["fly", "step"]
#: Projections of a tomogram where nothing is said: a step of one degree over half a turn, both ends
#: included, so that the first and the last show the rotation axis.
N_PROJECTIONS = 181
#: Frames of each of two angles that are taken once more after one sweep, where nothing is said: so
#: that motion across the rotation axis is not taken for another axis.
N_REPEATS = 3
#: Between those two, degree, where the sweep is long enough.
QUARTER = 90.0


@dataclass(frozen=True)
class Tomogram:
    """The angles of one run.

    Attributes:
        mode: ``fly`` turns while it exposes, ``step`` does not.
        order: ``ascending`` from start to stop, both included; ``golden_arcs`` to and fro between
            them, each time shifted; ``golden_angle`` each a golden part of the span further.
        start: degree.
        stop: degree; of golden orders it is not included.
        n_per_arc: Projections of one arc.
        n_arcs: None: as many as there is time for.
        exposure: s.
        period: From one projection's start to the next in an arc, s.
        table: What turns.
        n_repeats: Frames of each of two angles at the end.
    """

    mode: Mode
    order: Order
    start: float
    stop: float
    n_per_arc: int
    n_arcs: int | None
    exposure: float
    period: float
    table: Turntable
    n_repeats: int = 0

    @property
    def n_projections(self) -> int | None:
        """Of the whole run; None is not known."""
        return None if self.n_arcs is None else self.n_arcs * self.n_per_arc

    @property
    def spacing(self) -> float:
        """From one projection of an arc to the next, degree."""
        n_gaps = self.n_per_arc - 1 if self.order == "ascending" else self.n_per_arc
        return (self.stop - self.start) / n_gaps

    def first_arc(self) -> Rotation:
        """The first arc that is flown.

        Raises:
            ValueError: If the encoder is not known or too coarse.
        """
        return Rotation.over(
            self.start,
            self.start + self.spacing * (self.n_per_arc - 1),
            self.n_per_arc,
            exposure=self.exposure,
            period=self.period,
            table=self.table,
        )

    def arc(self, number: int) -> Rotation:
        """An arc that is flown, from 0."""
        arc = self.first_arc()
        return arc if self.order == "ascending" else golden_arc(arc, number)

    def angles(self) -> Iterator[float]:
        """The angles of a run in steps, degree: whole counts, where the encoder is known."""
        n = self.n_projections
        return (self.angle(number) for number in (itertools.count() if n is None else range(n)))

    def angle(self, number: int) -> float:
        """One angle of a run in steps, degree."""
        if self.order == "ascending":
            exact = self.start + self.spacing * number
        else:
            exact = golden_angle(number, start=self.start, span=self.stop - self.start)
        return float(whole_counts(np.array(exact), self.table))

    def repeated(self) -> tuple[float, ...]:
        """Angles of the sweep that are measured once more, on the way back: a quarter turn apart.

        The middle of a sweep that is shorter, and its start. Each stands once a frame.
        """
        if not self.n_repeats:
            return ()
        away = min(QUARTER, abs(self.stop - self.start) / 2)
        numbers = (round(away / abs(self.spacing)), 0)
        if self.mode == "fly":
            measured = self.first_arc().omegas
            angles = [float(measured[number]) for number in numbers]
        else:
            angles = [self.angle(number) for number in numbers]
        return tuple(angle for angle in angles for _ in range(self.n_repeats))

    def faults(self) -> list[str]:
        """What is wrong with its angles, one sentence each."""
        faults = []
        if self.n_repeats < 0:
            faults.append(f"n_repeats must be at least 0, got {self.n_repeats}")
        if self.n_per_arc < 2:
            faults.append(f"n_projections must be at least 2, got {self.n_per_arc}")
        if self.n_arcs is not None and self.n_arcs < 1:
            faults.append(f"n_arcs must be at least 1, got {self.n_arcs}")
        if not math.isfinite(self.stop - self.start) or self.start == self.stop:
            faults.append(
                f"omega must go from one angle to another, got {self.start:g} to {self.stop:g} "
                "degree"
            )
        if faults or self.mode == "step":
            return faults
        try:
            self.first_arc()
        except ValueError as error:
            faults.append(str(error))
        return faults

    def warnings(self, facts: CameraFacts) -> list[str]:
        """What is allowed but should be known, one sentence each."""
        found = []
        if self.n_projections is not None:
            found += angle_warnings(self.n_projections, n_columns=facts.n_columns)
        if self.order == "ascending" and not self.n_repeats:
            found.append(
                "no angle is repeated (n_repeats): motion across the rotation axis is not seen in one "
                "sweep over half a turn"
            )
        if self.mode == "fly":
            found += self.first_arc().warnings(n_columns=facts.n_columns)
        return found

    def document(self, facts: CameraFacts, energy: float) -> dict[str, Any]:
        """For the start document."""
        arc = self.first_arc() if self.mode == "fly" else None
        ends = (self.start, self.start + self.spacing * (self.n_per_arc - 1))
        if arc is not None:
            ends = (float(arc.omegas[0]), float(arc.omegas[-1]))
        return {
            "mode": self.mode,
            "order": self.order,
            "n_projections": self.n_projections,
            "omega_start": ends[0],
            "omega_stop": ends[1],
            "step": self.spacing if arc is None else arc.degrees,
            "speed": 0.0 if arc is None else arc.speed,
            "turn": 0.0 if arc is None else arc.turn,
            "n_arcs": self.n_arcs,
            "n_per_arc": self.n_per_arc,
            "repeats": list(self.repeated()),
            "counts_per_degree": self.table.counts_per_degree,
            "pixel_size": facts.pixel_size,
            "energy": energy,
        }


def tomography_cost(
    site: SiteFacts,
    *,
    exposure: float,
    n_projections: int = N_PROJECTIONS,
    omega_start: float = 0.0,
    omega_stop: float = 180.0,
    mode: Mode = "fly",
    period: float | None = None,
    n_arcs: int = 1,
    n_repeats: int = 0,
    fields: Fields | None = None,
    spot: tuple[float, float] = (0.0, 0.0),
) -> Cost:
    """What such a tomogram costs; darks and flats as if an earlier run had none.

    Args:
        site: Of the beamline.
        exposure: Of one projection, s.
        n_projections: Of one arc.
        omega_start: degree.
        omega_stop: degree.
        mode: ``fly`` or ``step``.
        period: From one projection's start to the next, s; None: as fast as the camera reads out.
        n_arcs: Rotations.
        n_repeats: Frames of each of two angles at the end of one rotation, ``N_REPEATS`` of a
            `tomography` by default and none of a rule's `tomogram`; several rotations have none.
        fields: Darks and flats that every run takes; None, or with a ``max_age``, is none.
        spot: (x, y) of the beam's middle in the cell's frame, mm.

    >>> tomography_cost(SiteFacts(), exposure=0.1, mode="step", n_projections=10).n_frames
    10
    """
    asked = Tomogram(
        mode,
        "ascending" if n_arcs == 1 else "golden_arcs",
        omega_start,
        omega_stop,
        n_projections,
        n_arcs,
        exposure,
        period or shortest_period(exposure, site.camera.readout_time),
        site.table,
        n_repeats if n_arcs == 1 else 0,
    )
    taken = fields is not None and fields.max_age is None
    per_role = {role: len(fields.at) for role in ROLES} if fields is not None and taken else {}
    n_fields = sum(fields.n_frames(role) * n for role, n in per_role.items()) if fields else 0
    still = (
        n_fields * (exposure + site.camera.readout_time) + sum(per_role.values()) * site.overhead
    )
    span, light, moves = _turning(asked, site)
    n_repeated = len(asked.repeated())
    n_frames = n_arcs * n_projections + n_repeated + n_fields
    return Cost(
        duration=still + span + moves,
        spots=(Spot(*spot, exposure=light),),
        n_frames=n_frames,
        n_bytes=n_frames * site.camera.frame_bytes,
        span=span,
    )


def _turning(asked: Tomogram, site: SiteFacts) -> tuple[float, float, float]:
    """From the first projection to the last, with an open shutter, and of moves beside that, s."""
    table, n_arcs = site.table, asked.n_arcs or 1
    repeated = asked.repeated()
    again = len(repeated) * (asked.exposure + site.camera.readout_time)
    # Two moves, each with a train of its own.
    stops = 2 * (site.overhead + table.acceleration) * bool(repeated)
    back = abs(asked.stop - asked.start) / table.speed + table.acceleration
    if asked.mode == "step":
        n = n_arcs * asked.n_per_arc
        step = abs(asked.stop - asked.start) / asked.n_per_arc
        each = asked.exposure + site.overhead + step / table.speed + table.acceleration
        n_exposures = n + len(repeated)
        return n * each + again + stops, n_exposures * asked.exposure, back
    arc = asked.first_arc()
    travel = n_arcs * arc.travel_time
    turns = travel + (n_arcs - 1) * site.overhead
    taxi = abs(arc.begin - asked.start) / table.speed + table.acceleration
    span = arc.duration if n_arcs == 1 else turns
    moves = turns - span + taxi + back + site.overhead
    return span + again + stops, travel + again, moves
