"""This file is where the events of a run become the points of its spectra."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from battbeam.callbacks.event_values import as_number
from battbeam.errors import ReductionError
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.sweeps import Sweep
from battbeam.units import HC, FloatArray

#: Names of the channels in events and in the reduction.
_CHANNELS = {
    "i0": "i0",
    "it": "transmitted",
    "ir": "reference",
    "if": "fluorescence",
    "if_input": "fluorescence_input",
}


@dataclass
class Scan:
    """One spectrum as it was measured.

    Attributes:
        number: In the run.
        edge: Its name.
        repeat: Of the spectra of this edge.
        points: Event data by point; of two with one number the last counts.
        dark: Event data of its dark; empty without.
        end: What the run says of it when it has ended; empty if it did not.
        light: Event data of what it cost, as far as it is told.
    """

    number: int
    edge: str
    repeat: int
    points: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    dark: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_sweep(self) -> bool:
        """Whether it was swept, not stepped."""
        return any("sweep_bragg" in point for point in self.points.values())

    @property
    def faults(self) -> list[str]:
        """What was wrong with its points, each reason once."""
        found = [
            str(point[name])
            for point in self.points.values()
            for name in ("beam_lost", "fault")
            if point.get(name)
        ]
        return list(dict.fromkeys(found))

    def lost(self) -> frozenset[int]:
        """Points that may not be used."""
        return frozenset(
            number
            for number, point in self.points.items()
            if point.get("beam_lost") or point.get("fault") or point.get("shutter") == 0
        )

    def span(self) -> tuple[float, float]:
        """When it began and ended, s since the Unix epoch; NaN if not known."""
        starts, ends = [], []
        for point in self.points.values():
            if "sweep_bragg" in point:
                starts.append(as_number(point.get("sweep_stamp_start")))
                ends.append(as_number(point.get("sweep_stamp_end")))
            else:
                stamp = as_number(point.get("counters_stamp"))
                starts.append(stamp - as_number(point.get("counters_elapsed")))
                ends.append(stamp)
        known = [(s, e) for s, e in zip(starts, ends, strict=True) if math.isfinite(s + e)]
        return (min(s for s, _ in known), max(e for _, e in known)) if known else (math.nan,) * 2


@dataclass(frozen=True)
class Axis:
    """The monochromator, as the descriptor has it.

    Attributes:
        d_spacing: angstrom.
        offset: True angle minus the axis' reading, degree.
    """

    d_spacing: float
    offset: float

    @classmethod
    def of_configuration(cls, configuration: Mapping[str, Any]) -> "Axis":
        """From what stands in a descriptor."""
        return cls(
            as_number(configuration.get("monochromator_d_spacing")),
            float(configuration.get("monochromator_offset", 0.0)),
        )

    def energy(self, bragg: FloatArray) -> FloatArray:
        """eV at readings of the Bragg axis in degree."""
        sine = np.sin(np.radians(np.asarray(bragg, dtype=float) + self.offset))
        return np.asarray(HC / (2 * self.d_spacing * sine))


def spectrum_of(scan: Scan, axis: Axis) -> Spectrum:
    """The points of a stepped scan that may be used.

    Raises:
        ReductionError: If there is none.
    """
    lost = scan.lost()
    points = [point for number, point in sorted(scan.points.items()) if number not in lost]
    if not points:
        raise ReductionError(f"no point can be used: {'; '.join(scan.faults) or 'none came'}")

    def column(name: str) -> FloatArray:
        return np.array([as_number(point.get(name)) for point in points])

    counts = {to: column(f"counters_{name}") for name, to in _CHANNELS.items()}
    return Spectrum(
        energy=axis.energy(column("counters_bragg")),
        exposure=column("counters_elapsed"),
        i0=counts["i0"],
        transmitted=counts["transmitted"],
        reference=_present(counts["reference"]),
        fluorescence=_present(counts["fluorescence"]),
        fluorescence_input=_present(counts["fluorescence_input"]),
        **chambers_of(scan),
    )


def sweep_of(scan: Scan, axis: Axis) -> Sweep:
    """The samples of a swept scan, in the order of time.

    Raises:
        ReductionError: If they may not be used.
    """
    lost = scan.lost()
    points = [point for number, point in scan.points.items() if number not in lost]
    if not points:
        raise ReductionError(f"the sweep cannot be used: {'; '.join(scan.faults) or 'none came'}")
    data = points[-1]

    def column(name: str) -> FloatArray:
        return np.asarray(data.get(f"sweep_{name}", ()), dtype=float)

    time, i0 = column("time"), column("i0")
    channels = {
        to: column(name) if f"sweep_{name}" in data else np.full(len(time), np.nan)
        for name, to in _CHANNELS.items()
    }
    spectrum = Spectrum(
        energy=axis.energy(column("bragg")),
        exposure=np.diff(time, prepend=2 * time[0] - time[1]),
        i0=i0,
        transmitted=channels["transmitted"],
        reference=_present(channels["reference"]),
        fluorescence=_present(channels["fluorescence"]),
        fluorescence_input=_present(channels["fluorescence_input"]),
        **chambers_of(scan),
    )
    return Sweep(time, spectrum)


def chambers_of(scan: Scan) -> dict[str, dict[str, float]]:
    """By channel, as far as they are known: counts/s without light, counts per photon, and the share
    of the photons that are detected. As `Spectrum` names them.
    """
    dark = scan.dark
    rates, units, shares = {}, {}, {}
    elapsed = as_number(dark.get("counters_elapsed"))
    for name, to in _CHANNELS.items():
        counts = as_number(dark.get(f"counters_{name}"))
        if math.isfinite(counts) and elapsed > 0:
            rates[to] = counts / elapsed
        if (per_photon := as_number(dark.get(f"counts_per_photon_{name}"))) > 0:
            units[to] = per_photon
        if (share := as_number(dark.get(f"share_{name}"))) > 0:
            shares[to] = share
    return {"dark_rate": rates, "counts_per_photon": units, "efficiency": shares}


def _present(counts: FloatArray) -> FloatArray | None:
    """Counts, or None where there are no numbers at all."""
    return counts if np.isfinite(counts).any() else None
