"""Charge and X-rays each say how much lithium is left; they differ by what was hidden, and only that."""

import numpy as np
import pytest
from scipy import stats

from battbeam.demo.experiment import Seen, prepare
from battbeam.demo.experiment import experiment as follow
from battbeam.demo.options import DemoOptions, hidden_truth, passport, protocol
from battbeam.demo.run import read
from battbeam.serve import Services
from battbeam.session import Session
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

#: Hidden from the user, who believes in 0.98 and in no side reaction.
INITIAL_CONTENT, EFFICIENCY = 0.965, 0.97


def test_the_two_differ_by_side_reaction_and_initial_state(tmp_path):
    options = DemoOptions(seed=21, frame_size=256, out=tmp_path)
    drawn = hidden_truth(options)
    even = drawn.cells[0].model_copy(
        update={
            "inactive_fraction": 0.0,
            "gradient_x": 0.0,
            "gradient_y": 0.0,
            "gradient_depth": 0.0,
            "dead_spot": None,
            "initial_lithium_content": INITIAL_CONTENT,
            "coulombic_efficiency": EFFICIENCY,
        }
    )
    scenario = drawn.model_copy(update={"cells": (even,), "prefix": own_prefix()})
    believed = passport(options, drawn)
    with SimulatedBeamline(scenario, tmp_path) as simulated:
        connection = simulated.start()
        with Services(connection) as services, Session(connection) as session:
            beamline = session.beamline
            session.run(prepare(beamline))
            seen = Seen(transmission_reference=50.0, exposure=40.0)
            plan = follow(beamline, options, seen, passport=believed, protocol=protocol(options))
            operando = session.run(plan)[0]
            services.wait_published(timeout=60)
            patterns = read(connection, operando).series.valid
    xray, error = patterns.of("lithium_content_xray"), patterns.of("lithium_content_xray_error")
    charge = patterns.of("lithium_content_charge")
    history = History(history_path(tmp_path, 1))
    hidden = history.at(np.asarray(patterns.rows["time"].to_numpy(), dtype=float))
    capacity = believed["active_mass"] * 1e-3 / 157.7548 * 96485.33212 / 3.6
    # The user counts from 0.98; what the side reaction took never left the electrode.
    injected = (0.98 - INITIAL_CONTENT) - np.asarray(hidden.side_charge) / capacity
    pull = (charge - xray - injected) / error
    assert len(pull) > 50
    assert np.abs(np.mean(charge - xray - injected)) < 3 * np.sqrt(np.mean(error**2))
    # As many beyond three sigma as chance has once in a thousand times, at the most.
    n_beyond = np.count_nonzero(np.abs(pull) >= 3)
    assert n_beyond <= stats.binom.isf(1e-3, len(pull), 2 * stats.norm.sf(3))
