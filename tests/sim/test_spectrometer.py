import contextlib
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from battbeam.sim.beam import BeamLog
from battbeam.sim.changer import place_of
from battbeam.sim.count_request import Request
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History
from battbeam.sim.monochromator import angle_at, energy_at
from battbeam.sim.scenario import Beam, Glitch, Scenario, Spectroscopy
from battbeam.sim.spectrometer import Spectrometer
from battbeam.sim.trajectory import Move
from battbeam.sim.truth import TruthWriter

EDGE = 8345.0
#: Nothing that scatters energies or counts but the photons.
STILL = {
    "energy_drift": 0.0,
    "energy_repeatability": 0.0,
    "energy_jitter": 0.0,
    "harmonics": 0.0,
    "glitches": (),
    "dark_rates": (0.0, 0.0, 0.0, 0.0),
    "overload": 1e15,
}


@dataclass
class Stand:
    """What is in the beam: a bell of absorbance about an edge, told apart from 3 E."""

    depth: float = 1.0
    width: float = 3.0
    instants: list = field(default_factory=list)
    contents: list = field(default_factory=list)
    heated_to: list = field(default_factory=list)

    def cell(self, place, *, instants, mean_lithium_content, cycles, heated_to, damage):
        self.instants.append(instants)
        self.contents.append(float(mean_lithium_content(instants.times)[0]))
        self.heated_to.append(heated_to)
        return self

    def without_cell(self, place):
        return replace(self, depth=0.0)

    def foil(self, element, energy):
        return np.full_like(energy, 0.5 if element and energy[0] < 1e4 else 1.0)

    def absorbance(self, energy):
        return self.depth * np.exp(-(((energy - EDGE) / self.width) ** 2) / 2)

    def transmission(self, energy):
        return np.exp(-self.absorbance(energy))

    def fluorescence(self, energy):
        return 1e-3 * self.absorbance(energy)

    def truth(self, energy):
        return {"lithium_content": self.contents[-1] if self.contents else None}


@dataclass
class Axis:
    move: Move

    def position_at(self, time):
        return self.move.position_at(time)

    def reading_at(self, time):
        return np.rint(self.move.position_at(time) * 5e6) / 5e6


class Clock:
    frozen_by: list

    def __init__(self):
        self.frozen_by = []

    def now(self):
        return 0.0

    def frozen(self, token):
        self.frozen_by.append(token)
        return contextlib.nullcontext()


class Bench:
    """A spectrometer with everything that it needs, and the shutter open."""

    def __init__(self, path, *, samples=None, beam=None, contents=(0.8, 0.2), **settings):
        self.scenario = Scenario(
            beam=beam or Beam(lifetime=1e9),
            spectroscopy=Spectroscopy(**(STILL | settings)),
        )
        self.start = self.scenario.start
        history = path / "history.jsonl"
        with history.open("w") as file:
            for time, content in zip((-1e3, 1e4), contents, strict=True):
                row = {"time": self.start + time, "lithium_content": content, "voltage": 3.3}
                rest = {"current": 1e-3, "charge": time, "side_charge": 0.0, "cycles": 1.5}
                file.write(json.dumps(row | rest) + "\n")
        histories = [History(history)]
        self.log = BeamLog(self.scenario.beam, start=self.start)
        self.log.change(self.start, is_open=True)
        self.ledger = FluenceLedger(self.scenario, beam_log=self.log, histories=histories)
        self.clock, self.samples = Clock(), samples or Stand()
        self.path = path / "truth.jsonl"
        self.spectrometer = Spectrometer(
            self.scenario,
            clock=self.clock,
            histories=histories,
            ledger=self.ledger,
            beam_log=self.log,
            truth=TruthWriter(self.path),
            samples=self.samples,
        )

    def count(self, energy=EDGE, *, number=1, at=10.0, duration=1.0, **of):
        edges = self.start + np.array([at, at + duration])
        return self.take("count", edges, Move.rest(angle_at(energy)), number=number, **of)

    def sweep(self, first, last, *, duration=1.0, n=200, number=1, at=10.0, **of):
        begin, end = angle_at(first), angle_at(last)
        velocity = abs(end - begin) / duration
        margin = np.sign(end - begin) * velocity * 0.1
        move = Move(self.start + at, begin - margin, end + margin, velocity)
        edges = move.time_at(begin) + duration * np.arange(n + 1) / n
        lag = self.scenario.spectroscopy.lag
        return self.take("sweep", edges, move, number=number, lag=lag, **of)

    def take(self, kind, edges, move, *, number, x=0.0, y=0.0, foil="", lag=0.0, n_turns=0):
        request = Request(kind, number, edges, x, y, (2, 2, 2), foil, Axis(move), n_turns, lag)
        return self.spectrometer.take(request)

    @property
    def truth(self):
        return [json.loads(line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    return lambda **settings: Bench(tmp_path, **settings)


def sigmas(found, expected):
    """How many standard deviations a Poisson count is off."""
    return abs(float(found[0]) - expected) / np.sqrt(expected)


def test_a_count_is_what_comes_and_what_passes(bench):
    counts = bench().count(foil="Ni").counts
    assert sigmas(counts.i0, 2e8 * 0.02) < 4
    assert sigmas(counts.transmitted, 2e8 * np.exp(-1) * 0.04) < 4
    assert sigmas(counts.reference, 2e8 * np.exp(-1) * 0.96 * 0.5 * 0.04) < 4
    # 2e8 x (1e-3 x 0.002 + 1e-6) photons come to the fluorescence detector.
    assert sigmas(counts.fluorescence, 600 / (1 + 600 * 1e-6)) < 4


def test_the_same_request_gives_the_same_counts_and_another_number_others(bench):
    stand = bench()
    first, again, other = (stand.count(number=number).counts.i0[0] for number in (1, 1, 2))
    assert first == again != other


def test_the_clock_stands_while_counts_are_worked_out(bench):
    stand = bench()
    stand.count()
    assert stand.clock.frozen_by == ["counters"]


def test_what_the_ring_loses_in_a_count_is_missing(bench):
    beam = Beam(lifetime=1e9, dumps=((10.25, 0.5),))
    assert sigmas(bench(beam=beam).count().counts.i0, 0.5 * 2e8 * 0.02) < 4


def test_a_top_up_dip_shows_in_the_samples_of_a_sweep_that_it_meets(bench):
    beam = Beam(lifetime=1e9, top_up_interval=10.5, top_up_length=0.2, top_up_dip=0.5)
    counts = bench(beam=beam, lag=0.0).sweep(8000, 8100, duration=1.0, n=100, at=9.9).counts
    # The first gate begins 0.1 s after the move, at 10.0; the injection lasts from 10.5 to 10.7.
    dipped = np.zeros(100, dtype=bool)
    dipped[50:70] = True
    i0 = counts.i0 / (2e8 * 0.02 / 100)
    assert np.abs(i0[~dipped] - 1).max() < 5 / np.sqrt(4e4)
    assert np.abs(i0[dipped] - 0.5).max() < 5 * np.sqrt(0.5 / 4e4)


def test_a_closed_shutter_leaves_dark_counts(bench):
    stand = bench(dark_rates=(0.0, 0.0, 300.0, 0.0))
    stand.log.change(stand.start + 5, is_open=False)
    assert sigmas(stand.count(duration=4.0).counts.i0, 1200) < 4
    assert stand.truth[-1]["in_beam"] == "dark"


def apparent_edge(stand, first, last, **of):
    """Middle of the bell of absorbance against what the encoder says."""
    reading = stand.sweep(first, last, n=2000, **of)
    energy = energy_at(reading.bragg)
    counts = reading.counts
    absorbance = -np.log(counts.transmitted / counts.i0 * 0.5)
    near = np.abs(energy - EDGE) < 20
    return float(np.average(energy[near], weights=absorbance[near]))


def test_sweeps_up_and_down_differ_by_twice_the_way_of_the_lag(bench):
    stand = bench(lag=0.01, beam=Beam(lifetime=1e9, flux=1e12))
    up, down = apparent_edge(stand, 8295, 8395), apparent_edge(stand, 8395, 8295)
    # 100 eV/s: the energy moves by 1 eV in the lag, and the encoder is ahead of the counters. The
    # axis is even in angle, so its eV/s differ by 1 % from the middle to either end.
    assert up - EDGE == pytest.approx(1.0, abs=0.03)
    assert down - EDGE == pytest.approx(-1.0, abs=0.03)


def test_without_a_lag_sweep_and_steps_see_the_same_bell(bench):
    stand = bench(lag=0.0, beam=Beam(lifetime=1e9, flux=1e12))
    reading = stand.sweep(8335, 8355, n=40)
    swept = np.log(reading.counts.i0 / reading.counts.transmitted)
    stepped = []
    for number, energy in enumerate(energy_at(reading.bragg)):
        counts = stand.count(float(energy), number=number, at=20.0 + number).counts
        stepped.append(np.log(counts.i0 / counts.transmitted)[0])
    # A gate of 0.5 eV averages the transmission: up to 0.5^2/24 of its curvature of 0.1 /eV2; noise
    # of 2e8 counts: 1e-4.
    np.testing.assert_allclose(swept, stepped, atol=2e-3)


def test_each_point_has_its_own_jitter(bench):
    stand = bench(energy_jitter=0.05)
    for number in range(400):
        stand.count(8000.0, number=number, at=10 + number)
    shifts = [line["energy"] - line["nominal_energy"] for line in stand.truth]
    # 400 draws: 3.5 % of the deviation; four of them. The encoder's step is 0.1 meV.
    assert np.std(shifts) == pytest.approx(0.05, rel=0.14)
    assert abs(np.mean(shifts)) < 4 * 0.05 / 20


def test_what_stays_until_the_axis_turns_is_the_same_for_all_points_of_a_way(bench):
    stand = bench(energy_repeatability=0.05)
    for number, n_turns in enumerate((0, 0, 1, 1)):
        stand.count(8000.0 + number, number=number, at=10 + number, n_turns=n_turns)
    first, second, third, fourth = (line["energy"] - line["nominal_energy"] for line in stand.truth)
    # The encoder rounds to 1.1e-4 eV.
    assert first == pytest.approx(second, abs=3e-4)
    assert third == pytest.approx(fourth, abs=3e-4)
    assert abs(first - third) > 1e-3


def test_harmonics_pass_a_sample_that_stops_everything_else(bench):
    stand = bench(samples=Stand(depth=60.0), harmonics=1e-3)
    counts = stand.count(foil="Ni").counts
    assert sigmas(counts.transmitted, 2e8 * 1e-3 * 0.04) < 4
    assert sigmas(counts.reference, 2e8 * 1e-3 * 0.96 * 0.04) < 4
    assert sigmas(counts.i0, 2e8 * 1.001 * 0.02) < 4


def test_a_glitch_divides_out_but_for_its_residue(bench):
    glitch = Glitch(energy=8000.0, width=0.5, depth=0.4, residue=0.1)
    stand = bench(glitches=(glitch,), beam=Beam(lifetime=1e9, flux=1e11))
    on, off = stand.count(8000.0).counts, stand.count(8010.0, number=2).counts
    assert on.i0[0] / off.i0[0] == pytest.approx(0.6, rel=1e-3)
    ratio = (on.transmitted / on.i0) / (off.transmitted / off.i0)
    # 2e9 and 4e9 counts: 3e-5 each.
    assert ratio[0] == pytest.approx(1 - 0.1 * 0.4, abs=2e-4)


def test_the_light_of_a_count_is_in_the_ledger(bench):
    stand = bench()
    stand.count(at=10.0, duration=5.0)
    place = place_of(stand.scenario, 0.0, 0.0)
    # 15 s since the shutter opened, on 0.3 x 0.3 mm2.
    assert stand.ledger.largest(place) == pytest.approx(2e8 * 15 / 0.09, rel=1e-6)
    assert stand.truth[-1]["fluence"] == pytest.approx(stand.ledger.largest(place))


def test_a_long_sweep_sees_the_cell_change(bench):
    stand = bench(contents=(0.9, 0.35))
    stand.sweep(8300, 8400, duration=200.0, n=50)
    # 0.55 in 11000 s: 0.01 in the sweep, in steps of 0.002.
    contents = stand.samples.contents
    assert len(contents) == 5
    np.testing.assert_allclose(np.diff(contents), -0.55 / 11000 * 40, rtol=1e-6)
    photons = sum(instants.total for instants in stand.samples.instants)
    assert photons == pytest.approx(2e8 * 200, rel=1e-6)


def test_the_sample_remembers_how_hot_the_furnace_was(bench):
    stand = bench()
    stand.spectrometer.furnace.set(stand.start, setpoint=125.0, ramp=600.0)
    stand.spectrometer.furnace.set(stand.start + 200, setpoint=30.0)
    stand.count(at=400.0)
    assert stand.samples.heated_to == [pytest.approx(125.0, abs=0.01)]
    assert stand.truth[-1]["temperature"] == pytest.approx(30.0, abs=0.01)


def test_the_encoder_reading_of_a_count_is_in_whole_counts(bench):
    reading = bench().count(8333.3)
    steps = reading.bragg[0] * 5e6
    assert steps == pytest.approx(round(steps), abs=1e-3)
    assert energy_at(reading.bragg)[0] == pytest.approx(8333.3, abs=1e-4)


def test_the_encoder_says_what_it_read_at_its_last_tick(bench):
    slow, fast = (
        bench(encoder_period=period).sweep(8300, 8400, n=1000).bragg for period in (0.01, 1e-6)
    )
    # Up goes the energy and down the angle, 0.167 degree/s; half a period late on average.
    velocity = (angle_at(8300) - angle_at(8400)) / 1.0
    assert np.mean(slow - fast) == pytest.approx(velocity * 0.005, rel=0.05)


def test_an_overload_is_told(bench):
    assert bench(overload=1e6).count().fault == "overload I0 IT IR"


def test_beside_the_cells_everything_passes(bench):
    stand = bench()
    counts = stand.count(x=-15.0).counts
    assert sigmas(counts.transmitted, 2e8 * 0.04) < 4
    line = stand.truth[-1]
    assert (line["in_beam"], line["cell"]) == ("nothing", None)


def test_the_truth_of_a_count_has_numbers_and_that_of_a_sweep_lists(bench):
    stand = bench()
    stand.count(8340.0, number=7, foil="Ni")
    stand.sweep(8300, 8400, n=20, number=3)
    count, sweep = stand.truth
    assert count["count"] == 7
    assert count["energy"] == pytest.approx(8340.0, abs=1e-3)
    assert count["absorbance"] == pytest.approx(np.exp(-((5 / 3) ** 2) / 2), abs=1e-3)
    assert count["photons"] == pytest.approx(2e8, rel=1e-6)
    assert (count["foil"], count["gains"]["IT"]) == ("Ni", 1e8)
    assert count["charge_start"] < count["charge_middle"] < count["charge_end"]
    assert sweep["sweep"] == 3
    assert [len(sweep[name]) for name in ("energy", "absorbance", "photons")] == [20] * 3
    assert np.all(np.diff(sweep["energy"]) > 0)
