"""This file is where it is described what a cell suffers: age, plating, fatigue, heat, motion.

Everything is off unless a scenario says otherwise, but for heat: a layered oxide decomposes as soon
as its furnace is hot enough.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from battbeam.sim.chemistry import Chemistry
from battbeam.sim.scenario_part import Part


class Ageing(Part):
    """What an aged cell is, and how a cell ages on.

    Attributes:
        capacity_fade: Share of the connected capacity lost per equivalent full cycle, outside the
            beam's footprint: what the beam meets keeps its amplitude.
        valence_shift: Valence by which the active metal is above that of a fresh cell.
        shell_shift: By which the metal-oxygen distance is longer than in a fresh cell, angstrom.
        debye_waller: By which sigma squared of every shell is larger than in a fresh cell, angstrom squared.
        debye_waller_per_cycle: What it gains per equivalent full cycle, angstrom squared.
        c_strain_per_cycle: By what share edge c of a layered active material grows per equivalent full cycle.
    """

    capacity_fade: float = Field(default=0.0, ge=0, lt=1)
    valence_shift: float = 0.0
    shell_shift: float = 0.0
    debye_waller: float = Field(default=0.0, ge=0)
    debye_waller_per_cycle: float = Field(default=0.0, ge=0)
    c_strain_per_cycle: float = Field(default=0.0, gt=-1e-3, lt=1e-3)


class Fatigue(Part):
    """A share of a layered active material that gives lithium down to some content only; the rest goes on.

    Source:
        Xu et al., Nat. Mater. 20 (2021) 84: fatigued grains of NMC811 keep 25 % of their lithium; recalled.

    Attributes:
        fraction: Of the connected material, at the start.
        fraction_per_cycle: What it gains per equivalent full cycle.
        lowest_content: Lithium content at which it stops.
    """

    fraction: float = Field(default=0.0, ge=0, le=0.9)
    fraction_per_cycle: float = Field(default=0.0, ge=0)
    lowest_content: float = Field(default=0.25, gt=0, lt=1)


class PlatingSpot(Part):
    """Where lithium plates more: a round bump on an even background of weight 1.

    Attributes:
        x: Of the middle, mm, in the cell's frame.
        y: mm.
        radius: Where it ends, mm; at r it has (1 - (r/radius)^2)^2 of its height.
        weight: Its height.
    """

    x: float
    y: float
    radius: float = Field(gt=0)
    weight: float = Field(gt=0)


class Plating(Part):
    """How lithium metal grows on graphite that is nearly full, and how much of it comes back.

    Of the charge that comes to graphite above ``from_content``, a share ``share * (nucleation +
    growth * metal / capacity)``, at most 1, becomes metal instead: first nucleation, then growth on what
    is there (autocatalytic). Discharging strips first; of what is stripped a share stays behind without
    contact. The form is chosen; that growth has two stages and efficiency decays is what is seen.

    Attributes:
        onset_cycle: Equivalent full cycles before the first metal.
        share: Of the charge, where nucleation and growth add up to 1.
        from_content: Lithium content of graphite from which it plates.
        nucleation: Of it without any metal.
        growth: More of it per metal, dead or not, of the charge that changes x by 1.
        efficiency: Charge that stripping gives back over metal that it takes, at the onset.
            McShane et al. found 0.65 (abstract read).
        efficiency_decay: Equivalent full cycles in which that falls to 1/e.
        spots: Where it plates more than elsewhere; none: evenly.
    """

    onset_cycle: float = Field(default=2.0, ge=0)
    share: float = Field(default=0.6, ge=0, le=1)
    from_content: float = Field(default=0.80, gt=0, lt=1)
    nucleation: float = Field(default=0.5, ge=0)
    growth: float = Field(default=10.0, ge=0)
    efficiency: float = Field(default=0.65, gt=0, le=1)
    efficiency_decay: float = Field(default=4.0, gt=0)
    spots: tuple[PlatingSpot, ...] = ()


class Motion(Part):
    """How the cell moves along the beam while it is cycled; every layer with ``moves`` goes along.

    Attributes:
        amplitude: mm, > 0 downstream.
        law: ``charge`` (in proportion to the charge passed since the start: the amplitude at that which
            changes x by 1) or ``step`` (at once).
        at: Of ``step``: s after the start.
    """

    amplitude: float = 0.1
    law: Literal["charge", "step"] = "charge"
    at: float = Field(default=0.0, ge=0)


class Reduction(Part):
    """How heat reduces one metal of a charged cathode: a logistic function of temperature.

    Attributes:
        half: Temperature at which half of the change is done, degC.
        width: Of the logistic, K.
        amplitude: Valence that is lost in the end.
    """

    half: float
    width: float = Field(default=12.0, gt=0)
    amplitude: float = Field(ge=0)


class Transition(Part):
    """How heat turns one phase into another: a logistic function of temperature.

    Attributes:
        half: Temperature at which half is turned, degC.
        width: Of the logistic, K.
    """

    half: float
    width: float = Field(default=10.0, gt=0)


def _at(spinel: float, rock_salt: float) -> tuple[Transition, Transition]:
    return Transition(half=spinel), Transition(half=rock_salt)


#: Layered to spinel, and spinel to rock salt, of charged oxides. That more nickel goes earlier is from
#: Bak et al., ACS Appl. Mater. Interfaces 6 (2014) 22594 (abstract read); the temperatures of NMC811,
#: NMC622 and NCA are recalled within 15 K, those of NMC90 chosen, those of HEC read in a review.
TRANSITIONS: Mapping[Chemistry, tuple[Transition, Transition]] = {
    "nmc90": _at(135.0, 220.0),
    "nmc811": _at(150.0, 240.0),
    "nca": _at(190.0, 275.0),
    "nmc622": _at(200.0, 320.0),
    "hec": _at(230.0, 305.0),
}


class Heating(Part):
    """How a charged layered cathode changes in a furnace; what it has lost does not come back.

    Attributes:
        nickel: Goes first.
        cobalt: Later and less.
        spinel: From the layered phase; by default as the chemistry does.
        rock_salt: From spinel, at a higher temperature; by default as the chemistry does.
        carbon_dioxide: mol of CO2 for each mol of O2 that is set free (chosen).
    """

    nickel: Reduction = Reduction(half=200.0, amplitude=0.8)
    cobalt: Reduction = Reduction(half=270.0, amplitude=0.4)
    spinel: Transition | None = None
    rock_salt: Transition | None = None
    carbon_dioxide: float = Field(default=0.3, ge=0)

    def transitions(self, chemistry: Chemistry) -> tuple[Transition, Transition] | None:
        """To spinel and to rock salt; None for a chemistry that heat leaves as it is."""
        usual = TRANSITIONS.get(chemistry)
        if usual is None:
            return None
        return self.spinel or usual[0], self.rock_salt or usual[1]

    @model_validator(mode="after")
    def _one_after_the_other(self) -> "Heating":
        if self.spinel and self.rock_salt and not self.spinel.half < self.rock_salt.half:
            raise ValueError(
                f"rock_salt must come after spinel, got {self.rock_salt.half:g} degC and "
                f"{self.spinel.half:g} degC"
            )
        return self
