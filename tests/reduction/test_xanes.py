import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from spectrum_generator import Beamline, Edge, Foil, grid

from battbeam.errors import ReductionError
from battbeam.reduction.xanes import Spectrum, Standard, XanesOptions, XanesReducer

#: Tabulated edges, eV, and where a compound's edge lies behind them.
EDGES = {"Mn": (6539.0, 9.0), "Fe": (7112.0, 9.5), "Ni": (8333.0, 10.5)}


class Case:
    """An element with stored curves: a foil, and two compounds 3.6 eV and two valences apart."""

    def __init__(self, element="Ni", **line):
        self.element = element
        self.foil_energy, behind = EDGES[element]
        self.first = self.foil_energy + behind
        self.energy = grid(self.foil_energy)
        self.line = Beamline(Edge(self.first), Foil(self.foil_energy), **line)
        fine = np.arange(self.foil_energy - 100, self.foil_energy + 200, 0.1)
        self.foil = Standard(
            "foil", fine, Foil(self.foil_energy)(fine), edge_position=self.foil_energy
        )
        self.standards = tuple(
            Standard(
                name,
                fine,
                Edge(self.first + 1.8 * (state - 2))(fine),
                edge_position=self.first + 1.8 * (state - 2),
                oxidation_state=state,
            )
            for name, state in (("two", 2.0), ("four", 4.0))
        )

    def options(self, **changes):
        return XanesOptions(**({"foil": self.foil, "standards": self.standards} | changes))

    def reducer(self, **changes):
        return XanesReducer(self.options(**changes), self.element, "K")

    def spectrum(self, rng, *, shift=0.0, **changes):
        line = self.line.but(**({"sample": Edge(self.first + shift)} | changes))
        return Spectrum(**line.counts(self.energy, rng))


def pulls(case, name, n, *, truth, **changes):
    """(value - truth) / error of a quantity over seeds, and the values less the truth."""
    found = []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        shift = rng.uniform(-0.5, 2.5)
        result = case.reducer().reduce(case.spectrum(rng, shift=shift, **changes))
        assert result.valid, result.reason
        value, error = getattr(result, name), getattr(result, f"{name}_error")
        found.append((value - truth(shift), error))
    away, errors = np.array(found).T
    return away / errors, away


def assert_honest(found, *, width=0.2):
    """Mean 0 and width 1, to four standard deviations of either."""
    assert abs(found.mean()) < 4 / np.sqrt(len(found))
    assert found.std() == pytest.approx(1, abs=width)


@pytest.mark.parametrize("element", EDGES)
@pytest.mark.parametrize("photons", [1e5, pytest.param(3e6, marks=pytest.mark.acceptance)])
def test_edge_positions_are_right_within_their_errors(element, photons):
    case = Case(element, photons=photons, jitter=0.02, repeatability=0.02, offset=-0.7)
    assert_honest(pulls(case, "edge_position", 150, truth=lambda s: case.first + s)[0])


def test_edge_positions_with_dark_and_gain_are_right_within_their_errors():
    case = Case(photons=2e5, jitter=0.02, repeatability=0.02, dark=400.0, gain=3.0)
    assert_honest(pulls(case, "edge_position", 150, truth=lambda s: case.first + s)[0])


@pytest.mark.parametrize(("jitter", "photons"), [(0.05, 1e8), (0.0, 1e6)])
def test_noise_that_moves_sample_and_foil_alike_counts_once(jitter, photons):
    """The sample is of the foil's metal: jitter cancels, noise of the photons between them adds."""
    case = Case(jitter=jitter, photons=photons, below=1.5, repeatability=0.02)
    fine = case.foil.energy
    metal = Standard("metal", fine, Foil(8333.0)(fine), edge_position=8333.0)
    reducer = case.reducer(standards=(metal,), energy_jitter=jitter, foil_range=(-12.0, 12.0))
    found = []
    for seed in range(300):
        spectrum = case.spectrum(np.random.default_rng(seed), sample=Foil(8333.0), step=1.2)
        result = reducer.reduce(spectrum)
        found.append((result.edge_position - 8333.0) / result.edge_position_error)
    assert_honest(np.array(found), width=0.15)


def test_valences_are_right_within_their_errors():
    case = Case(photons=1e6, jitter=0.02, repeatability=0.02)
    found, away = pulls(case, "oxidation_state", 150, truth=lambda s: 2 + s / 1.8)
    assert_honest(found)
    assert np.abs(away).max() < 0.05


def test_edge_steps_are_right_within_their_errors():
    # A step by polynomials is that of the same polynomials on the curve without noise.
    case = Case(photons=1e5)
    exact = case.spectrum(np.random.default_rng(0), photons=1e13)
    wanted = case.reducer().reduce(exact).edge_step
    found = pulls(case, "edge_step", 150, truth=lambda _: wanted, sample=Edge(case.first))[0]
    assert_honest(found)


def test_with_a_foil_a_pair_of_spectra_is_good_to_six_millielectronvolts():
    """2e6 photons and more behind the sample, 20 meV of jitter a point and of each scan."""
    case = Case(photons=1e7, jitter=0.02, repeatability=0.02)
    away = pulls(case, "edge_position", 100, truth=lambda s: case.first + s)[1]
    assert away.std() < 0.0075


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_a_forgotten_foil_costs_the_monochromators_repeatability(offset):
    case = Case(photons=1e7, jitter=0.02, repeatability=0.02, offset=offset)
    with_foil, without = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        reducer = case.reducer()
        good = reducer.reduce(case.spectrum(rng))
        forgotten = reducer.reduce(case.spectrum(rng, foil=None, shift=0.4))
        assert forgotten.valid
        assert forgotten.flags[0].startswith("no foil (its edge step is")
        assert forgotten.edge_position_error > 0.02 > good.edge_position_error
        away = forgotten.edge_position - case.first - 0.4
        with_foil.append((good.edge_position - case.first) / good.edge_position_error)
        without.append((away, away / forgotten.edge_position_error))
    assert_honest(np.array(with_foil), width=0.25)
    away, found = np.array(without).T
    assert abs(found.mean()) < 4 / np.sqrt(100)
    # Two scans that were each 0.02 eV off, as measured: 0.029.
    assert away.std() == pytest.approx(0.029, abs=0.006)
    assert 0.8 < found.std() < 1.4


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_two_runs_agree_by_the_curves_of_the_first(offset):
    """An offset of 1 eV between two runs, and what ageing did to the edge: 0.40 eV."""
    case, away = Case(photons=1e7, jitter=0.02, repeatability=0.02), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        first = XanesReducer(XanesOptions(), "Ni", "K")
        fresh = first.reduce(case.spectrum(rng))
        options = XanesOptions(foil=first.foil, standards=(first.standard,))
        again = XanesOptions.read(json.loads(json.dumps(options.document())))
        aged = XanesReducer(again, "Ni", "K").reduce(case.spectrum(rng, shift=0.4, offset=offset))
        away.append(aged.edge_position - fresh.edge_position - 0.4)
    assert abs(np.mean(away)) < 4 * np.std(away) / np.sqrt(40) + 2e-3
    assert np.std(away) < 0.015
    assert np.abs(away).max() < 0.03 + 0.01


def test_spectra_of_one_run_differ_by_their_own_errors_alone():
    case, found = Case(photons=3e6, jitter=0.02, repeatability=0.02), []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        reducer = XanesReducer(XanesOptions(), "Ni", "K")
        reducer.reduce(case.spectrum(rng))
        second, third = (reducer.reduce(case.spectrum(rng, shift=s)) for s in (0.6, 0.1))
        own = [
            np.sqrt(each.edge_position_error**2 - each.edge_position_shared_error**2)
            for each in (second, third)
        ]
        found.append((second.edge_position - third.edge_position - 0.5) / np.hypot(*own))
    assert_honest(np.array(found), width=0.3)


def test_a_first_spectrum_is_its_own_standard_at_half_height():
    case = Case(photons=1e8, offset=0.5)
    rng = np.random.default_rng(0)
    reducer = XanesReducer(XanesOptions(edge_energy=case.first), "Ni", "K")
    first = reducer.reduce(case.spectrum(rng, sample=Edge(case.first, white_line=0.0)))
    assert first.edge_position == pytest.approx(case.first, abs=0.3)
    assert first.edge_position_error == first.edge_position_shared_error
    assert first.energy_shift == pytest.approx(0.5, abs=0.05)
    assert reducer.standard.edge_position == first.edge_position
    second = reducer.reduce(case.spectrum(rng, sample=Edge(case.first + 1, white_line=0.0)))
    assert second.edge_position - first.edge_position == pytest.approx(1.0, abs=0.02)


def test_mixtures_of_standards_are_told_and_add_up_to_one():
    case = Case(photons=1e6)
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def mixed(energy):
            two, four = Edge(case.first)(energy), Edge(case.first + 3.6)(energy)
            return 0.7 * two + 0.3 * four

        # The slow decline of a sample is not in the standards: left out here.
        spectrum = case.spectrum(rng, sample=_Shape(case.first, mixed), below=0.0)
        result = case.reducer(combination=True, post_degree=0).reduce(spectrum)
        assert sum(result.fractions.values()) == pytest.approx(1)
        found.append((result.fractions["four"], result.fractions_error["four"]))
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(0.3, abs=0.02)
    assert values.std() == pytest.approx(errors.mean(), rel=0.5)


class _Shape:
    def __init__(self, position, shape):
        self.position, self._shape = position, shape

    def __call__(self, energy):
        return self._shape(energy)


@pytest.mark.parametrize("points", [[30], [30, 45, 60, 61]])
def test_points_without_counts_and_glitches_are_flagged_and_move_nothing(points):
    case, rng = Case(photons=3e6), np.random.default_rng(4)
    spectrum = case.spectrum(rng, shift=0.4)
    spectrum.transmitted[points] = 0.0
    # A glitch behind the edge: ten times its noise.
    at = int(np.searchsorted(spectrum.energy, case.first + 18))
    spectrum.transmitted[at] *= 1.05
    result = case.reducer().reduce(spectrum)
    assert result.valid
    assert set(np.flatnonzero(result.flagged)) == {*points, at}
    assert result.n_flagged == len(points) + 1
    assert np.isnan(result.absorbance[points]).all()
    assert np.isnan(result.normalized_absorbance[at])
    away = (result.edge_position - case.first - 0.4) / result.edge_position_error
    assert abs(away) < 4


def reduced(case, seed=0, *, options=None, **changes):
    spectrum = case.spectrum(np.random.default_rng(seed), **changes)
    return case.reducer(**(options or {})).reduce(spectrum)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"below": 3.5, "photons": 1e8}, "too thick: absorbance 4"),
        ({"below": 2.2, "step": 3.3, "photons": 1e8}, "too thick: absorbance 5"),
        ({"step": 0.0}, "no edge: its step is"),
        ({"photons": 20.0}, "0 points can be used, 15 are needed"),
        ({"below": 2.0, "photons": 3e4, "dark": 3e4}, "less than those of the dark"),
    ],
)
def test_what_cannot_be_trusted_has_no_edge_and_a_reason(changes, reason):
    result = reduced(Case(), **changes)
    assert not result.valid
    assert reason in result.reason
    values = [result.edge_position, result.edge_position_error, result.oxidation_state]
    assert np.isnan(values).all()


def test_a_step_that_is_too_large_is_too_thick_whatever_the_detectors_efficiency():
    case = Case()
    spectrum = case.spectrum(np.random.default_rng(0), step=3.4, below=0.1, photons=1e8)
    # Chambers that make the sample look thinner by a factor.
    dim = Spectrum(**{**vars(spectrum), "i0": spectrum.i0 / 10})
    result = case.reducer().reduce(dim)
    assert result.reason.startswith("too thick: edge step 3")


def test_saturated_points_are_left_out_and_many_of_them_are_a_reason():
    case, rng = Case(photons=1e6), np.random.default_rng(0)
    spectrum = case.spectrum(rng)
    spectrum.i0[[20, 50]] = 3e6
    result = case.reducer(saturation=2e6).reduce(spectrum)
    assert result.valid
    assert {20, 50} <= set(np.flatnonzero(result.flagged))
    spectrum.i0[40:60] = 3e6
    assert "% of points saturated" in case.reducer(saturation=2e6).reduce(spectrum).reason


def test_a_scan_that_ends_at_the_edge_has_a_reason():
    case = Case()
    spectrum = case.spectrum(np.random.default_rng(0))
    short = spectrum.take(spectrum.energy < case.foil_energy + 5)
    assert "no point behind the edge" in case.reducer().reduce(short).reason
    bare = spectrum.take(spectrum.energy > case.foil_energy + 1)
    assert "points before the edge" in case.reducer().reduce(bare).reason


def test_an_edge_of_another_element_is_none():
    result = Case("Mn").reducer().reduce(Case("Fe").spectrum(np.random.default_rng(0)))
    assert not result.valid


def test_the_order_of_points_does_not_matter():
    case, rng = Case(), np.random.default_rng(3)
    spectrum = case.spectrum(rng)
    mixed = spectrum.take(rng.permutation(len(spectrum)))
    one, other = case.reducer().reduce(spectrum), case.reducer().reduce(mixed)
    assert other.energy == pytest.approx(one.energy)
    assert other.edge_position == one.edge_position


def test_fluorescence_gives_the_edge_as_transmission_does():
    case, away = Case(photons=1e7, jitter=0.02), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        counts = case.line.but(below=0.3).counts(case.energy, rng)
        true = case.energy
        emitted = 1e5 * (0.05 + Edge(case.first)(true))
        counts["fluorescence"] = rng.poisson(emitted).astype(float)
        result = case.reducer(signal="fluorescence").reduce(Spectrum(**counts))
        assert result.valid, result.reason
        away.append((result.edge_position - case.first) / result.edge_position_error)
    assert_honest(np.array(away), width=0.35)
    with pytest.raises(ReductionError, match="fluorescence is asked for"):
        case.reducer(signal="fluorescence").reduce(case.spectrum(np.random.default_rng(0)))


def test_options_survive_a_document_and_unknown_ones_are_refused():
    options = Case().options(edge_range=(-8, 20.0), combination=True)
    again = XanesOptions.read({"method": "xanes", **json.loads(json.dumps(options.document()))})
    assert again.document() == options.document()
    assert again.edge_range == (-8.0, 20.0)
    with pytest.raises(ReductionError, match="XanesOptions knows no edgerange; known: combination"):
        XanesOptions.read({"edgerange": 3})
    with pytest.raises(ReductionError, match="a standard is incomplete"):
        Standard.read({"name": "two", "energy": [1, 2, 3, 4]})


def test_standards_that_make_no_sense_are_refused():
    energy = np.arange(8300.0, 8400.0)
    with pytest.raises(ReductionError, match="standard two needs four energies or more"):
        Standard("two", energy[:3], energy[:3])
    with pytest.raises(ReductionError, match="the energies of standard two must ascend"):
        Standard("two", energy[::-1], energy)
    flat = Standard("flat", energy, np.zeros(100))
    with pytest.raises(ReductionError, match="standard flat does not pass half height"):
        XanesReducer(XanesOptions(standards=(flat,)), "Ni", "K")
    known = Case().standards[0]
    flat = Standard("flat", energy, np.zeros(100), oxidation_state=3.0)
    with pytest.raises(ReductionError, match="standard flat cannot be compared: no edge"):
        XanesReducer(XanesOptions(standards=(known, flat)), "Ni", "K")


@pytest.mark.parametrize(
    ("element", "edge", "why"), [("Xx", "K", "no element"), ("Ni", "K9", "no edge")]
)
def test_edges_that_do_not_exist_are_refused(element, edge, why):
    with pytest.raises(ReductionError, match=why):
        XanesReducer(XanesOptions(), element, edge)


def test_what_a_result_was_made_with_is_json():
    told = json.loads(json.dumps(Case().reducer().provenance))
    assert told["tabulated_energy"] == 8333.0
    assert told["options"]["standards"][1]["oxidation_state"] == 4.0


def test_every_option_stands_in_the_documentation():
    page = Path(__file__).parents[2] / "docs" / "reference" / "spectra-reduction.md"
    table = page.read_text().split("## Options")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(each.name for each in fields(XanesOptions))
