import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.dose import DoseBudget, MassModel
from battbeam.experiment.loop_order import Loop, loop_order

SPOTS = Loop("spots", 5, move=2.0, back=2.0, changes_spot=True)
ENERGIES = Loop("energies", 60, move=1.0, back=20.0, of_set=True)
CELLS = Loop("cells", 3, move=15.0, back=15.0, changes_spot=True)


def walked(nesting, exposure):
    """Go through a nesting step by step: duration, longest set, open time on a spot, moves."""
    places = list(itertools.product(*(range(loop.n) for loop in nesting)))
    time, begun, ended, opened, n_moves, here = 0.0, {}, {}, {}, 0, ()
    for number, place in enumerate(places):
        if number:
            moved = [
                (loop, a, b)
                for loop, a, b in zip(nesting, places[number - 1], place, strict=True)
                if a != b
            ]
            spent = max(loop.move if b == a + 1 else loop.return_time for loop, a, b in moved)
            n_moves += len(moved)
            if moved[0][0] is nesting[-1] and nesting[-1].moves_open:
                opened[here] += spent
            time += spent
        set_key = tuple(i for loop, i in zip(nesting, place, strict=True) if not loop.of_set)
        here = tuple(i for loop, i in zip(nesting, place, strict=True) if loop.changes_spot)
        begun.setdefault(set_key, time)
        time += exposure
        ended[set_key] = time
        opened[here] = opened.get(here, 0.0) + exposure
    longest = max(ended[key] - begun[key] for key in begun)
    return time, longest, max(opened.values()), n_moves


loops = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0, 9), st.floats(0, 20), st.booleans(), st.booleans()),
    min_size=1,
    max_size=3,
).map(
    lambda drawn: [
        Loop(str(number), n, move, back, of_set=of_set or number == 0, changes_spot=changes)
        for number, (n, move, back, of_set, changes) in enumerate(drawn)
    ]
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(loops)
def test_every_order_is_what_walking_through_it_gives(drawn):
    found = loop_order(drawn, exposure=3.0, c_rate=1.0, flux=2.0)
    for order in found.orders:
        nesting = [next(loop for loop in drawn if loop.name == name) for name in order.loops]
        duration, longest, opened, n_moves = walked(nesting, 3.0)
        assert order.duration == pytest.approx(duration)
        assert order.set_duration == pytest.approx(longest)
        assert order.open_time == pytest.approx(opened)
        assert order.n_moves == n_moves


def test_a_flyer_brings_light_while_it_moves_only_as_the_innermost_loop():
    angles = Loop("angles", 10, move=0.5, of_set=True, moves_open=True)
    energies = Loop("energies", 2, move=1.0, of_set=True)
    found = loop_order([angles, energies], exposure=1.0, c_rate=0.1, flux=1.0)
    opened = {order.loops: order.open_time for order in found.orders}
    assert opened == {("energies", "angles"): 29.0, ("angles", "energies"): 20.0}
    for order in found.orders:
        nesting = [{"angles": angles, "energies": energies}[name] for name in order.loops]
        assert walked(nesting, 1.0)[2] == order.open_time


def test_the_fastest_order_is_taken_while_smear_allows_it():
    easy = loop_order([ENERGIES, SPOTS, CELLS], exposure=1.0, c_rate=0.01, smear_max=0.02)
    assert easy.chosen == easy.orders[0]
    assert easy.report().endswith("nothing was traded")


def test_under_a_smear_budget_spectra_are_finished_before_the_spot_is_left():
    # To change the energy 60 times is slower than to change the spot 5 times, and less smeared.
    slow_mono = Loop("energies", 60, move=1.0, back=40.0, of_set=True)
    free = loop_order([slow_mono, SPOTS], exposure=1.0, c_rate=0.5)
    bound = loop_order([slow_mono, SPOTS], exposure=1.0, c_rate=0.5, smear_max=0.02)
    assert bound.chosen.loops == ("spots", "energies")
    assert bound.chosen.smear == pytest.approx(0.5 * 119 / 3600)
    assert free.chosen.smear > bound.chosen.smear or free.chosen == bound.chosen
    assert "energies > spots" in bound.report()


def test_what_was_traded_is_said():
    slow = Loop("energies", 4, move=1.0, back=100.0, of_set=True)
    found = loop_order([slow, SPOTS], exposure=10.0, c_rate=1.0, smear_max=0.015)
    assert [order.loops for order in found.orders] == [("energies", "spots"), ("spots", "energies")]
    assert found.chosen.loops == ("spots", "energies")
    last = found.report().splitlines()[-1]
    assert last.startswith("traded: 377 s more than energies > spots for smear 0.0119 instead of ")
    assert "breaks smear" in found.report()


def test_where_nothing_fits_it_says_what_would():
    found = loop_order([ENERGIES, SPOTS], exposure=10.0, c_rate=1.0, smear_max=0.02)
    assert found.chosen is None
    (fault,) = found.faults()
    assert "budget 0.02: what fits is a rate of at most 0.109 1/h" in fault
    assert fault in found.report()


def test_a_dose_that_no_order_keeps_is_refused_with_what_would_fit():
    lfp = MassModel(name="LiFePO4", formula={"Li": 1, "Fe": 1, "P": 1, "O": 4})
    found = loop_order(
        [ENERGIES, SPOTS],
        exposure=1.0,
        c_rate=0.01,
        flux=1e11,
        beam_size=(0.1, 0.1),
        energy=8000.0,
        budget=DoseBudget(dose=162775.8 * 30, material=lfp),
    )
    assert found.chosen is None
    assert "what fits is a transmission or an exposure of 0.5 of what is asked" in found.faults()[0]


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"n must be at least 1.*of their own.*of_set.*exposure"):
        loop_order([Loop("a", 0, 1.0), Loop("a", 2, 1.0)], exposure=0.0, c_rate=1.0)
