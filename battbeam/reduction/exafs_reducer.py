"""This file is where a normalized spectrum is asked for its neighbours, by options that a start
document can hold.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.exafs import (
    K_STEP,
    ExafsOptions,
    chi_of_k,
    chi_of_r,
    peaks_of_r,
    r_step,
)
from battbeam.reduction.exafs_fit import Shell, ShellFit, fit_shells
from battbeam.reduction.xanes_result import XanesResult
from battbeam.scattering_paths import AMPLITUDE_REDUCTION, read_feff, scattering_path
from battbeam.units import FloatArray

#: Neighbours nearer than this are oxygen, those farther metal, in oxides of 3d metals, angstrom; of
#: a peak of chi(R), which lies below its distance.
OXYGEN_BELOW = 1.9


@dataclass(frozen=True)
class ExafsRequest:
    """What is asked of the EXAFS of one edge.

    Attributes:
        options: Of chi(k) and chi(R).
        shells: To be fitted, where the fit begins; none: chi alone.
        r_range: Of the fit, angstrom.
        r_max: To which chi(R) is kept, angstrom.
        amplitude: Passive electron reduction factor.
        edge_energy: From which k counts, eV; None: the spectrum's own edge position.
    """

    options: ExafsOptions = field(default_factory=ExafsOptions)
    shells: tuple[Shell, ...] = ()
    r_range: tuple[float, float] = (1.0, 3.0)
    r_max: float = 6.0
    amplitude: float = AMPLITUDE_REDUCTION
    edge_energy: float | None = None

    @classmethod
    def read(cls, document: Mapping[str, Any], element: str) -> "ExafsRequest":
        """From what a start document says under ``exafs``.

        A shell is ``neighbour`` (an element with a synthetic path) or ``path`` (a feffNNNN.dat),
        and the other names of `Shell`.

        Args:
            document: Options of `ExafsOptions` and of this class.
            element: Absorbing.

        Raises:
            ReductionError: If something is not known, or a path cannot be read.
        """
        asked = dict(document)
        shells = tuple(_shell(each, element) for each in asked.pop("shells", ()))
        of_chi = {each.name for each in fields(ExafsOptions)}
        own = {"r_range", "r_max", "amplitude", "edge_energy"}
        if unknown := set(asked) - of_chi - own:
            raise ReductionError(
                f"exafs knows no {', '.join(sorted(unknown))}; known: shells, "
                f"{', '.join(sorted(of_chi | own))}"
            )
        chosen = {name: _pair(value) for name, value in asked.items() if name in of_chi}
        more = {name: _pair(value) for name, value in asked.items() if name in own}
        return cls(options=ExafsOptions(**chosen), shells=shells, **more)

    @property
    def k(self) -> FloatArray:
        """On which chi is handed out, 1/angstrom."""
        return np.asarray(np.arange(0.0, self.options.k_range[1] + K_STEP / 2, K_STEP), dtype=float)

    @property
    def r(self) -> FloatArray:
        """On which chi(R) is handed out, angstrom."""
        return np.asarray(np.arange(int(self.r_max / r_step()) + 1) * r_step(), dtype=float)


@dataclass(frozen=True)
class ExafsResult:
    """EXAFS of one spectrum.

    Attributes:
        chi: On the request's k, shape (n_k,).
        chi_r: Magnitude of the transform on the request's R, shape (n_r,).
        peaks: (R, height) of its maxima, not corrected for the phase, highest first.
        fit: Of the shells; None where none were asked for.
    """

    chi: FloatArray
    chi_r: FloatArray
    peaks: tuple[tuple[float, float], ...]
    fit: ShellFit | None

    def peak_of(self, kind: str) -> float:
        """R of the highest peak of ``oxygen`` or ``metal``, by its distance; NaN without one."""
        for where, _ in self.peaks:
            if (where < OXYGEN_BELOW) == (kind == "oxygen"):
                return where
        return float("nan")


def exafs_of(result: XanesResult, request: ExafsRequest) -> ExafsResult:
    """The EXAFS of a reduced spectrum.

    Raises:
        ReductionError: If it has none, or ends too early.
    """
    good = np.isfinite(result.normalized_absorbance) & np.isfinite(result.energy)
    if not result.valid or good.sum() < 20:
        raise ReductionError(f"no EXAFS: {result.reason or 'too few points'}")
    edge = result.edge_position if request.edge_energy is None else request.edge_energy
    found = chi_of_k(
        result.energy[good],
        result.normalized_absorbance[good],
        edge_energy=edge,
        edge_step=1.0,
        error=result.normalized_absorbance_error[good],
        options=request.options,
    )
    r, transformed = chi_of_r(found, request.options, r_max=request.r_max)
    fit = None
    if request.shells:
        fit = fit_shells(
            found,
            request.shells,
            r_range=request.r_range,
            options=request.options,
            amplitude=request.amplitude,
        )
    peaks = sorted(peaks_of_r(r, transformed), key=lambda peak: -peak[1])
    chi = np.interp(request.k, found.k, found.chi, right=np.nan)
    return ExafsResult(chi, np.abs(transformed), tuple(peaks), fit)


def _shell(document: Mapping[str, Any], element: str) -> Shell:
    values = dict(document)
    file, neighbour = values.pop("path", None), values.pop("neighbour", None)
    if (file is None) == (neighbour is None):
        raise ReductionError("a shell needs a neighbour, or the path of a feffNNNN.dat, not both")
    try:
        path = scattering_path(element, neighbour) if file is None else read_feff(Path(file))
        return Shell(path=path, **{name: _pair(value) for name, value in values.items()})
    except (OSError, TypeError, ValueError) as fault:
        raise ReductionError(f"shell {neighbour or file}: {fault}") from fault


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def parameters_of(request: ExafsRequest) -> dict[str, Any]:
    """What decides on the result, JSON-ready."""
    shells = [
        {
            "neighbour": shell.path.neighbour,
            "source": shell.path.source,
            "number": shell.number,
            "distance": shell.distance,
            "sigma_squared": shell.sigma_squared,
            "fixed": list(shell.fixed),
            "name": shell.label,
        }
        for shell in request.shells
    ]
    plain = {each.name: getattr(request, each.name) for each in fields(request)}
    return plain | {"options": asdict(request.options), "shells": shells}
