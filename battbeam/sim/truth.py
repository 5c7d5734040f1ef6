"""This file is where the truth about each frame is written down, for tests and for the demo's
table.

All means are scattering-weighted: each sub-volume by the photons on it that also reach the detector
(absorption, at `REFERENCE_TWO_THETA`), per mole of formula units. Angles are those of an ideal
instrument with the electrode in its place.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.sim.electrode import Illuminated
from battbeam.sim.frame import ExpectedFrame, Exposure, mean_opposite
from battbeam.sim.history import HiddenState
from battbeam.sim.host_truth import HostTruth
from battbeam.sim.hosts import Host, areal_moles
from battbeam.sim.lithium import phase_composition
from battbeam.sim.scenario import Cell, Scenario
from battbeam.sim.stack import Absorption, Slab, cell_slabs, standard_slabs
from battbeam.units import FloatArray

#: Where absorption is taken for the weights, degree: in the middle of the strong lines.
REFERENCE_TWO_THETA = 10.0


class TruthWriter:
    """Appends one line a frame."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", buffering=1)

    def add(self, line: Mapping[str, Any]) -> None:
        """Write a line; what is not a number becomes null."""
        self._file.write(json.dumps(_without_nan(line)) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def frame_truth(
    exposure: Exposure, frame: ExpectedFrame, scenario: Scenario, cell_state: HiddenState | None
) -> dict[str, Any]:
    """What a frame is of.

    Args:
        exposure: What was exposed.
        frame: What was expected of it.
        scenario: The whole hidden truth.
        cell_state: At the start, the middle and the end of the exposure; None where no cell was in
            the beam.
    """
    photons = exposure.instants.total
    line: dict[str, Any] = {
        "exposure_start": exposure.start,
        "exposure_end": exposure.end,
        "x": exposure.x,
        "y": exposure.y,
        "way": list(exposure.way),
        "energy": exposure.energy,
        "in_beam": frame.in_beam if photons > 0 else "dark",
        "beam": photons > 0,
        "photons": photons,
        "flux": photons / (exposure.end - exposure.start),
        "transmission": frame.transmission if photons > 0 else math.nan,
        "cell": frame.place.cell or None,
        "footprint": [frame.place.x, frame.place.y] if frame.place.cell else None,
    }
    for key in ("charge", "voltage", "current"):
        values = [math.nan] * 3 if cell_state is None else getattr(cell_state, key)
        for place, value in zip(("start", "middle", "end"), values, strict=True):
            line[f"{key}_{place}"] = float(value)
    if frame.illuminated is not None:
        line["displacement"] = frame.displacement
        line |= electrode_truth(
            frame.illuminated,
            scenario,
            frame.lithium_content,
            exposure.energy,
            number=frame.place.cell,
        )
    elif line["in_beam"] == "standard":
        line["areal_moles"] = _inert_moles(standard_slabs(scenario.standard))
    return line


def electrode_truth(
    seen: Illuminated,
    scenario: Scenario,
    lithium_content: float,
    energy: float,
    *,
    number: int = 1,
) -> dict[str, Any]:
    """Weighted means over what the beam met of a cell's electrodes.

    Returns:
        ``lithium_content`` and ``phase_fraction`` of the working electrode; ``lattice`` and
        ``two_theta`` of every phase of a host, fatigued material apart as ``fatigued``;
        ``areal_moles``; with graphite in the stack ``lithium_content_counter`` and
        ``phase_fraction_counter``.
    """
    cell, slabs = scenario.cells[number - 1], cell_slabs(scenario, number)
    through = Absorption.of(
        slabs,
        cell=cell,
        lithium_content=lithium_content,
        energy=energy,
        opposite=mean_opposite(seen),
    )
    found = {
        host: HostTruth.of(seen.of(host), _reach(through, index, seen.depths))
        for index, slab in enumerate(slabs)
        for host in slab.hosts
    }
    active = found["active"]
    names = [name for name, _, _ in phase_composition(np.array([lithium_content]), cell)]
    fraction = dict.fromkeys(names, 0.0) | active.fractions()
    moles = {phase: areal_moles("active", cell) * share for phase, share in fraction.items()}
    for phase, units in active.formula_units.items():
        moles[phase] *= units
    line: dict[str, Any] = {
        "lithium_content": active.lithium_content,
        "phase_fraction": fraction,
        "lattice": {},
        "two_theta": {},
        "areal_moles": moles | _inert_moles(slabs),
        "cell_fraction": seen.fraction,
    }
    for each in found.values():
        line["lattice"] |= each.lattice(is_fatigued=False)
        line["two_theta"] |= each.two_theta(energy, is_fatigued=False)
    if fatigued := active.fractions(is_fatigued=True):
        line["fatigued"] = {
            "phase_fraction": fatigued,
            "lattice": active.lattice(is_fatigued=True),
            "two_theta": active.two_theta(energy, is_fatigued=True),
        }
    return line | _opposite_truth(found, seen, cell, line["areal_moles"])


def _reach(through: Absorption, index: int, depths: FloatArray) -> FloatArray:
    """What a slab lets through of rays from each of its depths."""
    angle = np.array([REFERENCE_TWO_THETA])
    return np.array(
        [through.within(index, two_theta=angle, fraction=float(depth))[0] for depth in depths]
    )


def _opposite_truth(
    found: Mapping[Host, HostTruth], seen: Illuminated, cell: Cell, moles: dict[str, float]
) -> dict[str, Any]:
    """Of graphite and of metal on it; ``moles`` gets what there is of them."""
    if "plated" in found:
        held = moles.get("Li", 0.0)
        moles["Li"] = held + areal_moles("plated", cell) * mean_opposite(seen).metal
    counter = found.get("counter")
    if counter is None or not counter.shares:
        return {}
    fractions = counter.fractions()
    moles |= {phase: areal_moles("counter", cell) * each for phase, each in fractions.items()}
    return {
        "lithium_content_counter": counter.lithium_content,
        "phase_fraction_counter": fractions,
    }


def _inert_moles(slabs: tuple[Slab, ...]) -> dict[str, float]:
    moles: dict[str, float] = {}
    for slab in slabs:
        for layer in slab.layers:
            if not layer.is_host:
                moles[layer.material] = moles.get(layer.material, 0.0) + layer.areal_moles
    return moles
