"""This file is where the PVs of a simulated cycler's parameters are: every technique's, of one channel."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from caproto import ChannelType
from caproto.server import PVGroup, pvproperty

from battbeam.sim.parameters import N_INSTANCES, TECHNIQUES, Parameter

_DTYPES: Mapping[str, Any] = {
    "float": float,
    "integer": int,
    "boolean": int,
    "floats": ChannelType.FLOAT,
    "integers": ChannelType.LONG,
    "booleans": bytes,
}


def _number(value: Any) -> float | list[float]:
    """A value of a PV as plain Python; it comes as a number, an array, or bytes for booleans."""
    items = list(value) if isinstance(value, bytes) else np.atleast_1d(value)
    values = [float(item) for item in items]
    return values[0] if len(values) == 1 else values


def _parameter_pvs(
    technique: str, instance: int, name: str, parameter: Parameter
) -> dict[str, Any]:
    attribute = f"{technique}_{instance}_{name}"
    is_array = parameter.kind.endswith("s")
    value: Any = float(parameter.default)
    if parameter.kind not in ("float", "floats"):
        value = int(parameter.default)
    if is_array:
        value = bytes([value]) if parameter.kind == "booleans" else [value]
    common: dict[str, Any] = {
        "value": value,
        "dtype": _DTYPES[parameter.kind],
        "max_length": parameter.n_most if is_array else None,
        "doc": parameter.doc,
    }

    async def show(group: PVGroup, _instance: Any, put: Any) -> Any:
        await group.attr_pvdb[attribute].write(put)
        return put

    pv_name = f"{technique}:{instance}:{name}"
    return {
        attribute: pvproperty(name=pv_name, read_only=True, **common),
        f"{attribute}_SP": pvproperty(name=f"{pv_name}:SP", put=show, **common),
    }


def _parameter_group() -> type[PVGroup]:
    members: dict[str, Any] = {"__doc__": "The parameters of every technique of one channel."}
    for technique, parameters in TECHNIQUES.items():
        for instance in range(N_INSTANCES[technique]):
            for name, parameter in parameters.items():
                members |= _parameter_pvs(technique, instance, name, parameter)
    return type("ParameterGroup", (PVGroup,), members)


ParameterGroup = _parameter_group()


def put_values(group: PVGroup) -> dict[tuple[str, int, str], float | list[float]]:
    """What clients have put for each parameter: by technique, instance and name."""
    return {
        (technique, instance, name): _number(
            group.attr_pvdb[f"{technique}_{instance}_{name}_SP"].value
        )
        for technique, parameters in TECHNIQUES.items()
        for instance in range(N_INSTANCES[technique])
        for name in parameters
    }
