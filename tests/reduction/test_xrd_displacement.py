"""Cells that moved along the beam since the standard was measured.

0.1 mm at 130 mm moves a line by sin(4 theta) / (2 L) = 0.005 to 0.016 degree, which is 0.011 angstrom
in c of NMC811. With 3e7 counts c is known within 0.0003 angstrom.
"""

import numpy as np
import pytest
from pattern_generator import Bench, cell_layers

from battbeam.materials import lattice_edges, structure
from battbeam.reduction.reflections import free_edges_of
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer

CORNER = Bench(
    shape=(220, 220),
    pixel=(0.4, 0.4),
    centre=(24.0, 30.0),
    rotation=(1.0, 0.5),
    width=(0.17, 0.05),
)
MOVED, TRANSMISSION = 0.1, float(np.exp(-0.25))


def cell(*, reference: str = "", still: bool = False) -> list[ScatteringPhase]:
    return [
        ScatteringPhase("NMC811"),
        ScatteringPhase("Al", 0.04, reference=reference == "Al"),
        ScatteringPhase("Li", -0.27),
        ScatteringPhase("steel", 1.45, reference=reference == "steel", moves=not still),
    ]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CORNER.save(tmp_path_factory.mktemp("corner"))


def frame(content: float, *, seed: int | None = None, moved: float = MOVED, **where) -> np.ndarray:
    layers = cell_layers([("NMC811", content, 0.97), ("NMC811", 0.985, 0.03)])
    expected = CORNER.expected(layers, counts=3e7, moved=moved, **where)
    return expected if seed is None else np.random.default_rng(seed).poisson(expected)


def reduced(reducer, image):
    return reducer.reduce(image, monitor=1e8, transmission=TRANSMISSION)


def true_edges(content: float) -> np.ndarray:
    parts = lattice_edges("NMC811", np.array([content, 0.985]))
    return np.asarray(0.97 * parts[0] + 0.03 * parts[1])


@pytest.mark.parametrize("content", [0.6, pytest.param(0.2, marks=pytest.mark.acceptance)])
def test_aluminium_beside_the_electrode_tells_how_far_the_cell_moved(files, content):
    reducer = XrdReducer(*files, cell(reference="Al"), shape=CORNER.shape)
    result = reduced(reducer, frame(content, seed=3))
    assert result.valid, result.reason
    assert result.displacement == pytest.approx(MOVED, abs=4 * result.displacement_error)
    assert result.displacement_error < 0.005
    found = result.phases["NMC811"]
    assert abs(found.lattice["c"] - true_edges(content)[1]) < min(
        0.003, 4 * found.lattice_error["c"]
    )
    assert abs(found.lattice["a"] - true_edges(content)[0]) < 4 * found.lattice_error["a"]
    assert result.lithium_content == pytest.approx(0.97 * content + 0.03 * 0.985, abs=0.004)
    assert abs(result.reference_strain) < 4 * result.reference_strain_error


@pytest.mark.acceptance
def test_where_counts_are_few_it_is_what_is_known_of_the_reference_that_tells(files):
    """With many, the orders of its lines tell nearly as much: a stretch is no motion."""
    image = np.random.default_rng(3).poisson(frame(0.6) / 100)
    known, guessed = (
        reduced(
            XrdReducer(
                *files,
                cell(reference="Al"),
                shape=CORNER.shape,
                options=XrdOptions(reference_error=error),
            ),
            image,
        )
        for error in (5e-5, 2e-3)
    )
    assert known.displacement == pytest.approx(MOVED, abs=4 * known.displacement_error)
    assert known.displacement_error < 0.5 * guessed.displacement_error
    assert (
        known.phases["NMC811"].lattice_error["c"]
        < 0.6 * (guessed.phases["NMC811"].lattice_error["c"])
    )


def test_without_looking_for_it_a_move_becomes_a_wrong_lattice_with_a_small_error(files):
    naive = reduced(XrdReducer(*files, cell(), shape=CORNER.shape), frame(0.6))
    found = naive.phases["NMC811"]
    apart = found.lattice["c"] - true_edges(0.6)[1]
    assert apart > 0.003
    assert apart > 10 * found.lattice_error["c"]
    assert np.isnan(naive.displacement)


def test_without_a_reference_the_lattice_says_that_it_is_less_well_known(files):
    options = XrdOptions(displacement=MOVED, two_theta_range=(5, 18))
    alone = XrdReducer(*files, [ScatteringPhase("NMC811")], shape=CORNER.shape, options=options)
    still = XrdReducer(
        *files,
        [ScatteringPhase("NMC811")],
        shape=CORNER.shape,
        options=XrdOptions(two_theta_range=(5, 18)),
    )
    layers = {0.0: [("NMC811", 0.6, None, 6.3e-5)]}
    image = CORNER.expected(layers, counts=1e6, moved=MOVED)
    loose, tight = (reduced(each, image).phases["NMC811"] for each in (alone, still))
    c = lattice_edges("NMC811", np.array([0.6]))[0, 1]
    assert abs(tight.lattice["c"] - c) > 4 * tight.lattice_error["c"]
    assert loose.lattice_error["c"] > 3 * tight.lattice_error["c"]
    assert abs(loose.lattice["c"] - c) < 2 * loose.lattice_error["c"]


def test_a_reference_that_did_not_move_with_the_cell_misleads_and_is_called_so(files):
    """Steel of the casing stays; it was said to move with the cell."""
    layers = cell_layers([("NMC811", 0.6, 0.97), ("NMC811", 0.985, 0.03)])
    steel = {1.45 - MOVED: layers.pop(1.45)}
    expected = CORNER.expected(layers | steel, counts=3e7, moved=MOVED)
    image = np.random.default_rng(5).poisson(expected)
    wrong = reduced(XrdReducer(*files, cell(reference="steel"), shape=CORNER.shape), image)
    found = wrong.phases["NMC811"]
    assert abs(found.lattice["c"] - true_edges(0.6)[1]) > 10 * found.lattice_error["c"]
    assert wrong.residual > 1 + 5 * wrong.residual_deviation
    right = reduced(XrdReducer(*files, cell(reference="Al", still=True), shape=CORNER.shape), image)
    assert right.phases["NMC811"].lattice["c"] == pytest.approx(true_edges(0.6)[1], abs=0.003)


def test_only_a_reference_whose_place_is_known_tells_where_the_electrode_is(files):
    """Aluminium of the electrode's own collector, and the same thought to be that of a lid."""
    image = frame(0.6, seed=6)
    c = true_edges(0.6)[1]
    for depth, is_right in ((0.04, True), (0.24, False)):
        phases = [each for each in cell() if each.phase != "Al"]
        phases.append(ScatteringPhase("Al", depth, reference=True))
        result = reduced(XrdReducer(*files, phases, shape=CORNER.shape), image)
        off = abs(result.phases["NMC811"].lattice["c"] - c)
        assert bool(off < 0.003) is is_right
        assert bool(abs(result.displacement - MOVED) < 0.02) is is_right


@pytest.mark.acceptance
def test_a_wrong_energy_shows_in_the_references(files, tmp_path):
    """8 eV are 3.6e-4 of every lattice; displacement has another course over angles."""
    other = Bench(
        shape=CORNER.shape,
        pixel=CORNER.pixel,
        centre=CORNER.centre,
        rotation=CORNER.rotation,
        width=CORNER.width,
        energy=22171.0,
    )
    reducer = XrdReducer(*other.save(tmp_path), cell(reference="Al"), shape=CORNER.shape)
    result = reduced(reducer, frame(0.6, moved=0.0))
    assert result.reference_strain == pytest.approx(
        -8 / 22163, abs=5 * result.reference_strain_error
    )
    assert abs(result.reference_strain) > 5 * result.reference_strain_error


def test_what_frames_share_is_what_known_lattices_could_be_wrong_by(files):
    """Each lattice that was taken as known is off by its error: that moves c, and by so much in every frame."""
    reducer = XrdReducer(*files, cell(reference="Al"), shape=CORNER.shape)
    layers = cell_layers([("NMC811", 0.6, 1.0)])

    def c_with(**stretched):
        """Without noise, where phases have other lattices than those known."""
        moved = {
            depth: [
                (phase, content, edges_of(phase, 1 + stretched.get(phase, 0.0), content), moles)
                for phase, content, _, moles in populations
            ]
            for depth, populations in layers.items()
        }
        found = reduced(reducer, CORNER.expected(moved, counts=1e6, moved=MOVED))
        return found.phases["NMC811"]

    plain = c_with()
    known = {"Al": 5e-5, "Li": 5e-4, "steel": 2e-3}
    by_each = [c_with(**{name: by}).lattice["c"] - plain.lattice["c"] for name, by in known.items()]
    shared, whole = plain.lattice_shared_error["c"], plain.lattice_error["c"]
    assert shared == pytest.approx(np.linalg.norm(by_each), rel=0.05)
    assert 0.3 * whole < shared < 0.9 * whole


def edges_of(phase, factor, content):
    return free_edges_of(structure(phase)) * factor if content is None else None


@pytest.mark.acceptance
def test_errors_are_honest_wherever_lines_of_reference_and_electrode_overlap(files):
    """Al 200 crosses 104, Al 111 the 006, Al 220 the 110 as lithium is drawn."""
    reducer = XrdReducer(*files, cell(reference="Al"), shape=CORNER.shape)
    pulls = []
    for seed, content in enumerate(np.linspace(0.12, 0.9, 25)):
        result = reduced(reducer, frame(float(content), seed=seed))
        found = result.phases["NMC811"]
        apart = found.lattice["c"] - true_edges(float(content))[1]
        assert abs(apart) < 0.003
        pulls.append(apart / found.lattice_error["c"])
    assert abs(np.mean(pulls)) < 0.3 + 2 / np.sqrt(len(pulls))
    assert 0.7 < np.std(pulls) < 1.4


def test_a_phase_that_holds_lithium_is_no_reference():
    with pytest.raises(ValueError, match="NMC811 holds lithium: its lattice is no reference"):
        ScatteringPhase("NMC811", reference=True)
