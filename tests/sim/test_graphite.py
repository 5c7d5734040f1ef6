"""Stages of graphite and where its lithium is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.materials import COUNTER_PHASES, COUNTER_RANGE, FARADAY
from battbeam.sim.beam import Instants
from battbeam.sim.electrode import depth_points, illuminated
from battbeam.sim.graphite import local_content, stages
from battbeam.sim.history import HiddenState
from battbeam.sim.hosts import areal_moles
from battbeam.sim.lithium import full_capacity
from battbeam.sim.scenario import Beam, Cell, CounterElectrode, pouch_stack

CELL = Cell(
    chemistry="nmc811",
    counter=CounterElectrode(
        material="graphite", gradient_x=0.01, gradient_y=-0.005, gradient_depth=8.0
    ),
    stack=pouch_stack(),
)
CONTENTS = np.linspace(0.0, 1.0, 2001)


def test_stages_keep_carbon_and_lithium():
    found = stages(CONTENTS)
    assert tuple(name for name, _, _ in found) == COUNTER_PHASES
    assert sum(share for _, share, _ in found) == pytest.approx(np.ones_like(CONTENTS))
    assert sum(share * inside for _, share, inside in found) == pytest.approx(CONTENTS)
    for name, _, inside in found:
        low, high = COUNTER_RANGE[name]
        assert low <= inside.min()
        assert inside.max() <= high


def test_stages_come_one_after_the_other_and_neighbours_coexist():
    present = np.array([share > 1e-9 for _, share, _ in stages(CONTENTS)])
    assert present.sum(axis=0).max() == 2
    first = [int(np.flatnonzero(row)[0]) for row in present]
    last = [int(np.flatnonzero(row)[-1]) for row in present]
    assert first == sorted(first)
    assert last == sorted(last)
    for index in range(len(first) - 2):
        assert last[index] <= first[index + 2]
    # Half way between 2 and 1 there is as much of each.
    by_name = {name: share for name, share, _ in stages(np.array([0.75, 0.2]))}
    assert by_name["LiC12"][0] == by_name["LiC6"][0] == pytest.approx(0.5)
    assert by_name["LiC18"][1] == 1


def sampled(mean, lag, cell=CELL):
    """At points that weigh the same: rings of one area, and Gauss points of the depth."""
    n = 200
    r = cell.electrode_radius * np.sqrt((np.arange(n) + 0.5) / n)
    angle = (np.arange(n) + 0.5) / n * 2 * np.pi
    places, weights = depth_points()
    x, y = r[:, None, None] * np.cos(angle)[:, None], r[:, None, None] * np.sin(angle)[:, None]
    local = local_content(mean, lag, x, y, places - 0.5, cell)
    return local, float((local.mean(axis=(0, 1)) * weights).sum())


@given(mean=st.floats(0, 1), lag=st.floats(-0.1, 0.1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_local_lithium_stays_in_range_and_keeps_its_mean(mean, lag):
    local, found = sampled(mean, lag)
    assert local.min() >= 0
    assert local.max() <= 1
    assert found == pytest.approx(mean, abs=1e-9)


def test_the_gradient_through_the_depth_is_in_proportion_to_the_lag_and_richer_at_the_separator():
    def difference(lag):
        separator, collector = (local_content(0.5, lag, 0.0, 0.0, z, CELL) for z in (0.5, -0.5))
        return float(separator - collector)

    assert difference(0.015) == pytest.approx(0.12)
    assert difference(-0.0075) == pytest.approx(-0.06)
    assert difference(0.0) == 0.0


def test_the_gradient_across_the_electrode_is_the_declared_one_half_way_and_vanishes_at_the_ends():
    for mean, scale in ((0.5, 1.0), (0.0, 0.0), (1.0, 0.0)):
        here, there = (local_content(mean, 0.0, x, 0.0, 0.2, CELL) for x in (-1.0, 1.0))
        assert float(there - here) == pytest.approx(0.02 * scale, abs=1e-12)


def test_the_carbon_of_the_layer_holds_the_electrodes_capacity():
    charge = areal_moles("counter", CELL) * FARADAY / 3.6 * CELL.electrode_area
    assert charge == pytest.approx(full_capacity(CELL) * CELL.counter.capacity_ratio)


def hidden(**values):
    names = list(HiddenState.__dataclass_fields__)
    return lambda times: HiddenState(
        times, *(np.full(len(times), values.get(name, 0.0)) for name in names[1:])
    )


def seen_by(state, cell=CELL, **fields):
    return illuminated(
        1.0,
        -0.5,
        instants=Instants(np.array([1.0, 2.0]), np.array([1e8, 3e8])),
        mean_lithium_content=lambda times: state(times).lithium_content,
        beam=Beam(),
        cell=cell,
        hidden=state,
        **fields,
    )


def test_the_beam_meets_the_stages_of_the_lithium_that_is_there():
    state = hidden(lithium_content=0.5, counter_content=0.6, counter_lag=0.01)
    seen = seen_by(state)
    shares = seen.of("counter")
    assert {share.phase for share in shares} == {"LiC12", "LiC6"}
    total = sum(share.weight.sum() for share in shares)
    assert total == pytest.approx(4e8)
    mean = sum(share.weight @ share.lithium_content for share in shares) / total
    expected = 0.6 + 4 * 0.6 * 0.4 * (0.01 * 1.0 + 0.005 * 0.5)
    assert mean == pytest.approx(expected, abs=1e-9)
    # The separator, downstream, is ahead on charge.
    rich = next(share for share in shares if share.phase == "LiC6")
    by_depth = np.bincount(rich.depth, weights=rich.weight) / depth_points()[1]
    assert np.all(np.diff(by_depth) > 0)


def test_without_graphite_or_without_a_hidden_state_there_are_no_stages():
    lithium = Cell(chemistry="nmc811")
    state = hidden(lithium_content=0.5, counter_content=np.nan)
    assert seen_by(state, lithium).of("counter") == ()
    assert seen_by(state, lithium).of("plated") == ()


def test_the_layers_of_the_pouch_lie_one_on_the_other_about_the_electrode():
    layers = [layer for layer in pouch_stack() if layer.material != "plated"]
    ends = [layer.depth + layer.thickness / 2 for layer in layers]
    begins = [layer.depth - layer.thickness / 2 for layer in layers]
    assert begins[1:] == pytest.approx(ends[:-1])
    depths = {layer.material: layer.depth for layer in pouch_stack()}
    assert depths["active"] == pytest.approx(0.0, abs=1e-12)
    assert depths["plated"] == pytest.approx(depths["counter"] + 0.057)
