"""This file is where phases get their place in the beam's way through a cell, from its passport."""

from collections.abc import Mapping, Sequence
from typing import Any

from battbeam import materials
from battbeam.experiment.cell import CellPassport, PassportLayer
from battbeam.experiment.cell_parts import ACTIVE
from battbeam.reduction.xrd import ScatteringPhase

#: Words of a passport's stack for graphite and for lithium metal on it, and what the metal is.
COUNTER, PLATED, METAL = "counter", "plated", "Li"
#: What a collector is made of that tells where the electrode in its plane stands.
COLLECTOR = "Al"
# Binder and carbon in the electrode's coating: nothing lies between it and a layer behind them.
_OF_THE_COATING = ("carbon",)
# Graphite's coating, g/cm3, where its mass is not known: a third of it is pores. Chosen.
_COATING_DENSITY = 1.5


def scattering_phases(
    asked: Sequence[Mapping[str, Any]],
    passport: CellPassport | None,
    energy: float | None,
    *,
    cell_moves: bool = False,
) -> tuple[ScatteringPhase, ...]:
    """Phases with their place in the beam's way through the cell.

    A cell with graphite in its stack has its phases, and lithium metal on it, without being asked.

    Args:
        asked: Each with ``phase``; ``depth`` and ``downstream``, or the ``layer`` of the passport
            (``electrode``, or the layer's material) from which they follow. ``reference`` and
            ``moves`` in place of what follows from the passport: what lies in the electrode's
            plane moves with the cell.
        passport: Of the cell.
        energy: eV; without one absorption counts as half before, half behind.
        cell_moves: Whether the cell may stand elsewhere than the standard did, so that aluminium in
            the electrode's plane is a reference.

    Raises:
        ValueError: If a phase or its layer is not known.
    """
    every = [*asked, *_of_graphite(asked, passport)]
    return tuple(_scattering_phase(entry, passport, energy, cell_moves) for entry in every)


def asks_nothing_of(
    asked: Sequence[Mapping[str, Any]], phases: Sequence[ScatteringPhase]
) -> str | None:
    """The collector in the electrode's plane, if nobody said whether it is a reference and it is none:
    it can tell that the cell stands elsewhere than it is thought to.
    """
    said = {str(entry["phase"]) for entry in asked if "reference" in entry}
    found = [p for p in phases if p.phase == COLLECTOR and p.moves and not p.reference]
    return COLLECTOR if found and COLLECTOR not in said else None


def _of_graphite(
    asked: Sequence[Mapping[str, Any]], passport: CellPassport | None
) -> list[dict[str, str]]:
    """What a cell with graphite in its stack may show, and nobody asked for."""
    if passport is None or not any(layer.material == COUNTER for layer in passport.stack):
        return []
    named = {str(entry["phase"]) for entry in asked}
    expected = (*passport.known_counter_phases, METAL)
    return [{"phase": phase} for phase in expected if phase not in named]


def _scattering_phase(
    entry: Mapping[str, Any],
    passport: CellPassport | None,
    energy: float | None,
    cell_moves: bool,
) -> ScatteringPhase:
    name = str(entry["phase"])
    said = {key: bool(entry[key]) for key in ("reference", "moves") if key in entry}
    if "depth" in entry or passport is None:
        depth, downstream = float(entry.get("depth", 0.0)), float(entry.get("downstream", 0.5))
        return ScatteringPhase(name, depth, downstream, **said)
    position = _layer_of(name, entry, passport)
    in_plane = position in _in_plane(passport)
    said.setdefault("reference", cell_moves and in_plane and name == COLLECTOR)
    said.setdefault("moves", in_plane)
    downstream = 0.5 if energy is None else share_behind(position, passport, float(energy))
    return ScatteringPhase(name, _depth_of(name, position, passport), downstream, **said)


def _layer_of(name: str, entry: Mapping[str, Any], passport: CellPassport) -> int:
    """Position of a phase's layer in the stack; of several alike, one in the electrode's plane."""
    host = materials.HOSTS.get(name)
    default = {"working": ACTIVE, "counter": COUNTER}.get(host or "", name)
    wanted = str(entry.get("layer", default))
    wanted = ACTIVE if wanted == "electrode" else wanted
    materials_of = [layer.material for layer in passport.stack]
    if name == METAL and "layer" not in entry and COUNTER in materials_of:
        wanted = PLATED if PLATED in materials_of else COUNTER
    found = [k for k, material in enumerate(materials_of) if material == wanted]
    if not found:
        layers = ", ".join(materials_of)
        raise ValueError(f"phase {name}: the passport has no layer {wanted!r}; it has {layers}")
    plane = _in_plane(passport)
    return min(found, key=lambda k: (k not in plane, k))


def _in_plane(passport: CellPassport) -> tuple[int, ...]:
    """Positions of the electrode and of what touches it on either side."""
    stack = passport.stack
    electrode = next((k for k, layer in enumerate(stack) if layer.material == ACTIVE), None)
    if electrode is None:
        return ()
    found = [electrode]
    for sense in (-1, 1):
        k = electrode + sense
        while 0 <= k < len(stack) and stack[k].material in _OF_THE_COATING:
            k += sense
        if 0 <= k < len(stack):
            found.append(k)
    return tuple(found)


def _depth_of(name: str, position: int, passport: CellPassport) -> float:
    """Middle of the layer; of metal that has none, graphite's face towards the electrode."""
    layer = passport.stack[position]
    if name == METAL and layer.material == COUNTER:
        return layer.depth + (0.5 if layer.depth < 0 else -0.5) * layer.thickness
    return layer.depth


def share_behind(position: int, passport: CellPassport, energy: float) -> float:
    """Share of the cell's absorption that lies behind the middle of one of its layers, 0 to 1."""
    depths = _optical_depths(passport, energy)
    total = sum(depths)
    behind = sum(depths[position + 1 :]) + 0.5 * depths[position]
    return behind / total if total > 0 else 0.5


def cell_optical_depth(passport: CellPassport, energy: float) -> float:
    """-ln of the transmission of a cell built as its passport says, at an energy in eV."""
    return sum(_optical_depths(passport, energy))


def _optical_depths(passport: CellPassport, energy: float) -> list[float]:
    return [optical_depth(layer, passport, energy) for layer in passport.stack]


def optical_depth(layer: PassportLayer, passport: CellPassport, energy: float) -> float:
    """Absorbance -ln(I/I0) of one layer at an energy in eV.

    Raises:
        ValueError: If its material is not known.
    """
    if layer.material == ACTIVE and not passport.known_phases:
        return 0.0
    formula, areal_mass = _matter(layer, passport)
    return areal_mass * materials.molar_attenuation(formula, energy) / materials.molar_mass(formula)


def _matter(layer: PassportLayer, passport: CellPassport) -> tuple[Mapping[str, float], float]:
    """Formula of a layer, and g/cm2 of it."""
    if layer.material == ACTIVE:
        formula = materials.structure(passport.known_phases[0]).formula
        return formula, passport.active_mass * 1e-3 / passport.electrode_area
    if layer.material == COUNTER:
        return {"C": 1.0}, _graphite(layer, passport)
    if layer.material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[layer.material]
        return formula, density * layer.thickness / 10
    crystal = materials.structure(METAL if layer.material == PLATED else layer.material)
    cell_mass = crystal.formula_units * crystal.molar_mass / materials.AVOGADRO
    density = cell_mass / (crystal.lattice.volume * 1e-24)
    return crystal.formula, density * layer.thickness / 10


def _graphite(layer: PassportLayer, passport: CellPassport) -> float:
    """g/cm2 of it: weighed, or by the layer's thickness."""
    counter = passport.counter_electrode
    if counter.active_mass is None:
        return _COATING_DENSITY * layer.thickness / 10
    return counter.active_mass * 1e-3 / (counter.electrode_area or passport.electrode_area)
