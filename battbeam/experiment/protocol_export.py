"""This file is where a protocol is written for other cyclers and programs, through unicycler.

What unicycler's own steps can say exactly is said by them; what can be come close to is, where that
is allowed, and the result says how; anything else is refused, every step of it at once.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aurora_unicycler import CyclingProtocol  # type: ignore[import-untyped]

from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.protocol_faults import parsed_steps
from battbeam.experiment.protocol_plain import PlainMethod, plain_method


class ExportFormat(StrEnum):
    """What a protocol can be written for."""

    BIOLOGIC = "biologic"
    NEWARE = "neware"
    TOMATO = "tomato"
    PYBAMM = "pybamm"
    BATTINFO = "battinfo"


#: Unicycler's steps that a format has besides rest, current, voltage, loop and tag.
_FURTHER_STEPS: Mapping[ExportFormat, frozenset[str]] = {
    ExportFormat.BIOLOGIC: frozenset({"voltage_scan", "impedance_spectroscopy"}),
    ExportFormat.NEWARE: frozenset({"voltage_scan"}),
    ExportFormat.TOMATO: frozenset(),
    ExportFormat.PYBAMM: frozenset(),
    ExportFormat.BATTINFO: frozenset({"voltage_scan", "impedance_spectroscopy"}),
}
#: Fields of `safety` that a format takes, as unicycler writes it.
_SAFETY: Mapping[ExportFormat, frozenset[str]] = {
    ExportFormat.BIOLOGIC: frozenset(
        {"max_voltage_V", "min_voltage_V", "max_current_mA", "min_current_mA", "delay_s"}
    ),
    ExportFormat.NEWARE: frozenset(
        {
            "max_voltage_V",
            "min_voltage_V",
            "max_current_mA",
            "min_current_mA",
            "max_capacity_mAh",
            "delay_s",
        }
    ),
    ExportFormat.TOMATO: frozenset(),
    ExportFormat.PYBAMM: frozenset(),
    ExportFormat.BATTINFO: frozenset(),
}
#: Where the sign of the current that ends a voltage says whether it charges.
_SIGNED = (ExportFormat.NEWARE, ExportFormat.TOMATO)
#: Longest delay of a safety limit that EC-Lab takes, s.
_LONGEST_BIOLOGIC_DELAY = 1.0
#: After which PyBaMM ends a step that has no duration, h.
_PYBAMM_HOURS = 24.0
#: Last digit of a current in an .mps file, mA: below 1 mA a set current has three more digits, an
#: ending has not.
_BIOLOGIC_DIGIT = 1e-3
#: Relative error of a rounded number that is worth a word.
_ROUNDING = 0.01


@dataclass(frozen=True)
class Exported:
    """A protocol as another program reads it.

    Attributes:
        format: Which program's.
        text: The file's content; for PyBaMM a JSON list of the strings that its Experiment takes.
        remarks: What is not exactly as it was written, and what the format has no place for.
    """

    format: ExportFormat
    text: str
    remarks: tuple[str, ...] = ()


def export_protocol(
    protocol: Protocol,
    passport: CellPassport,
    *,
    format: ExportFormat | str,
    approximate: bool = True,
) -> Exported:
    """Write a protocol for one cell as another program reads it.

    C-rates become currents by the passport. Positive current charges, in every format that has a
    sign.

    Args:
        protocol: As it was written.
        passport: Of the cell.
        format: One of `ExportFormat`.
        approximate: Whether ramps, and scans where the format has none, may become staircases.

    Raises:
        PreflightError: With every fault of the protocol, or with every step that cannot be written.
        ValueError: If there is no such format.
    """
    chosen = ExportFormat(format)
    if faults := protocol.faults(passport):
        raise PreflightError("protocol", faults)
    plain = plain_method(
        parsed_steps(protocol.document)[0],
        passport,
        further_steps=_FURTHER_STEPS[chosen],
        approximate=approximate,
        rates=chosen is ExportFormat.TOMATO,
        signs=chosen in _SIGNED,
    )
    subject = f"export of the protocol to {chosen}"
    if plain.refusals:
        raise PreflightError(subject, plain.refusals)
    try:
        model = _model(protocol, passport, plain)
        text = _WRITERS[chosen](model, passport)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        # Unicycler's own refusals: loops that cross, currents beyond the instrument's ranges.
        raise PreflightError(subject, [str(error)]) from error
    losses = _losses(chosen, model)
    if chosen is ExportFormat.PYBAMM:
        losses += _pybamm_losses(model, passport)
    return Exported(chosen, text, (*plain.remarks, *losses))


def _model(protocol: Protocol, passport: CellPassport, plain: PlainMethod) -> Any:
    """Unicycler's own object, of unicycler's own steps."""
    document = {**copy.deepcopy(dict(protocol.document)), "method": list(plain.steps)}
    sample = dict(document.get("sample") or {})
    if not sample.get("name") or sample["name"] == "$NAME":
        sample["name"] = passport.cell
    document["sample"] = {**sample, "capacity_mAh": passport.nominal_capacity}
    return CyclingProtocol.from_dict(document)


def _losses(chosen: ExportFormat, model: Any) -> list[str]:
    """What unicycler does not carry over, one sentence each."""
    given = [name for name, value in vars(model.safety).items() if value]
    lost = [name for name in given if name not in _SAFETY[chosen]]
    found = [f"safety.{name} is not written: set it on the instrument" for name in lost]
    if chosen in (ExportFormat.PYBAMM, ExportFormat.BATTINFO):
        found.append("record is not written: say there how often to record")
    if chosen is ExportFormat.TOMATO:
        found.append("every step has I_range 10 mA and E_range +-5.0 V: correct them where needed")
    if chosen is ExportFormat.BIOLOGIC:
        found += _biologic_losses(model)
    return found


def _biologic_losses(model: Any) -> list[str]:
    found = []
    if (model.safety.delay_s or 0) > _LONGEST_BIOLOGIC_DELAY:
        found.append(f"safety.delay_s {model.safety.delay_s:g} s becomes 1 s, the longest there is")
    ends = {abs(getattr(step, "until_current_mA", None) or 0) for step in model.method} - {0}
    found += [
        f"until_current_mA {end:.4g} is rounded to {round(end, 3):g}: the file has no more digits"
        for end in sorted(ends)
        if abs(round(end / _BIOLOGIC_DIGIT) * _BIOLOGIC_DIGIT / end - 1) > _ROUNDING
    ]
    return found


def _pybamm_losses(model: Any, passport: CellPassport) -> list[str]:
    """Currents so low that a step without a time may meet PyBaMM's own end of a step."""
    lowest = passport.nominal_capacity / _PYBAMM_HOURS
    return [
        f"{step.current_mA:.4g} mA without until_time_s: PyBaMM ends a step after"
        f" {_PYBAMM_HOURS:g} h; give a time"
        for step in model.method
        if step.step == "constant_current"
        and step.until_time_s is None
        and abs(step.current_mA) < lowest
    ]


def _biologic(model: Any, passport: CellPassport) -> str:
    window = passport.window
    span = (min(0.0, window.voltage_min), max(5.0, window.voltage_max))
    return str(model.to_biologic_mps(range_V=span))


_WRITERS: Mapping[ExportFormat, Callable[[Any, CellPassport], str]] = {
    ExportFormat.BIOLOGIC: _biologic,
    ExportFormat.NEWARE: lambda model, _: str(model.to_neware_xml()),
    ExportFormat.TOMATO: lambda model, _: str(model.to_tomato_mpg2()),
    ExportFormat.PYBAMM: lambda model, _: json.dumps(model.to_pybamm_experiment(), indent=2),
    ExportFormat.BATTINFO: lambda model, _: json.dumps(model.to_battinfo_jsonld(), indent=2),
}
