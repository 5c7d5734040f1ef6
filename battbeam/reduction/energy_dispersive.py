"""This file is where spectra of a white beam, taken at one fixed angle, become lattice spacings of a layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.edxrd_calibration import EdxrdCalibration, counting_errors
from battbeam.reduction.peak_fit import fit_peaks
from battbeam.reduction.reflections import free_edges_of, reflections_of
from battbeam.reduction.stages import STAGES, Line, StageModel
from battbeam.units import AnyArray, FloatArray

# How far about the stages' lines others are looked for, angstrom, and the weakest beside theirs.
_ABOUT, _WEAKEST_COMPANION = 0.25, 1e-3
# Share of the time that the analyser may be busy before it is said.
_MOST_BUSY = 0.3


@dataclass(frozen=True)
class EdxrdResult:
    """What one spectrum of a layer says; errors are one standard deviation.

    Attributes:
        valid: Whether the numbers may be used.
        reason: Why not.
        d: Spacing of each line by name, angstrom, and its error: that of the prior where the line is
            too weak to show it.
        area: Counts of each line a s of live time, and its error.
        lithium_content_counter: Mean over the graphite seen, lithium per six carbon; NaN without.
        lithium_content_counter_error: Of it.
        dead_time: Share of the time in which the analyser was busy.
        energy_scale: eV a channel, if the angle is as guessed.
        residual: Reduced chi squared of the stages' lines; NaN without.
        counts: In the spectrum.
        flags: What to know of it.
    """

    valid: bool
    reason: str
    d: Mapping[str, tuple[float, float]]
    area: Mapping[str, tuple[float, float]]
    lithium_content_counter: float
    lithium_content_counter_error: float
    dead_time: float
    energy_scale: float
    residual: float
    counts: float
    flags: tuple[str, ...] = ()


class EdxrdReducer:
    """Reduces spectra of layers; made once, used for every spectrum.

    Args:
        calibration: See `EdxrdCalibration.fit`.
        lines: Single lines of other phases that lie apart, such as a cathode's 003.
        stages: Whether the stages of graphite are fitted.
        flux: Photons of the white beam, times the detector's efficiency, and what passes the cell,
            relative, at energies in eV; None: the same at all.
    """

    def __init__(
        self,
        calibration: EdxrdCalibration,
        *,
        lines: Sequence[Line] = (),
        stages: bool = True,
        flux: Callable[[float], float] | None = None,
    ) -> None:
        self.calibration = calibration
        self._lines = tuple(lines)
        self._stages: StageModel | None = None
        if stages:
            strength = [line_strength(line, calibration, flux=flux) for line in STAGES]
            companions = [companions_of(line, calibration, flux=flux) for line in STAGES]
            self._stages = StageModel(
                calibration.channel, calibration.full_width, strength, companions
            )

    def reduce(self, counts: AnyArray, *, real_time: float, live_time: float) -> EdxrdResult:
        """Spacings, areas and lithium of one spectrum.

        Args:
            counts: Of each channel, shape (n,).
            real_time: s.
            live_time: s in which the analyser was free.

        Raises:
            ReductionError: If the times make no sense.
        """
        if not 0 < live_time <= real_time:
            raise ReductionError(f"live time {live_time} s of {real_time} s makes no sense")
        values = np.asarray(counts, dtype=float)
        busy = 1 - live_time / real_time
        flags = (f"analyser busy {100 * busy:.0f} % of the time",) if busy > _MOST_BUSY else ()
        spacing: dict[str, tuple[float, float]] = {}
        area: dict[str, tuple[float, float]] = {}
        content, residual, reason = (np.nan, np.nan), float("nan"), ""
        try:
            for line in self._lines:
                spacing[line.name], area[line.name] = self._single(values, line, live_time)
            if self._stages is not None:
                fit = self._stages.fit(values)
                for line, at, light in zip(STAGES, fit.channel, fit.area, strict=True):
                    d = float(self.calibration.spacing(at[0]))
                    spacing[line.name] = (d, self.calibration.spacing_error(*at))
                    area[line.name] = (light[0] / live_time, light[1] / live_time)
                content, residual = (
                    self._stages.content(fit, self.calibration.spacing),
                    fit.residual,
                )
        except ReductionError as fault:
            reason = str(fault)
        return EdxrdResult(
            valid=not reason,
            reason=reason,
            d=spacing,
            area=area,
            lithium_content_counter=float(content[0]),
            lithium_content_counter_error=float(content[1]),
            dead_time=busy,
            energy_scale=self.calibration.energy_scale,
            residual=residual,
            counts=float(values.sum()),
            flags=flags,
        )

    def _single(
        self, values: FloatArray, line: Line, live_time: float
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        at = self.calibration.channel(line.spacing)
        found = fit_peaks(
            np.arange(len(values), dtype=float),
            values,
            counting_errors(values),
            positions=np.array([float(at)]),
            full_width=self.calibration.full_width(at),
            widths="fixed",
            reach=3.0,
        )
        place, error = float(found.position[0, 0]), float(found.position_error[0, 0])
        spacing = (np.nan, np.nan)
        if np.isfinite(place):
            d = float(self.calibration.spacing(place))
            spacing = (d, self.calibration.spacing_error(place, error))
        light = float(found.area[0, 0]), float(found.area_error[0, 0])
        return spacing, (light[0] / live_time, light[1] / live_time)


def line_strength(
    line: Line, calibration: EdxrdCalibration, *, flux: Callable[[float], float] | None = None
) -> Callable[[float], float]:
    """Counts of a line per mole of formula units, relative to others of the same spectrum, at a spacing.

    Source:
        `Reflections.strength` of one energy, integrated over the energies of a line at one angle:
        d lambda = d cos(theta) d(2 theta), and a flux per eV is E^2 / (h c) per angstrom.
    """
    energy = calibration.energy(line.spacing)
    lines = reflections_of(line.phase, energy=energy, two_theta_max=calibration.two_theta + 2)
    index = lines.index_of(line.hkl)
    if index is None:
        raise ReductionError(f"{line.phase} has no reflection {line.hkl}")
    edges = free_edges_of(lines.structure)
    strength = float(lines.strength(edges, None)[0][index])
    half = np.radians(calibration.two_theta) / 2
    whole = strength * line.spacing * float(np.cos(half)) * energy**2

    def at(spacing: float) -> float:
        # d^2 over the volume of the cell, which widens with its layers.
        passed = 1.0 if flux is None else flux(calibration.energy(spacing))
        return whole * spacing / line.spacing * passed

    return at


def companions_of(
    line: Line, calibration: EdxrdCalibration, *, flux: Callable[[float], float] | None = None
) -> tuple[tuple[float, float], ...]:
    """Other lines of a phase about those of `STAGES`, each as (spacing, counts over those of ``line``).

    In-plane order of the full stages, 100 of LiC6 and of LiC12, is weak and lies within a width of 001 of
    LiC6: left out, it shifts that by 0.0006 angstrom and the lithium content by 0.003.
    """
    spacings = [each.spacing for each in STAGES]
    low, high = min(spacings) - _ABOUT, max(spacings) + _ABOUT
    energy, own = calibration.energy(low), line_strength(line, calibration, flux=flux)(line.spacing)
    lines = reflections_of(line.phase, energy=energy, two_theta_max=calibration.two_theta + 0.1)
    edges, found = free_edges_of(lines.structure), []
    for index, d in enumerate(1 / np.sqrt(lines.metric @ (1 / edges**2))):
        name = lines.name_of(index)
        if low < d < high and index != lines.index_of(line.hkl):
            other = Line(name, line.phase, name, float(d), 0.0)
            share = line_strength(other, calibration, flux=flux)(float(d)) / own
            if share > _WEAKEST_COMPANION:
                found.append((float(d), float(share)))
    return tuple(found)
