"""This file is where a run's start document says how its diffraction frames are to be reduced."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from battbeam import materials
from battbeam.errors import PreflightError, ReductionError
from battbeam.experiment.cell import CellPassport, PassportLayer
from battbeam.experiment.cell_parts import ACTIVE
from battbeam.reduction.xrd import Dark, ScatteringPhase, XrdOptions
from battbeam.units import HC, AnyArray

#: How well the lithium content of a cell as mounted is known, 1: a per cent and a half of the
#: capacity, the usual loss and scatter of a first charge.
INITIAL_CONTENT_ERROR = 0.015


@dataclass(frozen=True)
class Choices:
    """How a reduction departs from what the start document asks; the defaults are right.

    Attributes:
        overrides: Entries of the start document's ``reduction`` to replace.
        state_of_charge_at: The moment of an exposure that its state of charge is taken at.
        normalise: Whether each frame has its own I0; otherwise that of the first counts for all.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    state_of_charge_at: Literal["middle", "start"] = "middle"
    normalise: bool = True


@dataclass(frozen=True)
class XrdRequest:
    """What is asked of the reduction of one run.

    Attributes:
        geometry: The .poni file.
        energy: eV, of the run or else of the geometry; None if neither says.
        instrument: Widths of lines and so on, as the calibration left it.
        phases: In the beam.
        options: Of the reducer.
        dark: Frames without beam (.npz: ``counts``, their sum, and ``exposure``, its s), or none.
        mask: Pixels to leave out (.npy, not 0 is left out), or none.
        transmission_reference: Counts behind over before without a cell; None: no correction.
        minimum_i0: Fewer counts than this in a frame are no beam.
        choices: Departures.
    """

    geometry: Path
    instrument: Path
    phases: tuple[ScatteringPhase, ...]
    options: XrdOptions
    dark: Path | None = None
    mask: Path | None = None
    transmission_reference: float | None = None
    minimum_i0: float = 0.0
    energy: float | None = None
    choices: Choices = field(default_factory=Choices)

    @classmethod
    def of_start(cls, start: Mapping[str, Any], choices: Choices | None = None) -> "XrdRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing or no reduction of diffraction is asked.
        """
        chosen = choices or Choices()
        asked = _merged(start.get("reduction") or {}, chosen.overrides)
        missing = [name for name in ("geometry", "instrument", "phases") if not asked.get(name)]
        if asked.get("method", "xrd") != "xrd" or missing:
            raise ReductionError(
                f"run {start['uid']}: its start document asks for no reduction of diffraction"
                f" (missing in `reduction`: {', '.join(missing) or 'nothing'})"
            )
        passport = _passport(start)
        geometry = Path(asked["geometry"])
        energy = start.get("energy") or energy_of_geometry(geometry)
        try:
            return cls(
                geometry=geometry,
                instrument=Path(asked["instrument"]),
                phases=scattering_phases(asked["phases"], passport, energy),
                options=_options(asked.get("options") or {}, passport),
                dark=_path(asked.get("dark")),
                mask=_path(asked.get("mask")),
                transmission_reference=asked.get("transmission_reference"),
                minimum_i0=float(asked.get("minimum_i0") or 0.0),
                energy=energy,
                choices=chosen,
            )
        except (KeyError, TypeError, ValueError) as fault:
            raise ReductionError(
                f"run {start['uid']}: `reduction` is malformed: {fault}"
            ) from fault

    @property
    def parameters(self) -> dict[str, Any]:
        """What decides on the result, JSON-ready; files by the hash of what they hold."""
        options = asdict(self.options)
        del options["cache_directory"]
        paths = ("geometry", "instrument", "dark", "mask")
        given = {
            "files": {name: _sha256(getattr(self, name)) for name in paths},
            "phases": [asdict(phase) for phase in self.phases],
            "options": options,
            "transmission_reference": self.transmission_reference,
            "minimum_i0": self.minimum_i0,
            "state_of_charge_at": self.choices.state_of_charge_at,
            "normalise": self.choices.normalise,
        }
        plain: dict[str, Any] = json.loads(json.dumps(given))
        return plain

    def read_dark(self) -> Dark | None:
        """The frames without beam, or None.

        Raises:
            ReductionError: If the file cannot be read.
        """
        if self.dark is None:
            return None
        try:
            with np.load(self.dark) as stored:
                counts = np.asarray(stored["counts"], dtype=float)
                return Dark(counts=counts, exposure=float(stored["exposure"]))
        except (OSError, KeyError, ValueError) as fault:
            raise ReductionError(f"dark {self.dark} cannot be read: {fault}") from fault

    def read_mask(self) -> AnyArray | None:
        """Pixels to leave out, or None.

        Raises:
            ReductionError: If the file cannot be read.
        """
        if self.mask is None:
            return None
        try:
            left_out: AnyArray = np.asarray(np.load(self.mask)) != 0
            return left_out
        except (OSError, ValueError) as fault:
            raise ReductionError(f"mask {self.mask} cannot be read: {fault}") from fault


def _merged(asked: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Entries replaced; of ``options`` each by itself."""
    options = {**(asked.get("options") or {}), **(overrides.get("options") or {})}
    return {**asked, **overrides, "options": options}


def _passport(start: Mapping[str, Any]) -> CellPassport | None:
    try:
        return CellPassport.logged(start["cell"]) if start.get("cell") else None
    except PreflightError as fault:
        raise ReductionError(f"run {start['uid']}: {fault}") from fault


def _options(asked: Mapping[str, Any], passport: CellPassport | None) -> XrdOptions:
    known = {each.name for each in fields(XrdOptions)}
    unknown = sorted(set(asked) - known)
    if unknown:
        raise ValueError(f"options {', '.join(unknown)} are not known; there are {sorted(known)}")
    given: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in asked.items()
    }
    if given.get("cache_directory"):
        given["cache_directory"] = Path(given["cache_directory"])
    if passport is not None and "initial_lithium_content" not in given:
        content = (passport.initial_lithium_content, INITIAL_CONTENT_ERROR)
        given["initial_lithium_content"] = content
    return XrdOptions(**given)


def energy_of_geometry(path: Path) -> float | None:
    """Photon energy, eV, by the wavelength in a .poni file; None if it says nothing of it."""
    if not path.is_file():
        return None
    for line in path.read_text(errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "wavelength":
            with suppress(ValueError):
                return float(HC / (float(value) * 1e10))
    return None


def _path(given: str | None) -> Path | None:
    return Path(given) if given else None


def _sha256(path: Path | None) -> str:
    if path is None:
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def scattering_phases(
    asked: Sequence[Mapping[str, Any]], passport: CellPassport | None, energy: float | None
) -> tuple[ScatteringPhase, ...]:
    """Phases with their place in the beam's way through the cell.

    Args:
        asked: Each with ``phase``; ``depth`` and ``downstream``, or the ``layer`` of the passport
            (``electrode``, or the layer's material) from which they follow.
        passport: Of the cell.
        energy: eV; without one absorption counts as half before, half behind.

    Raises:
        ValueError: If a phase or its layer is not known.
    """
    return tuple(_scattering_phase(entry, passport, energy) for entry in asked)


def _scattering_phase(
    entry: Mapping[str, Any], passport: CellPassport | None, energy: float | None
) -> ScatteringPhase:
    name = str(entry["phase"])
    if "depth" in entry or passport is None:
        depth, downstream = float(entry.get("depth", 0.0)), float(entry.get("downstream", 0.5))
        return ScatteringPhase(name, depth, downstream)
    default = ACTIVE if name in materials.LITHIUM_RANGE else name
    wanted = str(entry.get("layer", default))
    wanted = ACTIVE if wanted == "electrode" else wanted
    found = [k for k, layer in enumerate(passport.stack) if layer.material == wanted]
    if not found:
        layers = ", ".join(layer.material for layer in passport.stack)
        raise ValueError(f"phase {name}: the passport has no layer {wanted!r}; it has {layers}")
    downstream = 0.5 if energy is None else share_behind(found[0], passport, float(energy))
    return ScatteringPhase(name, passport.stack[found[0]].depth, downstream)


def share_behind(position: int, passport: CellPassport, energy: float) -> float:
    """Share of the cell's absorption that lies behind the middle of one of its layers, 0 to 1."""
    depths = [optical_depth(layer, passport, energy) for layer in passport.stack]
    total = sum(depths)
    behind = sum(depths[position + 1 :]) + 0.5 * depths[position]
    return behind / total if total > 0 else 0.5


def optical_depth(layer: PassportLayer, passport: CellPassport, energy: float) -> float:
    """Absorbance -ln(I/I0) of one layer at an energy in eV.

    Raises:
        ValueError: If its material is not known.
    """
    if layer.material == ACTIVE:
        if not passport.known_phases:
            return 0.0
        formula = materials.structure(passport.known_phases[0]).formula
        areal_mass = passport.active_mass * 1e-3 / passport.electrode_area
    elif layer.material in materials.AMORPHOUS:
        formula, density = materials.AMORPHOUS[layer.material]
        areal_mass = density * layer.thickness / 10
    else:
        crystal = materials.structure(layer.material)
        formula = crystal.formula
        cell_mass = crystal.formula_units * crystal.molar_mass / materials.AVOGADRO
        areal_mass = cell_mass / (crystal.lattice.volume * 1e-24) * layer.thickness / 10
    per_mol = materials.molar_attenuation(formula, energy)
    return areal_mass * per_mol / materials.molar_mass(formula)
