"""Volumes of round and wound things, anti-aliased, blurred and noisy; written apart from what measures them."""

import numpy as np
from scipy.ndimage import gaussian_filter


def ball(shape, centre, radius, n_sub=4):
    """Share of each voxel that a ball fills."""
    axes = [
        ((np.arange(n * n_sub) + 0.5) / n_sub - 0.5 - c) ** 2
        for n, c in zip(shape, centre, strict=True)
    ]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] < radius**2
    parts = [each for n in shape for each in (n, n_sub)]
    return inside.reshape(parts).mean(axis=(1, 3, 5))


def seen(volume, rng, *, blur=0.8, noise=0.0):
    """As a reconstruction would show it."""
    return gaussian_filter(volume, blur) + noise * rng.normal(size=volume.shape)


def wound(n, *, inner, pitch, n_half_turns, thickness, crack=None, n_sub=3):
    """A sheet of half rings whose centres lie half a pitch apart, in voxels; crack = (arc, width, share).

    It begins at +x and turns towards z, as the convention of the imaging reduction has it.
    """
    fine = (np.arange(n * n_sub) + 0.5) / n_sub - n / 2
    x, z = fine[None, :], fine[:, None]
    sheet = np.zeros((n * n_sub, n * n_sub), dtype=bool)
    arc = 0.0
    for index in range(n_half_turns):
        middle = 0.0 if index % 2 == 0 else pitch / 2
        upper = z >= 0 if index % 2 == 0 else z < 0
        radius = inner + pitch / 2 * index
        away = np.hypot(x - middle, z)
        here = upper & (np.abs(away - radius) < thickness / 2)
        if crack is not None and arc <= crack[0] < arc + np.pi * radius:
            turn = np.mod(np.arctan2(z, x - middle) - np.pi * (index % 2), 2 * np.pi)
            gap = np.abs(turn * radius - (crack[0] - arc)) < crack[1] / 2
            here &= ~(gap & (np.abs(away - radius) < crack[2] * thickness / 2))
        sheet |= here
        arc += np.pi * radius
    return sheet.reshape(n, n_sub, n, n_sub).mean(axis=(1, 3)), arc
