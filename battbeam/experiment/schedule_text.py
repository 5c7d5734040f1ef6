"""This file is where a schedule is read from text, one rule a line, the most important first.

    # comments begin with a number sign
    top of charge: every 40 s while voltage > 4.1 V, measure pattern
    pattern at levels: at 9, 84, 296 C/cm2, measure map (hold potential at most 300 s)
    relaxed: at the end of each rest, 60 s before, measure map of cell2 (step then measure)

Every number has its unit. Whatever `Schedule.text` writes is read back as the same value.
"""

from typing import Any

from battbeam.errors import PreflightError
from battbeam.experiment.amounts import FRACTION, TIME
from battbeam.experiment.schedule import PLAIN_RULE, Rule
from battbeam.experiment.text_conditions import condition
from battbeam.experiment.text_cursor import Cursor, TextFault, tokens, unquoted

#: A whole rule, for errors.
EXAMPLE = "top of charge: every 40 s while voltage > 4.1 V, measure pattern"
#: Couplings as text says them.
COUPLINGS = {
    "free running": "free_running",
    "hold potential": "hold_potential",
    "step then measure": "step_then_measure",
}
_TERMS = "... measure map (hold potential at most 300 s, smear at most 2 %)"


def parsed_rules(text: str) -> tuple[Rule, ...]:
    """The rules of a text.

    Raises:
        PreflightError: With every faulty line: where, what was read, what was wanted, an example.
    """
    rules: list[Rule] = []
    faults: list[str] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rule = parsed_rule(line)
        except TextFault as fault:
            faults.append(f"line {number}, column {fault.column}: {fault.said}")
            continue
        if rule is None:
            continue
        if rule.name in lines:
            faults.append(
                f"line {number}, column 1: the name {rule.name!r} is that of line "
                f"{lines[rule.name]} already; names are unique"
            )
        lines.setdefault(rule.name, number)
        rules.append(rule)
    if not rules and not faults:
        faults.append(f"line 1, column 1: no rule in the text; for example: {EXAMPLE}")
    if faults:
        raise PreflightError("schedule", faults)
    return tuple(rules)


def parsed_rule(line: str) -> Rule | None:
    """The rule of one line; None for an empty one.

    Raises:
        TextFault: Where it cannot be read.
    """
    found = tokens(line)
    if found[0].kind == "end":
        return None
    name, begin = _name(line)
    cursor = Cursor(tokens(line, begin))
    when = condition(cursor)
    if not cursor.skip(", measure"):
        wanted = "', measure' and the name of a measurement"
        raise cursor.fault(wanted, EXAMPLE)
    values: dict[str, Any] = {"measure": cursor.name("a measurement", EXAMPLE)}
    if cursor.skip("of"):
        values["cell"] = cursor.name("a cell", "... measure pattern of cell2")
    if cursor.skip("("):
        values |= _terms(cursor)
    if cursor.ahead().kind != "end":
        raise cursor.fault("the end of the rule", _TERMS)
    return cursor.made(Rule, found[0].column, name=name, when=when, **values)


def _name(line: str) -> tuple[str, int]:
    """The rule's name, and where its condition begins."""
    first = tokens(line)[0]
    if first.kind == "string":
        end, name = first.column - 1 + len(first.text), unquoted(first)
        colon = line.find(":", end)
        if colon < 0 or line[end:colon].strip():
            raise TextFault(end + 1, f"wanted ':' behind the name; for example: {EXAMPLE}")
        return name, colon + 1
    colon = line.find(":")
    name = line[: max(colon, 0)].strip()
    if colon < 0:
        raise TextFault(
            first.column, f"read {first.read}, wanted a name and ':'; for example: {EXAMPLE}"
        )
    if not PLAIN_RULE.fullmatch(name):
        raise TextFault(
            first.column,
            f"read {name!r} as the rule's name; quote it, or use letters, digits and single "
            f"spaces; for example: {EXAMPLE}",
        )
    return name, colon + 1


def _terms(cursor: Cursor) -> dict[str, Any]:
    """What stands in brackets behind a measurement."""
    values: dict[str, Any] = {}
    while True:
        coupling = cursor.skip_one(COUPLINGS)
        if coupling is not None:
            values["coupling"] = COUPLINGS[coupling]
        if cursor.skip("smear at most"):
            values["smear_max"] = cursor.amount(FRACTION, _TERMS)
        elif cursor.skip("at most"):
            values["hold_maximum"] = cursor.amount(TIME, _TERMS)
        elif coupling is None:
            wanted = f"one of {', '.join(COUPLINGS)}, 'at most' or 'smear at most'"
            raise cursor.fault(wanted, _TERMS)
        if cursor.skip(")"):
            return values
        cursor.expect(",", _TERMS)
