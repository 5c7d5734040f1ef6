"""This file is where what a recipe is given is held against what it takes."""

import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

#: Kinds of which it can be said whether a value is one; others are the recipe's own affair.
_WORDS = {
    float: "a finite number",
    int: "a whole number",
    str: "a text",
    bool: "True or False",
    NoneType: "None",
}


def parameter_faults(takes: Callable[..., Any], given: Mapping[str, Any]) -> list[str]:
    """What is wrong with the parameters of a recipe's ``plan`` or ``describe``, one sentence each.

    Args:
        takes: The function. Its first argument, beamline or site, is no parameter.
        given: By name.

    >>> def plan(beamline, exposure: float = 20.0, n_points: int = 5): ...
    >>> parameter_faults(plan, {"exposure": "20 s", "n_points": 5})
    ["exposure must be a finite number, got '20 s'"]
    >>> parameter_faults(plan, {"width": 3.0})
    ['it has no parameter width; it has exposure, n_points']
    """
    known = dict([*inspect.signature(takes).parameters.items()][1:])
    faults = []
    for name, value in given.items():
        if name not in known:
            faults.append(f"it has no parameter {name}; it has {', '.join(known) or 'none'}")
        elif wanted := _wanted(known[name].annotation, value):
            faults.append(f"{name} must be {wanted}, got {value!r}")
    return faults


def sentences_of(error: ValueError) -> list[str]:
    """What a recipe has against its parameters, one sentence each."""
    if not isinstance(error, ValidationError):
        return [str(error)]
    return [
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
        for fault in error.errors()
    ]


def _wanted(annotation: Any, value: Any) -> str:
    """What a value should be, in words; empty where it is that, or where nothing can be said."""
    is_union = get_origin(annotation) in (Union, UnionType)
    kinds = get_args(annotation) if is_union else (annotation,)
    is_told = all(kind in _WORDS or get_origin(kind) is Literal for kind in kinds)
    if not is_told or any(_is(value, kind) for kind in kinds):
        return ""
    return " or ".join(_WORDS.get(kind) or _choices(kind) for kind in kinds)


def _is(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, Real) and math.isfinite(value)
    return isinstance(value, Integral if kind is int else kind)


def _choices(kind: Any) -> str:
    return f"one of {', '.join(map(repr, get_args(kind)))}"
