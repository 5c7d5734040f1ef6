"""This file is where it is said how darks and flats of images are taken, and when again.

A `Fields` is given to every run that shares its darks and flats: it keeps the latest of them, so
that a tomogram every 40 s need not move the sample out every time.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from battbeam.devices.flown_frames import Flown
from battbeam.devices.frame_writer import DATASET

FieldRole = Literal["dark", "flat"]
Place = Literal["start", "end"]
ROLES: tuple[FieldRole, ...] = ("dark", "flat")
#: Relative distance of exposure, energy or transmission at which a flat is another one.
ANOTHER = 1e-6


@dataclass(frozen=True)
class Light:
    """With what frames are taken.

    Attributes:
        exposure: s.
        energy: eV; NaN is not known.
        transmission: Of the attenuator, 1.
    """

    exposure: float
    energy: float
    transmission: float

    def fits(self, other: "Light", role: FieldRole) -> bool:
        """Whether a dark or flat of one is one of the other."""
        names = ("exposure",) if role == "dark" else ("exposure", "energy", "transmission")
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        # NaN is unequal to itself: what is not known does not differ.
        return not any(abs(one / another - 1) > ANOTHER for one, another in pairs)


@dataclass(frozen=True)
class Earlier:
    """Darks or flats that an earlier run took.

    Attributes:
        run: Its uid.
        file: That holds them.
        first: Index of the first in it.
        n_frames: Their number.
        time: When they were taken, session clock, s.
        light: With what.
    """

    run: str
    file: str
    first: int
    n_frames: int
    time: float
    light: Light

    def document(self) -> dict[str, Any]:
        """For the start document."""
        said = asdict(self)
        return {**said.pop("light"), **said, "dataset": DATASET}


@dataclass
class Fields:
    """How darks and flats are taken; one object for the runs that share them.

    Attributes:
        flat_offset: How far the sample stage moves the sample out along x, mm.
        n_darks: Frames with the shutter closed.
        n_flats: Frames with the sample out.
        at: ``start`` and ``end`` of a run's projections, or one of both.
        max_age: s of session clock for which those of an earlier run are used instead; None: every
            run takes its own.
        latest: Of each role.
    """

    flat_offset: float | None = None
    n_darks: int = 10
    n_flats: int = 10
    at: tuple[Place, ...] = ("start",)
    max_age: float | None = None
    latest: dict[FieldRole, Earlier] = field(default_factory=dict)

    def faults(self) -> list[str]:
        """What is wrong with it, one sentence each; before anything moves."""
        faults = []
        if self.n_darks < 1:
            faults.append(
                "n_darks must be at least 1: without darks counts are no measure of the light"
            )
        if self.n_flats < 1:
            faults.append("n_flats must be at least 1: without flats nothing is transmitted")
        if not self.flat_offset:
            faults.append(
                "no flat position: give flat_offset, how far the sample stage moves the sample "
                "out, mm"
            )
        if not self.at or set(self.at) - {"start", "end"}:
            faults.append(f"darks and flats are taken at start, end or both, got {self.at!r}")
        if self.max_age is not None and not self.max_age > 0:
            faults.append(f"max_age must be greater than 0 s, got {self.max_age:g} s")
        return faults

    def n_frames(self, role: FieldRole) -> int:
        """Asked of a role."""
        return self.n_darks if role == "dark" else self.n_flats

    def is_due(self, role: FieldRole, light: Light, now: float) -> bool:
        """Whether an earlier run's are missing, too old, or of other light."""
        latest = self.latest.get(role)
        if self.max_age is None or latest is None:
            return True
        return now - latest.time > self.max_age or not latest.light.fits(light, role)

    def for_run(self, light: Light, now: float) -> "FieldsOfRun":
        """What one run takes, and what it uses of an earlier one."""
        due = {role: self.is_due(role, light, now) for role in ROLES}
        earlier = {role: each for role, each in self.latest.items() if not due[role]}
        return FieldsOfRun(
            self, light, {role: self.at if due[role] else () for role in ROLES}, earlier
        )

    def keep(self, role: FieldRole, run: str, flown: Flown, light: Light) -> None:
        """Remember what was taken, for the runs that come."""
        self.latest[role] = Earlier(
            run, flown.file, flown.first, flown.n_frames, flown.start, replace(light)
        )


@dataclass(frozen=True)
class FieldsOfRun:
    """Darks and flats of one run.

    Attributes:
        fields: How they are taken.
        light: Of the run.
        at: When each role is taken; nothing where an earlier run's are used.
        earlier: What is used instead.
    """

    fields: Fields
    light: Light
    at: Mapping[FieldRole, tuple[Place, ...]]
    earlier: Mapping[FieldRole, Earlier]

    def document(self) -> dict[str, Any]:
        """For the start document."""
        return {
            role: {
                "n_frames": self.fields.n_frames(role),
                "at": list(self.at[role]),
                "offset": 0.0 if role == "dark" else self.fields.flat_offset,
                "earlier": self.earlier[role].document() if role in self.earlier else None,
            }
            for role in ROLES
        }
