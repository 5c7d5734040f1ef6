"""This file is where crystals that lie alike make lines stronger or weaker than those of a powder.

The planes `Texture.plane` have normals whose density about an axis is March and Dollase's. A line at some
azimuth of its ring comes from crystals whose own planes face half way between beam and ray; around the
ring that direction turns past a tilted axis, and the line's strength is a Fourier series of the azimuth.

Source:
    Dollase, J. Appl. Cryst. 19 (1986) 267, for the density, which is 1 on average over the sphere.
"""

import numpy as np

from battbeam.materials import Structure
from battbeam.sim.diffraction import Reflections, family_members, reciprocal_metric
from battbeam.sim.scenario_layer import Texture
from battbeam.units import FloatArray, wavelength_from_energy

#: Orders of the series; what is left of r = 0.4 is below 1 %.
N_ORDERS = 12
#: Azimuths at which it is taken, and directions around a line's normal over which crystals are averaged.
_N_AZIMUTHS, _N_AROUND = 32, 64


def density(r: float, cosine: FloatArray) -> FloatArray:
    """Of normals at an angle with this cosine from the axis, over that of a powder."""
    return np.asarray((r**2 * cosine**2 + (1 - cosine**2) / r) ** -1.5)


def line_shares(
    texture: Texture, crystal: Structure, lines: Reflections, *, energy: float
) -> FloatArray:
    """Strength of each line over that of a powder, as a series of cosines of the azimuth from
    `Texture.tilt_direction`, shape (n_lines, n_orders); of an axis along the beam one order.
    """
    sine = wavelength_from_energy(energy) / (2 * lines.d_spacing)
    tilt = np.radians(texture.tilt)
    n_azimuths = 1 if texture.tilt == 0 else _N_AZIMUTHS
    azimuth = 2 * np.pi * np.arange(n_azimuths) / n_azimuths
    # The scattering vector leans by theta against the beam's plane, back towards the source.
    facing = np.sin(tilt) * np.sqrt(1 - sine[:, None] ** 2) * np.cos(azimuth)
    facing = facing - np.cos(tilt) * sine[:, None]
    strength = np.array(
        [
            _strength(texture.r, _cosines(texture.plane, hkl, crystal), each)
            for hkl, each in zip(lines.hkl, facing, strict=True)
        ]
    )
    if n_azimuths == 1:
        return strength
    series = np.fft.rfft(strength, axis=1).real / n_azimuths
    series[:, 1:] *= 2
    return np.asarray(series[:, : N_ORDERS + 1])


def _cosines(
    plane: tuple[int, int, int], hkl: "np.typing.NDArray[np.int64]", crystal: Structure
) -> FloatArray:
    """Between the normals of a family's members and that of a plane, shape (n,)."""
    metric, members = reciprocal_metric(crystal), family_members(crystal, hkl)
    axis = np.array(plane, dtype=float)
    lengths = np.sqrt(np.einsum("ni,ij,nj->n", members, metric, members) * (axis @ metric @ axis))
    return np.asarray(np.clip(members @ metric @ axis / lengths, -1, 1))


def _strength(r: float, own: FloatArray, facing: FloatArray) -> FloatArray:
    """Mean density over a family and over what is free: a crystal's turn about the line's normal.

    Args:
        r: Of March and Dollase.
        own: Cosines between the family's normals and the planes', shape (n,).
        facing: Cosines between the scattering vector and the axis, shape (m,).

    Returns:
        Shape (m,).
    """
    turn = np.cos(2 * np.pi * (np.arange(_N_AROUND) + 0.5) / _N_AROUND)
    own, facing = own[:, None, None], facing[None, :, None]
    cosine = own * facing + np.sqrt((1 - own**2) * (1 - facing**2)) * turn
    return np.asarray(density(r, cosine).mean(axis=(0, 2)))
