"""Cells whose lithium is counted by hand."""

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.reduction.inventory import Host, Measured, capacity_of, lithium_inventory

CAPACITY = 40.0  # mAh of the cell
CATHODE, GRAPHITE = 62.0, 44.0  # mAh per unit of content
SIGMA = {"x": 0.004, "y": 0.005, "plated": 0.015}
CHARGE = np.tile([0.0, 20.0, 38.0, 20.0, 2.0], 2)


def states(rng=None, *, lost_at_cathode=0.0, lost_at_graphite=0.0, share=1.0):
    """A full cell: what the charge took and brought, less what side reactions had of it."""
    n = len(CHARGE)
    steps = np.diff(CHARGE, prepend=0.0)
    wasted = np.cumsum(np.maximum(steps, 0))
    x = 0.95 - (CHARGE - lost_at_cathode * wasted) / CATHODE
    arrived = CHARGE - lost_at_graphite * wasted
    plated = 0.06 * np.maximum(arrived - 30, 0) + 0.05 * np.arange(n)
    y = 0.02 + (arrived - plated) / GRAPHITE
    draw = np.random.default_rng(rng).normal(size=(3, n)) if rng is not None else np.zeros((3, n))
    noise = {
        "x": draw[0] * SIGMA["x"],
        "y": draw[1] * SIGMA["y"],
        "plated": draw[2] * SIGMA["plated"],
    }
    return {
        "cathode": Host(Measured(x + noise["x"], np.full(n, SIGMA["x"])), CATHODE * share),
        "graphite": Host(Measured(y + noise["y"], np.full(n, SIGMA["y"])), GRAPHITE),
        "plated": Measured(plated + noise["plated"], np.full(n, SIGMA["plated"])),
        "charge": CHARGE,
        "cell_capacity": CAPACITY,
    }, wasted


def test_without_side_reactions_lithium_and_charge_close():
    given, _ = states()
    found = lithium_inventory(**given)
    assert found.closure == pytest.approx(np.zeros(len(CHARGE)), abs=1e-12)
    assert found.cathode_gap == pytest.approx(np.zeros(len(CHARGE)), abs=1e-12)
    assert found.counter_gap == pytest.approx(np.zeros(len(CHARGE)), abs=1e-12)
    assert found.total == pytest.approx(found.cathode + found.graphite + found.plated)
    assert found.closes_within(0.03)


def test_with_side_reactions_it_fails_to_close_by_what_they_took():
    """2 % at both electrodes: the cathode keeps lithium that the charge did not take, and the film on
    graphite holds lithium that no line shows."""
    given, wasted = states(lost_at_cathode=0.02, lost_at_graphite=0.02)
    found = lithium_inventory(**given)
    assert found.cathode_gap == pytest.approx(-0.02 * wasted)
    assert found.counter_gap == pytest.approx(-0.02 * wasted)
    # What one electrode kept the other did not get: lithium is there, the charge is not.
    assert found.missing == pytest.approx(np.zeros(len(CHARGE)), abs=1e-12)


def test_a_film_on_graphite_alone_takes_lithium_out_of_the_cell():
    given, wasted = states(lost_at_graphite=0.02)
    found = lithium_inventory(**given)
    assert found.missing == pytest.approx(0.02 * wasted)
    assert found.closure == pytest.approx(-0.02 * wasted / CAPACITY)
    assert not found.closes_within(0.03)


@pytest.mark.parametrize("lost", [0.0, 0.02])
def test_errors_of_every_gap_are_honest(lost):
    pulls = {"missing": [], "cathode_gap": [], "counter_gap": []}
    for seed in range(60):
        given, wasted = states(seed, lost_at_cathode=lost, lost_at_graphite=2 * lost)
        found = lithium_inventory(**given)
        truth = {"missing": lost * wasted, "cathode_gap": -lost * wasted}
        truth["counter_gap"] = -2 * lost * wasted
        for name, each in pulls.items():
            error = getattr(found, f"{name}_error")
            # States share the noise of the reference: one of them is taken.
            each.append((getattr(found, name) - truth[name])[7] / error[7])
    for each in pulls.values():
        assert_honest(each)
    # 0.4 % of x, 0.5 % of y, twice: that of the state and that of the reference.
    assert found.closure_error.max() < 0.0125


def test_a_wrong_amount_of_material_is_in_the_error():
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(1000 + seed)
        given, _ = states(seed, share=1 + 0.01 * rng.normal())
        host = given["cathode"]
        given["cathode"] = Host(host.content, host.capacity, 0.01 * CATHODE)
        found = lithium_inventory(**given)
        pulls.append(found.closure[2] / found.closure_error[2])
    assert_honest(pulls)


def test_another_state_can_be_the_one_to_compare_with():
    given, wasted = states(lost_at_graphite=0.02)
    found = lithium_inventory(**given, reference=4)
    assert found.missing == pytest.approx(0.02 * (wasted - wasted[4]))
    assert found.missing_error[4] == 0
    assert found.reference == 4


def test_states_that_are_not_known_stay_unknown():
    given, _ = states()
    given["plated"].value[3] = np.nan
    found = lithium_inventory(**given)
    assert np.isnan(found.total[3])
    assert np.isfinite(np.delete(found.total, 3)).all()
    assert found.closes_within(0.03)


def test_series_of_different_lengths_and_a_cell_without_capacity_are_refused():
    given, _ = states()
    with pytest.raises(
        ValueError, match="states of cathode, graphite, plated: 10, 10, 10; of the charge 4"
    ):
        lithium_inventory(**given | {"charge": CHARGE[:4]})
    with pytest.raises(ValueError, match="capacity of the cell must be greater than 0 mAh, got 0"):
        lithium_inventory(**given | {"cell_capacity": 0})


def test_a_mole_of_lithium_is_its_faraday():
    assert capacity_of(1 / 26.8015) == pytest.approx(1000, rel=1e-5)
