"""This file is where a run's start document says how its diffraction frames are to be reduced."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from battbeam.callbacks.frame_checks import AskedChecks
from battbeam.callbacks.frame_request import (
    FrameRequest,
    asked_of_frames,
    asked_options,
    hash_of,
    path_of,
)
from battbeam.callbacks.xrd_phases import (
    COUNTER,
    asks_nothing_of,
    cell_optical_depth,
    scattering_phases,
)
from battbeam.errors import PreflightError, ReductionError
from battbeam.experiment.cell import CellPassport
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions
from battbeam.units import HC

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
class XrdRequest(FrameRequest):
    """What is asked of the reduction of one run's diffraction frames.

    Attributes:
        instrument: Widths of lines and so on, as the calibration left it.
        phases: In the beam.
        options: Of the reducer.
        energy: eV, of the run or else of the geometry; None if neither says.
        full_areal_capacity: Of the working electrode, that moves its x by 1, of a cell with graphite
            in its stack, mAh/cm2; None of others.
        witness: Phase in the electrode's plane that is no reference and would tell if the cell stood
            elsewhere; None without.
        checks: What frames are looked at for before they are fitted.
        choices: Departures.
    """

    instrument: Path
    phases: tuple[ScatteringPhase, ...]
    options: XrdOptions
    energy: float | None = None
    full_areal_capacity: float | None = None
    witness: str | None = None
    checks: AskedChecks = field(default_factory=AskedChecks)
    choices: Choices = field(default_factory=Choices)

    @classmethod
    def of_start(cls, start: Mapping[str, Any], choices: Choices | None = None) -> "XrdRequest":
        """From a start document.

        Raises:
            ReductionError: If something is missing or no reduction of diffraction is asked.
        """
        chosen = choices or Choices()
        asked = _merged(start.get("reduction") or {}, chosen.overrides)
        needed = ["geometry", "instrument"]
        needed += [] if asked["options"].get("references") else ["phases"]
        missing = [name for name in needed if not asked.get(name)]
        if asked.get("method", "xrd") != "xrd" or missing:
            raise ReductionError(
                f"run {start['uid']}: its start document asks for no reduction of diffraction"
                f" (missing in `reduction`: {', '.join(missing) or 'nothing'})"
            )
        passport = _passport(start)
        geometry = Path(asked["geometry"])
        energy = start.get("energy") or energy_of_geometry(geometry)
        try:
            options = _options(asked.get("options") or {}, passport, energy)
            moves = options.displacement is not None
            listed = asked.get("phases") or ()
            phases = scattering_phases(listed, passport, energy, cell_moves=moves)
            return cls(
                geometry=geometry,
                instrument=Path(asked["instrument"]),
                phases=phases,
                options=options,
                witness=None if passport is None else asks_nothing_of(listed, phases),
                **asked_of_frames(asked),
                energy=energy,
                full_areal_capacity=_full_areal_capacity(passport),
                checks=AskedChecks.of(asked.get("checks")),
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
        for name in ("cache_directory", "references", "blank"):
            del options[name]
        paths = ("geometry", "instrument", "dark", "mask")
        files = {name: hash_of(getattr(self, name)) for name in paths}
        if self.options.blank is not None:
            files["blank"] = hash_of(self.options.blank)
        for name, path in self.options.references.items():
            files[f"reference {name}"] = hash_of(path)
        given = {
            "files": files,
            "phases": [asdict(phase) for phase in self.phases],
            "options": options,
            "transmission_reference": self.transmission_reference,
            "minimum_i0": self.minimum_i0,
            "full_areal_capacity": self.full_areal_capacity,
            "state_of_charge_at": self.choices.state_of_charge_at,
            "normalise": self.choices.normalise,
        }
        if self.checks != AskedChecks():
            given["checks"] = asdict(self.checks)
        plain: dict[str, Any] = json.loads(json.dumps(given))
        return plain


def _merged(asked: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Entries replaced; of ``options`` each by itself."""
    options = {**(asked.get("options") or {}), **(overrides.get("options") or {})}
    return {**asked, **overrides, "options": options}


def _passport(start: Mapping[str, Any]) -> CellPassport | None:
    try:
        return CellPassport.logged(start["cell"]) if start.get("cell") else None
    except PreflightError as fault:
        raise ReductionError(f"run {start['uid']}: {fault}") from fault


def _options(
    asked: Mapping[str, Any], passport: CellPassport | None, energy: float | None
) -> XrdOptions:
    given = asked_options(XrdOptions, asked)
    for name in ("cache_directory", "blank"):
        given[name] = path_of(given.get(name))
    given["references"] = {n: Path(p) for n, p in (given.get("references") or {}).items()}
    if passport is not None and "initial_lithium_content" not in given:
        content = (passport.initial_lithium_content, INITIAL_CONTENT_ERROR)
        given["initial_lithium_content"] = content
    if passport is not None and passport.stack and energy is not None:
        given.setdefault("optical_depth", cell_optical_depth(passport, float(energy)))
    return XrdOptions(**given)


def _full_areal_capacity(passport: CellPassport | None) -> float | None:
    if passport is None or not any(layer.material == COUNTER for layer in passport.stack):
        return None
    return passport.theoretical_capacity / passport.electrode_area


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
