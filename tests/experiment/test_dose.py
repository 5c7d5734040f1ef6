import json
import multiprocessing
import os
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.dose import DoseBudget, DoseLedger, FluenceMap, Light, MassModel

LFP = MassModel(name="LiFePO4", formula={"Li": 1, "Fe": 1, "P": 1, "O": 4})
SIZE, ENERGY, UID = (0.3, 0.2), 22163.0, "lfp-007"
AREA = SIZE[0] * SIZE[1]


@pytest.fixture
def ledger(tmp_path):
    return DoseLedger(tmp_path / "dose" / "ledger.jsonl")


def reserve(ledger, photons, x=0.0, y=0.0, **kwargs):
    return ledger.reserve(
        UID, x, y, photons, size=SIZE, energy=ENERGY, time=1000.0, **{"open_time": 5.0, **kwargs}
    )


# Light.


@pytest.mark.parametrize(
    ("energy", "gray_per_s"),
    # Independent table: 1e11 photons/s on 0.1 x 0.1 mm2, photoelectric, nothing escaping.
    [(8e3, 162775.8), (15e3, 54950.8), (25e3, 21169.7), (35e3, 10979.1)],
)
def test_dose_of_lithium_iron_phosphate_is_that_of_the_table(energy, gray_per_s):
    assert LFP.dose(fluence=1e11 / 0.01, energy=energy) == pytest.approx(gray_per_s, rel=5e-4)


def test_a_mass_behind_an_absorber_takes_up_less():
    behind = LFP.model_copy(update={"transmission": 0.25})
    assert behind.dose(fluence=1e12, energy=8e3) == LFP.dose(fluence=1e12, energy=8e3) / 4


def test_light_needs_an_energy():
    with pytest.raises(ValueError, match=r"energy must be greater than 0 eV, got 0"):
        LFP.gray_per_fluence(0.0)


def test_light_adds_where_footprints_overlap_and_nowhere_else():
    samples = FluenceMap()
    for x in (0.0, 0.15, 0.6):
        samples.add(UID, Light(x, 0.0, SIZE, 6e9, ENERGY))
    assert samples.fluence(UID, 0.0, 0.0, SIZE) == pytest.approx(2 * 6e9 / AREA)
    assert samples.fluence(UID, 0.6, 0.0, SIZE) == pytest.approx(6e9 / AREA)
    assert samples.fluence(UID, 0.9, 0.0, SIZE) == 0.0
    assert samples.fluence("another", 0.0, 0.0, SIZE) == 0.0


def test_a_stage_that_jitters_does_not_make_neighbours_overlap():
    samples, rng = FluenceMap(), np.random.default_rng(1)
    for column in range(10):
        place = 0.3 * column + rng.uniform(-5e-4, 5e-4)
        samples.add(UID, Light(place, 0.0, SIZE, 6e9, ENERGY))
    for column in range(10):
        assert samples.fluence(UID, 0.3 * column, 0.0, SIZE) == pytest.approx(6e9 / AREA)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(-8, 8), st.integers(-8, 8), st.integers(1, 9)), min_size=1, max_size=8
    )
)
def test_the_brightest_place_is_that_of_a_picture_of_the_light(placed):
    # A picture of 0.05 mm pixels; every edge falls on one.
    samples, picture = FluenceMap(), np.zeros((40, 40))
    for column, row, photons in placed:
        middle = (0.05 * column + 0.15, 0.05 * row + 0.1)
        samples.add(UID, Light(*middle, SIZE, photons, ENERGY))
        picture[20 + column : 26 + column, 20 + row : 24 + row] += photons / AREA
    here = samples.fluence(UID, 0.15, 0.1, SIZE)
    assert here == pytest.approx(picture[20:26, 20:24].max())


def test_dose_counts_each_energy_with_its_own_absorption():
    samples = FluenceMap()
    for energy in (8e3, 22e3):
        samples.add(UID, Light(0.0, 0.0, SIZE, 1e10, energy))
    both = sum(LFP.dose(fluence=1e10 / AREA, energy=energy) for energy in (8e3, 22e3))
    assert samples.dose(UID, 0.0, 0.0, SIZE, LFP) == pytest.approx(both)


# The ledger.


def test_what_is_reserved_counts_until_it_is_settled(ledger):
    first = reserve(ledger, 1e9)
    assert ledger.fluence(UID, 0, 0, SIZE) == pytest.approx(1e9 / AREA)
    ledger.settle(first, 4e8, 1003.0, open_time=3.0)
    assert ledger.fluence(UID, 0, 0, SIZE) == pytest.approx(4e8 / AREA)
    assert ledger.open_time(UID) == 3.0
    assert ledger.unsettled() == ()


def test_a_shutter_that_stayed_open_counts_for_more_than_was_reserved(ledger):
    ledger.settle(reserve(ledger, 1e9), 7e9, 1060.0)
    assert ledger.fluence(UID, 0, 0, SIZE) == pytest.approx(7e9 / AREA)


def test_another_process_reads_what_this_one_wrote(ledger):
    other = DoseLedger(ledger.path)
    identity = reserve(ledger, 1e9, purpose="alignment")
    (found,) = other.unsettled()
    assert (found.id, found.purpose, found.writer.pid) == (identity, "alignment", os.getpid())
    assert not found.writer.is_gone
    ledger.settle(identity, 1e9, 1003.0)
    assert other.unsettled() == ()


def test_a_torn_last_line_loses_nothing_that_shone(ledger):
    first = reserve(ledger, 1e9)
    with ledger.path.open("a") as file:
        file.write('{"kind": "settle", "id": "' + first)
    again = DoseLedger(ledger.path)
    assert again.fluence(UID, 0, 0, SIZE) == pytest.approx(1e9 / AREA)
    second = reserve(again, 2e9)
    assert [each.id for each in DoseLedger(ledger.path).unsettled()] == [first, second]
    assert again.fluence(UID, 0, 0, SIZE) == pytest.approx(3e9 / AREA)
    assert again.unreadable == 1


def test_a_reservation_is_settled_once(ledger):
    first = reserve(ledger, 1e9)
    ledger.settle(first, 1e9, 1003.0)
    with pytest.raises(ValueError, match=f"reservation {first} is unknown or settled already"):
        ledger.settle(first, 1e9, 1003.0)


def test_light_that_is_no_number_is_refused_with_every_fault(ledger):
    with pytest.raises(ValueError, match=r"photons must be a finite number, got nan; energy must"):
        ledger.reserve(UID, 0, 0, float("nan"), size=SIZE, energy=0.0, time=0.0)
    with pytest.raises(ValueError, match=r"photons must be a finite number of at least 0, got -1"):
        ledger.settle(reserve(ledger, 1e9), -1, 1003.0)


def _expose_until_killed(path):
    ledger = DoseLedger(path)
    while True:
        ledger.settle(reserve(ledger, 1e9), 1e9, 1003.0)


def test_a_killed_writer_leaves_every_line_that_it_returned_from(tmp_path):
    path = tmp_path / "ledger.jsonl"
    process = multiprocessing.get_context("fork").Process(target=_expose_until_killed, args=(path,))
    process.start()
    watched = DoseLedger(path)
    while watched.fluence(UID, 0, 0, SIZE) < 20e9 / AREA:
        process.join(timeout=0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    after = DoseLedger(path)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    n_reserved = sum(line["kind"] == "reserve" for line in lines)
    assert after.fluence(UID, 0, 0, SIZE) == pytest.approx(n_reserved * 1e9 / AREA)
    assert len(after.unsettled()) <= 1
    assert all(each.writer.is_gone for each in after.unsettled())


# The budget.


def decide(budget, ledger, photons, spot=(0.0, 0.0), **kwargs):
    return budget.decide(ledger, UID, spot, photons, size=SIZE, energy=ENERGY, **kwargs)


def test_an_exposure_that_fits_is_made_as_asked(ledger):
    budget = DoseBudget(fluence=1e10 / AREA, at_limit="stop")
    reserve(ledger, 6e9)
    assert decide(budget, ledger, 4e9).action == "expose"
    refused = decide(budget, ledger, 4.1e9)
    assert refused.action == "stop"
    assert not refused.is_made
    assert "up to 6.83e+10 photons/mm2 asked, 6.67e+10 left" in refused.reason


def test_at_the_limit_it_moves_to_the_first_spot_that_has_room(ledger):
    budget = DoseBudget(fluence=1e10 / AREA, at_limit="move", spots=((0.1, 0.0), (1, 0), (2, 0)))
    reserve(ledger, 1e10)
    reserve(ledger, 9e9, x=1.0)
    # The first fresh spot overlaps with the one that is spent.
    assert decide(budget, ledger, 2e9).spot == (2, 0)
    assert decide(budget, ledger, 1e9).spot == (1, 0)
    gone = decide(budget, ledger, 2e10)
    assert (gone.action, gone.spot) == ("skip", (0.0, 0.0))
    assert "no fresh spot has room" in gone.reason


def test_at_the_limit_it_takes_the_largest_transmission_that_fits(ledger):
    budget = DoseBudget(fluence=1e10 / AREA, at_limit="attenuate", least_transmission=0.05)
    reserve(ledger, 8e9)
    filters = (1.0, 0.3, 0.1, 0.03, 0.01)
    weak = decide(budget, ledger, 1e10, transmissions=filters)
    assert (weak.action, weak.transmission) == ("attenuate", 0.1)
    # What is asked for holds at the transmission that there is now.
    weaker = decide(budget, ledger, 3e9, transmissions=filters, transmission=0.3)
    assert weaker.transmission == 0.1
    assert decide(budget, ledger, 1e11, transmissions=filters).action == "skip"


def test_an_amount_of_light_that_is_not_known_is_not_exposed(ledger):
    budget = DoseBudget(fluence=1e10, at_limit="skip")
    assert decide(budget, ledger, float("nan")).action == "skip"


def test_the_tighter_of_two_limits_counts(ledger):
    gray = LFP.dose(fluence=1e10 / AREA, energy=ENERGY)
    budget = DoseBudget(fluence=1e12 / AREA, dose=gray, material=LFP)
    room = budget.room(ledger, UID, (0, 0), size=SIZE, energy=ENERGY)
    assert room == pytest.approx(1e10)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "needs fluence"),
        ({"dose": 1e6}, "needs material"),
        ({"fluence": 1e12, "at_limit": "move"}, "needs spots"),
    ],
)
def test_a_budget_says_what_it_lacks(fields, why):
    with pytest.raises(ValueError, match=why):
        DoseBudget(**fields)


def test_a_plan_is_tried_out_before_anything_shines(ledger):
    budget = DoseBudget(fluence=1e10 / AREA)
    reserve(ledger, 4e9)
    plan = [Light(0.0, 0.0, SIZE, 4e9, ENERGY)] * 2 + [Light(5.0, 0.0, SIZE, 4e9, ENERGY)]
    (fault,) = budget.faults(ledger, UID, plan)
    assert fault.startswith("exposure 2: dose limit of 1.67e+11 photons/mm2 at (0, 0) mm")
    assert fault.endswith("0.5 of its time or transmission would fit")
    assert ledger.fluence(UID, 0, 0, SIZE) == pytest.approx(4e9 / AREA)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.floats(-0.4, 0.4), st.floats(1e8, 6e9), st.floats(0.0, 1.0)), max_size=25
    ),
    st.sampled_from(["move", "attenuate", "skip"]),
)
def test_the_limit_is_never_passed_whatever_is_asked(asked, at_limit):
    samples = FluenceMap()
    budget = DoseBudget(fluence=1e10 / AREA, at_limit=at_limit, spots=((2, 0), (2.2, 0)))
    for x, photons, came in asked:
        decision = decide(budget, samples, photons, (x, 0.0), transmissions=(1, 0.3, 0.1))
        if decision.is_made:
            light = came * photons * decision.transmission
            samples.add(UID, Light(*decision.spot, SIZE, light, ENERGY))
    for x in np.linspace(-0.7, 3, 75):
        assert samples.fluence(UID, float(x), 0.0, SIZE) <= 1.0000001 * budget.fluence
