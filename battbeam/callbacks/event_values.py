"""This file is where values of documents become numbers."""

import math
from typing import Any


def as_number(value: Any) -> float:
    """A value as a number; NaN if it is none.

    >>> as_number(3), as_number(None)
    (3.0, nan)
    """
    return float(value) if isinstance(value, int | float) else math.nan


def first_number(*values: Any) -> float:
    """The first that is a number; NaN if none is.

    >>> first_number(None, float("nan"), 2)
    2.0
    """
    return next((float(v) for v in values if not math.isnan(as_number(v))), math.nan)
