"""What else a frame can be asked: stages of graphite, lithium metal, fatigued grains, intensities and
widths of their own, measured end members, a blank.
"""

import dataclasses
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from pattern_generator import Bench, cell_layers

from battbeam.errors import ReductionError
from battbeam.materials import lattice_edges
from battbeam.reduction.pattern_fit import PatternModel
from battbeam.reduction.reflections import reflections_of
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer
from battbeam.reduction.xrd_model import XrdModel
from battbeam.reduction.xrd_references import MeasuredPattern

CORNER = Bench(
    shape=(220, 220),
    pixel=(0.35, 0.35),
    centre=(24.0, 30.0),
    rotation=(1.0, 0.5),
    width=(0.12, 0.05),
)
TRANSMISSION = float(np.exp(-0.25))
COUNTER, ACTIVE, CARBON = -0.2, 1e-4, 8.2e-5  # mm, mol/cm2 of oxide and of six carbon
INERT = [ScatteringPhase("Al", 0.04), ScatteringPhase("Li", -0.27), ScatteringPhase("steel", 1.45)]
STAGES = ("graphite", "LiC18", "LiC12", "LiC6")
POUCH = [
    ScatteringPhase("NMC811"),
    *(ScatteringPhase(phase, COUNTER) for phase in STAGES),
    ScatteringPhase("Li", COUNTER + 0.05),
    ScatteringPhase("Al", 0.06, reference=True),
    ScatteringPhase("Cu", COUNTER - 0.06),
]
#: Lithium per six carbon against the phases (content, share) that coexist.
CHARGE = [
    [("graphite", 0.05, 1.0)],
    [("graphite", 0.11, 0.4), ("LiC18", 0.24, 0.6)],
    [("LiC18", 0.27, 0.45), ("LiC12", 0.5, 0.55)],
    [("LiC12", 0.5, 0.5), ("LiC6", 1.0, 0.5)],
    [("LiC6", 1.0, 1.0)],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CORNER.save(tmp_path_factory.mktemp("corner"))


def reduced(reducer, expected, seed=None, **how):
    frame = expected if seed is None else np.random.default_rng(seed).poisson(expected)
    return reducer.reduce(frame, monitor=1e8, transmission=TRANSMISSION, **how)


def reducer(files, phases, **options):
    return XrdReducer(*files, phases, shape=CORNER.shape, options=XrdOptions(**options))


def pouch(mix, *, plated=0.0, oxide=0.6, counts=1e8):
    """A full cell: oxide, graphite in a mixture of stages, plated lithium (mol/cm2), collectors."""
    layers = {
        0.0: [("NMC811", oxide, None, 0.97 * ACTIVE), ("NMC811", 0.985, None, 0.03 * ACTIVE)],
        0.06: [("Al", None, None, 1.5e-4)],
        COUNTER - 0.06: [("Cu", None, None, 1.4e-4)],
        COUNTER: [(phase, content, None, CARBON * share) for phase, content, share in mix],
        COUNTER + 0.05: [("Li", None, None, plated)],
    }
    return CORNER.expected(layers, counts=counts)


@pytest.fixture(scope="module")
def full(files):
    return reducer(files, POUCH)


@pytest.mark.parametrize(
    "mix", [CHARGE[2], *(pytest.param(m, marks=pytest.mark.acceptance) for m in CHARGE)]
)
def test_stages_of_graphite_are_told_apart_and_lithium_metal_beside_them(full, mix):
    plated = 3.7e-6  # 0.1 mAh/cm2
    result = reduced(full, pouch(mix, plated=plated), seed=4)
    assert result.valid, result.reason
    content = sum(y * share for _, y, share in mix)
    error = result.lithium_content_counter_error
    assert result.lithium_content_counter == pytest.approx(content, abs=4 * error)
    for phase, _, share in mix:
        found = result.phases[phase]
        assert found.fraction == pytest.approx(share, abs=4 * found.fraction_error)
    # A layer 0.2 mm farther from the detector loses 0.3 % of its solid angle, which the bench ignores.
    scale = ACTIVE / result.active_amount
    error = 4 * result.counter_amount_error * scale + 0.003 * CARBON
    assert result.counter_amount * scale == pytest.approx(CARBON, abs=error)
    metal = result.phases["Li"]
    assert metal.amount * scale == pytest.approx(plated, abs=4 * metal.amount_error * scale)
    assert result.lithium_content == pytest.approx(0.97 * 0.6 + 0.03 * 0.985, abs=0.002)


def test_stages_that_are_not_there_cost_little_and_their_amounts_are_honest(full, monkeypatch):
    """Patterns are drawn 3.1 times a frame; were all phases to follow the noise it would be 5.6."""
    image, pulls, drawn = pouch(CHARGE[0], counts=3e7), [], []
    draw = PatternModel.at
    monkeypatch.setattr(PatternModel, "at", lambda *how: drawn.append(1) or draw(*how))
    for seed in range(12):
        found = reduced(full, image, seed=40 + seed).phases
        pulls += [found[p].amount / found[p].amount_error for p in ("LiC12", "LiC6", "Li")]
    assert abs(np.mean(pulls)) < 3 / np.sqrt(len(pulls))
    assert 0.65 < np.std(pulls) < 1.35
    assert len(drawn) / 12 < 4.5


def test_a_line_of_little_metal_does_not_follow_the_noise(full):
    """A line that goes where the noise is highest has an amount that is too large: by share / (2 n) of its
    errors, n its amount over its error, of what the frame adds to what is known of its lattice the share.
    The mean of a map's hundred pixels would show 0.1 of them as one error of its own.
    """
    metal = next(c for c in full._model.pattern.components if c.phase == "Li")
    for plated in (6e-6, 1.2e-5, 3e-5):
        found = reduced(full, pouch(CHARGE[4], plated=plated, counts=3e7)).phases["Li"]
        n = found.amount / found.amount_error
        assert 2 < n < 20
        share = 1 - (found.lattice_error["a"] / metal.sigma[0]) ** 2
        print(f"{n:.1f} errors of metal: {share / (2 * n):.3f} too much")
        assert share / (2 * n) < 0.03


@pytest.mark.acceptance
def test_no_lithium_is_invented_at_any_state_of_charge(full):
    """110 of lithium lies between 101 and 006 of the oxide and 111 of aluminium."""
    pulls = []
    for seed, oxide in enumerate(np.linspace(0.15, 0.95, 12)):
        mix = CHARGE[seed % len(CHARGE)]
        metal = reduced(full, pouch(mix, oxide=float(oxide)), seed=seed).phases["Li"]
        pulls.append(metal.amount / metal.amount_error)
    assert abs(np.mean(pulls)) < 0.3 + 2 / np.sqrt(len(pulls))
    assert 0.5 < np.std(pulls) < 1.6


FATIGUED = [ScatteringPhase("NMC90"), *INERT]


def collapsed(content, fatigued=0.15):
    mixture = [("NMC90", content, 1 - fatigued), ("NMC90", max(content, 0.25), fatigued)]
    return CORNER.expected(cell_layers(mixture), counts=1e7)


@pytest.fixture(scope="module")
def tired(files):
    return reducer(files, FATIGUED, fatigued_lithium_content=(0.25, 0.03))


def test_fatigued_grains_are_counted_where_their_lines_stand_apart(tired):
    result = reduced(tired, collapsed(0.13), seed=1)
    assert result.valid, result.reason
    found = result.phases["NMC90"]
    assert found.fatigued.fraction == pytest.approx(0.15, abs=4 * found.fatigued.fraction_error)
    assert found.fatigued.fraction_error < 0.005
    bulk, stopped = lattice_edges("NMC90", np.array([0.13, 0.25]))
    assert found.lattice["c"] == pytest.approx(bulk[1], abs=4 * found.lattice_error["c"])
    error = found.fatigued.lattice_error["c"]
    assert found.fatigued.lattice["c"] == pytest.approx(stopped[1], abs=4 * error)
    assert result.lithium_content == pytest.approx(0.85 * 0.13 + 0.15 * 0.25, abs=0.003)


def test_a_fresh_oxide_has_no_fatigued_grains(tired):
    found = reduced(tired, collapsed(0.13, fatigued=0.0), seed=1).phases["NMC90"].fatigued
    assert abs(found.fraction) < 4 * found.fraction_error


@pytest.mark.parametrize("content", [0.22, 0.6])
def test_where_fatigued_grains_lie_among_the_others_nothing_is_said_of_them(tired, content):
    result = reduced(tired, collapsed(content), seed=2)
    assert result.valid, result.reason
    found = result.phases["NMC90"]
    assert np.isnan(found.fatigued.fraction)
    assert np.isnan(found.fatigued.fraction_error)
    mean = 0.85 * lattice_edges("NMC90", np.array([content]))[0, 1]
    mean += 0.15 * lattice_edges("NMC90", np.array([max(content, 0.25)]))[0, 1]
    assert found.lattice["c"] == pytest.approx(mean, abs=0.002)


MOVED = 0.07


@pytest.fixture(scope="module")
def tired_and_moved(files):
    phases = [ScatteringPhase("Al", 0.04, reference=True), *INERT[1:]]
    known = (0.25, 0.02)
    return reducer(files, [ScatteringPhase("NMC90"), *phases], fatigued_lithium_content=known)


def parting(content, fatigued, stopped=0.25):
    """A cell that moved, and c of its oxide: both populations' mean."""
    mixture = [("NMC90", content, 1 - fatigued), ("NMC90", stopped, fatigued)]
    c = lattice_edges("NMC90", np.array([content, stopped]))[:, 1]
    image = CORNER.expected(cell_layers(mixture), counts=2e6, moved=MOVED)
    return image, float((1 - fatigued) * c[0] + fatigued * c[1])


@pytest.mark.parametrize(("content", "fatigued"), [(0.22, 0.1), (0.22, 0.18), (0.225, 0.18)])
def test_grains_that_begin_to_part_are_not_taken_for_fewer_than_none(
    tired_and_moved, content, fatigued
):
    """Half as many again, broader, less half as many that stopped look nearly the same a third of a width
    apart: without noise that is a minimum, and wrong by 3 errors of c and 2 of the displacement.
    """
    image, c = parting(content, fatigued)
    result = reduced(tired_and_moved, image)
    assert result.displacement == pytest.approx(MOVED, abs=0.1 * result.displacement_error)
    found = result.phases["NMC90"]
    assert found.lattice["c"] == pytest.approx(c, abs=0.1 * found.lattice_error["c"])
    assert result.residual < 0.02


def test_grains_that_stopped_earlier_than_was_thought_move_neither_the_cell_nor_c(tired_and_moved):
    """By half of the error of that content; held at 0.25 they would, by eight errors of either."""
    image, c = parting(0.18, 0.18, stopped=0.24)
    result = reduced(tired_and_moved, image)
    assert np.isnan(result.phases["NMC90"].fatigued.fraction)
    assert result.displacement == pytest.approx(MOVED, abs=0.2 * result.displacement_error)
    found = result.phases["NMC90"]
    assert found.lattice["c"] == pytest.approx(c, abs=0.2 * found.lattice_error["c"])


def test_amounts_that_stand_for_each_other_have_a_sum_that_is_known_as_well_as_it_scatters(
    tired_and_moved,
):
    """Inactive grains among the others: each amount is known badly, what is too much of one is too little
    of the other.
    """
    image, _ = parting(0.9, 0.0)
    found = [reduced(tired_and_moved, image, seed=seed) for seed in range(24)]
    amounts = np.array([each.active_amount for each in found])
    error = np.mean([each.active_amount_error for each in found])
    # Four standard deviations of a standard deviation.
    assert np.std(amounts, ddof=1) / error == pytest.approx(1, abs=4 / np.sqrt(48))


def test_grains_that_pass_by_those_that_stopped_leave_no_doubt_where_a_fit_begins(
    tired_and_moved, monkeypatch
):
    """Those that stopped would explain such a frame alone, all others being anywhere."""
    begun, start = [], XrdModel._start

    def noted(self, counts, **how):
        begun.append(how)
        return start(self, counts, **how)

    monkeypatch.setattr(XrdModel, "_start", noted)
    contents = (0.25, 0.255, 0.26, 0.265, 0.28, 0.3, 0.33)
    for content in contents:
        mixture = [("NMC90", content, 0.86), ("NMC90", 0.25, 0.12), ("NMC90", 0.985, 0.02)]
        image = CORNER.expected(cell_layers(mixture), counts=2e6)
        assert np.isnan(reduced(tired_and_moved, image).phases["NMC90"].fatigued.fraction)
    assert begun == [{}] * len(contents)


def test_of_two_fits_that_one_is_taken_which_priors_and_frame_together_like_better():
    class Doubtful:
        fits: ClassVar = {
            "first": SimpleNamespace(chi_squared=1503.9, of_priors=0.4),
            "other": SimpleNamespace(chi_squared=1499.3, of_priors=11.2),
        }

        def _start(self, counts, *, mostly_inactive=False):
            return ("other", False) if mostly_inactive else ("first", True)

        def _fitted(self, counts, start):
            return self.fits[start]

    assert XrdModel.fit(Doubtful(), None) is Doubtful.fits["first"]


@pytest.mark.acceptance
@pytest.mark.parametrize("fatigued", [0.1, 0.18])
def test_a_cell_that_moved_is_known_however_far_its_grains_have_parted(tired_and_moved, fatigued):
    """Aluminium is here what it is thought to be: its share of the errors scatters in no frame."""
    pulls, edges = [], []
    for seed, content in enumerate(np.linspace(0.25, 0.18, 36)):
        image, c = parting(float(content), fatigued)
        result = reduced(tired_and_moved, image, seed=seed)
        found = result.phases["NMC90"]
        assert np.isnan(found.fatigued.fraction)
        pulls.append((result.displacement - MOVED) / result.displacement_error)
        own = np.sqrt(found.lattice_error["c"] ** 2 - found.lattice_shared_error["c"] ** 2)
        edges.append((found.lattice["c"] - c) / own)
    # Four standard deviations of a standard deviation of 36; the displacement's error has all of it.
    for each, least in ((pulls, 0.3), (edges, 0.53)):
        assert abs(np.mean(each)) < 3 / np.sqrt(len(each))
        assert least < np.std(each) < 1.47
        assert np.abs(each).max() < 3.5


@pytest.mark.acceptance
def test_broader_lines_of_the_oxide_are_measured_and_leave_its_lattice_alone(tmp_path):
    """Gaussians widen by squares: from 0.12 to 0.13 degree is 0.05; with tan(theta) a little more."""
    sharp = dataclasses.replace(CORNER, lorentzian=0.0, width=(0.12, 0.0), _kept=CORNER._kept)
    broad = dataclasses.replace(sharp, width=(0.13, 0.0), _kept=CORNER._kept)
    layers = cell_layers([("NMC811", 0.5, 1.0)])
    oxide = {0.0: layers.pop(0.0)}
    both = sharp.expected(layers, counts=None) + broad.expected(oxide, counts=None)
    files = sharp.save(tmp_path)
    asked = reducer(files, [ScatteringPhase("NMC811"), *INERT], broadening=0.05)
    result = reduced(asked, both * 1e7 / both.sum(), seed=1)
    assert result.broadening == pytest.approx(0.05, abs=4 * result.broadening_error)
    assert result.broadening_error < 0.005
    found = result.phases["NMC811"].lattice["c"]
    assert found == pytest.approx(lattice_edges("NMC811", np.array([0.5]))[0, 1], abs=0.002)
    same = reduced(asked, sharp.expected(layers | oxide, counts=1e7), seed=1)
    assert abs(same.broadening) < 4 * same.broadening_error


def textured(factors):
    """A cell whose aluminium has lines stronger or weaker than those of a powder."""
    layers = cell_layers([("LiFePO4", 0.9, 1.0)])
    del layers[0.04]
    image = CORNER.expected(layers, counts=None)
    for name, factor in factors.items():
        only = dataclasses.replace(CORNER, _kept=CORNER._kept)
        only.curve = _one_line("Al", name, only)
        amount = factor * 6.1e-4
        image = image + only.expected(
            {0.04: [("Al", None, None, amount)]}, counts=None, background=0.0
        )
    return image * 1e7 / image.sum()


def _one_line(phase, name, bench):
    """The bench's curve of one reflection only, by taking all others away."""

    def curve(angles, populations, optical_depth, downstream):
        lines = reflections_of(phase, energy=bench.energy, two_theta_max=angles[-1])
        keep = np.arange(len(lines.hkl)) == lines.index_of(name)
        ((_, _, _, moles),) = populations
        edges = np.array([4.0495])
        strength = lines.strength(edges, None)[0][keep] * moles
        middle = float(np.degrees(lines.two_theta(edges)[0][keep])[0])
        width = bench.width[0] + bench.width[1] * np.tan(np.radians(middle) / 2)
        d = (angles - middle) / width
        gauss = 2 * np.sqrt(np.log(2) / np.pi) * 2.0 ** (-4 * d**2)
        line = bench.lorentzian * 2 / np.pi / (1 + 4 * d**2) + (1 - bench.lorentzian) * gauss
        power = strength * np.exp(-optical_depth * 0.5 * (1 / np.cos(np.radians(middle)) - 1))
        cone = np.sin(np.radians(middle)) / np.sin(np.radians(angles))
        return power * line * cone / width * 180 / np.pi

    return curve


@pytest.mark.acceptance
def test_lines_of_a_textured_foil_get_intensities_of_their_own(files):
    factors = {"111": 0.4, "200": 1.9, "220": 1.2, "311": 0.7, "222": 1.0}
    phases = [ScatteringPhase("LiFePO4"), *INERT]
    image = textured(factors)
    free = reducer(files, phases, free_intensities=("Al",), two_theta_range=(4, 26))
    tied = reducer(files, phases, two_theta_range=(4, 26))
    assert free.free_reflections["Al"][:3] == ("111", "200", "220")
    result, naive = reduced(free, image, seed=2), reduced(tied, image, seed=2)
    found = result.phases["Al"]
    # Relative to the oxide, whose structure is right: 6.1e-4 over 6.3e-5 mol.
    for name in ("111", "200", "220"):
        factor = found.intensity[name] / result.active_amount * (6.3e-5 / 6.1e-4)
        error = found.intensity_error[name] / found.intensity[name] * factor
        assert factor == pytest.approx(factors[name], abs=4 * error + 0.01)
    assert result.residual < 1 + 5 * result.residual_deviation
    assert naive.residual > 1.5 * result.residual


def test_intensities_of_a_powder_are_all_the_same(files):
    phases = [ScatteringPhase("LiFePO4"), *INERT]
    image = CORNER.expected(cell_layers([("LiFePO4", 0.9, 1.0)]), counts=1e7)
    free = reducer(files, phases, free_intensities=("Al",), two_theta_range=(4, 26))
    found = reduced(free, image, seed=3).phases["Al"]
    told = np.array(list(found.intensity.values()))
    errors = np.array(list(found.intensity_error.values()))
    assert np.all(np.abs(told - np.average(told, weights=1 / errors**2)) < 4 * errors)


def test_free_intensities_of_a_phase_that_is_not_looked_for_are_refused(files):
    with pytest.raises(ReductionError, match="free_intensities names Cu: not among the phases"):
        reducer(files, [ScatteringPhase("LiFePO4")], free_intensities=("Cu",))


def measured(image, path, seed, **kind):
    frame = np.random.default_rng(seed).poisson(image).astype(float)
    light = {"i0": 1e8, "transmission": TRANSMISSION}
    MeasuredPattern(counts=frame, variance=frame, **light, **kind).write(path)
    return path


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """A cell discharged and charged, measured ten times shorter than a frame would want it."""
    directory = tmp_path_factory.mktemp("members")
    ends = {}
    for seed, (name, content) in enumerate({"discharged": 0.95, "charged": 0.3}.items()):
        image = CORNER.expected(cell_layers([("NMC811", content, 1.0)]), counts=None)
        ends[name] = (image, directory / f"{name}.npz", content, seed)
    scale = 1e7 / ends["discharged"][0].sum()
    return {
        name: (image * scale, measured(image * scale, path, seed, lithium_content=content))
        for name, (image, path, content, seed) in ends.items()
    }


def test_a_frame_is_unmixed_into_measured_end_members(files, members):
    paths = {name: path for name, (_, path) in members.items()}
    unmixing = reducer(files, [], references=paths)
    mixture = 0.7 * members["discharged"][0] + 0.3 * members["charged"][0]
    pulls = []
    for seed in range(12):
        result = reduced(unmixing, mixture, seed=100 + seed)
        assert result.valid, result.reason
        found = result.end_members["charged"]
        pulls.append((found.fraction - 0.3) / found.fraction_error)
        assert result.lithium_content == pytest.approx(0.7 * 0.95 + 0.3 * 0.3, abs=0.005)
        assert result.end_members["discharged"].amount == pytest.approx(0.7, abs=0.01)
    # The noise of the end members themselves is common to all frames, and is not all in the error.
    assert np.abs(pulls).max() < 5
    assert abs(result.residual - 1) < 6 * result.residual_deviation


def test_noise_of_end_members_goes_into_the_variance(files, members, tmp_path):
    """Left out, chi squared would be (1 + 0.7^2 + 0.3^2) times too large."""
    paths = {name: path for name, (_, path) in members.items()}
    mixture = 0.7 * members["discharged"][0] + 0.3 * members["charged"][0]
    exact = {}
    for name, path in paths.items():
        with_noise = MeasuredPattern.read(path)
        exact[name] = tmp_path / f"{name}.npz"
        dataclasses.replace(with_noise, variance=0 * with_noise.variance).write(exact[name])
    told, ignored = (
        reduced(reducer(files, [], references=each), mixture, seed=5).residual
        for each in (paths, exact)
    )
    assert ignored / told == pytest.approx(1 + 0.7**2 + 0.3**2, rel=0.1)


@pytest.mark.acceptance
def test_an_empty_cell_is_taken_off_with_its_noise(files, tmp_path):
    """Steel that is in no list of phases is in the blank."""
    layers = cell_layers([("LiFePO4", 0.9, 1.0)])
    steel = {1.45: layers.pop(1.45)}
    sample = CORNER.expected(layers, counts=None)
    empty = 20 * CORNER.expected(steel, counts=None)
    scale = 1e7 / sample.sum()
    path = measured(3 * empty * scale, tmp_path / "blank.npz", 8)
    stored = MeasuredPattern.read(path)
    dataclasses.replace(stored, i0=3e8).write(path)
    phases = [ScatteringPhase("LiFePO4"), *INERT[:2]]
    image = (sample + empty) * scale
    with_blank = reduced(reducer(files, phases, blank=path), image, seed=1)
    without = reduced(reducer(files, phases), image, seed=1)
    assert with_blank.residual == pytest.approx(1.0, abs=5 * with_blank.residual_deviation)
    assert without.residual > 1 + 5 * without.residual_deviation


def test_measured_patterns_are_part_of_what_a_result_says_about_itself(files, members):
    paths = {name: path for name, (_, path) in members.items()}
    stored = reducer(files, [], references=paths).provenance["options"]["references"]
    assert set(stored) == {"discharged", "charged"}
    assert len(set(stored.values())) == 2


def test_measured_patterns_that_cannot_be_used_are_refused(files, tmp_path):
    path = tmp_path / "one.npz"
    with pytest.raises(ReductionError, match=r"measured pattern .*one\.npz cannot be read"):
        MeasuredPattern.read(path)
    np.savez(path, counts=np.zeros((2, 2)))
    with pytest.raises(ReductionError, match="has no variance, i0, transmission"):
        MeasuredPattern.read(path)
    blank = np.ones((4, 4))
    with pytest.raises(ReductionError, match="needs a beam: i0 0"):
        MeasuredPattern(blank, blank, i0=0.0, transmission=0.5)
    with pytest.raises(
        ReductionError, match=r"counts of \(4, 4\) pixels and variances of \(2, 4\)"
    ):
        MeasuredPattern(blank, blank[:2], i0=1.0, transmission=0.5)
    with pytest.raises(ReductionError, match="host of a measured pattern: 'both'"):
        MeasuredPattern(blank, blank, i0=1.0, transmission=0.5, host="both")
    MeasuredPattern(blank, blank, i0=1.0, transmission=0.5).write(path)
    with pytest.raises(ReductionError, match=r"a measured pattern has \(4, 4\) pixels, the frames"):
        reducer(files, [ScatteringPhase("LiFePO4")], blank=path)
