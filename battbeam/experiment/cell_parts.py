"""This file is where the parts of a cell passport are: limits, layers, electrodes, electrolyte, people."""

import datetime
import inspect
import itertools
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

#: What a passport says of something that was required only after its cell had run.
NOT_RECORDED = "not recorded"
#: The electrode's name among the layers of a passport.
ACTIVE = "active"

#: A number that is neither infinite nor NaN.
Number = Annotated[float, Field(allow_inf_nan=False)]
#: The same, greater than 0.
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: One character at least.
Text = Annotated[str, Field(min_length=1)]

_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4}-\d{4}-\d{4}-\d{3}[\dX])")


def _described(schema: dict[str, Any], part: type[BaseModel]) -> None:
    """Put what a docstring says of each attribute into the JSON Schema, where programs look for it."""
    summary, _, attributes = inspect.cleandoc(part.__doc__ or "").partition("\n\nAttributes:\n")
    schema["description"] = " ".join(summary.split())
    for name, text in _ATTRIBUTE.findall(attributes):
        said = schema.get("properties", {}).get(name)
        if said is not None:
            said.pop("title", None)
            said["description"] = " ".join(text.split())


class Part(BaseModel):
    """A frozen part of a passport; a field that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_described)


class CellLimits(Part):
    """What the cell stands; a protocol must stay inside.

    Attributes:
        voltage_min: V.
        voltage_max: V.
        current_max: Largest magnitude, A.
        temperature_min: degC, or none.
        temperature_max: degC, or none.
        charge_max: Largest magnitude of charge in one direction, mAh, or none.
    """

    voltage_min: Number
    voltage_max: Number
    current_max: Positive
    temperature_min: Number | None = None
    temperature_max: Number | None = None
    charge_max: Positive | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "CellLimits":
        if not self.voltage_min < self.voltage_max:
            raise ValueError(
                f"voltage_min {self.voltage_min} V must be below voltage_max {self.voltage_max} V"
            )
        low, high = self.temperature_min, self.temperature_max
        if low is not None and high is not None and not low < high:
            raise ValueError(
                f"temperature_min {low} degC must be below temperature_max {high} degC"
            )
        return self


class PassportLayer(Part):
    """One layer of the stack as believed, in the beam's order.

    Attributes:
        material: ``active``, ``counter`` (graphite), ``plated`` (lithium metal on it), a phase of
            `battbeam.materials`, or an amorphous material named there.
        thickness: mm.
        depth: Of its middle, mm downstream of the electrode's middle; in a stack that says none,
            layers touch.
    """

    material: Text
    thickness: Positive
    depth: Number = 0.0


def placed(stack: tuple[PassportLayer, ...]) -> tuple[PassportLayer, ...]:
    """A stack with its depths: as said, or as thicknesses have it where none is said of any layer.

    >>> layers = ("Li", 0.2), ("polyethylene", 0.03), ("active", 0.06), ("Al", 0.02)
    >>> stack = tuple(PassportLayer(material=name, thickness=t) for name, t in layers)
    >>> [layer.depth for layer in placed(stack)]
    [-0.16, -0.045, 0.0, 0.04]
    """
    electrode = next((k for k, layer in enumerate(stack) if layer.material == ACTIVE), None)
    if electrode is None or any("depth" in layer.model_fields_set for layer in stack):
        return stack
    ends = list(itertools.accumulate(layer.thickness for layer in stack))
    middles = [end - layer.thickness / 2 for end, layer in zip(ends, stack, strict=True)]
    return tuple(
        layer.model_copy(update={"depth": round(middle - middles[electrode], 6)})
        for layer, middle in zip(stack, middles, strict=True)
    )


#: Layers in the beam's order, each at its depth.
Stack = Annotated[tuple[PassportLayer, ...], AfterValidator(placed)]


class Electrolyte(Part):
    """The electrolyte.

    Attributes:
        composition: As a method section says it.
        volume: mm3 (that is microlitre), or none if it was not measured.
    """

    composition: Text
    volume: Positive | None = None


class Separator(Part):
    """The separator.

    Attributes:
        material: As a method section says it.
        thickness: mm, or none.
        n_layers: How many.
    """

    material: Text
    thickness: Positive | None = None
    n_layers: int = Field(default=1, gt=0)


class CounterElectrode(Part):
    """What the cell's voltage is measured against in a cell with two electrodes.

    Attributes:
        material: ``Li``, ``graphite`` or another.
        capacity: mAh; required of everything but lithium metal.
        active_mass: mg, or none.
        electrode_area: cm2, or none.
        initial_lithium_content: x in LixC6 when it is mounted, or none.
    """

    material: Text = "Li"
    capacity: Positive | None = None
    active_mass: Positive | None = None
    electrode_area: Positive | None = None
    initial_lithium_content: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _has_a_capacity(self) -> "CounterElectrode":
        if self.material == "graphite" and self.capacity is None:
            raise ValueError(
                "capacity is missing: a graphite counter electrode has one of its own, mAh;"
                " for example capacity = 3.4"
            )
        return self


class ReferenceElectrode(Part):
    """The third electrode.

    Attributes:
        material: Such as ``Li``.
        potential: V against Li/Li+.
        position: Where it sits, or empty.
    """

    material: Text
    potential: Number = 0.0
    position: str = ""


class XrayWindow(Part):
    """A window of the cell for X-rays.

    Attributes:
        material: Such as ``Kapton``.
        thickness: mm.
        diameter: Free aperture, mm, or none.
        side: Where the beam meets it.
    """

    material: Text
    thickness: Positive
    diameter: Positive | None = None
    side: Annotated[str, Field(pattern="^(upstream|downstream|both)$")] = "both"


class PastEvent(Part):
    """Something that was done with the cell before.

    Attributes:
        date: The day, or none if it is not known.
        what: In words: formation, storage, cycles elsewhere.
        cycles: How many, if any.
        c_rate: 1/h, if any.
        voltage_min: V, if any.
        voltage_max: V, if any.
        temperature: degC, or none.
    """

    what: Text
    date: datetime.date | None = None
    cycles: int | None = Field(default=None, ge=0)
    c_rate: Positive | None = None
    voltage_min: Number | None = None
    voltage_max: Number | None = None
    temperature: Number | None = None


class Person(Part):
    """Somebody who made or measures the cell.

    Attributes:
        name: As on a paper.
        orcid: Sixteen digits in groups of four, checked; a link to it is taken too.
        role: Such as ``cell maker``.
    """

    name: Text
    orcid: Text
    role: str = ""

    @field_validator("orcid")
    @classmethod
    def _checked(cls, value: str) -> str:
        found = _ORCID.fullmatch(value.strip())
        if found is None:
            raise ValueError("an ORCID has the form 0000-0002-1825-0097")
        digits = found.group(1)
        if orcid_check_digit(digits) != digits[-1]:
            raise ValueError(
                f"the last character of ORCID {digits} must be {orcid_check_digit(digits)}:"
                " a digit is mistyped"
            )
        return digits


def orcid_check_digit(orcid: str) -> str:
    """The last character that the first fifteen digits of an ORCID ask for.

    Source: ISO 7064, MOD 11-2, as ORCID describes it.

    >>> orcid_check_digit("0000-0002-1825-0097")
    '7'
    """
    total = 0
    for digit in orcid.replace("-", "")[:15]:
        total = (total + int(digit)) * 2
    rest = (12 - total % 11) % 11
    return "X" if rest == 10 else str(rest)


def coin_cell() -> tuple[PassportLayer, ...]:
    """A coin cell with Kapton windows."""
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
