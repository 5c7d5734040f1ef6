"""This file is where the layers of a scenario's cells are described, and the stacks that cells have."""

from collections.abc import Sequence

from pydantic import Field, model_validator

from battbeam.materials import AMORPHOUS, PHASES
from battbeam.sim.scenario_part import Part

#: Depths of layers that differ by less are one slab, mm.
SAME_DEPTH = 0.001
#: Layers whose pattern depends on the cell (`battbeam.sim.hosts`).
_HOSTS = ("active", "counter", "plated")


class Texture(Part):
    """How the crystals of a layer lie alike, after March and Dollase.

    Attributes:
        r: 1 of a powder; below 1 the planes ``plane`` lie across the axis, as of flakes pressed onto a
            foil, above 1 along it.
        plane: (h, k, l) of the planes that lie alike.
        tilt: Of the axis against the beam, degree; rings of a layer whose axis is the beam are even.
        tilt_direction: Azimuth towards which the axis leans, degree from x to y.
    """

    r: float = Field(gt=0, le=10)
    plane: tuple[int, int, int] = (0, 0, 1)
    tilt: float = Field(default=0.0, ge=0, le=90)
    tilt_direction: float = 0.0

    @model_validator(mode="after")
    def _is_a_plane(self) -> "Texture":
        if not any(self.plane):
            raise ValueError("plane (0, 0, 0) is none")
        return self


class Layer(Part):
    """One layer of the stack, in the beam's order; its amount is areal, so it is conserved when it swells.

    Attributes:
        material: ``active`` (the electrode's active material, its amount from the cell), ``counter``
            (graphite opposite, its amount from the cell), ``plated`` (lithium metal on it, as much as the
            cell has), a crystalline phase of `battbeam.materials`, or an amorphous material named there.
        thickness: mm, as built.
        depth: z of its middle, mm, from the electrode's middle.
        moves: Whether it goes along where the cell moves.
        texture: How its crystals lie, or at random; of a host (the first three materials) about the beam.
        graininess: Grains in the beam that reflect into a steradian, on average; 0: no end of them.
    """

    material: str
    thickness: float = Field(gt=0)
    depth: float
    moves: bool = True
    texture: Texture | None = None
    graininess: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> "Layer":
        known = (*_HOSTS, *PHASES, *AMORPHOUS)
        if self.material not in known:
            raise ValueError(f"{self.material!r} is not known; there are {', '.join(known)}")
        if self.material in AMORPHOUS and (self.texture is not None or self.graininess > 0):
            raise ValueError(f"{self.material} has no crystals, so no texture and no graininess")
        if self.material in _HOSTS and self.texture is not None and self.texture.tilt != 0:
            raise ValueError(
                f"texture of {self.material}: a host's axis is the beam, got a tilt of "
                f"{self.texture.tilt:g} degree"
            )
        return self


def tilt_faults(stack: Sequence[Layer]) -> tuple[str, ...]:
    """Why a stack's layers cannot be drawn together: a tilted texture needs a depth of its own."""
    hosts = [layer.depth for layer in stack if layer.material in _HOSTS]
    return tuple(
        f"texture of {layer.material} is tilted, and it lies at the depth of a host"
        for layer in stack
        if layer.texture is not None
        and layer.texture.tilt != 0
        and any(abs(layer.depth - depth) < SAME_DEPTH for depth in hosts)
    )


def coin_cell_stack() -> tuple[Layer, ...]:
    """A coin cell with Kapton windows: a thin steel casing, lithium, separator, electrode on aluminium."""
    return (
        Layer(material="Kapton", thickness=0.05, depth=-1.5, moves=False),
        Layer(material="Li", thickness=0.4, depth=-0.27),
        Layer(material="polyethylene", thickness=0.025, depth=-0.05),
        Layer(material="active", thickness=0.06, depth=0.0),
        Layer(material="carbon", thickness=0.008, depth=0.0),
        Layer(material="Al", thickness=0.015, depth=0.04),
        Layer(material="steel", thickness=0.004, depth=1.45, moves=False),
        Layer(material="Kapton", thickness=0.05, depth=1.5, moves=False),
    )


def pouch_stack() -> tuple[Layer, ...]:
    """A pouch with graphite: film, copper, graphite and what is plated on it, separator, electrode, aluminium.

    The film is Kapton, for the aluminium of a laminate would add lines to those of the collector. Each
    layer but the plated one, whose place is graphite's face, begins where the one before it ends.
    """
    thicknesses = (
        ("Kapton", 0.1),
        ("Cu", 0.010),
        ("counter", 0.114),
        ("polyethylene", 0.025),
        ("active", 0.111),
        ("Al", 0.020),
        ("Kapton", 0.1),
    )
    names = [name for name, _ in thicknesses]
    before = sum(thickness for _, thickness in thicknesses[: names.index("active")])
    edge, layers = -before - 0.111 / 2, []
    for name, thickness in thicknesses:
        layers.append(Layer(material=name, thickness=thickness, depth=edge + thickness / 2))
        edge += thickness
        if name == "counter":
            layers.append(Layer(material="plated", thickness=0.002, depth=edge))
    return tuple(layers)


def spectroscopy_stack() -> tuple[Layer, ...]:
    """A cell for spectra from the Mn to the Cu edge: Kapton on either side, nothing that has an edge there.

    Without steel and copper; an electrode of 8 mg/cm2 of NMC811 has a jump of 1.1 at the Ni edge.
    """
    return (
        Layer(material="Kapton", thickness=0.025, depth=-0.4),
        Layer(material="Li", thickness=0.2, depth=-0.2),
        Layer(material="polyethylene", thickness=0.025, depth=-0.05),
        Layer(material="active", thickness=0.03, depth=0.0),
        Layer(material="carbon", thickness=0.004, depth=0.0),
        Layer(material="Al", thickness=0.01, depth=0.03),
        Layer(material="Kapton", thickness=0.025, depth=0.1),
    )
