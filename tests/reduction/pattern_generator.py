"""Frames from first principles for the tests, by another way than the reduction's: every pixel is
sampled at many
points between pyFAI's own corners, from a curve drawn at a thousandth of a degree."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from battbeam.materials import lattice_edges, structure
from battbeam.reduction.reflections import free_edges_of, reflections_of
from battbeam.units import wavelength_from_energy

ENERGY = 22163.0
SAMPLES = 6
NODES, WEIGHTS = np.polynomial.legendre.leggauss(SAMPLES)
AREA = np.outer(WEIGHTS, WEIGHTS).ravel() / 4


@dataclass
class Bench:
    """A detector before a sample; lengths in mm, angles of tilt in degree."""

    shape: tuple[int, int] = (512, 512)
    pixel: tuple[float, float] = (0.172, 0.172)
    distance: float = 130.0
    centre: tuple[float, float] = (251.3, 262.7)
    rotation: tuple[float, float] = (0.6, -0.4)
    polarization: float = 0.98
    width: tuple[float, float] = (0.085, 0.05)
    lorentzian: float = 0.3
    energy: float = ENERGY
    _kept: dict = field(default_factory=dict)

    @property
    def integrator(self) -> AzimuthalIntegrator:
        detector = Detector(
            pixel1=self.pixel[0] / 1e3, pixel2=self.pixel[1] / 1e3, max_shape=self.shape
        )
        rot1, rot2 = np.radians(self.rotation)
        wavelength = wavelength_from_energy(self.energy) * 1e-10
        made = AzimuthalIntegrator(
            dist=1, poni1=0, poni2=0, rot1=rot1, rot2=rot2, detector=detector, wavelength=wavelength
        )
        fit2d = made.getFit2D()
        made.setFit2D(
            self.distance,
            self.centre[1],
            self.centre[0],
            tilt=np.degrees(np.arccos(np.cos(rot1) * np.cos(rot2))),
            tiltPlanRotation=fit2d["tiltPlanRotation"],
            pixelX=self.pixel[1] * 1e3,
            pixelY=self.pixel[0] * 1e3,
        )
        made.detector = detector
        made.wavelength = wavelength
        return made

    def save(self, directory: Path) -> tuple[Path, Path]:
        poni, instrument = directory / "bench.poni", directory / "instrument.json"
        poni.unlink(missing_ok=True)
        self.integrator.save(str(poni))
        instrument.write_text(
            json.dumps(
                {
                    "width": self.width,
                    "width_error": [0.0, 0.0],
                    "lorentzian": self.lorentzian,
                    "lorentzian_error": 0.0,
                    "polarization": self.polarization,
                    "energy": self.energy,
                    "calibrant": "LaB6",
                    "time": 0.0,
                }
            )
        )
        return poni, instrument

    def samples(self, depth: float) -> np.ndarray:
        """Two theta in degree of SAMPLES^2 points of every pixel, shape (points, rows, columns)."""
        if depth not in self._kept:
            ai = self.integrator
            corners = ai.calc_pos_zyx(corners=True)
            z, y, x = (np.asarray(c, dtype=float).reshape(*self.shape, 4) * 1e3 for c in corners)
            u = (NODES + 1) / 2
            s, t = (g.ravel()[:, None, None] for g in np.meshgrid(u, u, indexing="ij"))

            def inside(c: np.ndarray) -> np.ndarray:
                a, b, d, e = (c[..., k] for k in range(4))
                return (1 - s) * ((1 - t) * a + t * e) + s * ((1 - t) * b + t * d)

            self._kept[depth] = np.degrees(
                np.arctan2(np.hypot(inside(x), inside(y)), inside(z) - depth)
            ).astype(np.float64)
        return self._kept[depth]

    def over_pixels(self, sampled: np.ndarray) -> np.ndarray:
        """Mean over each pixel's area of what was drawn at `samples`."""
        return np.tensordot(AREA, sampled, axes=1)

    def correction(self) -> np.ndarray:
        ai = self.integrator
        solid = (
            ai.solidAngleArray(self.shape) * self.pixel[0] * self.pixel[1] / (ai.dist * 1e3) ** 2
        )
        return solid * ai.polarization(self.shape, factor=self.polarization)

    def curve(
        self, angles: np.ndarray, populations: list, optical_depth: float, downstream: dict
    ) -> np.ndarray:
        total = np.zeros_like(angles)
        for phase, content, edges, moles in populations:
            lines = reflections_of(phase, energy=self.energy, two_theta_max=angles[-1])
            lattice = edges
            if lattice is None:
                lattice = (
                    free_edges_of(structure(phase))
                    if content is None
                    else lattice_edges(phase, [content])[0]
                )
            strength = lines.strength(lattice, content)[0] * moles
            middles = np.degrees(lines.two_theta(lattice)[0])
            for middle, whole in zip(middles, strength, strict=True):
                width = self.width[0] + self.width[1] * np.tan(np.radians(middle) / 2)
                d = (angles - middle) / width
                gauss = 2 * np.sqrt(np.log(2) / np.pi) * 2.0 ** (-4 * d**2)
                line = self.lorentzian * 2 / np.pi / (1 + 4 * d**2) + (1 - self.lorentzian) * gauss
                power = whole * np.exp(
                    -optical_depth
                    * downstream.get(phase, 0.5)
                    * (1 / np.cos(np.radians(middle)) - 1)
                )
                cone = np.sin(np.radians(middle)) / np.sin(np.radians(angles))
                total += power * line * cone / width * 180 / np.pi
        return total

    def expected(
        self,
        layers: dict[float, list],
        *,
        counts: float | None,
        background: float = 1.0,
        optical_depth: float = 0.25,
        downstream: dict | None = None,
        moved: float = 0.0,
    ) -> np.ndarray:
        """Mean counts a pixel; ``counts`` in all (or, if None, of one photon per areal mole).

        All layers stand ``moved`` mm nearer to the detector.
        """
        angles = np.arange(0.5, 60, 0.001)
        image = np.zeros(self.shape)
        for depth, populations in layers.items():
            at = self.samples(depth + moved)
            top = float(at.max()) + 1.0
            short = angles[angles < top]
            curve = self.curve(short, populations, optical_depth, downstream or {})
            image += sum(
                area * np.interp(one, short, curve) for area, one in zip(AREA, at, strict=True)
            )
            if depth == 0.0:
                level = curve.mean() * background
                middle = at[SAMPLES**2 // 2]
                image += level * (
                    0.5 * np.exp(-4 * np.log(2) * ((middle - 9.0) / 2.5) ** 2)
                    + 0.35
                    + 1.2 * np.exp(-middle / 3.0)
                    + 0.4 * np.exp(-middle / 14.0)
                )
        image *= self.correction()
        return image if counts is None else image * (counts / image.sum())


def cell_layers(active: list, *, moles: float = 6.3e-5) -> dict[float, list]:
    """A coin cell: the active populations (phase, content, share), lithium, aluminium, a little
    steel.
    """
    return {
        0.0: [(phase, content, None, moles * share) for phase, content, share in active],
        0.04: [("Al", None, None, 4.05e-4 * 1.5 / 1.5)],
        -0.27: [("Li", None, None, 3.1e-3)],
        1.45: [("steel", None, None, 5.7e-5)],
    }
