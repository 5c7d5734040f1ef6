"""Spectra of a white beam by hand: lines at h c / (2 d sin(theta)), counted channel by channel.

Structure factors are sums over a few planes, written out here.
"""

import numpy as np

from battbeam.materials import free_atom_scattering

HC, TWO_THETA, SLOPE, OFFSET, N = 12398.4198, 5.0, 30.0, 120.0, 4096
SINE = np.sin(np.radians(TWO_THETA / 2))


def energy_of(d):
    return HC / (2 * d * SINE)


def full_width(energy):
    """0.25 keV and what charge carriers add: eV."""
    return np.sqrt(250.0**2 + 0.5 * energy * 3.0)


def white(energy):
    """Of the source, falling."""
    return np.exp(-energy / 40e3)


def _plane(element, s, u):
    f = complex(free_atom_scattering(element, sine_over_wavelength=np.array([s]), energy=40e3)[0])
    return f * np.exp(-8 * np.pi**2 * u * s**2)


def layer_strength(phase, d, lithium):
    """m abs(F)^2 d^2 / (V Z) of the first line of the layers, per formula unit of six carbon."""
    a, planes, u_carbon, u_lithium = {
        "graphite": (2.461, 2, 0.006, 0.02),
        "LiC18": (2.4684, 2, 0.006, 0.02),
        "LiC12": (4.288, 2, 0.008, 0.02),
        "LiC6": (4.305, 1, 0.008, 0.02),
    }[phase]
    carbon = 2 if a < 3 else 6  # of one plane of the cell
    units = planes * carbon / 6
    s = 1 / (2 * d)
    # Lithium lies half way between planes: against their phase.
    factor = planes * carbon * _plane("C", s, u_carbon) - units * lithium * _plane(
        "Li", s, u_lithium
    )
    volume = a**2 * np.sqrt(3) / 2 * planes * d
    return 2 * abs(factor) ** 2 * d**2 / (volume * units)


def in_plane(phase, d):
    """Lines of the order of lithium in the plane, as (spacing, strength); carbon cancels in them."""
    if phase not in ("LiC6", "LiC12"):
        return []
    a, planes = (4.305, 1) if phase == "LiC6" else (4.288, 2)
    along, c = a * np.sqrt(3) / 2, planes * d
    lines = [(along, 6)] if planes == 1 else [(along, 6), (1 / np.hypot(1 / along, 1 / c), 12)]
    volume = a**2 * np.sqrt(3) / 2 * c
    return [
        (at, m * abs(_plane("Li", 1 / (2 * at), 0.02)) ** 2 * at**2 / (volume * planes))
        for at, m in lines
    ]


def line(d, area):
    """Counts a channel of a line."""
    energy = energy_of(d)
    sigma = full_width(energy) / 2.3548200450309493 / SLOPE
    at = (energy - OFFSET) / SLOPE
    return area * np.exp(-(((np.arange(N) - at) / sigma) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigma)


def background(level=20.0):
    return level * np.exp(-np.arange(N) / 1500.0)


def spectrum(lines, *, level=20.0):
    """Expected counts of (d, area)."""
    return background(level) + sum((line(d, area) for d, area in lines), start=np.zeros(N))


def layer(stages, counts, *, cathode=None, level=20.0):
    """Of an anode's layer: (phase, d, lithium, moles), scaled to so many counts in their lines."""
    light = [
        (d, moles * layer_strength(phase, d, lithium) * white(energy_of(d)))
        for phase, d, lithium, moles in stages
    ]
    scale = counts / sum(area for _, area in light)
    more = [cathode] if cathode else []
    light += [
        (at, moles * strength * white(energy_of(at)))
        for phase, d, _, moles in stages
        for at, strength in in_plane(phase, d)
    ]
    return spectrum([(d, area * scale) for d, area in light] + more, level=level)
