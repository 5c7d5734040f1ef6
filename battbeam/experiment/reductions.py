"""This file is where a start document says by which methods its run is to be reduced.

``reduction`` names one method and what it needs. A run with several detectors asks for more in
``reductions``, each by its method's name.
"""

from collections.abc import Mapping
from typing import Any

#: Where ``reduction`` names none.
DEFAULT_METHOD = "xrd"


def reductions_of(start: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run asks, by method; that of ``reduction`` first.

    Args:
        start: Its start document.

    >>> asked = {"reduction": {"method": "xrd"}, "reductions": {"saxs": {"geometry": "s.poni"}}}
    >>> reductions_of(asked)
    {'xrd': {'method': 'xrd'}, 'saxs': {'method': 'saxs', 'geometry': 's.poni'}}
    """
    first = dict(start.get("reduction") or {})
    asked = {str(first.get("method", DEFAULT_METHOD)): first} if first else {}
    for method, wanted in dict(start.get("reductions") or {}).items():
        asked.setdefault(method, {"method": method, **wanted})
    return asked


def method_of_reduced(start: Mapping[str, Any]) -> str:
    """By which method a reduced run was made.

    Args:
        start: The reduced run's start document.
    """
    return str((start.get("raw_reduction") or {}).get("method", DEFAULT_METHOD))
