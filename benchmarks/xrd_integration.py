"""A frame in memory to a pattern, against pyFAI's ``integrate1d``.

Compared are one sum over precomputed bins and a division (what `battbeam.reduction.xrd.XrdReducer.integrate` does to
every frame) with pyFAI without splitting of pixels (histogram) and with pyFAI's default (bounding box, CSR): mask,
solid angle and polarization are in all of them, tables are made beforehand. The deviation is from pyFAI without
splitting, the way that assigns pixels as battbeam does. Masked for all are pixels within single precision of the
edge of a bin, which pyFAI may count on either side, and those below the first edge, which its histogram rounds into
the first bin.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from battbeam.reduction.pixels import Bins, PixelGeometry
from benchmarks.compare import Comparison, in_turn

TITLE = "XRD: frame to pattern"
BOUND = 1e-6
POLARIZATION = 0.98
#: Of 1 in an angle in degree up to 60: some steps of single precision.
EDGE = 2e-5


def run(*, small: bool = False) -> list[Comparison]:
    """512 x 512 and 4 Mpixel; a small detector for a first look."""
    if small:
        return [_compared(n_pixels=128, n_bins=60, n_turns=3)]
    return [
        _compared(n_pixels=512, n_bins=500, n_turns=31),
        _compared(n_pixels=2048, n_bins=1000, n_turns=11),
    ]


def _integrator(n_pixels: int) -> AzimuthalIntegrator:
    pixel = 0.088 / n_pixels
    return AzimuthalIntegrator(
        dist=0.13,
        poni1=0.043,
        poni2=0.045,
        rot1=0.01,
        rot2=-0.007,
        wavelength=0.5594e-10,
        detector=Detector(pixel1=pixel, pixel2=pixel, max_shape=(n_pixels, n_pixels)),
    )


def _geometry(integrator: AzimuthalIntegrator, n_pixels: int) -> PixelGeometry:
    with TemporaryDirectory() as directory:
        poni = Path(directory) / "detector.poni"
        integrator.save(str(poni))
        return PixelGeometry.read(poni, (n_pixels, n_pixels))


def _frame(angles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rings = sum(400 * np.exp(-(((angles - middle) / 0.08) ** 2)) for middle in (8.0, 12.5, 17.1))
    expected = 30 + 100 * np.exp(-angles / 6) + rings
    return np.random.default_rng(1).poisson(expected).reshape(shape).astype(np.uint32)


def _compared(*, n_pixels: int, n_bins: int, n_turns: int) -> Comparison:
    integrator = _integrator(n_pixels)
    geometry = _geometry(integrator, n_pixels)
    edges = np.linspace(2.0, 20.0, n_bins + 1)
    angles = geometry.two_theta
    nearest = np.abs(angles - edges[0]) % (edges[1] - edges[0])
    mask = (np.minimum(nearest, edges[1] - edges[0] - nearest) < EDGE) | (angles < edges[0])
    mask = mask.reshape(geometry.shape)
    mask[: n_pixels // 20] = True
    frame = _frame(angles, geometry.shape)

    bins = Bins.of(geometry, edges, mask)
    norm = bins.sum(geometry.correction(geometry.centres(), polarization=POLARIZATION))

    def pyfai(method: tuple[str, str, str]) -> np.ndarray:
        return integrator.integrate1d(
            frame,
            n_bins,
            unit="2th_deg",
            radial_range=(edges[0], edges[-1]),
            mask=mask,
            method=method,
            polarization_factor=POLARIZATION,
            correctSolidAngle=True,
        ).intensity

    ways = {
        "battbeam": lambda: bins.sum(frame) / norm,
        "pyFAI, no splitting, histogram": lambda: pyfai(("no", "histogram", "cython")),
        "pyFAI, default (bbox, csr)": lambda: pyfai(("bbox", "csr", "cython")),
    }
    # The first call makes pyFAI's tables. Its solid angle is relative to a pixel at the normal's foot.
    first = {name: np.asarray(way(), dtype=float) for name, way in ways.items()}
    per_pixel = geometry.pixel_size[0] * geometry.pixel_size[1] / geometry.distance**2
    theirs = first["pyFAI, no splitting, histogram"]
    deviation = np.max(np.abs(first["battbeam"] * per_pixel / theirs - 1))
    return Comparison(
        case=f"{n_pixels} x {n_pixels}, {n_bins} bins",
        ways=in_turn(ways, n_turns=n_turns),
        deviation=float(deviation),
        bound=BOUND,
        reference="relative, from pyFAI with the same splitting",
        notes={},
    )
