"""Derivatives of a drawn pattern against differences of it: errors are no better than they are."""

import numpy as np
import pytest
from pattern_generator import Bench

from battbeam.materials import lattice_edges
from battbeam.reduction.component import Component
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions, XrdReducer

CORNER = Bench(
    shape=(120, 120),
    pixel=(0.6, 0.6),
    centre=(14.0, 16.0),
    rotation=(1.0, 0.5),
    width=(0.25, 0.05),
)
PHASES = [
    ScatteringPhase("NMC811"),
    ScatteringPhase("LiC18", -0.2),
    ScatteringPhase("LiC6", -0.2),
    ScatteringPhase("Al", 0.06, reference=True),
]
#: Steps, small against a line's width: angstrom, variance of x, lithium content, factor, mm, degree^2.
STEPS = {"edge": 2e-5, "spread": 2e-5, "content": 1e-4, "factor": 1e-2}
SHARED = {"displacement": 5e-3, "broadening": 2e-5}


@pytest.fixture(scope="module")
def pattern(tmp_path_factory):
    options = XrdOptions(
        displacement=0.1,
        broadening=0.05,
        fatigued_lithium_content=(0.25, 0.03),
        free_intensities=("Al",),
    )
    files = CORNER.save(tmp_path_factory.mktemp("corner"))
    return XrdReducer(*files, PHASES, shape=CORNER.shape, options=options)._model.pattern


def start(component: Component) -> np.ndarray:
    p = component.centre.copy()
    if component.kind == "grains":
        p[: component.n_edges] = lattice_edges(component.phase, np.array([0.42]))[0]
        p[component.n_edges] = 1e-3
    return p


def kinds(component: Component) -> list[str]:
    if component.is_composed:
        return ["content"]
    spread = ["spread"] if component.kind == "grains" else []
    return ["edge"] * component.n_edges + spread + ["factor"] * component.n_groups


def drawn(component, parameters, shared):
    return component.shape.draw(component.sticks(parameters, 0.3, shared))


def compared(told, differences):
    """Relative root mean square difference."""
    return np.sqrt(np.mean((told - differences) ** 2) / np.mean(differences**2))


def test_every_derivative_is_what_a_difference_of_patterns_says(pattern):
    middle = np.array([0.03, 2e-4])
    n_seen = 0
    for component in pattern.components:
        p = start(component)
        told = drawn(component, p, middle)
        for index, kind in enumerate(kinds(component)):
            step = np.zeros(len(p))
            step[index] = STEPS[kind]
            up, down = (drawn(component, p + sign * step, middle)[:, 0] for sign in (1, -1))
            apart = compared(told[:, 1 + index], (up - down) / (2 * STEPS[kind]))
            assert apart < 0.03, (component.phase, component.kind, index)
            n_seen += 1
        for index, (name, size) in enumerate(SHARED.items()):
            step = np.zeros(2)
            step[list(pattern.shared).index(name)] = size
            up, down = (drawn(component, p, middle + sign * step)[:, 0] for sign in (1, -1))
            differences = (up - down) / (2 * size)
            if not differences.any():
                assert not told[:, 1 + len(p) + index].any()
                continue
            apart = compared(told[:, 1 + len(p) + index], differences)
            assert apart < 0.03, (component.phase, component.kind, name)
            n_seen += 1
    assert n_seen > 20
