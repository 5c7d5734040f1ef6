"""This file is where it is said how a photoelectron scatters off a neighbour: data for EXAFS, shared by
simulation and reduction.

Only numbers: the EXAFS equation is written down by each side for itself. The paths that `scattering_path`
knows are synthetic: smooth functions of k in the shape that ab initio codes give for oxygen, phosphorus and
3d metals, good for self-consistency and for nothing that is to be published. For that, `read_feff` takes
the files of FEFF.
"""

import functools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from battbeam.units import FloatArray

#: Passive electron reduction factor S0^2 of the metals here: chosen, as calibrations give it.
AMPLITUDE_REDUCTION = 0.85
#: Absorbers and neighbours that have synthetic paths.
ABSORBERS = ("Mn", "Fe", "Co", "Ni", "Cu")
NEIGHBOURS = ("O", "P", *ABSORBERS)
_ATOMIC_NUMBERS = dict(zip(NEIGHBOURS, (8, 15, 25, 26, 27, 28, 29), strict=True))
#: Of a synthetic path: highest k, 1/angstrom, and points.
_K_MAX, _N_POINTS = 20.0, 401
#: Total phase of each kind of neighbour, its value, slope and curvature at k = 7 / angstrom. The slopes put the
#: peaks of LiMn2O4's transform at 1.4 and 2.4 angstrom (uncorrected, k from 3 to 12, k^2 weights), as Mn-O and
#: Mn-Mn in that spinel are known to be seen.
_PHASES = {"O": (-4.7, -1.05, 0.02), "P": (-6.2, -0.95, 0.015), "metal": (-7.6, -0.95, 0.012)}
_PHASE_K = 7.0


@dataclass(frozen=True, eq=False)
class ScatteringPath:
    """Single scattering off one neighbour, for a coordination number of 1.

    In chi(k) = sum over shells of N S0^2 F(k) / (k R^2) sin(2 k R + phase(k)) exp(-2 k^2 sigma^2)
    exp(-2 R / mean_free_path(k)) it is F, phase and mean_free_path.

    Attributes:
        absorber: Chemical symbol.
        neighbour: Chemical symbol.
        k: Photoelectron wavenumber, ascending, 1/angstrom, shape (n,).
        amplitude: F(k), angstrom, shape (n,); what reduces it but S0^2 is in it.
        phase: Of absorber and neighbour together, radian, without steps of 2 pi, shape (n,).
        mean_free_path: angstrom, shape (n,).
        distance: For which it was worked out, angstrom.
        source: Where it is from.
    """

    absorber: str
    neighbour: str
    k: FloatArray = field(repr=False)
    amplitude: FloatArray = field(repr=False)
    phase: FloatArray = field(repr=False)
    mean_free_path: FloatArray = field(repr=False)
    distance: float
    source: str


@functools.cache
def scattering_path(absorber: str, neighbour: str) -> ScatteringPath:
    """The synthetic path between two elements.

    Raises:
        ValueError: If there is none.

    >>> scattering_path("Ni", "O").distance
    1.97
    """
    if absorber not in ABSORBERS or neighbour not in NEIGHBOURS:
        raise ValueError(
            f"no scattering path from {absorber} to {neighbour}; absorbers: {', '.join(ABSORBERS)}; "
            f"neighbours: {', '.join(NEIGHBOURS)}; read_feff takes others from a file"
        )
    kind = neighbour if neighbour in _PHASES else "metal"
    k = np.linspace(0.0, _K_MAX, _N_POINTS)
    at, slope, curvature = _PHASES[kind]
    # A heavier partner holds the electron a little longer.
    heavier = _ATOMIC_NUMBERS[absorber] - 28
    heavier += _ATOMIC_NUMBERS[neighbour] - 28 if kind == "metal" else 0
    away = k - _PHASE_K
    return ScatteringPath(
        absorber=absorber,
        neighbour=neighbour,
        k=k,
        amplitude=_amplitude(kind, k),
        phase=at + 0.06 * heavier + slope * away + curvature * away**2,
        mean_free_path=3.0 + 0.9 * k + 5.0 * np.exp(-k),
        distance={"O": 1.97, "P": 3.24, "metal": 2.87}[kind],
        source="synthetic, battbeam",
    )


def _amplitude(kind: str, k: FloatArray) -> FloatArray:
    """A light neighbour scatters at low k, a metal most about 7 / angstrom; angstrom."""
    if kind == "O":
        return np.asarray(0.95 * np.exp(-k / 6.5))
    if kind == "P":
        return np.asarray(0.75 * np.exp(-(((k - 3.5) / 4.5) ** 2)))
    return np.asarray(0.45 * np.exp(-(((k - 7.0) / 4.0) ** 2)) + 0.35 * np.exp(-k / 3.0))


def read_feff(path: Path) -> ScatteringPath:
    """A path from a file ``feffNNNN.dat``, of single scattering.

    F is mag[feff] times the reduction factor, the phase real[2*phc] + phase[feff].

    Raises:
        ValueError: If the file is none, or the path scatters more than once.

    Source:
        Columns as written by FEFF 6 to 10 (feffNNNN.dat); k counts from FEFF's own Fermi level.
    """
    lines = [line.lstrip("#") for line in path.read_text().splitlines()]
    legs = [index for index, line in enumerate(lines) if "nleg, deg, reff" in line]
    heads = [index for index, line in enumerate(lines) if "real[2*phc]" in line]
    if len(legs) != 1 or len(heads) != 1:
        raise ValueError(
            f"{path.name} is no feffNNNN.dat: no line of nleg, deg, reff or of columns"
        )
    n_legs, distance = int(lines[legs[0]].split()[0]), float(lines[legs[0]].split()[2])
    if n_legs != 2:
        raise ValueError(
            f"{path.name} scatters {n_legs - 1} times; wanted single scattering, 2 legs"
        )
    absorber, neighbour = (line.split()[5] for line in lines[legs[0] + 2 : legs[0] + 4])
    rows = [line.split() for line in lines[heads[0] + 1 :] if line.strip()]
    table = np.array([[float(value) for value in row] for row in rows])
    k, central, magnitude, scattered, reduction, mean_free_path = table.T[:6]
    return ScatteringPath(
        absorber=absorber,
        neighbour=neighbour,
        k=k,
        amplitude=magnitude * reduction,
        phase=np.unwrap(central + scattered),
        mean_free_path=mean_free_path,
        distance=distance,
        source=path.name,
    )
