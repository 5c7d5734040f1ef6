"""This file is where it is said what the beam saw of one host: its phases, lattices and angles.

Angles are those of an ideal instrument with the host in the electrode's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from battbeam import materials
from battbeam.sim.electrode import PhaseShare
from battbeam.units import AnyArray, FloatArray, two_theta_from_d_spacing

_OLIVINE = ("200", "101", "210", "011", "111", "211", "301", "311")
_LAYERED = ("003", "101", "006", "102", "104", "105", "107", "108", "110", "113")
#: Reflections whose angle is written down.
REFLECTIONS: Mapping[str, tuple[str, ...]] = {
    "LiFePO4": _OLIVINE,
    "FePO4": _OLIVINE,
    "LixFePO4": _OLIVINE,
    **dict.fromkeys(materials.LAYERED_PHASES, _LAYERED),
    "graphite": ("002", "100", "101", "004", "110"),
    "LiC18": ("002", "100", "101", "004", "110"),
    "LiC12": ("002", "110", "004"),
    "LiC6": ("001", "002", "110"),
    "Li": ("110", "200", "211"),
    "spinel": ("111", "220", "311", "400", "331", "440"),
    "rock_salt": ("111", "200", "220"),
}
#: Weights, lithium contents and strains along c of a phase, each of shape (n,).
_Seen = tuple[FloatArray, FloatArray, FloatArray]


@dataclass(frozen=True)
class HostTruth:
    """The shares of a host, weighted by what reaches the detector.

    Attributes:
        shares: One entry per phase and origin.
    """

    shares: tuple[PhaseShare, ...]

    @classmethod
    def of(cls, shares: tuple[PhaseShare, ...], reach: FloatArray) -> "HostTruth":
        """Of shares of which ``reach`` comes through the host from each depth point, shape (n_depths,)."""
        return cls(
            tuple(replace(share, weight=share.weight * reach[share.depth]) for share in shares)
        )

    @property
    def lithium_content(self) -> float:
        """Mean over all of it; there must be some."""
        total = sum(float(weight.sum()) for weight, *_ in self._by_phase().values())
        return (
            sum(float(weight @ content) for weight, content, _ in self._by_phase().values()) / total
        )

    @property
    def formula_units(self) -> dict[str, float]:
        """Of each phase, per formula unit of the host."""
        return {share.phase: share.formula_units for share in self.shares}

    def fractions(self, *, is_fatigued: bool | None = None) -> dict[str, float]:
        """Of the host in each phase, of fatigued material or of all."""
        total = sum(float(weight.sum()) for weight, *_ in self._by_phase().values())
        return {
            phase: float(weight.sum()) / total
            for phase, (weight, *_) in self._by_phase(is_fatigued=is_fatigued).items()
        }

    def lattice(self, *, is_fatigued: bool) -> dict[str, dict[str, float]]:
        """Mean edges of each phase with lines, angstrom."""
        return {
            phase: _mean_edges(phase, *each)
            for phase, each in self._with_lines(is_fatigued).items()
        }

    def two_theta(self, energy: float, *, is_fatigued: bool) -> dict[str, dict[str, float]]:
        """Mean angle of each of their reflections, degree."""
        return {
            phase: _mean_angles(phase, *each, energy)
            for phase, each in self._with_lines(is_fatigued).items()
        }

    def _with_lines(self, is_fatigued: bool) -> dict[str, _Seen]:
        by_phase = self._by_phase(is_fatigued=is_fatigued)
        return {phase: each for phase, each in by_phase.items() if phase in REFLECTIONS}

    def _by_phase(self, *, is_fatigued: bool | None = None) -> dict[str, _Seen]:
        chosen = [s for s in self.shares if is_fatigued is None or s.is_fatigued == is_fatigued]
        return {
            phase: (
                np.concatenate([share.weight for share in chosen if share.phase == phase]),
                np.concatenate([share.lithium_content for share in chosen if share.phase == phase]),
                np.concatenate(
                    [np.full(len(s.weight), s.c_strain) for s in chosen if s.phase == phase]
                ),
            )
            for phase in dict.fromkeys(share.phase for share in chosen)
        }


def _edges(phase: str, content: FloatArray, strain: FloatArray) -> FloatArray:
    """Shape (n, n_free_edges); what holds no lithium has the same everywhere."""
    if phase in materials.HOSTS:
        edges = materials.lattice_edges(phase, content)
    else:
        lattice = materials.structure(phase).lattice
        edges = np.array([[getattr(lattice, edge) for edge in free_edges(phase)]] * len(content))
    if "c" in free_edges(phase):
        edges[:, -1] *= 1 + strain
    return edges


def _mean_edges(
    phase: str, weight: FloatArray, content: FloatArray, strain: FloatArray
) -> dict[str, float]:
    means = weight @ _edges(phase, content, strain) / weight.sum()
    return {edge: float(mean) for edge, mean in zip(free_edges(phase), means, strict=True)}


def free_edges(phase: str) -> tuple[str, ...]:
    """Names of a phase's independent edges."""
    return materials.structure(phase).free_edges


def _mean_angles(
    phase: str, weight: FloatArray, content: FloatArray, strain: FloatArray, energy: float
) -> dict[str, float]:
    edges = _edges(phase, content, strain)
    means = {}
    for name in REFLECTIONS[phase]:
        h, k, l = (int(letter) for letter in name)  # noqa: E741
        angles = two_theta_from_d_spacing(d_spacing=_d_spacing(edges, h, k, l), energy=energy)
        means[name] = float(weight @ angles / weight.sum())
    return means


def _d_spacing(edges: FloatArray, h: int, k: int, l: int) -> AnyArray:  # noqa: E741
    """angstrom; three edges are orthorhombic, two hexagonal, one is cubic."""
    if edges.shape[1] == 1:
        return np.asarray(edges[:, 0] / np.sqrt(h * h + k * k + l * l))
    if edges.shape[1] == 3:
        a, b, c = edges.T
        return np.asarray(1 / np.sqrt((h / a) ** 2 + (k / b) ** 2 + (l / c) ** 2))
    a, c = edges.T
    return np.asarray(1 / np.sqrt(4 / 3 * (h * h + h * k + k * k) / a**2 + (l / c) ** 2))
