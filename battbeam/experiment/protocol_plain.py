"""This file is where a protocol is said in unicycler's own steps: exactly, nearly, or not at all."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol_compile import compiled_step, compiled_steps, targets_of_loops
from battbeam.experiment.protocol_presets import Block, blocks_of
from battbeam.experiment.step import Step, StepType

#: Stairs of a current ramp; chosen: no stair is more than 2.5 % of the ramp from where it should be.
RAMP_STAIRS = 20
#: Height of a stair in place of a voltage scan, V; chosen, as staircase voltammetry usually has it.
SCAN_STAIR = 0.005

PlainStep = dict[str, Any]


@dataclass
class PlainMethod:
    """A method in unicycler's own steps.

    Attributes:
        steps: As unicycler reads them.
        remarks: What is not exactly as it was written, one sentence each.
        refusals: What cannot be said, one sentence each; with any of them the steps are not whole.
    """

    steps: list[PlainStep] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def plain_method(
    method: Sequence[Any],
    passport: CellPassport,
    *,
    further_steps: frozenset[str],
    approximate: bool,
    rates: bool = False,
    signs: bool = False,
) -> PlainMethod:
    """A method without faults in unicycler's own steps, loops and tags kept.

    Args:
        method: Its steps.
        passport: Of the cell.
        further_steps: Besides rest, current and voltage, what there is a word for.
        approximate: Whether staircases may stand for ramps and scans.
        rates: Whether a constant voltage ends by a C-rate instead of a current.
        signs: Whether that has the sign of the current to expect.
    """
    writer = _Writer(passport, further_steps, approximate, rates=rates, signs=signs)
    directions = _directions(method, passport)
    targets = targets_of_loops(method)
    for index, step in enumerate(method):
        if index in targets.values() and step.step != "tag":
            writer.method.steps.append({"step": "tag", "tag": _tag(index)})
        if step.step == "tag":
            writer.method.steps.append({"step": "tag", "tag": step.tag})
        elif step.step == "loop":
            target = method[targets[index]]
            name = target.tag if target.step == "tag" else _tag(targets[index])
            writer.method.steps.append(_loop(name, step.cycle_count))
        else:
            writer.write(index, step, directions.get(index, ()))
    return writer.method


def _tag(index: int) -> str:
    return f"step {index}"


def _loop(name: str, count: int) -> PlainStep:
    return {"step": "loop", "loop_to": name, "cycle_count": count}


def _directions(method: Sequence[Any], passport: CellPassport) -> Mapping[int, tuple[int, ...]]:
    """Sign of the current of every plain step of one pass of each step, by the step's index."""
    found: dict[int, tuple[int, ...]] = {}
    for step in compiled_steps(method, passport):
        found[step.index] = (*found.get(step.index, ()), step.direction)
    return found


class _Writer:
    """Says one step after the other in unicycler's words."""

    def __init__(
        self,
        passport: CellPassport,
        further: frozenset[str],
        approximate: bool,
        *,
        rates: bool,
        signs: bool,
    ) -> None:
        self._passport, self._further = passport, further
        self._approximate, self._rates, self._signs = approximate, rates, signs
        self.method = PlainMethod()
        self._place = ""

    def write(self, index: int, step: Any, directions: Sequence[int]) -> None:
        """One step of the method, with all that it stands for."""
        self._place = f"step {index} ({step.step})"
        position = 0
        for number, block in enumerate(blocks_of(step)):
            written = [
                plain
                for offset, model in enumerate(block.steps)
                for plain in self._said(
                    model,
                    compiled_step(index, model, self._passport),
                    directions[position + offset],
                )
            ]
            position += len(block.steps) * block.count
            self.method.steps += _repeated(written, block, f"{_tag(index)}, part {number}")

    def _said(self, model: Any, step: Step, direction: int) -> Iterator[PlainStep]:
        yield from _SAYERS[step.type](self, model, step, direction)

    def _refuse(self, reason: str) -> None:
        sentence = f"{self._place}: {reason}"
        if sentence not in self.method.refusals:
            self.method.refusals.append(sentence)

    def _remark(self, sentence: str) -> None:
        sentence = f"{self._place}: {sentence}"
        if sentence not in self.method.remarks:
            self.method.remarks.append(sentence)

    def _refuse_endings(self, step: Step, *names: str) -> None:
        for name in names:
            if getattr(step, name) is not None:
                self._refuse(f"cannot end by {_ENDINGS[name]}: give a time instead")

    def rest(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse_endings(step, "until_voltage_rate")
        yield _without_none(step="open_circuit_voltage", until_time_s=step.duration)

    def current(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse_endings(step, "until_voltage_rate")
        duration, current = step.duration, step.current or 0.0
        if step.until_charge is not None:
            # Exact: the charge of a constant current is its time.
            by_charge = step.until_charge * 3.6 / abs(current)
            duration = by_charge if duration is None else min(duration, by_charge)
        yield _current(current, duration, step.until_voltage)

    def voltage(self, model: Any, step: Step, direction: int) -> Iterator[PlainStep]:
        self._refuse_endings(step, "until_charge", "until_current_rate")
        sign = direction if self._signs and direction else 1
        until = None if step.until_current is None else sign * step.until_current
        ending: dict[str, float | None] = {"until_current_mA": _milli(until)}
        if self._rates and until is not None:
            ending = {"until_rate_C": self._passport.c_rate_from_current(until)}
        yield _without_none(
            step="constant_voltage", voltage_V=step.voltage, until_time_s=step.duration, **ending
        )

    def ramp(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse_endings(step, "until_charge")
        if not self._approximate:
            self._refuse("there is no ramp; it may become a staircase where that is allowed")
            return
        start, end = step.current or 0.0, step.current_end or 0.0
        duration, height = (step.duration or 0.0) / RAMP_STAIRS, (end - start) / RAMP_STAIRS
        self._remark(
            f"written as a staircase of {RAMP_STAIRS} currents of {duration:.4g} s; the charge is the"
            f" same, the current differs by up to {abs(height) * 500:.4g} mA"
        )
        if step.until_voltage is not None:
            self._remark("until_voltage_V ends each stair by itself, one after the other")
        for number in range(RAMP_STAIRS):
            middle = start + height * (number + 0.5)
            if math.isclose(middle, 0.0, abs_tol=abs(height) * 1e-9):
                yield _without_none(step="open_circuit_voltage", until_time_s=duration)
            else:
                yield _current(middle, duration, step.until_voltage)

    def scan(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse_endings(step, "until_charge")
        if "voltage_scan" in self._further:
            yield _without_none(
                step="voltage_scan",
                start_voltage_V=step.voltage,
                end_voltage_V=step.voltage_end,
                scan_rate_mV_per_s=_milli(step.scan_rate),
            )
            return
        if not self._approximate:
            self._refuse(
                "there is no voltage scan; it may become a staircase where that is allowed"
            )
            return
        yield from self._staircase(step)

    def _staircase(self, step: Step) -> Iterator[PlainStep]:
        start, end = step.voltage or 0.0, step.voltage_end or 0.0
        n_stairs = max(1, math.ceil(abs(end - start) / SCAN_STAIR - 1e-9))
        duration = (step.duration or 0.0) / n_stairs
        self._remark(
            f"written as a staircase of {n_stairs} voltages of {duration:.4g} s; the voltage differs"
            f" by up to {abs(end - start) / n_stairs * 500:.3g} mV"
        )
        for number in range(n_stairs):
            middle = start + (end - start) * (number + 0.5) / n_stairs
            yield _without_none(
                step="constant_voltage", voltage_V=round(middle, 6), until_time_s=duration
            )

    def impedance(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        if "impedance_spectroscopy" not in self._further:
            self._refuse("there is no impedance spectrum: take it out")
            return
        yield model.model_dump(exclude_none=True, exclude={"id"})

    def resistance(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse("there is no constant resistance: take a constant current")
        return
        yield

    def temperature(self, model: Any, step: Step, _direction: int) -> Iterator[PlainStep]:
        self._refuse("a temperature cannot be set: take it out and set it by hand")
        return
        yield


_ENDINGS = {
    "until_charge": "charge",
    "until_voltage_rate": "the rate of change of the voltage",
    "until_current_rate": "the rate of change of the current",
}
_Sayer = Callable[[_Writer, Any, Step, int], Iterator[PlainStep]]
_SAYERS: Mapping[StepType, _Sayer] = {
    StepType.REST: _Writer.rest,
    StepType.CONSTANT_CURRENT: _Writer.current,
    StepType.CONSTANT_VOLTAGE: _Writer.voltage,
    StepType.CONSTANT_RESISTANCE: _Writer.resistance,
    StepType.CURRENT_RAMP: _Writer.ramp,
    StepType.VOLTAGE_SCAN: _Writer.scan,
    StepType.IMPEDANCE: _Writer.impedance,
    StepType.TEMPERATURE: _Writer.temperature,
}


def _repeated(steps: Sequence[PlainStep], block: Block, name: str) -> list[PlainStep]:
    """A block that runs more than once, as a loop of its own."""
    if block.count == 1 or not steps:
        return list(steps)
    return [{"step": "tag", "tag": name}, *steps, _loop(name, block.count)]


def _current(current: float, duration: float | None, until_voltage: float | None) -> PlainStep:
    return _without_none(
        step="constant_current",
        current_mA=_milli(current),
        until_time_s=duration,
        until_voltage_V=until_voltage,
    )


def _milli(value: float | None) -> float | None:
    return None if value is None else value * 1e3


def _without_none(**fields: Any) -> PlainStep:
    """Fields that say something, numbers without the dust of a conversion."""
    return {
        name: float(f"{value:.12g}") if isinstance(value, float) else value
        for name, value in fields.items()
        if value is not None
    }
