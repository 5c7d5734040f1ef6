import numpy as np
import pytest
from spectrum_generator import Beamline, Edge, Foil

from battbeam.errors import ReductionError
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.sweeps import LagCalibration, Sweep, merge, rebin
from battbeam.reduction.xanes import XanesOptions, XanesReducer
from battbeam.reduction.xanes_result import Standard

E0, SPACING = 8333.0, 3.1356
LINE = Beamline(Edge(8343.5), Foil(E0), photons=3e4)
FINE = np.arange(E0 - 60, E0 + 100, 0.1)
WINDOW = (E0 - 10, E0 + 40)


def angle(energy):
    return np.degrees(np.arcsin(12398.4198 / (2 * SPACING * energy)))


def energy_at(bragg):
    return 12398.4198 / (2 * SPACING * np.sin(np.radians(bragg)))


def sweep(rng, *, up=True, lag=0.0, duration=1.0, n=1000, line=LINE, fine=20):
    """A sweep at constant angular speed; light is gathered over each gate, a lag before, and the
    encoder is read as often.
    """
    ends = angle(np.array([E0 - 60, E0 + 120]))[:: 1 if up else -1]
    gate = duration / n
    time = gate * np.arange(1, n + 1)

    def bragg(at):
        return ends[0] + (ends[1] - ends[0]) * at / duration

    # A gate is `fine` moments, each with its share of the photons.
    moments = (time[:, None] - lag - gate * (np.arange(fine) + 0.5) / fine).ravel()
    true = energy_at(bragg(moments))
    parts = line.but(photons=line.photons / fine).expected(true, rng)
    counts = {
        name: rng.poisson(photons.reshape(n, fine).sum(axis=1)).astype(float)
        for name, photons in parts.items()
    }
    encoder = bragg(moments + lag).reshape(n, fine).mean(axis=1)
    spectrum = Spectrum(energy=energy_at(encoder), exposure=np.full(n, gate), **counts)
    return Sweep(100.0 + time, spectrum)


def pair(rng, **how):
    return sweep(rng, up=True, **how), sweep(rng, up=False, **how)


@pytest.mark.parametrize("lag", [0.0, 0.0042, -0.002, 0.02])
@pytest.mark.parametrize(("duration", "n"), [(1.0, 1000), (1.0, 250), (5.0, 1000)])
def test_the_lag_is_found_to_a_millisecond(lag, duration, n):
    found = LagCalibration.of(
        [pair(np.random.default_rng(1), lag=lag, duration=duration, n=n)], window=WINDOW
    )
    assert found.lag == pytest.approx(lag, abs=1e-3)
    assert abs(found.lag - lag) < 4 * found.error


def test_the_error_of_a_lag_is_that_of_its_scatter():
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = LagCalibration.of([pair(rng, lag=0.004)], window=WINDOW)
        pulls.append((found.lag - 0.004) / found.error)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(60)
    assert np.std(pulls) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(("duration", "jitter", "n_pairs"), [(20.0, 0.0, 1), (20.0, 0.02, 2)])
def test_the_error_of_a_lag_is_that_of_its_scatter_where_the_monochromator_does_not_repeat(
    duration, jitter, n_pairs
):
    """Thirty beamtimes; of slow sweeps nearly all is the monochromator's."""
    line = LINE.but(photons=1e5, repeatability=0.05, jitter=jitter)
    pulls = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        how = {"lag": 0.004, "duration": duration, "line": line, "n": 400, "fine": 5}
        pairs = [pair(rng, **how) for _ in range(n_pairs)]
        found = LagCalibration.of(pairs, window=WINDOW, repeatability=0.05)
        pulls.append((found.lag - 0.004) / found.error)
    print(np.mean(pulls), np.std(pulls))
    # Of thirty: four standard deviations of a mean, three of a width.
    assert abs(np.mean(pulls)) < 4 / np.sqrt(30)
    assert np.std(pulls) == pytest.approx(1, abs=3 / np.sqrt(60))


def test_more_pairs_say_more_and_how_well_they_agree():
    rng = np.random.default_rng(5)
    pairs = [pair(rng, lag=0.004) for _ in range(4)]
    one, four = (LagCalibration.of(pairs[:n], window=WINDOW) for n in (1, 4))
    assert four.error == pytest.approx(one.error / 2, rel=0.4)
    assert four.n_pairs == 4
    assert 0 < four.scatter < 4
    assert np.isnan(one.scatter)


def test_the_error_of_a_lag_has_what_the_monochromator_does_not_repeat():
    both = [pair(np.random.default_rng(7), lag=0.004)]
    bare, honest = (
        LagCalibration.of(both, window=WINDOW, repeatability=each) for each in (0.0, 0.1)
    )
    # Each sweep has its own, at 176 eV/s both ways.
    expected = np.hypot(bare.error, np.sqrt(2) * 0.1 / (2 * 176))
    assert honest.error == pytest.approx(expected, rel=0.05)


def stored():
    foil = Standard("foil", FINE, Foil(E0)(FINE), edge_position=E0)
    oxide = Standard("oxide", FINE, Edge(8343.5)(FINE), edge_position=8343.5)
    return XanesOptions(foil=foil, standards=(oxide,), energy_jitter=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_sweeps_both_ways_give_the_edge_of_a_step_scan(seed):
    """A second each, 0.5 eV wide bins."""
    rng, edges = np.random.default_rng(seed), np.arange(E0 - 58, E0 + 118, 0.5)
    line = LINE.but(sample=Edge(8344.2))
    up, down = pair(rng, lag=0.004, line=line)
    lag = LagCalibration.of([(up, down)], window=WINDOW).lag
    steps = line.but(photons=1e5).counts((edges[1:] + edges[:-1]) / 2, rng)
    reduced = [
        XanesReducer(stored(), "Ni", "K").reduce(each)
        for each in (
            rebin(up.corrected(lag), edges),
            rebin(down.corrected(lag), edges),
            Spectrum(**steps),
        )
    ]
    positions = np.array([each.edge_position for each in reduced])
    errors = np.array([each.edge_position_error for each in reduced])
    assert all(each.valid for each in reduced), [each.reason for each in reduced]
    assert np.abs((positions - 8344.2) / errors).max() < 4
    assert errors.max() < 0.08
    shifts = [each.energy_shift for each in reduced]
    # Without the lag they would be 1.4 eV apart: 180 eV/s, 4 ms, twice.
    assert np.ptp(shifts) < 4 * max(each.energy_shift_error for each in reduced)


def test_a_lag_that_is_left_in_parts_the_directions_by_twice_speed_times_lag():
    rng = np.random.default_rng(2)
    up, down = (
        XanesReducer(stored(), "Ni", "K").reduce(
            rebin(each.corrected(0.0), np.arange(8280, 8440, 0.5))
        )
        for each in pair(rng, lag=0.004)
    )
    assert down.energy_shift - up.energy_shift == pytest.approx(2 * 0.004 * 176, rel=0.05)


def test_rebinning_loses_no_count_and_keeps_the_mean_energy():
    rng = np.random.default_rng(3)
    spectrum = Spectrum(**LINE.counts(np.sort(rng.uniform(8300, 8400, 500)), rng))
    found = rebin([spectrum, spectrum], np.arange(8300, 8401, 2.0))
    for name, counts in spectrum.channels.items():
        assert found.channels[name].sum() == pytest.approx(2 * counts.sum())
    assert found.exposure.sum() == pytest.approx(1000)
    assert found.energy @ found.exposure == pytest.approx(2 * spectrum.energy.sum())
    empty = rebin(spectrum.take(spectrum.energy < 8350), np.arange(8300, 8401, 2.0))
    assert np.isnan(empty.i0[-1])
    assert empty.energy[-1] == 8399


def test_merged_repeats_have_all_their_counts():
    rng, energy = np.random.default_rng(3), np.arange(8300.0, 8400.0)
    first, second = (Spectrum(**LINE.counts(energy, rng)) for _ in range(2))
    both = merge([first, second])
    assert both.i0 == pytest.approx(first.i0 + second.i0)
    assert both.exposure == pytest.approx(np.full(100, 2.0))
    apart = merge([first, second.take(np.arange(50))])
    assert (len(apart), apart.exposure[0], apart.exposure[-1]) == (100, 2.0, 1.0)


def test_what_does_not_belong_together_is_refused():
    rng, energy = np.random.default_rng(3), np.arange(8300.0, 8400.0)
    first = Spectrum(**LINE.counts(energy, rng))
    bare = Spectrum(first.energy, first.exposure, first.i0, first.transmitted)
    loud = Spectrum(**LINE.but(gain=2.0).counts(energy, rng))
    up, down = pair(rng)
    with pytest.raises(ReductionError, match="no spectrum to merge"):
        merge([])
    with pytest.raises(ReductionError, match="different channels"):
        merge([first, bare])
    with pytest.raises(ReductionError, match="different darks or gains"):
        merge([first, loud])
    with pytest.raises(ReductionError, match="one up and one down, in this order"):
        LagCalibration.of([(down, up)], window=WINDOW)
    with pytest.raises(ReductionError, match="a sweep up and a sweep down"):
        LagCalibration.of([], window=WINDOW)
    with pytest.raises(ReductionError, match="does not cross 9000 to 9100 eV"):
        LagCalibration.of([(up, down)], window=(9000.0, 9100.0))
    with pytest.raises(ReductionError, match=r"show no edge in 8285 to 8315 eV"):
        LagCalibration.of([(up, down)], window=(8285.0, 8315.0))
    with pytest.raises(ReductionError, match="times of a sweep must ascend"):
        Sweep(up.time[::-1], up.spectrum)
    with pytest.raises(ReductionError, match="a sweep of 1000 samples has 999 times"):
        Sweep(up.time[1:], up.spectrum)
