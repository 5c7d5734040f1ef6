"""This file is where numbers with their units are written and read, as people write them.

Whatever is written is read back as the same number to the last bit: scaling is decimal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

#: Exponents of ten beyond which a number is written with an exponent.
_SMALLEST, _LARGEST = -6, 15
#: Times between which a moment is written as a date, s since the Unix epoch: years 1970 to 9999.
_DATES = (0.0, 253402300799.0)


@dataclass(frozen=True)
class Dimension:
    """What kind of number it is.

    Attributes:
        name: As an error says it.
        unit: In which it is written.
        units: Those it may be read in, each with its size in the unit that the values are kept in.
    """

    name: str
    unit: str
    units: Mapping[str, Decimal]

    def said(self, value: float) -> str:
        """The number with its unit.

        >>> FRACTION.said(0.07)
        '7 %'
        """
        return f"{self.number(value)} {self.unit}"

    def number(self, value: float) -> str:
        """The number in the unit that it is written in."""
        return _digits(Decimal(repr(float(value))) / self.units[self.unit])

    def read(self, digits: str, unit: str) -> float:
        """The value of a number with a unit of `units`.

        >>> TIME.read("1.5", "h")
        5400.0
        """
        return float(Decimal(digits) * self.units[unit])


def _digits(number: Decimal) -> str:
    if number == 0:
        return "0"
    short = number.normalize()
    if _SMALLEST <= short.adjusted() <= _LARGEST:
        return format(short, "f")
    return str(short).lower()


def _dimension(name: str, unit: str, **units: str) -> Dimension:
    return Dimension(name, unit, {key: Decimal(size) for key, size in units.items()})


def _of(name: str, unit: str, units: Mapping[str, str]) -> Dimension:
    return Dimension(name, unit, {key: Decimal(size) for key, size in units.items()})


TIME = _dimension("a time", "s", s="1", ms="0.001", min="60", h="3600", d="86400")
VOLTAGE = _dimension("a voltage", "V", V="1", mV="0.001")
CURRENT = _dimension("a current", "A", A="1", mA="0.001", uA="0.000001")
CHARGE = _dimension("a charge", "mAh", mAh="1", uAh="0.001", Ah="1000")
AREAL_CHARGE = _of("a charge per area", "C/cm2", {"C/cm2": "1", "mAh/cm2": "3.6"})
FRACTION = _of("a percentage", "%", {"%": "0.01"})
TEMPERATURE = _dimension("a temperature", "degC", degC="1")
KELVIN = _dimension("a difference of temperature", "K", K="1")
VOLTAGE_SETTLING = _of("a rate of voltage", "V/h", {"V/h": "1", "mV/h": "0.001", "mV/s": "3.6"})
CURRENT_SETTLING = _of("a rate of current", "A/h", {"A/h": "1", "mA/h": "0.001", "uA/s": "0.0036"})
CHARGE_PER_VOLTAGE = _of("a charge per voltage", "mAh/V", {"mAh/V": "1", "Ah/V": "1000"})
VOLTAGE_RATE = _of("a rate of voltage", "V/s", {"V/s": "1", "mV/s": "0.001"})
TEMPERATURE_RATE = _of(
    "a rate of temperature", "K/min", {"K/min": "1", "degC/min": "1", "K/s": "60"}
)

ALL_DIMENSIONS = (
    TIME,
    VOLTAGE,
    CURRENT,
    CHARGE,
    AREAL_CHARGE,
    FRACTION,
    TEMPERATURE,
    KELVIN,
    VOLTAGE_SETTLING,
    CURRENT_SETTLING,
    CHARGE_PER_VOLTAGE,
    VOLTAGE_RATE,
    TEMPERATURE_RATE,
)


def moment(time: float) -> str:
    """A time in s since the Unix epoch as a date where that is exact, else as a number.

    >>> moment(1.79e9)
    '2026-09-21T14:13:20+00:00'
    >>> moment(1e-9)
    '1e-9 s after 1970'
    """
    if _DATES[0] <= time <= _DATES[1]:
        date = datetime.fromtimestamp(time, UTC)
        if date.timestamp() == time:
            return date.isoformat()
    return f"{TIME.said(time)} after 1970"
