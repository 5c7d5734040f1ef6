"""Structure factors against published and textbook values."""

import numpy as np
import pytest

from battbeam.materials import structure
from battbeam.reduction.reflections import (
    free_edges_of,
    reflections_of,
    squared_structure_factors,
)

ENERGY = 22163.0
# abs(F) of some strong reflections of LiFePO4 at 22.163 keV, by xrayutilities 1.8.
LIFEPO4 = {
    (2, 0, 0): 53.07,
    (1, 0, 1): 60.95,
    (1, 1, 1): 61.07,
    (0, 2, 0): 130.22,
    (3, 1, 1): 96.44,
    (1, 2, 1): 54.12,
}


def test_structure_factors_of_lifepo4_are_those_of_another_program():
    hkl = np.array(list(LIFEPO4), dtype=float)
    found = np.sqrt(squared_structure_factors(structure("LiFePO4", 1.0), hkl, ENERGY))
    np.testing.assert_allclose(found, list(LIFEPO4.values()), rtol=3e-3)


def test_aluminium_has_the_rings_of_a_face_centred_metal():
    lines = reflections_of("Al", energy=ENERGY, two_theta_max=24)
    spacing = 1 / np.sqrt((lines.metric / 4.0495**2).sum(axis=1))
    # The first three of pyFAI's own list for aluminium.
    np.testing.assert_allclose(np.sort(spacing)[::-1], [2.33798, 2.02475, 1.43171], atol=2e-5)
    assert sorted(lines.multiplicity) == [6, 8, 12]


def test_families_absent_in_the_space_group_are_left_out():
    lines = reflections_of("LiFePO4", energy=ENERGY, two_theta_max=15)
    assert lines.index_of("100") is None
    assert lines.index_of("311") is not None


@pytest.mark.parametrize("phase", ["LiFePO4", "NMC811", "Al"])
def test_derivatives_of_strength_and_angle_are_those_of_differences(phase):
    lines = reflections_of(phase, energy=ENERGY, two_theta_max=30)
    edges = free_edges_of(structure(phase))
    _, by_edge, _ = lines.strength(edges, None)
    _, angle_by_edge = lines.two_theta(edges)
    for edge in range(len(edges)):
        step = np.zeros(len(edges))
        step[edge] = 1e-5
        up, down = edges + step, edges - step
        numeric = (lines.strength(up, None)[0] - lines.strength(down, None)[0]) / 2e-5
        np.testing.assert_allclose(by_edge[:, edge], numeric, atol=1e-5 * np.abs(numeric).max())
        numeric = (lines.two_theta(up)[0] - lines.two_theta(down)[0]) / 2e-5
        np.testing.assert_allclose(angle_by_edge[:, edge], numeric, atol=1e-6)


def test_strength_follows_the_lithium_content():
    lines = reflections_of("LixFePO4", energy=ENERGY, two_theta_max=20)
    edges = free_edges_of(structure("LixFePO4", 0.5))
    _, _, by_content = lines.strength(edges, 0.5)
    numeric = (lines.strength(edges, 0.51)[0] - lines.strength(edges, 0.49)[0]) / 0.02
    np.testing.assert_allclose(by_content, numeric, atol=2e-3 * np.abs(numeric).max())


# Of the working electrode's, of every stage of graphite, and of what else may be in a cell.
ORACLE = (
    *("LiFePO4", "NMC811", "NMC622", "NCA", "graphite", "LiC18", "LiC12", "LiC6"),
    *("Li", "spinel", "rock_salt", "LiF", "Li2O", "Al", "CeO2"),
)


@pytest.mark.parametrize("phase", ORACLE)
def test_lines_are_where_and_as_strong_as_another_program_has_them(phase):
    """pymatgen: its own f0, hence 1 % of the strongest line; symmetry, angles,
    multiplicities and Lorentz-polarization are its own too.
    """
    diffraction = pytest.importorskip("pymatgen.analysis.diffraction.xrd")
    core = pytest.importorskip("pymatgen.core")
    crystal = structure(phase)
    at: dict[tuple[float, float, float], dict[str, float]] = {}
    for site in crystal.sites:
        if site.occupancy > 0:
            at.setdefault(site.position, {})[site.element] = site.occupancy
    edges = crystal.lattice
    model = core.Structure.from_spacegroup(
        crystal.space_group,
        core.Lattice.from_parameters(
            edges.a, edges.b, edges.c, edges.alpha, edges.beta, edges.gamma
        ),
        list(at.values()),
        list(at),
    )
    wavelength = 0.55941
    damping = {site.element: 8 * np.pi**2 * site.u_iso for site in crystal.sites}
    calculator = diffraction.XRDCalculator(wavelength=wavelength, debye_waller_factors=damping)
    theirs = calculator.get_pattern(model, scaled=False, two_theta_range=(3, 26))

    lines = reflections_of(phase, energy=12398.42 / wavelength, two_theta_max=26)
    angle = lines.two_theta(free_edges_of(crystal))[0]
    squares = squared_structure_factors(crystal, lines.hkl, 1e6)  # no anomalous part
    ours = lines.multiplicity * squares * (1 + np.cos(angle) ** 2)
    ours /= np.sin(angle / 2) ** 2 * np.cos(angle / 2)
    # Lines of one angle are one line there.
    summed = np.array([ours[np.abs(np.degrees(angle) - line) < 1e-3].sum() for line in theirs.x])
    np.testing.assert_allclose(summed / summed.max(), theirs.y / theirs.y.max(), atol=0.01)
    seen = (np.degrees(angle) > 3) & (np.degrees(angle) < 26)
    assert summed.sum() == pytest.approx(ours[seen].sum(), rel=1e-3)


def test_the_sites_of_both_kinds_of_layers_show_in_the_stages_of_graphite():
    """Stacking AB has 101 and not 001 or 100 alone; AA with lithium in every second gallery has 001."""
    has = {
        phase: reflections_of(phase, energy=ENERGY, two_theta_max=20).index_of
        for phase in ("graphite", "LiC12", "LiC6")
    }
    assert has["graphite"]("001") is None
    assert has["graphite"]("101") is not None
    assert has["LiC12"]("001") is not None
    assert has["LiC6"]("001") is not None


@pytest.mark.parametrize(
    ("phase", "names"),
    [
        ("Al", {"111", "200", "220", "311", "222"}),
        ("NMC811", {"003", "101", "006", "012", "104"}),
        ("graphite", {"002", "100", "101", "102", "004"}),
    ],
)
def test_families_are_called_as_they_usually_are(phase, names):
    lines = reflections_of(phase, energy=ENERGY, two_theta_max=30)
    order = np.argsort(lines.two_theta(free_edges_of(structure(phase)))[0])
    assert {lines.name_of(int(index)) for index in order[:5]} == names
    for index in order[:5]:
        assert lines.index_of(lines.name_of(int(index))) == index
