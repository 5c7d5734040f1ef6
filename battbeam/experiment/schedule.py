"""This file is where it is decided when to measure: rules on the cell, the most important first.

A schedule is a plain value that reads as text, a line a rule, and is read back from it: what is
written is what the experiment does (`battbeam.experiment.schedule_text`).
"""

import json
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from battbeam.errors import PreflightError
from battbeam.experiment.agenda import Agenda, Due, Evaluator
from battbeam.experiment.amounts import FRACTION, TIME
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.conditions import Condition
from battbeam.experiment.document import YAML_SUFFIXES, read_values

__all__ = ["Agenda", "Coupling", "Due", "Evaluator", "Rule", "Schedule"]

#: How cell and measurement go together. ``free_running``: the cell goes on and smear is stated.
#: ``hold_potential``: it is held at its voltage while X-rays run. ``step_then_measure``: what is
#: under way, a rest or a constant voltage, is kept until the measurement is done.
Coupling = Literal["free_running", "hold_potential", "step_then_measure"]
#: The cell that a rule is on when it does not say.
FIRST_CELL = "cell1"
#: Names that text needs no quotation marks for: of rules, and of measurements and cells.
PLAIN_RULE = re.compile(r"[A-Za-z0-9_](?:[\w.+-]| (?! |$))*", re.ASCII)
PLAIN_NAME = re.compile(r"[A-Za-z_][\w.+-]*", re.ASCII)


class Rule(BaseModel):
    """A condition on the cell, and what to measure when it is met.

    Attributes:
        name: Unique in its schedule.
        when: The condition.
        measure: Name of the measurement.
        coupling: How the cell and the measurement go together.
        hold_maximum: s of cell time that a cell is kept for one measurement, at the most; None is
            the guard's own.
        smear_max: Largest change of state of charge during one measurement, 1; a measurement that
            cannot stay below is refused. None is no budget.
        cell: Name of the guard's cell that the condition is on and that is measured.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    name: str = Field(min_length=1)
    when: Condition
    measure: str = Field(min_length=1)
    coupling: Coupling = "free_running"
    hold_maximum: float | None = Field(default=None, gt=0)
    smear_max: float | None = Field(default=None, gt=0)
    cell: str = Field(default=FIRST_CELL, min_length=1)

    def is_met_as(self, other: "Rule") -> bool:
        """Whether both are met at the same times."""
        return self.when == other.when and self.cell == other.cell

    def sentence(self) -> str:
        """The rule as a person says it, which is how it is read."""
        name, measure = _named(self.name, PLAIN_RULE), _named(self.measure, PLAIN_NAME)
        of = "" if self.cell == FIRST_CELL else f" of {_named(self.cell, PLAIN_NAME)}"
        terms = [self.coupling.replace("_", " ")]
        if self.hold_maximum is not None:
            terms[0] += f" at most {TIME.said(self.hold_maximum)}"
        if self.smear_max is not None:
            terms.append(f"smear at most {FRACTION.said(self.smear_max)}")
        return f"{name}: {self.when.sentence()}, measure {measure}{of} ({', '.join(terms)})"

    def __str__(self) -> str:
        return self.sentence()


def _named(name: str, plain: re.Pattern[str]) -> str:
    return name if plain.fullmatch(name) else json.dumps(name)


class Schedule(BaseModel):
    """Rules, the most important first.

    >>> print(Schedule.parse("slope: when the voltage rises through 3500 mV, measure pattern"))
    slope: when the voltage rises through 3.5 V, measure pattern (free running)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    rules: tuple[Rule, ...] = Field(min_length=1)

    @field_validator("rules")
    @classmethod
    def _unique_names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rule names must be unique; more than once: {', '.join(twice)}")
        return rules

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """The schedule that a text says, one rule a line, the most important first.

        Raises:
            PreflightError: With every faulty line: where, what was read, and what was wanted.
        """
        # Its parser makes rules, so it is imported here.
        from battbeam.experiment.schedule_text import parsed_rules

        return cls(rules=parsed_rules(text))

    @classmethod
    def read(cls, path: Path | str) -> "Schedule":
        """A schedule from a file: .txt as text; .json or .yaml as a text or as an object of rules.

        Raises:
            PreflightError: With every fault.
        """
        path = Path(path)
        if path.suffix.lower() in (".json", *YAML_SUFFIXES):
            return cls._of_document(read_values(path, "schedule"), path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PreflightError("schedule", [f"{path}: cannot be read ({error})"]) from error
        return cls.parse(text)

    @classmethod
    def _of_document(cls, document: object, path: Path) -> "Schedule":
        if isinstance(document, str):
            return cls.parse(document)
        if isinstance(document, list) and all(isinstance(line, str) for line in document):
            return cls.parse("\n".join(document))
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            faults = [
                f"{path}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
                for fault in error.errors()
            ]
            raise PreflightError("schedule", faults) from error

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells that rules speak of, each once."""
        return tuple(dict.fromkeys(rule.cell for rule in self.rules))

    def for_cell(self, cell: str) -> "Schedule":
        """The rules on one cell.

        Raises:
            ValueError: If there are none.
        """
        rules = tuple(rule for rule in self.rules if rule.cell == cell)
        if not rules:
            raise ValueError(f"no rule is on cell {cell!r}; rules are on {', '.join(self.cells)}")
        return Schedule(rules=rules)

    def anchored(self, time: float) -> "Schedule":
        """The same schedule with every open clock starting at ``time``."""
        rules = [rule.model_copy(update={"when": rule.when.anchored(time)}) for rule in self.rules]
        return Schedule(rules=tuple(rules))

    def text(self) -> str:
        """The schedule as a person says it, a line a rule; `parse` reads the same value from it."""
        return "\n".join(rule.sentence() for rule in self.rules) + "\n"

    def sentence(self) -> str:
        """The schedule as a person says it, a line a rule, the most important first."""
        return self.text().rstrip("\n")

    def __str__(self) -> str:
        return self.sentence()

    def differences(self, other: "Schedule") -> list[str]:
        """What must be changed to get the other one, one sentence each."""
        before = {rule.name: rule for rule in self.rules}
        after = {rule.name: rule for rule in other.rules}
        found = [f"taken out: {rule}" for name, rule in before.items() if name not in after]
        found += [f"new: {rule}" for name, rule in after.items() if name not in before]
        found += [
            f"changed: {before[name]} -> {rule}"
            for name, rule in after.items()
            if name in before and before[name] != rule
        ]
        kept = [name for name in after if name in before]
        if kept != [name for name in before if name in after]:
            found.append(f"order: {', '.join(after)}")
        return found

    def evaluator(
        self, *, passport: CellPassport | None = None, start: float | None = None
    ) -> Evaluator:
        """An evaluator that has seen nothing yet.

        Args:
            passport: Of the cell, for conditions that speak of its capacity or area.
            start: Of the experiment, s since the Unix epoch: where open clocks of this schedule,
                and of its revisions, are anchored. None: they must be anchored already.

        Raises:
            ValueError: If a clock is not anchored, or the passport is needed and not given.
        """
        anchored = self if start is None else self.anchored(start)
        return Evaluator(anchored, passport=passport, start=start)
