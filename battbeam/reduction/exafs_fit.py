"""This file is where distances, numbers and disorder of neighbours are fitted to chi(R)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from battbeam.errors import ReductionError
from battbeam.reduction.exafs import (
    WAVENUMBER_SQUARED,
    Chi,
    ExafsOptions,
    r_step,
    transform_matrix,
    window,
)
from battbeam.scattering_paths import AMPLITUDE_REDUCTION, ScatteringPath
from battbeam.units import AnyArray, FloatArray

#: Where no neighbour is left to see, angstrom: noise of the transform is taken there where counting
#: errors are not known.
NOISE_RANGE = (15.0, 25.0)
#: Parameters of a shell, in the order of the fit, with scales that bring them near 1.
_SCALES = {"number": 1.0, "distance": 0.1, "sigma_squared": 0.001}
_OFFSET_SCALE = 1.0


@dataclass(frozen=True)
class Shell:
    """Neighbours at one distance; what is not fixed is where the fit begins.

    Attributes:
        path: How they scatter.
        number: Of them.
        distance: angstrom.
        sigma_squared: Variance of the distance, angstrom^2.
        fixed: Names of what is not fitted: ``number``, ``distance``, ``sigma_squared``.
        name: Of the shell; the neighbour's element by default.
    """

    path: ScatteringPath
    number: float
    distance: float
    sigma_squared: float = 0.005
    fixed: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.fixed) - set(_SCALES):
            raise ReductionError(
                f"a shell has no {', '.join(sorted(unknown))} to fix; it has {', '.join(_SCALES)}"
            )
        if not (self.number > 0 and self.distance > 0):
            raise ReductionError(
                f"a shell needs a number and a distance above 0, got {self.number:g} and "
                f"{self.distance:g} angstrom"
            )

    @property
    def label(self) -> str:
        """Its name, or the neighbour's element."""
        return self.name or self.path.neighbour


@dataclass(frozen=True)
class ShellFit:
    """What was fitted; errors are one standard deviation, NaN of what was fixed.

    Attributes:
        values: Of each shell by its name: ``number``, ``distance`` (angstrom), ``sigma_squared``
            (angstrom^2).
        errors: Likewise.
        energy_offset: Edge energy of the paths minus that of chi, eV.
        energy_offset_error: eV.
        r_factor: Sum of squared misfits over that of the values, 1.
        reduced_chi_squared: Of the independent points.
        n_independent: Points that the two ranges leave independent.
        model: chi(R), complex, where it was fitted.
        r: angstrom.
    """

    values: Mapping[str, Mapping[str, float]]
    errors: Mapping[str, Mapping[str, float]]
    energy_offset: float
    energy_offset_error: float
    r_factor: float
    reduced_chi_squared: float
    n_independent: float
    model: AnyArray = field(repr=False)
    r: FloatArray = field(repr=False)


def shell_chi(
    k: FloatArray, shells: Sequence[Shell], *, energy_offset: float = 0.0, amplitude: float
) -> FloatArray:
    """chi(k) of shells.

    Args:
        k: 1/angstrom, above 0, shape (n,).
        shells: Whose numbers are taken as they stand.
        energy_offset: Edge energy of the paths minus that of k, eV.
        amplitude: Passive electron reduction factor.

    Source:
        The EXAFS equation in single scattering: E. A. Stern, D. E. Sayers, F. W. Lytle,
        Phys. Rev. B 11 (1975) 4836.
    """
    squared = k**2 - WAVENUMBER_SQUARED * energy_offset
    electron = np.sqrt(np.clip(squared, 1e-6, None))
    total = np.zeros_like(electron)
    for shell in shells:
        path, distance = shell.path, shell.distance
        strength = np.interp(electron, path.k, path.amplitude)
        phase = np.interp(electron, path.k, path.phase)
        free = np.interp(electron, path.k, path.mean_free_path)
        damping = np.exp(-2 * electron**2 * shell.sigma_squared - 2 * distance / free)
        wave = np.sin(2 * electron * distance + phase)
        total += shell.number * amplitude * strength / (electron * distance**2) * damping * wave
    return np.where(squared > 1e-6, total, 0.0)


def fit_shells(
    found: Chi,
    shells: Sequence[Shell],
    *,
    r_range: tuple[float, float] = (1.0, 3.0),
    options: ExafsOptions | None = None,
    amplitude: float = AMPLITUDE_REDUCTION,
    energy_offset: float | None = None,
) -> ShellFit:
    """Fit shells to chi(R) between two distances.

    Args:
        found: chi(k); with its counting errors, where they are known.
        shells: Where the fit begins.
        r_range: Of the transform, angstrom.
        options: As for the transform.
        amplitude: Passive electron reduction factor, from a standard such as the foil.
        energy_offset: eV; None is fitted.

    Raises:
        ReductionError: If more is asked than the ranges leave independent points.

    Source:
        Independent points 2 dk dR / pi + 1 and errors scaled by them: Stern, Phys. Rev. B 48 (1993)
        9825; Newville, Boyanov and Sayers, J. Synchrotron Rad. 6 (1999) 264 (noise of chi(R)).
    """
    problem = _Problem(found, shells, r_range, options or ExafsOptions(), amplitude, energy_offset)
    if problem.n_free > problem.n_independent:
        raise ReductionError(
            f"{problem.n_free} values are to be fitted, but k and R from "
            f"{problem.options.k_range} and {r_range} leave {problem.n_independent:.1f} "
            "independent points: fix some, or widen the ranges"
        )
    solved = least_squares(problem.misfit, problem.start, x_scale="jac", method="trf")
    return problem.result(solved)


class _Problem:
    """Residuals of one fit in units of the noise."""

    def __init__(
        self,
        found: Chi,
        shells: Sequence[Shell],
        r_range: tuple[float, float],
        options: ExafsOptions,
        amplitude: float,
        energy_offset: float | None,
    ) -> None:
        self.shells, self.options, self._amplitude = tuple(shells), options, amplitude
        self._offset = energy_offset
        self._free = [
            (index, name)
            for index, shell in enumerate(shells)
            for name in _SCALES
            if name not in shell.fixed
        ]
        low, high = r_range
        span = options.k_range[1] - options.k_range[0]
        self.n_independent = 2 * span * (high - low) / np.pi + 1
        self._k = np.maximum(found.k, 1e-3)
        shaped = window(found.k, options.k_range, sill=options.sill, shape=options.window)
        self._weight = shaped * found.k**options.k_weight
        first, last = round(low / r_step()), round(high / r_step())
        self._matrix = transform_matrix(found.k, last + 1)[first:]
        # Real and imaginary part one below the other: the product with chi stays one of reals.
        self._parts = np.concatenate([self._matrix.real, self._matrix.imag]) * self._weight
        self.r = np.asarray(np.arange(first, last + 1) * r_step(), dtype=float)
        self._seen_parts = self._parts @ found.chi
        self._noise = self._noise_of(found)

    @property
    def n_free(self) -> int:
        return len(self._free) + (self._offset is None)

    @property
    def start(self) -> FloatArray:
        values = [getattr(self.shells[index], name) / _SCALES[name] for index, name in self._free]
        return np.array([*values, *([0.0] if self._offset is None else [])])

    def _noise_of(self, found: Chi) -> float:
        """Standard deviation of the real, or of the imaginary, part of chi(R)."""
        used = self._weight > 0
        if np.isfinite(found.error[used]).all():
            scale = float(np.abs(self._matrix[0, 0]) * np.sqrt(0.5))
            return scale * float(np.linalg.norm(found.error[used] * self._weight[used]))
        n_r = int(NOISE_RANGE[1] / r_step())
        far = transform_matrix(found.k, n_r)[int(NOISE_RANGE[0] / r_step()) :]
        values = far @ (found.chi * self._weight)
        return float(np.sqrt(np.mean(np.abs(values) ** 2) / 2))

    def parameters(self, x: FloatArray) -> tuple[list[Shell], float]:
        changes: list[dict[str, float]] = [{} for _ in self.shells]
        for (index, name), value in zip(self._free, x, strict=False):
            changes[index][name] = float(value) * _SCALES[name]
        offset = float(x[-1]) * _OFFSET_SCALE if self._offset is None else self._offset
        return [_with(s, change) for s, change in zip(self.shells, changes, strict=True)], offset

    def model(self, x: FloatArray) -> FloatArray:
        """chi(R), real parts and then imaginary parts."""
        shells, offset = self.parameters(x)
        chi = shell_chi(self._k, shells, energy_offset=offset, amplitude=self._amplitude)
        return np.asarray(self._parts @ chi)

    def misfit(self, x: FloatArray) -> FloatArray:
        return np.asarray((self.model(x) - self._seen_parts) / self._noise)

    def result(self, solved: Any) -> ShellFit:
        n_points = len(solved.fun)
        # Neighbouring values of R are not independent: as many count as there are of those.
        chi_squared = float(solved.fun @ solved.fun) * self.n_independent / n_points
        freedom = max(self.n_independent - self.n_free, 1.0)
        covariance = np.linalg.pinv(solved.jac.T @ solved.jac) * n_points / self.n_independent
        # A misfit beyond the noise is somebody's error: it widens all.
        variance = np.clip(np.diag(covariance), 0.0, None) * max(chi_squared / freedom, 1.0)
        errors = np.sqrt(variance)
        shells, offset = self.parameters(solved.x)
        values = {
            shell.label: {name: float(getattr(shell, name)) for name in _SCALES} for shell in shells
        }
        found: dict[str, dict[str, float]] = {
            shell.label: dict.fromkeys(_SCALES, float("nan")) for shell in shells
        }
        for (index, name), error in zip(self._free, errors, strict=False):
            found[shells[index].label][name] = float(error) * _SCALES[name]
        model = self.model(solved.x)
        factor = np.sum((model - self._seen_parts) ** 2) / np.sum(self._seen_parts**2)
        return ShellFit(
            values=values,
            errors=found,
            energy_offset=offset,
            energy_offset_error=float(errors[-1]) if self._offset is None else float("nan"),
            r_factor=float(factor),
            reduced_chi_squared=chi_squared / freedom,
            n_independent=self.n_independent,
            model=model[: len(self.r)] + 1j * model[len(self.r) :],
            r=self.r,
        )


def _with(shell: Shell, change: Mapping[str, float]) -> Shell:
    return Shell(
        path=shell.path,
        number=max(change.get("number", shell.number), 1e-6),
        distance=max(change.get("distance", shell.distance), 0.1),
        sigma_squared=change.get("sigma_squared", shell.sigma_squared),
        fixed=shell.fixed,
        name=shell.name,
    )
