"""This file is where it is decided whether a spot may be exposed once more.

A budget is a limit of light on every spot of a sample, and what is to be done at the limit. It is
asked before the shutter opens, with the most that can come: an exposure whose reservation would
pass the limit is not made there.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from battbeam.experiment.dose_ledger import LEDGER, WHITE_LEDGER, DoseLedger, Reservation
from battbeam.experiment.fluence import FluenceMap, Light, MassModel

__all__ = [
    "LEDGER",
    "WHITE_LEDGER",
    "AtLimit",
    "Decision",
    "DoseBudget",
    "DoseLedger",
    "FluenceMap",
    "Light",
    "LightOnSamples",
    "MassModel",
    "Reservation",
]

#: What is done with an exposure that would pass the limit.
AtLimit = Literal["move", "attenuate", "skip", "stop"]
#: What becomes of an exposure: made as asked, or one of `AtLimit`.
Action = Literal["expose", "move", "attenuate", "skip", "stop"]


class LightOnSamples(Protocol):
    """What a budget asks: the ledger, or a `FluenceMap` on which a plan is tried out."""

    def fluence(self, sample_uid: str, x: float, y: float, size: tuple[float, float]) -> float:
        """The largest fluence in a footprint, photons per mm2."""
        ...

    def dose(
        self, sample_uid: str, x: float, y: float, size: tuple[float, float], material: MassModel
    ) -> float:
        """The largest dose in a footprint, Gy."""
        ...


@dataclass(frozen=True)
class Decision:
    """What becomes of an exposure.

    Attributes:
        action: ``expose`` as asked; ``move`` to `spot`; ``attenuate`` to `transmission`; ``skip`` it;
            ``stop`` the experiment.
        spot: (x, y) in the cell's frame at which it is made, mm.
        transmission: Of the attenuator with which it is made, 1.
        reason: Why it is not made as asked; empty when it is.
    """

    action: Action
    spot: tuple[float, float]
    transmission: float
    reason: str = ""

    @property
    def is_made(self) -> bool:
        """Whether there is an exposure at all."""
        return self.action in ("expose", "move", "attenuate")


class DoseBudget(BaseModel):
    """A limit of light on every spot of a sample.

    Attributes:
        fluence: Largest, photons per mm2; None is no such limit.
        dose: Largest, Gy, of `material`; None is no such limit.
        material: What takes up the energy.
        at_limit: What is done with an exposure that would pass the limit. ``move`` goes to the first
            of `spots` that has room and skips when none has; ``attenuate`` takes the largest
            transmission that fits and skips when none does.
        spots: Fresh ones, (x, y) in the cell's frame, mm, in the order in which they are used.
        least_transmission: Below it ``attenuate`` skips instead, 1.

    >>> budget = DoseBudget(fluence=1e12, at_limit="skip")
    >>> budget.decide(FluenceMap(), "lfp-007", (0, 0), 2e11, size=(0.3, 0.3), energy=22e3).action
    'skip'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    fluence: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    dose: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    material: MassModel | None = None
    at_limit: AtLimit = "skip"
    spots: tuple[tuple[float, float], ...] = ()
    least_transmission: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _complete(self) -> "DoseBudget":
        if self.fluence is None and self.dose is None:
            raise ValueError("a dose budget needs fluence (photons/mm2), dose (Gy) or both")
        if self.dose is not None and self.material is None:
            raise ValueError("a budget in Gy needs material, what takes up the energy")
        if self.at_limit == "move" and not self.spots:
            raise ValueError("at_limit 'move' needs spots, the fresh (x, y) to go to, mm")
        return self

    def room(
        self,
        ledger: LightOnSamples,
        sample_uid: str,
        spot: tuple[float, float],
        *,
        size: tuple[float, float],
        energy: float,
    ) -> float:
        """How many photons may still fall on a footprint.

        Args:
            ledger: What fell already.
            sample_uid: Of the passport.
            spot: Middle of the footprint in the cell's frame, mm.
            size: Its full width and height, mm.
            energy: eV.
        """
        left = math.inf
        if self.fluence is not None:
            left = self.fluence - ledger.fluence(sample_uid, *spot, size)
        if self.dose is not None and self.material is not None:
            remaining = self.dose - ledger.dose(sample_uid, *spot, size, self.material)
            left = min(left, remaining / self.material.gray_per_fluence(energy))
        return max(left, 0.0) * size[0] * size[1]

    def decide(
        self,
        ledger: LightOnSamples,
        sample_uid: str,
        spot: tuple[float, float],
        photons: float,
        *,
        size: tuple[float, float],
        energy: float,
        transmissions: Sequence[float] = (),
        transmission: float = 1.0,
    ) -> Decision:
        """What becomes of an exposure.

        Args:
            ledger: What fell already.
            sample_uid: Of the passport.
            spot: Middle of the footprint in the cell's frame, mm.
            photons: The most that can come at the present transmission.
            size: Of the footprint, mm.
            energy: eV.
            transmissions: That the attenuator can be set to, 1.
            transmission: The present one.
        """

        def room(place: tuple[float, float]) -> float:
            return self.room(ledger, sample_uid, place, size=size, energy=energy)

        left = room(spot)
        if photons <= left:
            return Decision("expose", spot, transmission)
        why = self._said(spot, photons, left, size)
        if self.at_limit == "stop":
            return Decision("stop", spot, transmission, why)
        if self.at_limit == "move":
            fresh = next((place for place in self.spots if photons <= room(place)), None)
            if fresh is not None:
                return Decision("move", fresh, transmission, why)
            why += "; no fresh spot has room"
        if self.at_limit == "attenuate":
            fitting = [
                lower
                for lower in transmissions
                if self.least_transmission <= lower < transmission
                and photons * lower / transmission <= left
            ]
            if fitting:
                return Decision("attenuate", spot, max(fitting), why)
            why += "; no transmission of the attenuator fits"
        return Decision("skip", spot, transmission, why)

    def faults(
        self, ledger: DoseLedger | FluenceMap, sample_uid: str, lights: Iterable[Light]
    ) -> list[str]:
        """What of a plan would pass the limit, one sentence an exposure; nothing is written down.

        Args:
            ledger: What fell already.
            sample_uid: Of the passport.
            lights: The most that each exposure brings, in order.
        """
        tried, faults = ledger.copy(), []
        for number, light in enumerate(lights, start=1):
            spot = (light.x, light.y)
            left = self.room(tried, sample_uid, spot, size=light.size, energy=light.energy)
            if light.photons <= left:
                tried.add(sample_uid, light)
                continue
            faults.append(
                f"exposure {number}: {self._said(spot, light.photons, left, light.size)}; "
                f"{left / light.photons:.3g} of its time or transmission would fit"
            )
        return faults

    def _said(
        self, spot: tuple[float, float], photons: float, left: float, size: tuple[float, float]
    ) -> str:
        area = size[0] * size[1]
        limits = [] if self.fluence is None else [f"{self.fluence:.3g} photons/mm2"]
        if self.dose is not None and self.material is not None:
            limits.append(f"{self.dose:.3g} Gy of {self.material.name}")
        return (
            f"dose limit of {' and '.join(limits)} at ({spot[0]:g}, {spot[1]:g}) mm: up to "
            f"{photons / area:.3g} photons/mm2 asked, {left / area:.3g} left"
        )
