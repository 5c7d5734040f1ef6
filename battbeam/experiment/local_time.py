"""This file is where a date as a cycler's software writes it, local and without zone, becomes a time.

Whole seconds and milliseconds, slashes, dots or dashes, day or month first: what the text leaves
open must be said beside it, or the date is refused.
"""

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Standard deviation of a time that was cut to whole seconds, or to milliseconds, taken in the
#: middle: width / sqrt(12).
WHOLE_SECONDS, MILLISECONDS = 1.0 / math.sqrt(12.0), 1e-3
#: s by which a clock may be ahead of the session's and a date still not lie in the future.
AHEAD = 600.0

_DATE = re.compile(
    r"\s*(\d{1,4})[./-](\d{1,2})[./-](\d{1,4})[ T]+(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d+))?\s*$"
)


class DateOrder(StrEnum):
    """Which part of a date comes first."""

    MONTH_FIRST = "month_first"
    DAY_FIRST = "day_first"
    YEAR_FIRST = "year_first"


@dataclass(frozen=True)
class LocalTime:
    """A moment as a local clock showed it.

    Attributes:
        time: s since the Unix epoch.
        uncertainty: s, one standard deviation: how coarsely it was written down.
    """

    time: float
    uncertainty: float


def time_zone(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        ValueError: If there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"time_zone must be an IANA name such as 'Europe/Berlin', got {name!r}; it is that of the "
            "computer that runs the cycler's software"
        ) from None


def local_time(
    text: str,
    *,
    zone: ZoneInfo,
    order: DateOrder | None = None,
    not_before: float = -math.inf,
    not_after: float = math.inf,
) -> LocalTime:
    """When a date as a cycler's software writes it was.

    Args:
        text: ``04/20/2025 10:55:16.521``, with or without a fraction.
        zone: Of the computer that wrote it.
        order: Of the parts of its date; needed where the text alone leaves it open.
        not_before: s since the Unix epoch; decides between two hours of one name in autumn.
        not_after: s since the Unix epoch, likewise.

    Raises:
        ValueError: If it is no date, if day and month or two hours cannot be told apart, or if the
            clocks were put forward past it.

    >>> local_time("04/20/2025 10:55:16.521", zone=ZoneInfo("Europe/Berlin")).time
    1745139316.521
    >>> local_time("2025-04-20 10:55:16", zone=ZoneInfo("Europe/Berlin")).uncertainty.__round__(3)
    0.289
    """
    found = _DATE.match(text)
    if found is None:
        raise ValueError(f"wanted a date such as '04/20/2025 10:55:16.521', got {text!r}")
    year, month, day = _date(text, [int(part) for part in found.groups()[:3]], order)
    hour, minute, second = (int(part) for part in found.groups()[3:6])
    fraction = float(f"0.{found[7]}") if found[7] else 0.5
    try:
        naive = datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise ValueError(f"{text!r} is no date: {error}") from None
    times = [each + fraction for each in _moments(naive, zone)]
    if not times:
        raise ValueError(f"{text!r} does not exist in {zone.key}: the clocks were put forward then")
    possible = [each for each in times if not_before - 1 <= each <= not_after + AHEAD]
    if len(times) > 1 and len(possible) != 1:
        raise ValueError(
            f"{text!r} was twice in {zone.key}: the clocks were put back; say which with a zone "
            f"without summer time, 'Etc/GMT{-_hours(times[0], zone):+d}' for the first or "
            f"'Etc/GMT{-_hours(times[1], zone):+d}' for the second"
        )
    chosen = possible[0] if len(times) > 1 else times[0]
    return LocalTime(chosen, MILLISECONDS if found[7] else WHOLE_SECONDS)


def _date(text: str, parts: list[int], order: DateOrder | None) -> tuple[int, int, int]:
    """Year, month and day."""
    first, second, third = parts
    if first > 31 or order is DateOrder.YEAR_FIRST:
        if order not in (None, DateOrder.YEAR_FIRST) or first <= 31:
            raise ValueError(f"{text!r} does not have its {order or 'year'} as date_order says")
        return first, second, third
    if order is None and first <= 12 and second <= 12 and first != second:
        raise ValueError(
            f"{text!r} may be the {first}th of month {second} or the {second}th of month {first}: "
            "say date_order, 'month_first' or 'day_first'"
        )
    is_day_first = order is DateOrder.DAY_FIRST or (order is None and first > 12)
    month, day = (second, first) if is_day_first else (first, second)
    if month > 12:
        raise ValueError(f"{text!r} has no month {month}: date_order {order} is wrong for it")
    return third, month, day


def _moments(naive: datetime, zone: ZoneInfo) -> list[float]:
    """The times, s since the Unix epoch, at which the clocks of a zone showed this."""
    found = {naive.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    return sorted(
        time for time in found if datetime.fromtimestamp(time, zone).replace(tzinfo=None) == naive
    )


def _hours(time: float, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(time, zone).utcoffset() or timedelta()
    return int(offset.total_seconds() // 3600)
