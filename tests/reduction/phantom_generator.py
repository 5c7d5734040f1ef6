"""Turning discs with closed-form projections, written apart from everything that reduces them.

A disc of radius R seen along parallel rays is 2 mu sqrt(R^2 - s^2); a pixel is the mean over its
width, which has a closed form too (the area of a circular segment), so that nothing aliases. Where
the detector sees the point (x, z) at omega: column axis + (x cos(omega) + z sin(omega)) / pixel.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from battbeam.reduction.projections import Projections

PIXEL = 0.0015


@dataclass(frozen=True)
class Disc:
    """A disc in mm and 1/mm; ``mu`` is added to what it lies in, in rows ``first`` to ``stop``."""

    x: float
    z: float
    radius: float
    mu: float
    first: int = 0
    stop: int = 10**6


@dataclass(frozen=True)
class Scan:
    """What a beamline would have recorded of discs; one turn of the options each for a fault."""

    discs: tuple[Disc, ...]
    omega: np.ndarray
    n_rows: int = 8
    n_columns: int = 128
    offset: float = 3.3
    photons: float = 2e4
    motion: tuple[float, float] = (0.0, 0.0)
    rise: float = 0.0
    blur: float = 0.0
    gain_spread: float = 0.0
    beam: np.ndarray | None = None
    flat_change: float = 0.0
    seed: int = 1
    dark_level: float = 100.0
    n_flats: int = 20
    flat_at: tuple[str, ...] = ("start", "end")
    energy: float = np.nan
    extra: dict = field(default_factory=dict)

    @property
    def axis(self):
        return (self.n_columns - 1) / 2 + self.offset

    def absorbance(self):
        """Without noise, shape (n, n_rows, n_columns)."""
        part = np.linspace(-0.5, 0.5, len(self.omega))
        n_sub = 5 if self.blur else 1
        turned = np.linspace(-0.5, 0.5, n_sub + 1)[1:] - 0.5 / n_sub if self.blur else [0.0]
        total = np.zeros((len(self.omega), self.n_rows, self.n_columns))
        for disc in self.discs:
            transmitted = []
            for step in turned:
                angle = np.radians(self.omega + step * self.blur)
                x = disc.x + self.motion[0] * PIXEL * part
                z = disc.z + self.motion[1] * PIXEL * part
                middle = self.axis * PIXEL + x * np.cos(angle) + z * np.sin(angle)
                transmitted.append(chords(middle, disc, self.n_columns))
            total += np.mean(transmitted, axis=0)[:, None] * self._seen_rows(disc, part)
        return total

    def _seen_rows(self, disc, part):
        """Share of each row that a disc fills in each projection, shape (n, n_rows, 1)."""
        edge = np.arange(self.n_rows + 1) - 0.5 * self.n_rows + 1e-9
        low, high = np.array([disc.first, min(disc.stop, 2 * self.n_rows)]) - 0.5 * self.n_rows
        low = -np.inf if disc.first <= 0 else low
        moved = edge[None] - self.rise * part[:, None]
        filled = np.clip(moved, low, high)
        return np.diff(filled, axis=1)[:, :, None].clip(0, 1)

    def projections(self):
        """With Poisson counts, a structured beam and a dark."""
        rng = np.random.default_rng(self.seed)
        n = len(self.omega)
        rows, columns = np.mgrid[: self.n_rows, : self.n_columns]
        shape = 1 + 0.2 * np.sin(columns / 17) + 0.1 * np.cos(rows / 3)
        change = 1 + self.flat_change * columns / self.n_columns
        gain = 1 + self.gain_spread * rng.normal(size=shape.shape)
        beam = np.ones(n) if self.beam is None else self.beam
        part = np.linspace(0, 1, n)[:, None, None]
        open_beam = self.photons * shape * (1 + part * (change - 1))
        counts = rng.poisson(open_beam * beam[:, None, None] * np.exp(-self.absorbance()))
        flats = {
            "start": rng.poisson(self.photons * shape, (self.n_flats, *shape.shape)),
            "end": rng.poisson(self.photons * shape * change, (self.n_flats, *shape.shape)),
        }
        times = {"start": -50.0, "end": n + 50.0}
        taken = [flats[name] for name in self.flat_at] or [np.zeros((0, *shape.shape))]
        dark = rng.normal(self.dark_level, 3, (20, *shape.shape))
        projections = Projections(
            counts=(counts * gain + self.dark_level + rng.normal(0, 3, counts.shape)),
            omega=self.omega,
            time=np.arange(n, dtype=float),
            flats=np.concatenate(taken) + self.dark_level,
            flat_time=np.repeat([times[name] for name in self.flat_at], self.n_flats),
            darks=dark,
            pixel_size=PIXEL,
            energy=self.energy,
        )
        return replace(projections, **self.extra)

    def volume(self, n_sub=5):
        """Truth on the grid of a reconstruction, anti-aliased: axes (row, z, x)."""
        fine = (np.arange(self.n_columns * n_sub) + 0.5) / n_sub - self.n_columns / 2
        volume = np.zeros((self.n_rows, self.n_columns, self.n_columns))
        for disc in self.discs:
            distance = np.hypot(fine * PIXEL - disc.x, (fine * PIXEL - disc.z)[:, None])
            inside = (distance < disc.radius).astype(float)
            coarse = inside.reshape(self.n_columns, n_sub, self.n_columns, n_sub).mean(axis=(1, 3))
            volume[disc.first : disc.stop] += disc.mu * coarse
        return volume


def chords(middle, disc, n_columns):
    """Absorbance of a disc as pixels see it, shape (n, n_columns)."""
    edges = (np.arange(n_columns + 1) - 0.5) * PIXEL
    s = np.clip((edges[None] - middle[:, None]) / disc.radius, -1, 1)
    segment = s * np.sqrt(1 - s**2) + np.arcsin(s)
    return disc.mu * disc.radius**2 * np.diff(segment, axis=1) / PIXEL


def cell(rng, *, n_rows=8, radius=0.06, n_grains=6, mu=2.0):
    """A disc with grains at random in every pair of rows, mm."""
    discs = [Disc(0.004, -0.002, radius, mu)]
    for first in range(0, n_rows, 2):
        for _ in range(n_grains):
            angle, away = rng.uniform(0, 2 * np.pi), 0.7 * radius * np.sqrt(rng.uniform())
            grain = rng.uniform(0.05, 0.14) * radius
            where = (away * np.cos(angle), away * np.sin(angle))
            discs.append(Disc(*where, grain, rng.uniform(2, 6), first, first + 2))
    return tuple(discs)


def golden(n):
    """Angles in golden-angle order over half a turn, degree."""
    return np.mod(np.arange(n) * 180 * (np.sqrt(5) - 1) / 2, 180)
