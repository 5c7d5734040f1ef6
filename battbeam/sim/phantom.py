"""This file is where a cell's hidden state becomes its inside, and the inside a volume.

`inside_of` is what a camera sees through; `volume_truth` is the same as voxels, found by asking for
points instead of rays, so that each can be tested against the other.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from battbeam.sim.phantom_body import Inside, PhantomState
from battbeam.sim.phantom_lithium import plating, symmetric
from battbeam.sim.phantom_particles import particles
from battbeam.sim.phantom_shapes import Prism
from battbeam.sim.phantom_stacks import coin, cylinder, layers
from battbeam.sim.phantom_wound import wound
from battbeam.sim.scenario import Scenario
from battbeam.sim.scenario_lithium import Plating, Symmetric
from battbeam.sim.scenario_phantom import (
    Coin,
    Cylinder,
    Layers,
    Particles,
    Wound,
)
from battbeam.units import FloatArray

__all__ = ["Inside", "PhantomState", "inside_of", "volume_truth"]

#: Points along each edge of a voxel.
_POINTS = 4
_Build = Callable[[Any, Scenario, int, PhantomState], Inside]
_BUILD: dict[type, _Build] = {
    Coin: lambda part, scenario, number, state: coin(part, scenario.cells[number - 1], state),
    Cylinder: lambda part, scenario, number, state: cylinder(
        part, scenario.cells[number - 1], state
    ),
    Layers: lambda part, scenario, number, state: layers(part, scenario.cells[number - 1], state),
    Wound: lambda part, scenario, number, state: wound(part, scenario.cells[number - 1], state),
    Particles: lambda part, scenario, number, state: particles(
        part, scenario.cells[number - 1], state, seed=scenario.seed + number
    ),
    Plating: lambda part, scenario, number, state: plating(part, state),
    Symmetric: lambda part, scenario, number, state: symmetric(part, state),
}


def inside_of(scenario: Scenario, state: PhantomState, *, number: int = 1) -> Inside:
    """The inside of a cell at a state; number 1 is the first cell.

    Raises:
        ValueError: If its parts do not fit into each other.
    """
    part = scenario.cells[number - 1].phantom or Coin()
    return _BUILD[type(part)](part, scenario, number, state)


def volume_truth(
    scenario: Scenario,
    state: PhantomState,
    *,
    energy: float,
    number: int = 1,
    shape: tuple[int, int, int] | None = None,
    voxel: float | None = None,
    points: int = _POINTS,
) -> FloatArray:
    """Linear attenuation coefficient of a cell's inside in every voxel, each the mean of its points.

    Args:
        scenario: The hidden truth.
        state: Of the cell.
        energy: eV.
        number: Of the cell; 1 is the first.
        shape: Rows, z, x; by default those of a tomogram of the whole field.
        voxel: Edge in mm; by default a pixel.
        points: Along each edge of a voxel.

    Returns:
        1/mm, shape (rows, z, x): row 0 the bottom one, the rotation axis in the middle of the others.
    """
    imaging = scenario.imaging
    n_rows, n_z, n_x = shape or (imaging.n_rows, imaging.n_columns, imaging.n_columns)
    step = imaging.pixel_size if voxel is None else voxel
    volume = np.zeros((n_rows, n_z, n_x))
    for body in inside_of(scenario, state, number=number).bodies:
        add = _add_prism if isinstance(body.shape, Prism) else _add_ellipsoid
        add(volume, body.shape, body.change.attenuation(energy), step, points)
    return volume


def _add_prism(volume: FloatArray, shape: Any, change: float, step: float, points: int) -> None:
    _, n_z, n_x = volume.shape
    z, x = (_points(n, step, points) for n in (n_z, n_x))
    plane = shape.outline.holds(x[None, :], z[:, None])
    cover = plane.reshape(n_z, points, n_x, points).mean(axis=(1, 3))
    inside = (_points(len(volume), step, points) > shape.low) & (
        _points(len(volume), step, points) < shape.high
    )
    volume += change * inside.reshape(-1, points).mean(axis=1)[:, None, None] * cover


def _add_ellipsoid(volume: FloatArray, shape: Any, change: float, step: float, points: int) -> None:
    x, y, z = shape.centre
    places = [
        _around(n, middle, max(shape.semi_axes), step)
        for n, middle in zip(volume.shape, (y, z, x), strict=True)
    ]
    at = [
        _points(n, step, points)[place.start * points : place.stop * points]
        for n, place in zip(volume.shape, places, strict=True)
    ]
    held = shape.holds(at[2][None, None, :], at[0][:, None, None], at[1][None, :, None])
    sizes = [n for place in places for n in (place.stop - place.start, points)]
    volume[tuple(places)] += change * held.reshape(sizes).mean(axis=(1, 3, 5))


def _around(n: int, middle: float, reach: float, step: float) -> slice:
    """Of n voxels about 0, those within reach."""
    first, last = ((middle + sign * reach) / step + n / 2 for sign in (-1, 1))
    return slice(int(np.clip(np.floor(first), 0, n)), int(np.clip(np.ceil(last), 0, n)))


def _points(n: int, step: float, points: int) -> FloatArray:
    """Where the points of n voxels about 0 are, mm."""
    return np.asarray((np.arange(n * points) + 0.5) * (step / points) - n * step / 2)
