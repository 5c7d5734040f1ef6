"""This file is where the cell passport is: what is believed about a cell before any current flows.

Positive current and positive charge oxidise the working electrode: they charge a full cell, and
take lithium out of the electrode that the X-rays look at.
"""

import datetime
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from battbeam import materials
from battbeam.errors import PreflightError
from battbeam.experiment.cell_example import EXAMPLE, FULL_EXAMPLE, faults_of, such_as
from battbeam.experiment.cell_parts import (
    NOT_RECORDED,
    CellLimits,
    CounterElectrode,
    Electrolyte,
    Part,
    PassportLayer,
    PastEvent,
    Person,
    Positive,
    ReferenceElectrode,
    Separator,
    Stack,
    Text,
    XrayWindow,
    coin_cell,
)
from battbeam.experiment.document import read_document
from battbeam.units import FloatArray

__all__ = [
    "CHEMISTRIES",
    "EXAMPLE",
    "FULL_EXAMPLE",
    "CellLimits",
    "CellPassport",
    "CounterElectrode",
    "Electrolyte",
    "PassportLayer",
    "PastEvent",
    "Person",
    "ReferenceElectrode",
    "Separator",
    "Window",
    "XrayWindow",
    "cell_faults",
]

#: float in, float out; array in, array out.
Quantity = TypeVar("Quantity", float, FloatArray)

#: Phases of the active material by chemistry, lithium-rich first. A chemistry that is not here
#: needs `molar_mass`.
CHEMISTRIES: Mapping[str, tuple[str, ...]] = {
    "LiFePO4": ("LiFePO4", "FePO4"),
    "LiFePO4 solid solution": ("LixFePO4",),
    **{name: (name,) for name in materials.LAYERED_PHASES},
}
#: Material of a layer whose place is that of graphite, or of lithium metal on it.
_ON_GRAPHITE = ("counter", "plated")


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


#: By how much weight percentages may miss 100: rounding of five parts to 0.1.
FORMULATION_TOLERANCE = 0.25
#: By how much a loading may differ from mass over area, relative: rounding to two digits.
LOADING_TOLERANCE = 0.02
#: Nominal over theoretical capacity; above it, one of mass, capacity and chemistry has a slip.
LARGEST_NOMINAL = 1.2


class CellPassport(Part):
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
        electrolyte: What it is and how much.
        limits: What the cell stands.
        molar_mass: g per mol of formula units at x = 1, for a chemistry that is not known here.
        phases: Of the active material, lithium-rich first; those of the chemistry if left out.
        formulation: wt % by component of the electrode's coating, 100 in all.
        loading: mg of active material per cm2; if given, it must agree with mass and area.
        stack: Its layers, in the beam's order.
        xray_windows: Where the beam goes in and out.
        n_electrodes: 2, or 3 with a reference.
        counter_electrode: What the voltage is measured against in a cell with two electrodes; its
            material alone is enough for lithium metal.
        reference_electrode: Of a cell with three.
        separator: What it is.
        stack_pressure: kPa.
        geometry: In words.
        thermocouple_position: In words; empty without one.
        formation: How the cell was formed.
        history: What else happened to it, oldest first.
        proposal: Of the beamtime.
        people: Who made it and who measures it.
        licence: Under which the data may be used, as SPDX names it.
        embargo_until: Day from which they may be.
        notes: Anything else that should travel with the data.
    """

    cell: Text
    sample_uid: Text
    chemistry: Text
    active_mass: Positive
    electrode_area: Positive
    nominal_capacity: Positive
    nominal_capacity_definition: Text
    initial_state_of_charge: float = Field(ge=-0.5, le=1.5)
    initial_lithium_content: float = Field(ge=0, le=1)
    electrolyte: Electrolyte
    limits: CellLimits
    molar_mass: Positive | None = None
    phases: tuple[Text, ...] = ()
    formulation: dict[str, Positive] = Field(default_factory=dict)
    loading: Positive | None = None
    stack: Stack = Field(default_factory=coin_cell)
    xray_windows: tuple[XrayWindow, ...] = ()
    n_electrodes: int = Field(default=2, ge=2, le=3)
    counter_electrode: CounterElectrode = CounterElectrode()
    reference_electrode: ReferenceElectrode | None = None
    separator: Separator | None = None
    stack_pressure: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    geometry: str = ""
    thermocouple_position: str = ""
    formation: PastEvent | None = None
    history: tuple[PastEvent, ...] = ()
    proposal: str = ""
    people: tuple[Person, ...] = ()
    licence: str = ""
    embargo_until: datetime.date | None = None
    notes: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _phases_of_the_chemistry(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or document.get("phases"):
            return document
        chemistry = document.get("chemistry")
        known = CHEMISTRIES.get(chemistry, ()) if isinstance(chemistry, str) else ()
        return {**document, "phases": known}

    @field_validator(
        "counter_electrode", mode="before", json_schema_input_type=CounterElectrode | str
    )
    @classmethod
    def _material_alone(cls, value: Any) -> Any:
        return {"material": value} if isinstance(value, str) else value

    @field_validator("formulation")
    @classmethod
    def _sums_to_all(cls, value: dict[str, float]) -> dict[str, float]:
        total = sum(value.values())
        if value and abs(total - 100) > FORMULATION_TOLERANCE:
            raise ValueError(f"must sum to 100 wt %, sums to {total:.4g}")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "CellPassport":
        # One line a fault; `cell_faults` takes them apart again.
        if found := self._contradictions():
            raise ValueError("\n".join(found))
        return self

    def _contradictions(self) -> list[str]:
        """What cannot be true together, one sentence each."""
        found = []
        if self.chemistry not in CHEMISTRIES and self.molar_mass is None:
            known = ", ".join(CHEMISTRIES)
            found.append(
                f"chemistry {self.chemistry!r} is not known ({known}); give its molar_mass, g/mol"
            )
        elif self.chemistry in CHEMISTRIES:
            most = LARGEST_NOMINAL * self.theoretical_capacity
            if self.nominal_capacity > most:
                found.append(
                    f"nominal_capacity {self.nominal_capacity:.4g} mAh is more than active_mass"
                    f" {self.active_mass:.4g} mg of {self.chemistry} can have,"
                    f" {self.theoretical_capacity:.4g} mAh: correct one of the two (mAh, mg)"
                )
        by_area = self.active_mass / self.electrode_area
        if self.loading is not None and abs(self.loading / by_area - 1) > LOADING_TOLERANCE:
            found.append(
                f"loading {self.loading:.4g} mg/cm2 is not active_mass over electrode_area,"
                f" {by_area:.4g} mg/cm2: correct one of the three, or leave loading out"
            )
        counter = self.counter_electrode.material
        found += [
            f"stack: a layer of material {layer.material!r} is of a cell with graphite, and"
            f" counter_electrode is {counter!r}: correct one of the two"
            for layer in self.stack
            if layer.material in _ON_GRAPHITE and counter != "graphite"
        ]
        if (self.n_electrodes == 3) != (self.reference_electrode is not None):
            found.append(
                "reference_electrode goes with n_electrodes = 3; for example"
                ' reference_electrode = {"material": "Li", "potential": 0.0}'
            )
        return found

    @classmethod
    def read(cls, source: "Path | str | Mapping[str, Any]") -> "CellPassport":
        """A passport from a .json or .yaml file or from what such a file holds; with it current may
        flow.

        Raises:
            PreflightError: With every fault, each with an example of what belongs there.
        """
        subject = "cell passport"
        document = source if isinstance(source, Mapping) else read_document(Path(source), subject)
        if faults := cell_faults(document):
            raise PreflightError(subject, [fault for _, fault in faults])
        return cls.model_validate(document)

    @classmethod
    def logged(cls, document: Mapping[str, Any]) -> "CellPassport":
        """A passport out of a log or a run, which may be older than what is required today.

        What was not asked for then is said not to be recorded; a cell is mounted with `read`, which
        does not take that for an answer.

        Raises:
            PreflightError: If it could not have been a passport then either.
        """
        missing: dict[str, Any] = {"electrolyte": {"composition": NOT_RECORDED}}
        if document.get("n_electrodes") == 3:
            missing["reference_electrode"] = {"material": NOT_RECORDED}
        try:
            return cls.model_validate({**missing, **document})
        except ValidationError as error:
            faults = [fault for _, fault in faults_of(error)]
            raise PreflightError("logged cell passport", faults) from error

    @property
    def known_phases(self) -> tuple[str, ...]:
        """Of `phases`, those of which battbeam knows the structure."""
        return tuple(phase for phase in self.phases if phase in materials.PHASES)

    @property
    def known_counter_phases(self) -> tuple[str, ...]:
        """Of the counter electrode, what may have lines, poor in lithium first; of graphite only."""
        return materials.COUNTER_PHASES if self.counter_electrode.material == "graphite" else ()

    @property
    def active_loading(self) -> float:
        """Active material per electrode area, mg/cm2."""
        return self.active_mass / self.electrode_area

    @property
    def balance(self) -> float | None:
        """Capacity of the counter electrode over the nominal one; None if it is not known."""
        capacity = self.counter_electrode.capacity
        return None if capacity is None else capacity / self.nominal_capacity

    @property
    def window(self) -> Window:
        """Voltages and current that the cell stands."""
        return Window(self.limits.voltage_min, self.limits.voltage_max, self.limits.current_max)

    @functools.cached_property
    def theoretical_capacity(self) -> float:
        """Charge that moves x by 1, mAh: Faraday's law, one lithium a formula unit."""
        phase = CHEMISTRIES.get(self.chemistry, self.phases)[:1]
        molar_mass = self.molar_mass or materials.structure(phase[0], 1.0).molar_mass
        return self.active_mass * 1e-3 / molar_mass * materials.FARADAY / 3.6

    def lithium_content_from_charge(self, charge: Quantity) -> Quantity:
        """x by charge balance alone, ``charge`` mAh after mounting; charging takes lithium out."""
        return self.initial_lithium_content - charge / self.theoretical_capacity

    def state_of_charge_from_charge(self, charge: Quantity) -> Quantity:
        """Charge passed since mounting, mAh, over the nominal capacity, from the reference on."""
        return self.initial_state_of_charge + charge / self.nominal_capacity

    def c_rate_from_current(self, current: Quantity) -> Quantity:
        """1/h, of a current in A."""
        return current * 1e3 / self.nominal_capacity

    def current_from_c_rate(self, c_rate: Quantity) -> Quantity:
        """A, at a C-rate in 1/h."""
        return c_rate * self.nominal_capacity * 1e-3


def cell_faults(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every fault of a passport: the field's dotted name, and a sentence with an example."""
    try:
        passport = CellPassport.model_validate(document)
    except ValidationError as error:
        return faults_of(error)
    if NOT_RECORDED in passport.electrolyte.composition:
        name = "electrolyte.composition"
        return [(name, f"{name} must say what it is{such_as(name.split('.'))}")]
    return []
