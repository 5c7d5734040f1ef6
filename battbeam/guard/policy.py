"""This file is where it is said what happens to a cell when the experiment stops or fails."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Occasion(StrEnum):
    """What the session announces, or, for the last, what the guard finds out itself."""

    PAUSE = "pause"
    BEAM_LOSS = "beam_loss"
    PLAN_END = "plan_end"
    FAILURE = "failure"
    CLIENT_LOSS = "client_loss"


class Policy(StrEnum):
    """What is done to the cell."""

    CONTINUE = "continue"
    HOLD = "hold"
    OPEN_CIRCUIT = "open_circuit"


#: Until an owner declares otherwise. A pause or a lost beam costs data, not the cell, so the
#: protocol goes on; after a failure nobody watches what the protocol was for, so the cell is held,
#: and later opened.
DEFAULT_POLICIES: Mapping[Occasion, Policy] = MappingProxyType(
    {
        Occasion.PAUSE: Policy.CONTINUE,
        Occasion.BEAM_LOSS: Policy.CONTINUE,
        Occasion.PLAN_END: Policy.CONTINUE,
        Occasion.FAILURE: Policy.HOLD,
        Occasion.CLIENT_LOSS: Policy.HOLD,
    }
)


def policies_from(document: object) -> dict[Occasion, Policy]:
    """Policies from what a client sent.

    Raises:
        ValueError: Naming every occasion and policy that is not known.

    >>> policies_from({"pause": "hold"})
    {<Occasion.PAUSE: 'pause'>: <Policy.HOLD: 'hold'>}
    """
    if not isinstance(document, dict) or not document:
        raise ValueError(
            f'policies must be an object such as {{"pause": "hold"}}, got {document!r}'
        )
    occasions, policies = list(Occasion), list(Policy)
    faults = [f"unknown occasion {name!r}" for name in document if name not in occasions]
    faults += [
        f"unknown policy {value!r} for {name}"
        for name, value in document.items()
        if value not in policies
    ]
    if faults:
        raise ValueError(
            f"{'; '.join(faults)}; occasions: {', '.join(occasions)};"
            f" policies: {', '.join(policies)}"
        )
    return {Occasion(name): Policy(value) for name, value in document.items()}
