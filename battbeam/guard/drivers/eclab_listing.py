"""This file is where it is decided which steps go into one technique list of EPICS-ECLab.

Its database declares one CPLIMIT, CALIMIT, CV and PEIS and two OCV, so a protocol is divided into
segments that one list can hold. Steps come with their loops unrolled; where they begin with a block
that is repeated, a LOOP at the list's end repeats it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from battbeam.experiment.protocol import Step, StepType
from battbeam.guard.drivers.staircase import N_STAIRS

TECHNIQUE_OF: Mapping[StepType, str] = {
    StepType.REST: "OCV",
    StepType.TEMPERATURE: "OCV",
    StepType.CONSTANT_CURRENT: "CPLIMIT",
    StepType.CONSTANT_RESISTANCE: "CPLIMIT",
    StepType.CURRENT_RAMP: "CPLIMIT",
    StepType.CONSTANT_VOLTAGE: "CALIMIT",
    StepType.VOLTAGE_SCAN: "CV",
    StepType.IMPEDANCE: "PEIS",
}
#: How often each may stand in a list, and how many steps each may hold; of CV, ways.
N_INSTANCES: Mapping[str, int] = {"OCV": 2, "CPLIMIT": 1, "CALIMIT": 1, "CV": 1, "PEIS": 1}
N_STEPS: Mapping[str, int] = {"OCV": 1, "CPLIMIT": N_STAIRS, "CALIMIT": 20, "CV": 4, "PEIS": 1}
#: Steps that one list covers at most, its repeats counted.
MOST_LISTED = 500


@dataclass(frozen=True)
class Technique:
    """One technique of a list.

    Attributes:
        name: In capitals, as in the PV names.
        instance: How many of the same name stand before it.
        first: Position of its first step in the segment.
        steps: Its steps.
    """

    name: str
    instance: int
    first: int
    steps: tuple[Step, ...]

    def position(self, number: int) -> int:
        """Position in the segment of the step to which the instrument's step belongs."""
        return self.first + min(number, len(self.steps) - 1)


def techniques(steps: Sequence[Step]) -> tuple[Technique, ...]:
    """The longest technique list that begins with these steps and fits the instrument.

    >>> rest = Step(0, StepType.REST, duration=60.0)
    >>> [technique.instance for technique in techniques([rest, rest, rest])]
    [0, 1]
    """
    found: list[Technique] = []
    for position, step in enumerate(steps):
        name = TECHNIQUE_OF[step.type]
        last = found[-1] if found else None
        if last is not None and last.name == name and _joins(last, step):
            found[-1] = Technique(name, last.instance, last.first, (*last.steps, step))
            continue
        instance = sum(technique.name == name for technique in found)
        # A spectrum is taken about the voltage at its start, which under current is none to keep.
        is_late = name == "PEIS" and last is not None and last.name != "OCV"
        if instance >= N_INSTANCES[name] or is_late:
            break
        found.append(Technique(name, instance, position, (step,)))
    return tuple(found)


@dataclass(frozen=True)
class Listing:
    """A technique list, and how often it is gone through.

    Attributes:
        techniques: Of one block.
        n_blocks: How often; beyond 1, a LOOP is its last technique.
    """

    techniques: tuple[Technique, ...]
    n_blocks: int = 1

    @property
    def n_steps(self) -> int:
        """Steps of one block."""
        return sum(len(technique.steps) for technique in self.techniques)

    def position(self, technique: int, number: int, loop: int) -> int:
        """Position in the segment of the step to which a record belongs.

        Args:
            technique: Place in the list.
            number: The instrument's step in it.
            loop: How often the list was gone through before.
        """
        held = self.techniques[min(technique, len(self.techniques) - 1)]
        block = min(loop, self.n_blocks - 1)
        return block * self.n_steps + held.position(number)


def listing(steps: Sequence[Step]) -> Listing:
    """What covers most of these steps, from the first on: one list, or one repeated.

    >>> pulse = Step(0, StepType.CONSTANT_CURRENT, current=1e-3, duration=10.0)
    >>> listing([pulse, Step(1, StepType.REST, duration=20.0)] * 50).n_blocks
    50
    """
    once = Listing(techniques(steps))
    best, covered = once, once.n_steps
    for length in range(1, once.n_steps + 1):
        n_alike = 0
        while n_alike + length < min(len(steps), MOST_LISTED) and _is_alike(
            steps[n_alike], steps[n_alike + length]
        ):
            n_alike += 1
        n_blocks = n_alike // length + 1
        if length * n_blocks > covered:
            held = once if length == once.n_steps else Listing(techniques(steps[:length]))
            best, covered = Listing(held.techniques, n_blocks), length * n_blocks
    return best


def _joins(technique: Technique, step: Step) -> bool:
    """Whether a step can follow in the same technique."""
    if sum(_n_slots(each) for each in (*technique.steps, step)) > N_STEPS[technique.name]:
        return False
    return technique.name != "CV" or technique.steps[-1].voltage_end == step.voltage


def _n_slots(step: Step) -> int:
    fills = step.type in (StepType.CONSTANT_RESISTANCE, StepType.CURRENT_RAMP)
    return N_STAIRS if fills else 1


def _is_alike(step: Step, other: Step) -> bool:
    """Whether the instrument does the same."""
    is_likely = step.type is other.type and step.current == other.current
    return is_likely and replace(step, index=other.index, cycle_number=other.cycle_number) == other


def lengths(steps: Sequence[Step]) -> list[int]:
    """Into how many steps each the instrument's lists divide these steps."""
    edges = [0]
    while edges[-1] < len(steps):
        held = listing(steps[edges[-1] :])
        edges.append(edges[-1] + held.n_steps * held.n_blocks)
    return [end - start for start, end in pairwise(edges)]
