"""This file is where the cell passport is: what is believed about a cell before any current flows.

Positive current and positive charge oxidise the working electrode: they charge a full cell, and
take lithium out of the electrode that the X-rays look at.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from battbeam import materials
from battbeam.errors import PreflightError
from battbeam.units import FloatArray

#: float in, float out; array in, array out.
Number = TypeVar("Number", float, FloatArray)

#: Phases of the active material by chemistry, lithium-rich first. A chemistry that is not here
#: needs `molar_mass`.
CHEMISTRIES: Mapping[str, tuple[str, ...]] = {
    "LiFePO4": ("LiFePO4", "FePO4"),
    "LiFePO4 solid solution": ("LixFePO4",),
    "NMC811": ("NMC811",),
}


@dataclass(frozen=True)
class Window:
    """Between which voltages and below which current something is allowed.

    Attributes:
        voltage_min: V.
        voltage_max: V.
        current_max: Largest magnitude, A.

    >>> Window(2.5, 4.3, 0.01).within(Window(2.0, 4.2, 0.02))
    Window(voltage_min=2.5, voltage_max=4.2, current_max=0.01)
    """

    voltage_min: float
    voltage_max: float
    current_max: float

    def within(self, other: "Window") -> "Window":
        """What both windows allow."""
        return Window(
            max(self.voltage_min, other.voltage_min),
            min(self.voltage_max, other.voltage_max),
            min(self.current_max, other.current_max),
        )


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CellLimits(_Part):
    """What the cell stands; a protocol must stay inside.

    Attributes:
        voltage_min: V.
        voltage_max: V.
        current_max: Largest magnitude, A.
        temperature_min: degC, or none.
        temperature_max: degC, or none.
        charge_max: Largest magnitude of charge in one direction, mAh, or none.
    """

    voltage_min: float = Field(allow_inf_nan=False)
    voltage_max: float = Field(allow_inf_nan=False)
    current_max: float = Field(gt=0, allow_inf_nan=False)
    temperature_min: float | None = Field(default=None, allow_inf_nan=False)
    temperature_max: float | None = Field(default=None, allow_inf_nan=False)
    charge_max: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _ordered(self) -> "CellLimits":
        if not self.voltage_min < self.voltage_max:
            raise ValueError(
                f"voltage_min {self.voltage_min} V must be below voltage_max {self.voltage_max} V"
            )
        return self


class PassportLayer(_Part):
    """One layer of the stack as believed, in the beam's order.

    Attributes:
        material: ``active``, a phase of `battbeam.materials`, or an amorphous material named there.
        thickness: mm.
        depth: Of its middle, mm downstream of the electrode's middle.
    """

    material: str = Field(min_length=1)
    thickness: float = Field(gt=0, allow_inf_nan=False)
    depth: float = Field(default=0.0, allow_inf_nan=False)


def _coin_cell() -> tuple[PassportLayer, ...]:
    layers = (
        ("Kapton", 0.05, -1.5),
        ("Li", 0.4, -0.27),
        ("polyethylene", 0.025, -0.05),
        ("active", 0.06, 0.0),
        ("carbon", 0.008, 0.0),
        ("Al", 0.015, 0.04),
        ("steel", 0.004, 1.45),
        ("Kapton", 0.05, 1.5),
    )
    return tuple(PassportLayer(material=name, thickness=t, depth=z) for name, t, z in layers)


#: Every required field once, for error messages and for the first passport of a newcomer.
EXAMPLE: Mapping[str, Any] = {
    "cell": "LFP-007",
    "sample_uid": "b2f1c0de-lfp-007",
    "chemistry": "LiFePO4",
    "active_mass": 17.67,
    "electrode_area": 1.767,
    "nominal_capacity": 2.9,
    "nominal_capacity_definition": "third C/10 discharge, 2.5 to 3.8 V",
    "initial_state_of_charge": 0.0,
    "initial_lithium_content": 0.98,
    "limits": {"voltage_min": 2.5, "voltage_max": 3.9, "current_max": 0.01},
}
_LIMITS_EXAMPLE = {**EXAMPLE["limits"], "temperature_min": 10.0, "temperature_max": 45.0}


class CellPassport(_Part):
    """What is believed about one cell. Without it no current flows.

    Attributes:
        cell: Its name.
        sample_uid: Where the laboratory keeps the sample's history.
        chemistry: Of the working electrode; one of `CHEMISTRIES`, or another with ``molar_mass``
            given.
        active_mass: mg of active material, without binder and carbon.
        electrode_area: cm2.
        nominal_capacity: mAh; what C-rates and the state of charge count by.
        nominal_capacity_definition: How that number was found.
        initial_state_of_charge: When it is mounted, 1; the reference that charge passed is added
            to.
        initial_lithium_content: x when it is mounted, as believed.
        limits: What the cell stands.
        stack: Its layers, in the beam's order.
        counter_electrode: What the voltage is measured against in a cell with two electrodes.
        n_electrodes: 2, or 3 with a reference.
        molar_mass: g per mol of formula units at x = 1, for a chemistry that is not known here.
        notes: Anything else that should travel with the data.
    """

    cell: str = Field(min_length=1)
    sample_uid: str = Field(min_length=1)
    chemistry: str = Field(min_length=1)
    active_mass: float = Field(gt=0, allow_inf_nan=False)
    electrode_area: float = Field(gt=0, allow_inf_nan=False)
    nominal_capacity: float = Field(gt=0, allow_inf_nan=False)
    nominal_capacity_definition: str = Field(min_length=1)
    initial_state_of_charge: float = Field(ge=-0.5, le=1.5)
    initial_lithium_content: float = Field(ge=0, le=1)
    limits: CellLimits
    stack: tuple[PassportLayer, ...] = Field(default_factory=_coin_cell)
    counter_electrode: str = "Li"
    n_electrodes: Literal[2, 3] = 2
    molar_mass: float | None = Field(default=None, gt=0)
    notes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known_chemistry(self) -> "CellPassport":
        if self.chemistry not in CHEMISTRIES and self.molar_mass is None:
            known = ", ".join(CHEMISTRIES)
            raise ValueError(
                f"chemistry {self.chemistry!r} is not known ({known}); give its molar_mass, g/mol"
            )
        return self

    @classmethod
    def read(cls, source: "Path | str | Mapping[str, Any]") -> "CellPassport":
        """A passport from a .json file or from what such a file holds.

        Raises:
            PreflightError: With every fault, each with an example of what belongs there.
        """
        document = source if isinstance(source, Mapping) else _document(Path(source))
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise PreflightError(
                "cell passport", [_fault(dict(fault)) for fault in error.errors()]
            ) from error

    @property
    def phases(self) -> tuple[str, ...]:
        """Of the active material, lithium-rich first; empty for a chemistry not known here."""
        return CHEMISTRIES.get(self.chemistry, ())

    @property
    def window(self) -> Window:
        """Voltages and current that the cell stands."""
        return Window(self.limits.voltage_min, self.limits.voltage_max, self.limits.current_max)

    @functools.cached_property
    def theoretical_capacity(self) -> float:
        """Charge that moves x by 1, mAh: Faraday's law, one lithium a formula unit."""
        molar_mass = self.molar_mass or materials.structure(self.phases[0], 1.0).molar_mass
        return self.active_mass * 1e-3 / molar_mass * materials.FARADAY / 3.6

    def lithium_content_from_charge(self, charge: Number) -> Number:
        """x by charge balance alone, ``charge`` mAh after mounting; charging takes lithium out."""
        return self.initial_lithium_content - charge / self.theoretical_capacity

    def state_of_charge_from_charge(self, charge: Number) -> Number:
        """Charge passed since mounting, mAh, over the nominal capacity, from the reference on."""
        return self.initial_state_of_charge + charge / self.nominal_capacity

    def c_rate_from_current(self, current: Number) -> Number:
        """1/h, of a current in A."""
        return current * 1e3 / self.nominal_capacity

    def current_from_c_rate(self, c_rate: Number) -> Number:
        """A, at a C-rate in 1/h."""
        return c_rate * self.nominal_capacity * 1e-3


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise PreflightError("cell passport", [f"{path}: the file is missing"]) from None
    except json.JSONDecodeError as error:
        raise PreflightError("cell passport", [f"{path}: not JSON ({error})"]) from error
    if not isinstance(document, Mapping):
        raise PreflightError(
            "cell passport", [f"{path}: must hold an object, holds {type(document).__name__}"]
        )
    return document


def _fault(fault: Mapping[str, Any]) -> str:
    """One sentence for one of pydantic's findings."""
    place = [str(part) for part in fault["loc"]]
    name = ".".join(place) or "passport"
    examples = _LIMITS_EXAMPLE if place[:1] == ["limits"] and len(place) > 1 else EXAMPLE
    key = place[-1] if place else ""
    example = f"; for example {key} = {json.dumps(examples[key])}" if key in examples else ""
    if fault["type"] == "missing":
        return f"{name} is missing{example}"
    if fault["type"] == "extra_forbidden":
        return f"{name} is not a field of a passport; put it into notes, or correct the spelling"
    given = "" if isinstance(fault["input"], Mapping) else f", got {fault['input']!r}"
    return f"{name}: {fault['msg'].removeprefix('Value error, ')}{given}{example}"
