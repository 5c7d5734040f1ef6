"""This file is where lattices against lithium content are kept as data: anchors, joined elsewhere.

Of layered oxides they are representative, in the shape of operando curves, and not a digitised data
set: a within 0.004, c within 0.04 angstrom. That c collapses below the same lithium content whatever
the nickel is from Jousseaume et al., Energy Environ. Sci. (2024) D3EE04115H (abstract read); anchors
are recalled. Chosen, for want of data, to have the shape of NMC811: NMC622 below 0.2, NMC90 and HEC.
"""

from collections.abc import Mapping

_NMC811 = (
    (0.1, 2.8155, 13.88),
    (0.15, 2.8145, 14.05),
    (0.2, 2.8145, 14.22),
    (0.25, 2.8155, 14.35),
    (0.3, 2.8175, 14.43),
    (0.35, 2.82, 14.47),
    (0.4, 2.823, 14.48),
    (0.5, 2.831, 14.45),
    (0.6, 2.84, 14.39),
    (0.7, 2.849, 14.325),
    (0.8, 2.8575, 14.265),
    (0.9, 2.8655, 14.225),
    (1.0, 2.872, 14.2),
)
_NMC622 = (
    (0.1, 2.816, 13.99),
    (0.15, 2.815, 14.16),
    (0.2, 2.815, 14.33),
    (0.25, 2.8155, 14.42),
    (0.3, 2.817, 14.47),
    (0.35, 2.819, 14.495),
    (0.4, 2.8215, 14.5),
    (0.5, 2.829, 14.47),
    (0.6, 2.8375, 14.41),
    (0.7, 2.846, 14.345),
    (0.8, 2.8545, 14.285),
    (0.9, 2.8625, 14.245),
    (1.0, 2.869, 14.22),
)
_NCA = (
    (0.1, 2.8125, 13.87),
    (0.15, 2.8115, 14.03),
    (0.2, 2.8115, 14.19),
    (0.25, 2.812, 14.32),
    (0.3, 2.8135, 14.4),
    (0.35, 2.8155, 14.44),
    (0.4, 2.818, 14.45),
    (0.5, 2.8255, 14.42),
    (0.6, 2.834, 14.36),
    (0.7, 2.8425, 14.3),
    (0.8, 2.851, 14.245),
    (0.9, 2.859, 14.205),
    (1.0, 2.865, 14.18),
)
#: (lithium content, a, c) of layered oxides LixMO2, angstrom.
LAYERED_EDGES: Mapping[str, tuple[tuple[float, float, float], ...]] = {
    "NMC811": _NMC811,
    "NMC622": _NMC622,
    "NMC90": _NMC811,
    "NCA": _NCA,
    "HEC": tuple((x, round(a + 0.008, 4), c) for x, a, c in _NMC811),
}
#: Spacing of carbon layers, angstrom, against lithium per six carbon, contents and spacings: 1L to its
#: end; stages 4 and 3 to 2L. Order: Dahn, Phys. Rev. B 44 (1991) 9170; spacings of 4, 3 and 2L
#: recalled within 0.02 angstrom.
LAYER_SPACING: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "graphite": ((0.0, 0.12), (3.355, 3.4)),
    "LiC18": ((0.17, 0.22, 0.25, 0.3), (3.43, 3.465, 3.5, 3.51)),
}
#: Edge a of graphite, angstrom, and what it grows by per lithium in six carbon: to that of LiC12 over
#: sqrt(3) at a half.
GRAPHITE_A = (2.461, 0.0294)
