"""This file is where the wiggles behind an edge become chi(k) and chi(R).

k is the photoelectron wavenumber in 1/angstrom from the edge energy on, R in angstrom and not
corrected for the phase of scattering: a peak lies 0.2 to 0.6 angstrom below its distance.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.interpolate import CubicSpline, make_interp_spline

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

#: (2 m / hbar^2) in 1/(angstrom^2 eV), CODATA.
WAVENUMBER_SQUARED = 0.26246842
#: Of the grids: step of k, 1/angstrom, and points of the transform, as the field has them; they
#: give steps of 0.0307 angstrom in R.
K_STEP, N_TRANSFORM = 0.05, 2048
#: Points at the end of chi that a clamp holds near 0 while the background is fitted, and the weight
#: of a clamp of 1: a part that stays, and one that grows with what is left. As AUTOBK has it.
_N_CLAMP, _CLAMP, _CLAMP_GROWTH = 3, 0.1, 10.0

Window = Literal["hanning", "kaiser"]


@dataclass(frozen=True)
class ExafsOptions:
    """How EXAFS is taken from a spectrum.

    Attributes:
        shortest: No neighbour is nearer than this, angstrom: what varies more slowly in k is
            background (R_bkg).
        background_weight: Power of k with which the background is fitted. With 1, which is
            AUTOBK's default, the tail of a white line bends it by enough to shift a second shell by
            0.006 angstrom; with 3 by 0.0003 (measured on synthetic spectra of two shells).
        clamp: How hard the end of chi is held near 0; nothing else holds a spline there.
        k_range: Over which chi is transformed, 1/angstrom.
        k_weight: Power of k in the transform.
        sill: Width over which the window rises and falls, 1/angstrom.
        window: Its shape.
        step_decay: Power of the energy by which the edge step falls behind the edge: 8/3 for a K
            edge (B. Lengeler and P. Eisenberger, Phys. Rev. B 21 (1980) 4507). With 0, which is
            AUTOBK's, the Mn K edge has 20 % less of chi at 12 1/angstrom, which a fit takes for
            8e-4 angstrom^2 of disorder.
    """

    shortest: float = 1.0
    background_weight: float = 3.0
    clamp: float = 1.0
    k_range: tuple[float, float] = (3.0, 12.0)
    k_weight: float = 2.0
    sill: float = 1.0
    window: Window = "hanning"
    step_decay: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.k_range
        if not 0 <= low < high:
            raise ReductionError(f"k_range must ascend from 0 or above, got {low:g} to {high:g}")
        if not (self.shortest > 0 and self.sill >= 0 and self.clamp >= 0):
            raise ReductionError(
                f"shortest must be above 0 angstrom, sill and clamp not negative, got "
                f"{self.shortest:g}, {self.sill:g} and {self.clamp:g}"
            )


@dataclass(frozen=True)
class Chi:
    """EXAFS on an even grid of k.

    Attributes:
        k: 1/angstrom from 0 on in steps of `K_STEP`, shape (n,).
        chi: Over the edge step, shape (n,).
        error: Of it from counting, shape (n,); NaN where not known.
        background: At the energies behind the edge, shape (m,), for a picture.
        energy: Those energies, eV.
    """

    k: FloatArray
    chi: FloatArray
    error: FloatArray
    background: FloatArray
    energy: FloatArray


def wavenumber(energy: FloatArray, edge_energy: float) -> FloatArray:
    """Of the photoelectron, 1/angstrom; 0 below the edge.

    >>> wavenumber(np.array([8333.0, 8333.0 + 381.0]), 8333.0).round(2)
    array([ 0., 10.])
    """
    above = np.maximum(np.asarray(energy, dtype=float) - edge_energy, 0.0)
    return np.asarray(np.sqrt(WAVENUMBER_SQUARED * above))


def chi_of_k(
    energy: FloatArray,
    absorbance: FloatArray,
    *,
    edge_energy: float,
    edge_step: float,
    error: FloatArray | None = None,
    options: ExafsOptions | None = None,
) -> Chi:
    """EXAFS of a spectrum: what is left of it above a smooth background.

    Args:
        energy: eV, ascending, shape (n,); through the edge.
        absorbance: Shape (n,).
        edge_energy: From which k counts, eV.
        edge_step: Of the absorbance.
        error: Of the absorbance, shape (n,).
        options: `ExafsOptions`.

    Raises:
        ReductionError: If the spectrum does not reach behind the range of k that is wanted.

    Source:
        M. Newville et al., Phys. Rev. B 47 (1993) 14126 (AUTOBK): a spline in k with as many knots
        as the range of R below R_bkg has independent points, fitted so that the transform there is
        smallest. The problem is linear and is solved as such.
    """
    chosen = options or ExafsOptions()
    behind = np.asarray(energy) >= edge_energy
    raw = wavenumber(np.asarray(energy)[behind], edge_energy)
    high = float(raw[-1]) if raw.size else 0.0
    if raw.size < 20 or high < chosen.k_range[1] - chosen.sill:
        raise ReductionError(
            f"the spectrum ends at k = {high:.2f} 1/angstrom with {raw.size} points behind the "
            f"edge; the transform wants {chosen.k_range[1]:g} 1/angstrom"
        )
    values = np.asarray(absorbance, dtype=float)[behind]
    k = np.asarray(np.arange(int(high / K_STEP + 1e-6) + 1) * K_STEP, dtype=float)
    basis = _spline_basis(raw, high, chosen)
    fitted = _fitted(raw, values, basis, k, edge_step, chosen)
    background = basis @ fitted
    step = edge_step * (np.asarray(energy)[behind] / edge_energy) ** -chosen.step_decay
    found = make_interp_spline(raw, (values - background) / step)(k)
    errors = np.full(len(k), np.nan)
    if error is not None:
        spacing = np.interp(k, raw, np.gradient(raw))
        # A value on the grid is a mean over the raw points nearest to it, where these are denser.
        dense = np.sqrt(np.minimum(spacing / K_STEP, 1.0))
        errors = np.interp(k, raw, np.asarray(error)[behind] / np.abs(step)) * dense
    return Chi(k, np.asarray(found), errors, background, np.asarray(energy)[behind])


def _spline_basis(raw: FloatArray, high: float, options: ExafsOptions) -> AnyArray:
    """Cubic splines in k that are 1 at one knot and 0 at the others, shape (n, n_knots)."""
    n_knots = max(5, 1 + int(2 * options.shortest * high / np.pi))
    wanted = np.linspace(0.0, high, n_knots)
    knots = raw[[int(np.argmin(np.abs(raw - each))) for each in wanted]]
    return np.asarray(CubicSpline(knots, np.eye(n_knots))(raw))


def _fitted(
    raw: FloatArray,
    values: FloatArray,
    basis: AnyArray,
    k: FloatArray,
    edge_step: float,
    options: ExafsOptions,
) -> FloatArray:
    """Values of the spline at its knots."""
    on_grid = make_interp_spline(raw, np.column_stack([values, basis]))(k) / edge_step
    weight = k**options.background_weight * window(k, (0.0, float(k[-1])), sill=0.1)
    # As many values of the transform as the knots can follow.
    n_low = int(1 + (basis.shape[1] - 1) * np.pi / (2 * r_step() * float(raw[-1])))
    low = transform_matrix(k, n_low) @ (on_grid * weight[:, None])
    low = np.vstack([low.real, low.imag])
    ends, clamp = on_grid[-_N_CLAMP:], options.clamp * _CLAMP
    for _ in range(3):
        rows = np.vstack([low, clamp * ends])
        solved, *_ = np.linalg.lstsq(rows[:, 1:], rows[:, 0], rcond=None)
        left = low[:, 0] - low[:, 1:] @ solved
        clamp = options.clamp * (_CLAMP + _CLAMP_GROWTH * float(np.mean(left**2)))
    return np.asarray(solved)


def r_step() -> float:
    """Of the transform, angstrom."""
    return float(np.pi / (K_STEP * N_TRANSFORM))


def transform_matrix(k: FloatArray, n_r: int) -> AnyArray:
    """The transform to the first ``n_r`` values of R, for chi times weight and window, shape
    (n_r, n).
    """
    r = np.arange(n_r) * r_step()
    return np.asarray(K_STEP / np.sqrt(np.pi) * np.exp(-2j * np.outer(r, k)))


def window(
    k: FloatArray, limits: tuple[float, float], *, sill: float, shape: Window = "hanning"
) -> FloatArray:
    """Of a transform: 1 inside, 0 outside, smooth over the sills that are centred on the limits.

    >>> window(np.array([2.0, 3.0, 7.0, 12.0, 13.0]), (3.0, 12.0), sill=1.0).round(2)
    array([0. , 0.5, 1. , 0.5, 0. ])
    """
    low, high = limits
    if shape == "kaiser":
        place = (2 * k - low - high) / max(high - low + sill, 1e-9)
        inside = np.clip(1 - place**2, 0, None)
        rise: FloatArray = (np.i0(sill * np.sqrt(inside)) - 1) / (np.i0(sill) - 1)
        return rise
    if sill <= 0:
        return np.asarray((k >= low) & (k <= high), dtype=float)
    up = np.clip((k - low) / sill + 0.5, 0, 1)
    down = np.clip((high - k) / sill + 0.5, 0, 1)
    return np.asarray(np.sin(np.pi / 2 * up) ** 2 * np.sin(np.pi / 2 * down) ** 2)


def chi_of_r(
    found: Chi, options: ExafsOptions | None = None, *, r_max: float = 10.0
) -> tuple[FloatArray, AnyArray]:
    """R in angstrom, shape (n,), and the complex chi(R), 1/angstrom^(k_weight + 1).

    Source:
        chi(R) = dk / sqrt(pi) sum of k^w W(k) chi(k) exp(-2 i k R), the sign as FFT has it.
    """
    chosen = options or ExafsOptions()
    shaped = window(found.k, chosen.k_range, sill=chosen.sill, shape=chosen.window)
    n_r = int(r_max / r_step()) + 1
    matrix = transform_matrix(found.k, n_r)
    r = np.asarray(np.arange(n_r) * r_step(), dtype=float)
    return r, matrix @ (found.chi * found.k**chosen.k_weight * shaped)


def peaks_of_r(
    r: FloatArray, chi_r: AnyArray, *, limits: tuple[float, float] = (1.0, 4.0), least: float = 0.1
) -> list[tuple[float, float]]:
    """(R, height) of the maxima of the magnitude within limits, by a parabola through three points.

    Args:
        r: angstrom, even.
        chi_r: Complex.
        limits: angstrom.
        least: Share of the highest below which a maximum is none.
    """
    magnitude = np.abs(chi_r)
    inside = (r >= limits[0]) & (r <= limits[1])
    highest = float(magnitude[inside].max()) if inside.any() else 0.0
    found = []
    for i in np.flatnonzero(inside):
        if not 0 < i < len(r) - 1:
            continue
        before, here, after = magnitude[i - 1 : i + 2]
        if here > before and here >= after and here >= least * highest:
            shift = 0.5 * (before - after) / (before - 2 * here + after)
            height = here - 0.25 * (before - after) * shift
            found.append((float(r[i] + shift * (r[1] - r[0])), float(height)))
    return found
