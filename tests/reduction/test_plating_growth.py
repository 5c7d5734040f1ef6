"""Plating and stripping by recursion, cycle by cycle."""

import numpy as np
import pytest
from pulls import assert_honest

from battbeam.errors import ReductionError
from battbeam.reduction.plating_growth import MetalOfCycles, growth

CYCLES = np.arange(1.0, 8.0)
ONSET, NUCLEATION, AUTOCATALYSIS = 2.0, 0.30, 0.35
EFFICIENCY, DECAY = 0.65, 4.0


def truth(*, first_part=1.0, autocatalysis=AUTOCATALYSIS, decay=DECAY):
    """Metal after each charge and discharge."""
    metal, charged, discharged = 0.0, [], []
    for cycle in CYCLES:
        added = 0.0
        if cycle >= ONSET:
            added = NUCLEATION + autocatalysis * metal
            added *= first_part if cycle == ONSET else 1.0
        charged.append(metal + added)
        metal = charged[-1] - EFFICIENCY * np.exp(-(cycle - ONSET) / decay) * added
        discharged.append(metal)
    return np.array(charged), np.array(discharged)


def measured(seed, *, sigma=0.01, **changes):
    rng = np.random.default_rng(seed)
    drawn = [each + sigma * rng.normal(size=len(CYCLES)) for each in truth(**changes)]
    error = np.full(len(CYCLES), sigma)
    return MetalOfCycles(CYCLES, drawn[0], error, drawn[1], error)


def test_the_law_of_growth_and_of_stripping_comes_back_within_honest_errors():
    pulls = {name: [] for name in ("nucleation", "autocatalysis", "first_efficiency", "decay_rate")}
    wanted = {
        "nucleation": NUCLEATION,
        "autocatalysis": AUTOCATALYSIS,
        "first_efficiency": EFFICIENCY,
        "decay_rate": 1 / DECAY,
    }
    residuals = []
    for seed in range(120):
        found = growth(measured(seed))
        assert found.onset == ONSET
        residuals.append(found.residual)
        for name, each in pulls.items():
            each.append((getattr(found, name) - wanted[name]) / getattr(found, f"{name}_error"))
    for each in pulls.values():
        assert_honest(each, bias=0.15)
    # 6 cycles from the onset on, each with one amount more than the law has parameters for but two.
    assert np.mean(residuals) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 4 / 120))


def test_efficiencies_of_single_cycles_have_honest_errors():
    cycle, pulls, added = 3, [], []
    charged, discharged = truth()
    for seed in range(120):
        found = growth(measured(seed, sigma=0.004))
        wanted = EFFICIENCY * np.exp(-(CYCLES[cycle] - ONSET) / DECAY)
        pulls.append((found.efficiency[cycle] - wanted) / found.efficiency_error[cycle])
        gain = charged[cycle] - discharged[cycle - 1]
        added.append((found.added[cycle] - gain) / found.added_error[cycle])
    assert_honest(pulls, bias=0.1)
    assert_honest(added)
    assert np.isnan(found.efficiency[0])


def test_an_onset_within_a_cycle_does_not_disturb_the_law():
    found = growth(measured(3, sigma=1e-4, first_part=0.4))
    assert found.onset == ONSET
    assert found.nucleation == pytest.approx(NUCLEATION, abs=4 * found.nucleation_error)
    assert found.decay == pytest.approx(DECAY, rel=0.02)


def test_without_growth_and_decay_none_is_found():
    found = growth(measured(5, autocatalysis=0.0, decay=1e9))
    assert found.autocatalysis == pytest.approx(0.0, abs=4 * found.autocatalysis_error)
    assert found.decay_rate == pytest.approx(0.0, abs=4 * found.decay_rate_error)


def test_an_efficiency_that_rises_has_no_decay():
    found = growth(measured(5, sigma=1e-4, decay=-20.0))
    assert found.decay_rate < 0
    assert found.decay == np.inf


def test_errors_of_the_decay_follow_from_those_of_its_rate():
    found = growth(measured(1))
    assert found.decay_error == pytest.approx(found.decay_rate_error / found.decay_rate**2)


def test_a_cell_that_was_cycled_before_begins_with_its_metal():
    charged, discharged = truth()
    error = np.full(4, 1e-4)
    later = MetalOfCycles(
        CYCLES[3:], charged[3:], error, discharged[3:], error, discharged[2], 1e-4
    )
    found = growth(later)
    assert found.onset == CYCLES[3]
    assert found.decay == pytest.approx(DECAY, rel=0.02)
    assert found.first_efficiency == pytest.approx(EFFICIENCY * np.exp(-2 / DECAY), rel=0.01)


def test_a_cell_without_metal_has_no_law():
    rng = np.random.default_rng(1)
    error = np.full(7, 0.01)
    nothing = MetalOfCycles(
        CYCLES, 0.01 * rng.normal(size=7), error, 0.01 * rng.normal(size=7), error
    )
    with pytest.raises(ReductionError, match="0 cycles at the end show plated lithium, 3 needed"):
        growth(nothing)


def test_series_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="cycles, amounts and errors must be of one length"):
        MetalOfCycles(CYCLES, CYCLES, CYCLES, CYCLES[:3], CYCLES)
