"""This file is where conditions are read that begin with `when`: edges, crossings, changes, states."""

from typing import Any

from battbeam.experiment import amounts
from battbeam.experiment.conditions import (
    Becomes,
    Condition,
    CycleEdge,
    EndOfProtocol,
    FastChange,
    Settling,
    StepEdge,
    TemperatureCrossing,
    VoltageCrossing,
)
from battbeam.experiment.conditions_of_cell import FAST, SETTLING, VERBS
from battbeam.experiment.quantities import STEP_WORDS, Quantity
from battbeam.experiment.text_cursor import Cursor, TextFault
from battbeam.experiment.text_predicates import hysteresis, predicate, quantity_words, step_words


def happens_when(cursor: Cursor, column: int) -> Condition:
    """What happens, behind the word `when`.

    Raises:
        TextFault: Where it cannot be read.
    """
    begin = cursor.position
    cursor.skip("the")
    if cursor.skip("protocol has ended"):
        return EndOfProtocol()
    if cursor.skip_one(("a", "an", "each")):
        return _edge(cursor, column)
    if cursor.is_next("cycle") and cursor.is_next("begins", 2):
        cursor.take()
        number = cursor.count("the number of a cycle", "when cycle 3 begins")
        cursor.take()
        return cursor.made(CycleEdge, column, number=number)
    rate = cursor.skip_one(SETTLING)
    if rate is not None:
        return _settling(cursor, column, rate)
    quantity = quantity_words(cursor)
    verb = cursor.skip_one(VERBS.values())
    if quantity is not None and verb is not None:
        return _change(cursor, column, quantity, verb)
    cursor.position = begin
    state = predicate(cursor)
    lasting = 0.0
    if cursor.skip("for"):
        lasting = cursor.amount(amounts.TIME, "when |voltage| < 0.01 V for 5 s")
    return cursor.made(Becomes, column, predicate=state, lasting=lasting)


def _edge(cursor: Cursor, column: int) -> Condition:
    example = "when a rest step begins"
    if cursor.skip("cycle begins"):
        return CycleEdge()
    if cursor.skip("step begins"):
        return StepEdge()
    if cursor.ahead().text in ("cycle", "step"):
        raise cursor.fault("'begins'", example, 1)
    words = step_words(cursor, example)
    cursor.expect("step begins", f"when a {STEP_WORDS[_first_of(words)]} step begins")
    return cursor.made(StepEdge, column, step_type=words)


def _first_of(words: str) -> Any:
    return next(step_type for step_type, said in STEP_WORDS.items() if said == words)


def _settling(cursor: Cursor, column: int, rate: str) -> Condition:
    dimension = SETTLING[rate]
    example = f"when {rate} settles below {dimension.said(0.002)} over 300 s"
    cursor.expect("settles below", example)
    below = cursor.amount(dimension, example)
    cursor.expect("over", example)
    window = cursor.amount(amounts.TIME, example)
    return cursor.made(Settling, column, of=rate, below=below, window=window)


def _change(cursor: Cursor, column: int, quantity: Quantity, verb: str) -> Condition:
    direction = next(way for way, said in VERBS.items() if said == verb)
    if cursor.skip("faster than"):
        if quantity.value not in FAST or direction == "any":
            raise TextFault(column, f"only {' and '.join(FAST)} rise or fall faster than a rate")
        dimension = FAST[quantity.value]
        example = f"when the {quantity.value} {verb} faster than {dimension.said(0.5)} over 10 s"
        rate = cursor.amount(dimension, example)
        cursor.expect("over", example)
        values: dict[str, Any] = {"window": cursor.amount(amounts.TIME, example), "rate": rate}
        return cursor.made(FastChange, column, quantity=quantity, direction=direction, **values)
    example = f"when the voltage {verb} through 3.5 V"
    if not cursor.skip("through"):
        raise cursor.fault("'through' and a level, or 'faster than' and a rate", example)
    if quantity is Quantity.TEMPERATURE:
        level = cursor.amount(amounts.TEMPERATURE, f"when the temperature {verb} through 40 degC")
        return _crossing(cursor, column, TemperatureCrossing, quantity, direction, level=level)
    electrodes = {
        Quantity.VOLTAGE: "cell",
        Quantity.VOLTAGE_WORKING: "working",
        Quantity.VOLTAGE_COUNTER: "counter",
    }
    if quantity not in electrodes:
        words = f"'{quantity.value.replace('_', ' ')} > ...' or a voltage or the temperature"
        raise TextFault(
            column, f"this does not pass levels, wanted {words}; for example: {example}"
        )
    level, of = cursor.amount(amounts.VOLTAGE, example), electrodes[quantity]
    return _crossing(cursor, column, VoltageCrossing, quantity, direction, level=level, of=of)


def _crossing(
    cursor: Cursor,
    column: int,
    model: type[VoltageCrossing | TemperatureCrossing],
    quantity: Quantity,
    direction: str,
    **values: Any,
) -> Condition:
    margin = hysteresis(cursor, quantity)
    own = {} if margin is None else {"hysteresis": margin}
    return cursor.made(model, column, direction=direction, **values, **own)
