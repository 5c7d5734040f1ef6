"""This file is where conditions are read from text, as `Condition.sentence` writes them."""

from typing import Any

from battbeam.experiment import amounts
from battbeam.experiment.conditions import (
    AbsoluteClock,
    After,
    AllOf,
    AnyOf,
    ArealChargeLevels,
    AtMost,
    Cadence,
    ChargeLevels,
    ChargeStep,
    Condition,
    EndOfProtocol,
    EndOfRest,
    Rate,
    StateOfChargeLevels,
    While,
    WindowClock,
)
from battbeam.experiment.text_cursor import Cursor, TextFault
from battbeam.experiment.text_predicates import DEEPEST, predicate
from battbeam.experiment.text_when import happens_when

_WANTED = (
    "a condition: 'every ...', 'at ...', 'when ...', 'each time ...', 'any of (...; ...)', "
    "'all of (...; ...)' or '... after (...)'"
)
_AnyLevels = type[ChargeLevels] | type[ArealChargeLevels] | type[StateOfChargeLevels]
_CLOCK = "every 40 s"
_DATE = "every 40 s from 2026-11-22T10:00:00+00:00"


def condition(cursor: Cursor, depth: int = 0) -> Condition:
    """What happens, with everything that is said behind it.

    Raises:
        TextFault: Where it cannot be read.
    """
    column, is_bracket = cursor.ahead().column, cursor.is_next("(")
    if depth > DEEPEST:
        raise TextFault(column, f"more than {DEEPEST} brackets in one another")
    found = _primary(cursor, depth)
    while True:
        if cursor.skip("while"):
            during = predicate(cursor)
            goes_on = cursor.is_next(", else") or cursor.is_next(", every")
            if isinstance(found, AbsoluteClock) and goes_on and not is_bracket:
                found = _cadence(cursor, column, found, during)
            else:
                found = cursor.made(While, column, condition=found, predicate=during)
        elif cursor.is_next(", at most") and cursor.ahead(4).text in ("times", "time"):
            cursor.position += 3
            n = cursor.count("how many times", "..., at most 3 times")
            cursor.take()
            found = cursor.made(AtMost, column, condition=found, n=n)
        else:
            return found


def _primary(cursor: Cursor, depth: int) -> Condition:
    column = cursor.ahead().column
    if cursor.skip("("):
        inside = condition(cursor, depth + 1)
        cursor.expect(")", "(every 40 s) while voltage > 4.1 V")
        return inside
    if cursor.skip("every"):
        return _clock(cursor, column)
    if cursor.skip("each time"):
        return _charge_step(cursor, column)
    if cursor.skip("at"):
        return _end(cursor, column) if cursor.is_next("the end of") else _levels(cursor, column)
    if cursor.skip("when"):
        return happens_when(cursor, column)
    if cursor.is_next("any of") or cursor.is_next("all of"):
        return _several(cursor, column, depth)
    if cursor.ahead().kind == "number":
        delay = cursor.amount(amounts.TIME, "600 s after (when a rest step begins)")
        cursor.expect("after", "600 s after (when a rest step begins)")
        inside = _primary(cursor, depth + 1)
        return cursor.made(After, column, condition=inside, delay=delay)
    raise cursor.fault(_WANTED, _CLOCK)


def _several(cursor: Cursor, column: int, depth: int) -> Condition:
    is_any = cursor.skip("any of") or not cursor.skip("all of")
    example = f"{'any' if is_any else 'all'} of (when a step begins; every 40 s)"
    cursor.expect("(", example)
    parts = [condition(cursor, depth + 1)]
    while cursor.skip(";"):
        parts.append(condition(cursor, depth + 1))
    if not cursor.skip(")"):
        raise cursor.fault("';' and another condition, or ')'", example)
    if is_any:
        return cursor.made(AnyOf, column, conditions=tuple(parts))
    within = (
        cursor.amount(amounts.TIME, f"{example} within 60 s") if cursor.skip("within") else None
    )
    return cursor.made(AllOf, column, conditions=tuple(parts), within=within)


def _clock(cursor: Cursor, column: int) -> Condition:
    period = cursor.amount(amounts.TIME, _CLOCK)
    if cursor.skip("within"):
        window = predicate(cursor)
        terms = _terms(cursor, {"grace"})
        return cursor.made(WindowClock, column, period=period, window=window, **terms)
    terms = _terms(cursor, {"start", "until", "n", "grace"})
    return cursor.made(AbsoluteClock, column, period=period, **terms)


def _terms(cursor: Cursor, allowed: set[str]) -> dict[str, Any]:
    """What may stand behind a clock, in any order."""
    terms: dict[str, Any] = {}
    while True:
        if "start" in allowed and cursor.skip("from"):
            terms["start"] = cursor.moment(_DATE)
        elif "until" in allowed and cursor.skip("until"):
            terms["until"] = cursor.moment(_DATE.replace("from", "until"))
        elif "n" in allowed and cursor.is_next(",") and cursor.ahead(2).text in ("times", "time"):
            cursor.take()
            terms["n"] = cursor.count("how many times", "every 40 s, 103 times")
            cursor.take()
        elif "grace" in allowed and cursor.is_next(", at most") and cursor.is_next("late", 5):
            cursor.position += 3
            terms["grace"] = cursor.amount(amounts.TIME, "every 40 s, at most 1 s late")
            cursor.take()
        else:
            return terms


def _cadence(cursor: Cursor, column: int, clock: AbsoluteClock, during: Any) -> Condition:
    example = "every 40 s while voltage > 4.1 V, else every 200 s"
    rates = [Rate(period=clock.period, during=during)]
    while cursor.skip(", every"):
        period = cursor.amount(amounts.TIME, example)
        cursor.expect("while", example)
        rates.append(Rate(period=period, during=predicate(cursor)))
    cursor.expect(", else every", example)
    otherwise = cursor.amount(amounts.TIME, example)
    terms = {"start": clock.start, "grace": clock.grace, **_terms(cursor, {"start", "grace"})}
    if clock.n is not None or clock.until is not None:
        raise TextFault(column, "several rates have no number of times and no 'until'")
    return cursor.made(Cadence, column, rates=tuple(rates), otherwise=otherwise, **terms)


def _charge_step(cursor: Cursor, column: int) -> Condition:
    example = "each time 5 % of the capacity has passed"
    digits = cursor.number("a charge or a part of the capacity", example)
    choices = (amounts.CHARGE, amounts.FRACTION, amounts.AREAL_CHARGE)
    dimension, unit = cursor.unit(choices, example)
    fields = {amounts.CHARGE.name: "step", amounts.FRACTION.name: "fraction"}
    values = {fields.get(dimension.name, "areal"): dimension.read(digits, unit)}
    if dimension is amounts.FRACTION:
        cursor.expect("of the capacity", example)
    cursor.expect("has passed", example)
    if cursor.skip("from"):
        values["reference"] = cursor.amount(amounts.CHARGE, f"{example} from 0 mAh")
    return cursor.made(ChargeStep, column, **values)


def _end(cursor: Cursor, column: int) -> Condition:
    cursor.skip("the end of")
    if cursor.skip("the protocol"):
        return EndOfProtocol()
    example = "at the end of each rest, 60 s before"
    if not (cursor.skip("each") or cursor.skip("every")):
        raise cursor.fault("'each' or 'the protocol'", example)
    of = cursor.skip_one(("rest", "constant voltage", "relaxation"))
    if of is None:
        raise cursor.fault("'rest', 'constant voltage' or 'relaxation'", example)
    lead = 0.0
    if cursor.is_next(",") and cursor.is_next("before", 3):
        cursor.take()
        lead = cursor.amount(amounts.TIME, example)
        cursor.take()
    return cursor.made(EndOfRest, column, of=of.replace(" ", "_"), lead=lead)


def _levels(cursor: Cursor, column: int) -> Condition:
    is_state = cursor.skip("state of charge")
    example = "at state of charge 20, 50, 80 %" if is_state else "at 9, 84, 296 C/cm2"
    choices: list[_AnyLevels] = [ChargeLevels, ArealChargeLevels]
    if is_state:
        choices = [StateOfChargeLevels]
    digits = [cursor.number("a level", example)]
    while cursor.skip(","):
        digits.append(cursor.number("another level", example))
    dimension, unit = cursor.unit([each.dimension for each in choices], example)
    (model,) = [each for each in choices if each.dimension is dimension]
    values: dict[str, Any] = {"levels": tuple(dimension.read(each, unit) for each in digits)}
    direction = cursor.skip_one(("rising", "falling"))
    if direction is not None:
        values["direction"] = direction
    if cursor.skip("with hysteresis"):
        values["hysteresis"] = cursor.amount(dimension, f"{example} with hysteresis 1 {unit}")
    return cursor.made(model, column, **values)
