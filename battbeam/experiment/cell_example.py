"""This file is where examples of a cell passport are, and the sentences that refer to them."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

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
    "electrolyte": {"composition": "1 M LiPF6 in EC:DMC 1:1 by volume"},
    "limits": {"voltage_min": 2.5, "voltage_max": 3.9, "current_max": 0.01},
}
#: Every field once.
FULL_EXAMPLE: Mapping[str, Any] = {
    **EXAMPLE,
    "limits": {
        **EXAMPLE["limits"],
        "temperature_min": 10.0,
        "temperature_max": 45.0,
        "charge_max": 4.0,
    },
    "electrolyte": {**EXAMPLE["electrolyte"], "volume": 80.0},
    "molar_mass": 157.76,
    "phases": ["LiFePO4", "FePO4"],
    "formulation": {"LiFePO4": 90.0, "carbon black": 5.0, "PVDF": 5.0},
    "loading": 10.0,
    "stack": [{"material": "Kapton", "thickness": 0.05, "depth": -1.5}],
    "xray_windows": [
        {"material": "Kapton", "thickness": 0.05, "diameter": 3.0, "side": "upstream"}
    ],
    "n_electrodes": 3,
    "counter_electrode": {
        "material": "graphite",
        "capacity": 3.4,
        "active_mass": 9.9,
        "electrode_area": 2.01,
        "initial_lithium_content": 0.0,
    },
    "reference_electrode": {"material": "Li", "potential": 0.0, "position": "ring"},
    "separator": {"material": "Celgard 2400", "thickness": 0.025, "n_layers": 1},
    "stack_pressure": 150.0,
    "geometry": "CR2032 coin cell with Kapton windows",
    "thermocouple_position": "on the can, 5 mm beside the window",
    "formation": {
        "what": "formation",
        "date": "2026-03-02",
        "cycles": 2,
        "c_rate": 0.1,
        "voltage_min": 2.5,
        "voltage_max": 3.8,
        "temperature": 25.0,
    },
    "history": [{"what": "stored at open circuit, discharged", "date": "2026-03-10"}],
    "proposal": "20260417",
    "people": [{"name": "Josiah Carberry", "orcid": "0000-0002-1825-0097", "role": "cell maker"}],
    "licence": "CC-BY-4.0",
    "embargo_until": "2029-03-02",
    "notes": {"glovebox": "B"},
}


def faults_of(error: ValidationError) -> list[tuple[str, str]]:
    """Every finding of pydantic: the field's dotted name, and a sentence with an example."""
    return [
        (".".join(str(part) for part in fault["loc"]), sentence)
        for fault in error.errors()
        for sentence in _sentences(dict(fault))
    ]


def _sentences(fault: Mapping[str, Any]) -> list[str]:
    """What one of pydantic's findings says, one sentence a fault."""
    place = [str(part) for part in fault["loc"]]
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not place:
        return message.splitlines()
    name, example = ".".join(place), such_as(place)
    if fault["type"] == "missing":
        return [f"{name} is missing{example}"]
    if fault["type"] == "extra_forbidden":
        return [f"{name} is not a field of a passport; put it into notes, or correct the spelling"]
    given = "" if isinstance(fault["input"], Mapping) else f", got {fault['input']!r}"
    return [f"{name}: {message}{given}{example}"]


def such_as(place: list[str]) -> str:
    """What belongs into a field, or nothing if no example has it."""
    found: Any = FULL_EXAMPLE
    for part in place:
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit():
            found = found[0]
        else:
            return ""
    shown = EXAMPLE.get(place[0], found) if len(place) == 1 else found
    return f"; for example {place[-1]} = {json.dumps(shown)}"
