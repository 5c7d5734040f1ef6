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

from battbeam import materials
from battbeam.sim.electrode import Illuminated
from battbeam.sim.frame import ExpectedFrame, Exposure
from battbeam.sim.history import HiddenState
from battbeam.sim.lithium import active_areal_moles, phase_composition
from battbeam.sim.scenario import Scenario
from battbeam.sim.stack import Absorption, Slab, cell_slabs, standard_slabs
from battbeam.units import AnyArray, FloatArray, two_theta_from_d_spacing

#: Where absorption is taken for the weights, degree: in the middle of the strong lines.
REFERENCE_TWO_THETA = 10.0
_OLIVINE = ("200", "101", "210", "011", "111", "211", "301", "311")
_LAYERED = ("003", "101", "006", "102", "104", "105", "107", "108", "110", "113")
#: Reflections whose angle is written down.
REFLECTIONS: Mapping[str, tuple[str, ...]] = {
    "LiFePO4": _OLIVINE,
    "FePO4": _OLIVINE,
    "LixFePO4": _OLIVINE,
    "NMC811": _LAYERED,
}


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
    """Weighted means over what the beam met of a cell's electrode."""
    cell, slabs = scenario.cells[number - 1], cell_slabs(scenario, number)
    electrode = next(index for index, slab in enumerate(slabs) if slab.has_active)
    through = Absorption.of(slabs, cell=cell, lithium_content=lithium_content, energy=energy)
    reach = np.array(
        [
            through.within(
                electrode, two_theta=np.array([REFERENCE_TWO_THETA]), fraction=float(depth)
            )[0]
            for depth in seen.depths
        ]
    )
    weights: dict[str, list[FloatArray]] = {}
    contents: dict[str, list[FloatArray]] = {}
    for share in seen.shares:
        weights.setdefault(share.phase, []).append(share.weight * reach[share.depth])
        contents.setdefault(share.phase, []).append(share.lithium_content)
    phases = {
        phase: (np.concatenate(weights[phase]), np.concatenate(contents[phase]))
        for phase in weights
    }
    total = sum(float(weight.sum()) for weight, _ in phases.values())
    names = [name for name, _, _ in phase_composition(np.array([lithium_content]), cell)]
    fraction = dict.fromkeys(names, 0.0)
    fraction |= {phase: float(weight.sum()) / total for phase, (weight, _) in phases.items()}
    with_lines = {phase: phases[phase] for phase in phases if phase in REFLECTIONS}
    moles = {phase: active_areal_moles(cell) * share for phase, share in fraction.items()}
    return {
        "lithium_content": sum(float(weight @ content) for weight, content in phases.values())
        / total,
        "phase_fraction": fraction,
        "lattice": {phase: _mean_edges(phase, *with_lines[phase]) for phase in with_lines},
        "two_theta": {
            phase: _mean_angles(phase, *with_lines[phase], energy) for phase in with_lines
        },
        "areal_moles": moles | _inert_moles(slabs),
        "cell_fraction": seen.fraction,
    }


def _mean_edges(phase: str, weight: FloatArray, content: FloatArray) -> dict[str, float]:
    edges = materials.lattice_edges(phase, content)
    means = weight @ edges / weight.sum()
    return {edge: float(mean) for edge, mean in zip(free_edges(phase), means, strict=True)}


def free_edges(phase: str) -> tuple[str, ...]:
    """Names of a phase's independent edges."""
    return materials.structure(phase).free_edges


def _mean_angles(
    phase: str, weight: FloatArray, content: FloatArray, energy: float
) -> dict[str, float]:
    edges = materials.lattice_edges(phase, content)
    means = {}
    for name in REFLECTIONS[phase]:
        h, k, l = (int(letter) for letter in name)  # noqa: E741
        angles = two_theta_from_d_spacing(d_spacing=_d_spacing(edges, h, k, l), energy=energy)
        means[name] = float(weight @ angles / weight.sum())
    return means


def _d_spacing(edges: FloatArray, h: int, k: int, l: int) -> AnyArray:  # noqa: E741
    """angstrom; three edges are orthorhombic, two hexagonal."""
    if edges.shape[1] == 3:
        a, b, c = edges.T
        return np.asarray(1 / np.sqrt((h / a) ** 2 + (k / b) ** 2 + (l / c) ** 2))
    a, c = edges.T
    return np.asarray(1 / np.sqrt(4 / 3 * (h * h + h * k + k * k) / a**2 + (l / c) ** 2))


def _inert_moles(slabs: tuple[Slab, ...]) -> dict[str, float]:
    moles: dict[str, float] = {}
    for slab in slabs:
        for layer in slab.layers:
            if layer.material != "active":
                moles[layer.material] = moles.get(layer.material, 0.0) + layer.areal_moles
    return moles
