"""This file is where a line of a schedule is cut into words, and where it is said what was wrong."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from battbeam.experiment.amounts import TIME, Dimension

Model = TypeVar("Model", bound=BaseModel)

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<comment>\#.*)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<moment>\d{4}-\d\d-\d\d[T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w.+/-]*\|?|\|[^\W\d]\w*\||%|°C)
    | (?P<symbol>[:,;()<>])
    | (?P<strange>.)""",
    re.VERBOSE,
)
#: How people write units that keyboards do not have.
_SPELLINGS = {"°C": "degC", "\N{MICRO SIGN}A": "uA", "\N{MICRO SIGN}Ah": "uAh"}


class TextFault(ValueError):
    """A line cannot be read.

    Attributes:
        column: Where, from 1.
        said: What was read and what was wanted.
    """

    def __init__(self, column: int, said: str) -> None:
        self.column, self.said = column, said
        super().__init__(f"column {column}: {said}")


@dataclass(frozen=True)
class Token:
    """A word, number, quoted name, date or sign.

    Attributes:
        kind: ``word``, ``number``, ``string``, ``moment``, ``symbol`` or ``end``.
        text: As written.
        column: Of its first character, from 1.
    """

    kind: str
    text: str
    column: int

    @property
    def read(self) -> str:
        """As a fault says it."""
        return "the end of the line" if self.kind == "end" else repr(self.text)


def tokens(line: str, begin: int = 0) -> list[Token]:
    """The words of a line from a position on, without its comment.

    Raises:
        TextFault: At a character that belongs to none.
    """
    found = []
    for match in _TOKEN.finditer(line, begin):
        kind, column = str(match.lastgroup), match.start() + 1
        if kind == "strange":
            raise TextFault(column, f"read {match.group()!r}, which no rule contains")
        if kind not in ("space", "comment"):
            found.append(Token(kind, match.group(), column))
    ends = found[-1].column + len(found[-1].text) if found else begin + 1
    return [*found, Token("end", "", ends)]


class Cursor:
    """Goes through the words of one line."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self.position = 0

    def ahead(self, n: int = 0) -> Token:
        """The next word, or one behind it."""
        return self._tokens[min(self.position + n, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next word, and go on."""
        token = self.ahead()
        self.position += 1
        return token

    def is_next(self, phrase: str, n: int = 0) -> bool:
        """Whether these words come next."""
        return all(
            self.ahead(n + k).kind in ("word", "symbol")
            and self.ahead(n + k).text.lower() == word.lower()
            for k, word in enumerate(phrase.split(" "))
        )

    def skip(self, phrase: str) -> bool:
        """Go past these words if they come next, and say whether they did."""
        if not self.is_next(phrase):
            return False
        self.position += len(phrase.split(" "))
        return True

    def skip_one(self, phrases: Iterable[str]) -> str | None:
        """Go past the longest of these that comes next; which it was."""
        for phrase in sorted(phrases, key=len, reverse=True):
            if self.skip(phrase):
                return phrase
        return None

    def expect(self, phrase: str, example: str) -> None:
        """Go past these words.

        Raises:
            TextFault: If others come next.
        """
        if not self.skip(phrase):
            raise self.fault(f"'{phrase}'", example)

    def fault(self, wanted: str, example: str, n: int = 0) -> TextFault:
        """What is wrong with the next word."""
        token = self.ahead(n)
        said = f"read {token.read}, wanted {wanted}; for example: {example}"
        return TextFault(token.column, said)

    def number(self, wanted: str, example: str) -> str:
        """The digits of a number without a unit.

        Raises:
            TextFault: If there is none.
        """
        if self.ahead().kind != "number":
            raise self.fault(wanted, example)
        return self.take().text

    def count(self, wanted: str, example: str) -> int:
        """A whole number.

        Raises:
            TextFault: If it is none.
        """
        if not self.ahead().text.isdecimal():
            raise self.fault(f"{wanted}, a whole number", example)
        return int(self.take().text)

    def unit(self, wanted: Iterable[Dimension], example: str) -> tuple[Dimension, str]:
        """A unit of one of these dimensions.

        Raises:
            TextFault: If there is none, or another.
        """
        unit = _SPELLINGS.get(self.ahead().text, self.ahead().text)
        for dimension in wanted:
            if self.ahead().kind == "word" and unit in dimension.units:
                self.take()
                return dimension, unit
        known = " or ".join(f"{each.name} ({', '.join(each.units)})" for each in wanted)
        raise self.fault(f"the unit of {known}", example)

    def amount(self, dimension: Dimension, example: str) -> float:
        """A number with its unit.

        Raises:
            TextFault: If either is missing, or the unit is another's.
        """
        digits = self.number(f"{dimension.name} ({', '.join(dimension.units)})", example)
        return dimension.read(digits, self.unit([dimension], example)[1])

    def moment(self, example: str) -> float:
        """A date with its zone, or s since 1970.

        Raises:
            TextFault: If it is none, or has no zone.
        """
        if self.ahead().kind == "number":
            time = self.amount(TIME, example)
            self.expect("after", example)
            if self.ahead().text != "1970":
                raise self.fault("'1970'", example)
            self.take()
            return time
        if self.ahead().kind != "moment":
            raise self.fault("a date and time with its zone", example)
        try:
            date = datetime.fromisoformat(self.ahead().text)
        except ValueError:
            raise self.fault("a date that exists", example) from None
        if date.tzinfo is None:
            raise self.fault("a date and time with its zone (+00:00, Z)", example)
        self.take()
        return date.timestamp()

    def name(self, what: str, example: str) -> str:
        """A plain or a quoted name.

        Raises:
            TextFault: If it is neither.
        """
        token = self.ahead()
        if token.kind == "word" and re.fullmatch(r"[A-Za-z_][\w.+-]*", token.text, re.ASCII):
            return self.take().text
        if token.kind == "string":
            return unquoted(self.take())
        raise self.fault(f"the name of {what}, quoted if it is not a plain word", example)

    def made(self, model: type[Model], column: int, **values: Any) -> Model:
        """A value of what was read.

        Raises:
            TextFault: If the value is none that may be.
        """
        try:
            return model(**values)
        except ValidationError as error:
            faults = [_said(dict(fault)) for fault in error.errors()]
            raise TextFault(column, "; ".join(faults)) from error


def unquoted(token: Token) -> str:
    """What stands between quotation marks.

    Raises:
        TextFault: If it is not quoted as JSON quotes.
    """
    try:
        return str(json.loads(token.text))
    except json.JSONDecodeError as error:
        raise TextFault(token.column, f"read {token.text}, not a quoted name ({error})") from error


def _said(fault: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}"
