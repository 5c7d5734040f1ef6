"""This file is where conditions that the protocol meets are named: its steps, cycles, rests, its end."""

from typing import Literal

from pydantic import Field

from battbeam.experiment.amounts import TIME
from battbeam.experiment.conditions_of_time import Happening
from battbeam.experiment.predicates import StepName
from battbeam.experiment.protocol import StepType
from battbeam.experiment.quantities import STEP_WORDS


class StepEdge(Happening):
    """The protocol has gone on to its next step.

    Attributes:
        step_type: Only where a step of this type begins; None is any.
    """

    kind: Literal["step_edge"] = "step_edge"
    step_type: StepName | None = None

    def sentence(self) -> str:
        """The condition as a person says it.

        >>> str(StepEdge())
        'when a step begins'
        """
        return f"when a {STEP_WORDS[self.step_type] + ' ' if self.step_type else ''}step begins"


class CycleEdge(Happening):
    """A cycle of the protocol begins.

    Attributes:
        number: Only this one; None is any.
    """

    kind: Literal["cycle_edge"] = "cycle_edge"
    number: int | None = Field(default=None, ge=0)

    def sentence(self) -> str:
        """The condition as a person says it."""
        return "when a cycle begins" if self.number is None else f"when cycle {self.number} begins"


class EndOfRest(Happening):
    """A relaxation is about to end, or ends: the state that GITT and PITT measure in.

    Attributes:
        of: A ``rest``, a ``constant_voltage``, or either (``relaxation``).
        lead: s of cell time before the end that its longest duration sets; one that ends earlier,
            by a rate or a current, is met when its end is seen. 0 is at the end.
    """

    kind: Literal["end_of_rest"] = "end_of_rest"
    of: Literal["rest", "constant_voltage", "relaxation"] = "rest"
    lead: float = Field(default=0.0, ge=0)

    @property
    def step_types(self) -> tuple[StepType, ...]:
        """Steps that it speaks of."""
        both = {"rest": StepType.REST, "constant_voltage": StepType.CONSTANT_VOLTAGE}
        return tuple(both.values()) if self.of == "relaxation" else (both[self.of],)

    def sentence(self) -> str:
        """The condition as a person says it."""
        lead = f", {TIME.said(self.lead)} before" if self.lead else ""
        return f"at the end of each {self.of.replace('_', ' ')}{lead}"


class EndOfProtocol(Happening):
    """The protocol has run to its end; a trip or an opened circuit is not its end."""

    kind: Literal["end_of_protocol"] = "end_of_protocol"

    def sentence(self) -> str:
        """The condition as a person says it."""
        return "when the protocol has ended"
