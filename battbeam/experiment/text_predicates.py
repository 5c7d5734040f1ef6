"""This file is where predicates are read from text, as `Predicate.sentence` writes them."""

from battbeam.experiment.predicates import (
    Between,
    Both,
    Compare,
    CycleIs,
    Either,
    Not,
    Predicate,
    StepIs,
)
from battbeam.experiment.quantities import MANNERS, STEP_WORDS, Quantity
from battbeam.experiment.text_cursor import Cursor, TextFault

#: Deepest nesting of brackets; more is a slip, and would exhaust the stack.
DEEPEST = 20
_EXAMPLE = "voltage > 4.1 V and step is rest"
_WANTED = (
    "something that is so for a while: a quantity ("
    + ", ".join(manner.words for manner in MANNERS.values())
    + ") with > or < or between, 'step is', 'cycle is' or 'not'"
)


def predicate(cursor: Cursor, depth: int = 0) -> Predicate:
    """What is so for a while; ``or`` binds less than ``and``, and that less than ``not``.

    Raises:
        TextFault: Where it cannot be read.
    """
    column, parts = cursor.ahead().column, [_both(cursor, depth)]
    while cursor.skip("or"):
        parts.append(_both(cursor, depth))
    if len(parts) == 1:
        return parts[0]
    return cursor.made(Either, column, predicates=tuple(parts))


def _both(cursor: Cursor, depth: int) -> Predicate:
    column, parts = cursor.ahead().column, [_single(cursor, depth)]
    while cursor.skip("and"):
        parts.append(_single(cursor, depth))
    if len(parts) == 1:
        return parts[0]
    return cursor.made(Both, column, predicates=tuple(parts))


def _single(cursor: Cursor, depth: int) -> Predicate:
    column = cursor.ahead().column
    if depth > DEEPEST:
        raise TextFault(column, f"more than {DEEPEST} brackets in one another")
    if cursor.skip("not"):
        return cursor.made(Not, column, predicate=_single(cursor, depth + 1))
    if cursor.skip("("):
        inside = predicate(cursor, depth + 1)
        cursor.expect(")", f"({_EXAMPLE})")
        return inside
    cursor.skip("the")
    if cursor.skip("step is"):
        return cursor.made(StepIs, column, step_type=step_words(cursor, "step is rest"))
    if cursor.skip("cycle is"):
        return _cycle(cursor, column)
    return _quantity(cursor, column)


def step_words(cursor: Cursor, example: str) -> str:
    """The type of a step.

    Raises:
        TextFault: If it is none.
    """
    found = cursor.skip_one(STEP_WORDS.values())
    if found is None:
        raise cursor.fault(f"a type of step ({', '.join(STEP_WORDS.values())})", example)
    return found


def _cycle(cursor: Cursor, column: int) -> Predicate:
    example = "cycle is 3 to 5"
    first = cursor.count("the number of a cycle", example)
    last: int | None = first
    if cursor.skip("to"):
        last = cursor.count("the number of a cycle", example)
    elif cursor.skip("or later"):
        last = None
    return cursor.made(CycleIs, column, first=first, last=last)


def quantity_words(cursor: Cursor) -> Quantity | None:
    """The quantity whose name comes next."""
    by_words = {manner.words: quantity for quantity, manner in MANNERS.items()}
    found = cursor.skip_one(by_words)
    return None if found is None else by_words[found]


def _quantity(cursor: Cursor, column: int) -> Predicate:
    quantity = quantity_words(cursor)
    if quantity is None:
        raise cursor.fault(_WANTED, _EXAMPLE)
    manner = MANNERS[quantity]
    example = f"{manner.words} > {manner.dimension.said(0.25)}"
    if cursor.skip("between"):
        low = cursor.amount(manner.dimension, example)
        cursor.expect("and", f"{manner.words} between {manner.dimension.said(0.25)} and ...")
        high = cursor.amount(manner.dimension, example)
        margin = hysteresis(cursor, quantity)
        return cursor.made(
            Between, column, quantity=quantity, low=low, high=high, hysteresis=margin
        )
    relation = cursor.skip_one((">", "<"))
    if relation is None:
        raise cursor.fault("'>', '<' or 'between'", example)
    value = cursor.amount(manner.dimension, example)
    margin = hysteresis(cursor, quantity)
    return cursor.made(
        Compare, column, quantity=quantity, relation=relation, value=value, hysteresis=margin
    )


def hysteresis(cursor: Cursor, quantity: Quantity) -> float | None:
    """A hysteresis of one's own; None if none is said.

    Raises:
        TextFault: If it has no value.
    """
    if not cursor.skip("with hysteresis"):
        return None
    dimension = MANNERS[quantity].step_dimension
    return cursor.amount(dimension, f"with hysteresis {dimension.said(0.01)}")
