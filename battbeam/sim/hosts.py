"""This file is where the hosts are named: what of a cell has a pattern that depends on its state."""

from typing import Literal

from battbeam.sim import graphite, lithium, plating
from battbeam.sim.scenario import Cell

#: Material of a layer: the working electrode, graphite opposite, lithium metal on graphite's face.
Host = Literal["active", "counter", "plated"]
HOSTS: tuple[Host, ...] = ("active", "counter", "plated")


def areal_moles(host: Host, cell: Cell) -> float:
    """mol of a host's formula units per cm2, as `electrode.PhaseShare.weight` counts them.

    They do not change with time: of ``plated`` it is what the charge that changes x by 1 would make.
    """
    if host == "active":
        return lithium.active_areal_moles(cell)
    return (
        graphite.carbon_areal_moles(cell) if host == "counter" else plating.unit_areal_moles(cell)
    )
