"""This file is where the counts of one absorption spectrum are, as they were measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from battbeam.errors import ReductionError
from battbeam.units import AnyArray, FloatArray

#: What is counted, by the names that `Spectrum` gives it.
Channel = Literal["i0", "transmitted", "reference", "fluorescence", "fluorescence_input"]
CHANNELS: tuple[Channel, ...] = (
    "i0",
    "transmitted",
    "reference",
    "fluorescence",
    "fluorescence_input",
)
_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Spectrum:
    """One scan through an edge, point by point.

    Attributes:
        energy: eV as the monochromator's encoder says, shape (n,), in any order.
        exposure: s, shape (n,).
        i0: Counts before the sample, shape (n,), as all channels; NaN where there are none.
        transmitted: Behind the sample.
        reference: Behind the foil, which stands behind the sample; None without such a detector.
        fluorescence: Output counts of the fluorescence detector; None without.
        fluorescence_input: Counts of its fast channel; None without.
        dark_rate: Counts/s without beam, by channel; 0 where not given.
        dark_rate_error: Of it, counts/s.
        counts_per_photon: By channel, 1 where not given: current amplifiers count in units of their
            own, and noise is that of the photons.
        efficiency: Photons detected over photons that come, by channel, 1 where not given; without
            it absorbances are right up to a constant.
    """

    energy: FloatArray
    exposure: FloatArray
    i0: FloatArray
    transmitted: FloatArray
    reference: FloatArray | None = None
    fluorescence: FloatArray | None = None
    fluorescence_input: FloatArray | None = None
    dark_rate: Mapping[str, float] = field(default_factory=lambda: _NONE)
    dark_rate_error: Mapping[str, float] = field(default_factory=lambda: _NONE)
    counts_per_photon: Mapping[str, float] = field(default_factory=lambda: _NONE)
    efficiency: Mapping[str, float] = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        n = np.shape(self.energy)
        for name in ("exposure", *CHANNELS):
            values = getattr(self, name)
            if values is not None and np.shape(values) != n:
                raise ReductionError(
                    f"{name} has shape {np.shape(values)}, the energies have {n}: a spectrum has"
                    " one value a point"
                )
        by_channel = (
            self.dark_rate,
            self.dark_rate_error,
            self.counts_per_photon,
            self.efficiency,
        )
        unknown = {name for each in by_channel for name in each} - {*CHANNELS}
        if unknown:
            raise ReductionError(
                f"unknown channel {', '.join(sorted(unknown))}; known: {', '.join(CHANNELS)}"
            )

    def __len__(self) -> int:
        return len(self.energy)

    @property
    def channels(self) -> dict[Channel, FloatArray]:
        """Counts by channel, as far as there are any."""
        return {name: getattr(self, name) for name in CHANNELS if getattr(self, name) is not None}

    def ascending(self) -> "Spectrum":
        """The same points in order of energy."""
        return self.take(np.argsort(self.energy, kind="stable"))

    def take(self, points: AnyArray) -> "Spectrum":
        """Chosen points, by index or by mask."""
        arrays: dict[str, Any] = {name: counts[points] for name, counts in self.channels.items()}
        return replace(self, energy=self.energy[points], exposure=self.exposure[points], **arrays)
