"""This file is where diffraction frames are reduced while their run goes on, or afterwards."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from battbeam.callbacks.channels import Channels
from battbeam.callbacks.frame_checks import FrameChecks, Looked
from battbeam.callbacks.live_frames import LiveFrames
from battbeam.callbacks.live_run import Document, reduced
from battbeam.callbacks.raw_frame import RawFrame
from battbeam.callbacks.raw_run import RawRun
from battbeam.callbacks.reduced_run import Publish
from battbeam.callbacks.reducers import CellLogs, MakeReducer, Reducers
from battbeam.callbacks.xrd_request import Choices, XrdRequest
from battbeam.callbacks.xrd_row import FrameContext, RowSchema
from battbeam.errors import ReductionError
from battbeam.experiment.cell_log import CellLog
from battbeam.materials import structure
from battbeam.reduction.xrd import XrdResult
from battbeam.units import AnyArray, q_from_two_theta

#: Share of saturated pixels from which on a frame is not used: hot pixels are fewer, a saturated
#: line is more. Chosen here.
SATURATED = 1e-4
#: Key of the sample's temperature in events, and the longest that it goes on unseen, s: a furnace that
#: is heated at 5 K/min goes 5 K.
FURNACE, FURNACE_PERIOD = "furnace", 60.0
# Errors from which on references contradict what is known of them.
_SURE = 4.0


class LiveXrd(LiveFrames):
    """Reduces the diffraction frames of one run and publishes a reduced run, a row a frame.

    Args:
        publish: Takes the documents of the reduced run.
        choices: How it departs from what the start document asks.
        make_reducer: Of a request; give the same to several runs, and it is made once.
        cell_logs: Of the guards; likewise.
    """

    method: ClassVar[str] = "xrd"
    _request: XrdRequest

    def __init__(
        self,
        publish: Publish,
        *,
        choices: Choices | None = None,
        make_reducer: MakeReducer | None = None,
        cell_logs: Callable[[Path], CellLog] | None = None,
    ) -> None:
        super().__init__(publish, cell_logs=cell_logs)
        self._choices = choices
        self._make_reducer = make_reducer or Reducers()
        self._monitor = math.nan
        self._channels = Channels(FURNACE)
        self._known: dict[int, int] = {}

    def _open(self, start: Document) -> Mapping[str, Any]:
        self._raw = RawRun(start)
        self._request = XrdRequest.of_start(start, self._choices)
        return self._request.parameters

    def _take(self, name: str, doc: Document) -> Sequence[RawFrame]:
        self._channels(name, doc)
        frames = super()._take(name, doc)
        # What was said until then and no more, or rows that wait would differ from those that do not.
        self._known |= {id(frame): len(self._channels) for frame in frames}
        return frames

    def _reduce(self, item: RawFrame) -> None:
        context = self._raw.context(item, minimum_i0=self._request.minimum_i0)
        if not self._run.is_described:
            self._describe()
        if self._fault:
            return
        faults = list(context.faults)
        pixels = None if item.file is None else item.file.frame(item.index)
        result, checked, said = None, self._checks.nothing, list[str]()
        if pixels is None:
            faults.append("frame missing")
        else:
            try:
                looked = self._looked(pixels, context)
                checked, said = looked.values, list(looked.flags)
                if not faults:
                    result = self._result(looked.frame, context)
                    said += self._checks.said_of(result)
            except ReductionError as fault:
                faults.append(str(fault))
        if result is not None and result.n_saturated > SATURATED * math.prod(self._raw.shape):
            faults.append(f"{result.n_saturated} pixels saturated")
        row = self._schema.row(
            replace(context, faults=tuple(faults)),
            self._cell.during(context.time_start, context.time_end),
            result,
            transmission=self._transmission(context),
            state_at_start=self._request.choices.state_of_charge_at == "start",
            dark_age=self._dark_age(context),
            temperature=self._temperature(item, context),
            flags=[*self._flags(context, result), *said],
            checked=checked,
        )
        self._run.add(self._raw.event_time(item, context), row)

    def _describe(self) -> None:
        try:
            self._reducer = self._make_reducer(self._request, self._raw.shape)
            self._dark = self._request.read_dark()
            self._checks = self._make_checks()
        except (ReductionError, OSError) as fault:
            self._fail(fault)
            return
        two_theta = self._reducer.two_theta
        self._schema = RowSchema(
            self._request.phases,
            reflections=self._request.options.reflections,
            n_bins=len(two_theta),
            positions=self._raw.position_units,
            free=self._reducer.free_reflections,
            end_members=tuple(self._request.options.references),
            full_areal_capacity=self._request.full_areal_capacity,
            checks=self._checks.columns,
        )
        axes: dict[str, tuple[Any, str]] = {"two_theta": (two_theta.tolist(), "degree")}
        energy = self._request.energy
        if energy is not None:
            q = q_from_two_theta(two_theta=two_theta, energy=energy)
            axes["q"] = (q.tolist(), "1/angstrom")
        self._run.describe(self._schema.data_keys(), axes)

    def _make_checks(self) -> FrameChecks:
        asked = self._request
        return FrameChecks(
            asked.checks,
            geometry=asked.geometry,
            instrument=asked.instrument,
            phases=asked.phases,
            shape=self._raw.shape,
            energy=asked.energy,
            mask=asked.read_mask(),
            saturation=asked.options.saturation,
        )

    def _looked(self, pixels: AnyArray, context: FrameContext) -> Looked:
        start, exposure = context.time_start, context.exposure
        return self._checks.look(pixels, start=start, exposure=exposure, dark=self._dark)

    def _result(self, pixels: AnyArray, context: FrameContext) -> XrdResult:
        monitor = context.i0 - self._raw.dark_i0(context.exposure)
        if not self._request.choices.normalise:
            self._monitor = monitor if math.isnan(self._monitor) else self._monitor
            monitor = self._monitor
        transmission = self._transmission(context)
        return self._reducer.reduce(
            pixels,
            monitor=monitor,
            transmission=None if math.isnan(transmission) else transmission,
            exposure=context.exposure,
            dark=self._dark,
        )

    def _temperature(self, item: RawFrame, context: FrameContext) -> float:
        """Of the sample in the middle of the exposure, by what the furnace said before and after."""
        known = self._known.pop(id(item), None)
        return self._channels.at(FURNACE, context.time, period=FURNACE_PERIOD, first=known)

    def _dark_age(self, context: FrameContext) -> float:
        return math.nan if self._dark is None else context.time - self._dark.time

    def _flags(self, context: FrameContext, result: XrdResult | None) -> Sequence[str]:
        """What to know of a frame that may be used all the same."""
        flags, age = [], abs(self._dark_age(context))
        if age > self._request.options.dark_max_age:
            flags.append(f"dark is {age / 3600:.1f} h away")
        if result is not None:
            strain, error = result.reference_strain, result.reference_strain_error
            if abs(strain) > _SURE * math.hypot(error, self._request.options.reference_error):
                flags.append(
                    f"references off by {100 * strain:+.3f} %: wavelength or geometry is not as said"
                )
            flags += self._out_of_place(result)
            flags += [
                f"{name}: fatigued grains not resolved"
                for name, phase in result.phases.items()
                if phase.fatigued is not None and math.isnan(phase.fatigued.fraction)
            ]
        return flags

    def _out_of_place(self, result: XrdResult) -> Sequence[str]:
        """Whether a cell that is thought to stand where the standard stood does not."""
        name = self._request.witness
        if name is None or name not in result.phases:
            return []
        known, found = structure(name).lattice.a, result.phases[name]
        strain, error = found.lattice["a"] / known - 1, found.lattice_error["a"] / known
        if abs(strain) <= _SURE * math.hypot(error, self._request.options.reference_error):
            return []
        return [
            f"{name} on the electrode is off by {100 * strain:+.3f} %: the cell stands elsewhere than the "
            "standard did, the energy is another, or a phase that is not listed has a line beneath; ask for "
            "`displacement` if it is the first"
        ]


def reduce_run(
    documents: Iterable[tuple[str, Mapping[str, Any]]],
    guard_log: Path | None = None,
    *,
    choices: Choices | None = None,
    make_reducer: MakeReducer | None = None,
) -> list[tuple[str, dict[str, Any]]]:
    """Reduce a recorded run; the same documents as it gave live, to the bit.

    Args:
        documents: Of the raw run, in the order in which it wrote them.
        guard_log: In place of the one that its start document names.
        choices: Departures from what the start document asks; they give the result another uid.
        make_reducer: Of a request.

    Returns:
        The documents of the reduced run.
    """
    logs = CellLogs()
    return reduced(
        lambda publish: LiveXrd(
            publish,
            choices=choices,
            make_reducer=make_reducer,
            cell_logs=lambda path: logs(guard_log or path),
        ),
        documents,
    )
