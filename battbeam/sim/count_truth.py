"""This file is where the truth about a count or a sweep is written down, for tests."""

from collections.abc import Mapping
from typing import Any

from battbeam.sim.changer import Place
from battbeam.sim.count_request import Request
from battbeam.sim.counters import CHAMBERS, GAINS
from battbeam.sim.history import HiddenState
from battbeam.units import FloatArray

#: Digits behind the point: well below what can be measured.
_DIGITS: Mapping[str, int] = {
    "energy": 6,
    "nominal_energy": 6,
    "absorbance": 9,
    "photons": 3,
}


def count_truth(
    request: Request,
    place: Place,
    arrays: Mapping[str, FloatArray],
    cell_state: HiddenState | None,
) -> dict[str, Any]:
    """What was counted of what.

    Args:
        request: What was asked for.
        place: Of the stage.
        arrays: By gate, shape (n_gates,) each: true ``energy`` and that of the encoder, eV, mean over
            the gate; ``absorbance`` there; ``photons`` on the sample, glitches not taken off.
        cell_state: At the start, the middle and the end; None where no cell was in the beam.

    Returns:
        JSON-ready; of one gate the arrays are numbers.
    """
    of_gates: dict[str, Any] = {
        name: values.round(_DIGITS[name]).tolist() for name, values in arrays.items()
    }
    if request.kind == "count":
        of_gates = {name: value for name, (value,) in of_gates.items()}
    line: dict[str, Any] = {
        request.kind: request.number,
        "start": request.start,
        "end": request.end,
        "lag": request.lag,
        "x": request.x,
        "y": request.y,
        "in_beam": place.in_beam if arrays["photons"].sum() > 0 else "dark",
        "cell": place.cell or None,
        "footprint": [place.x, place.y] if place.cell else None,
        "foil": request.foil,
        "gains": {
            name: float(GAINS[gain]) for name, gain in zip(CHAMBERS, request.gains, strict=True)
        },
    }
    line |= of_gates
    if cell_state is not None:
        for key in ("charge", "voltage", "current"):
            values = getattr(cell_state, key)
            for when, value in zip(("start", "middle", "end"), values, strict=True):
                line[f"{key}_{when}"] = float(value)
    return line
