"""Sinograms to slices, against what a user would pick: scikit-image's ``iradon``, and algotom's where it is installed.

The phantom is made of discs, whose projections have a closed form; noise is that of 5e4 photons a pixel. The
deviation is how many times battbeam's root mean square error against the truth is that of the best of the others. All
reconstruct with a ramp filter and linear interpolation, or what that is to a transform, about the axis that is known.
Tables are made in every turn, for the angles of every tomogram differ. What comes before, flat fields to sinograms,
rings and the axis, is timed beside the reconstruction of the same slices: it should take no longer.
"""

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from threadpoolctl import ThreadpoolController

from battbeam.reduction.projections import Projections, absorbance
from battbeam.reduction.reconstruction import reconstruct
from battbeam.reduction.rings import without_rings
from battbeam.reduction.rotation_axis import find_axis
from benchmarks.compare import Comparison, Timing, in_turn

TITLE = "Tomography: sinograms to slices"
#: Times the best error of the others.
BOUND = 1.05
PHOTONS = 5e4
#: Slices that battbeam makes at once; the others make them one by one.
N_ROWS = 8


def run(*, small: bool = False) -> list[Comparison]:
    """Slices of 1024 columns and 900 angles; small ones for a first look."""
    n_columns, n_angles, n_turns = (128, 120, 1) if small else (1024, 900, 3)
    # One thread each, as the reducer does it; algotom takes what it gets.
    before = ThreadpoolController().wrap(limits=1)(_before)
    return [_slices(n_columns, n_angles, n_turns), before(n_columns, n_angles, n_turns)]


def _discs(n_columns: int) -> np.ndarray:
    """x, z and radius in columns, and attenuation per column, one line each."""
    rng = np.random.default_rng(2)
    radius, size = 0.42 * n_columns, rng.uniform(0.01, 0.05, 40) * n_columns
    angle, away = rng.uniform(0, 2 * np.pi, 40), 0.8 * radius * np.sqrt(rng.uniform(size=40))
    grains = np.stack([away * np.cos(angle), away * np.sin(angle), size], axis=1)
    outer = np.array([[0.0, 0.0, radius]])
    places = np.concatenate([outer, grains])
    return np.column_stack([places, np.append(0.6, rng.uniform(1, 3, 40)) / n_columns])


def _scan(n_columns: int, n_angles: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Counts over photons of one row, angles in degree, and the axis."""
    omega = np.arange(n_angles) * 180 / n_angles
    axis = n_columns / 2
    edges = np.arange(n_columns + 1) - 0.5
    total = np.zeros((n_angles, n_columns))
    for x, z, radius, mu in _discs(n_columns):
        middle = axis + x * np.cos(np.radians(omega)) + z * np.sin(np.radians(omega))
        s = np.clip((edges - middle[:, None]) / radius, -1, 1)
        area = s * np.sqrt(1 - s**2) + np.arcsin(s)
        total += mu * radius**2 * np.diff(area, axis=1)
    return total, omega, axis


def _truth(n_columns: int, centre: float) -> np.ndarray:
    fine = (np.arange(4 * n_columns) + 0.5) / 4 - 0.5 - centre
    image = np.zeros((n_columns, n_columns))
    for x, z, radius, mu in _discs(n_columns):
        inside = (fine - x) ** 2 + (fine[:, None] - z) ** 2 < radius**2
        image += mu * inside.reshape(n_columns, 4, n_columns, 4).mean(axis=(1, 3))
    return image


def _error(image: np.ndarray, n_columns: int, centre: float) -> float:
    """Root mean square over nine tenths of the circle."""
    place = np.arange(n_columns) - centre
    inside = np.hypot(place, place[:, None]) < 0.45 * n_columns
    return float(np.sqrt(np.mean((image - _truth(n_columns, centre))[inside] ** 2)))


def _slices(n_columns: int, n_angles: int, n_turns: int) -> Comparison:
    total, omega, axis = _scan(n_columns, n_angles)
    rng = np.random.default_rng(3)
    rows = np.repeat(total[:, None], N_ROWS, axis=1)
    rows = (-np.log(rng.poisson(PHOTONS * np.exp(-rows)) / PHOTONS)).astype(np.float32)

    def own() -> np.ndarray:
        return reconstruct(rows, omega, axis=axis, pixel_size=1.0, window="linear")

    others = _others(np.ascontiguousarray(rows[:, 0]), omega, axis)
    timings = in_turn({"all slices": own, **others}, n_turns=n_turns)
    every = timings.pop("all slices")
    per_slice = Timing(every.wall / N_ROWS, every.cpu / N_ROWS)
    ways = {"battbeam": per_slice, **timings}
    errors = {"battbeam": _error(own()[0], n_columns, (n_columns - 1) / 2)}
    for name, way in others.items():
        # scikit-image turns about the pixel in the middle, algotom as battbeam does.
        centre = n_columns // 2 if name.startswith("scikit") else (n_columns - 1) / 2
        errors[name] = _error(np.asarray(way()), n_columns, centre)
    best = min(error for name, error in errors.items() if name != "battbeam")
    return Comparison(
        case=f"{n_columns} columns, {n_angles} angles, a slice",
        ways=ways,
        deviation=errors["battbeam"] / best,
        bound=BOUND,
        reference="times the least error of the others",
        notes={name: f"error {error * n_columns:.3g}" for name, error in errors.items()},
    )


def _others(
    sinogram: np.ndarray, omega: np.ndarray, axis: float
) -> dict[str, Callable[[], np.ndarray]]:
    """By name; angles count the other way round there."""
    from skimage.transform import iradon

    turned = np.ascontiguousarray(sinogram.T)
    ways: dict[str, Callable[[], np.ndarray]] = {
        "scikit-image iradon": lambda: iradon(turned, theta=-omega, filter_name="ramp", circle=True)
    }
    if importlib.util.find_spec("algotom") is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from algotom.rec.reconstruction import fbp_reconstruction

        ways["algotom FBP"] = lambda: fbp_reconstruction(
            sinogram,
            axis,
            angles=-np.radians(omega),
            ratio=None,
            filter_name=None,
            apply_log=False,
            gpu=False,
        )
    return ways


def _before(n_columns: int, n_angles: int, n_turns: int) -> Comparison:
    total, omega, axis = _scan(n_columns, n_angles)
    rng = np.random.default_rng(4)
    gain = 1 + 0.01 * rng.normal(size=(2, n_columns))
    counts = rng.poisson(PHOTONS * np.exp(-np.stack([total, total], axis=1))) * gain
    flats = rng.poisson(PHOTONS, size=(20, 2, n_columns)).astype(np.float32)
    projections = Projections(
        counts=counts.astype(np.float32),
        omega=omega,
        time=np.arange(n_angles, dtype=float),
        flats=flats,
        flat_time=np.repeat([-1.0, n_angles + 1.0], 10),
        darks=np.zeros((2, 2, n_columns), dtype=np.float32),
        pixel_size=1.0,
    )

    def before() -> tuple[np.ndarray, float]:
        # What was worked out from the flats is kept by the projections: made anew each time.
        values = absorbance(replace(projections), np.arange(n_angles))
        clean = without_rings(values, width=15)
        return clean, find_axis(clean, omega).column

    clean, column = before()
    ways: dict[str, Callable[[], object]] = {
        "battbeam flats, rings, axis": before,
        "battbeam reconstruction": lambda: reconstruct(clean, omega, axis=column, pixel_size=1.0),
    }
    return Comparison(
        case=f"{n_columns} columns, {n_angles} angles, two slices",
        ways=in_turn(ways, n_turns=n_turns),
        deviation=abs(column - axis),
        bound=0.25,
        reference="columns, of the axis",
        notes={},
    )
