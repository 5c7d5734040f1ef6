"""A believed cell follows its protocol; measurements, couplings and budgets on a simulated beamline."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.cell import EXAMPLE, CellPassport, Window
from battbeam.experiment.conditions import AbsoluteClock, EndOfProtocol, StepEdge
from battbeam.experiment.description import SiteFacts, point_cost
from battbeam.experiment.discrete_event import DiscreteEvent, Subject
from battbeam.experiment.discrete_event_cell import ModelCell
from battbeam.experiment.discrete_event_model import CellModel, impedance_duration
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.forecast_curve import (
    LithiumCurve,
    TableCurve,
    curve_of,
    published_curve,
)
from battbeam.experiment.protocol import Protocol, Step, StepType
from battbeam.experiment.schedule import Rule, Schedule

PASSPORT = CellPassport.read(EXAMPLE)
WINDOW = Window(0.0, 10.0, 1.0)
#: 3.0 V empty, 4.0 V full.
STRAIGHT = TableCurve((0.0, 1.0), (3.0, 4.0))


def model(*, resistance=10.0, relaxation=0.0, capacity=1.0):
    return CellModel(STRAIGHT, capacity, resistance, relaxation)


def cell(*steps, window=WINDOW, **options):
    numbered = [Step(index, kind, **fields) for index, (kind, fields) in enumerate(steps)]
    return ModelCell(model(**options), numbered, window=window, start=0.0)


def current(amperes, **fields):
    sign = 1 if amperes > 0 else -1
    return (StepType.CONSTANT_CURRENT, {"current": amperes, "direction": sign, **fields})


def rest(duration):
    return (StepType.REST, {"duration": duration})


# 1 mA of 1 mAh is 1C: the state of charge rises by 1 in 3600 s.


def test_a_current_ends_where_the_curve_and_the_resistance_say():
    one = cell(current(1e-3, until_voltage=3.51))
    one.advance(1e5)
    assert one.ended_at == pytest.approx(1800.0, abs=0.01)
    assert one.state_of_charge == pytest.approx(0.5, abs=1e-5)


def test_a_surface_that_lags_ends_a_current_earlier_by_its_time_constant():
    one = cell(current(1e-3, until_voltage=3.51), relaxation=60.0)
    one.advance(1e5)
    assert one.ended_at == pytest.approx(1740.0, abs=0.1)


def test_a_charge_limit_ends_a_current():
    one = cell(current(2e-3, until_charge=0.25))
    one.advance(1e5)
    assert one.ended_at == pytest.approx(450.0, abs=0.01)


def test_a_constant_voltage_decays_as_a_resistor_and_a_capacitor_do():
    # dV/dQ = 1 V per 3.6 C and 10 ohm: a time constant of 36 s.
    one = cell(
        current(1e-3, until_voltage=3.5),
        (StepType.CONSTANT_VOLTAGE, {"voltage": 3.5, "until_current": 1e-3 * math.exp(-2)}),
    )
    one.advance(1e5)
    assert one.ended_at == pytest.approx(0.49 * 3600 + 72.0, abs=1.5)


def test_a_constant_resistance_discharges():
    one = cell(
        (StepType.CONSTANT_RESISTANCE, {"resistance": 990.0, "duration": 36.0, "direction": -1})
    )
    one.advance(18.0)
    # Starts empty at 3.0 V: 3 mA through 1000 ohm, falling a little.
    assert one.state.current == pytest.approx(-3e-3, rel=0.02)
    assert one.state.voltage == pytest.approx(-990.0 * one.state.current, rel=1e-5)


def test_a_ramp_passes_the_mean_of_its_currents():
    one = cell((StepType.CURRENT_RAMP, {"current": 0.0, "current_end": 2e-3, "duration": 360.0}))
    one.advance(360.0)
    assert one.state.charge == pytest.approx(0.1, rel=1e-6)


def test_a_scan_follows_its_voltage():
    scan = {"voltage": 3.0, "voltage_end": 3.5, "scan_rate": 1e-3}
    one = cell((StepType.VOLTAGE_SCAN, scan))
    one.advance(250.0)
    assert one.state.voltage == pytest.approx(3.25, abs=1e-6)
    one.advance(1e4)
    assert one.ended_at == pytest.approx(500.0)


def test_a_spectrum_takes_the_time_of_its_periods():
    step = Step(
        0,
        StepType.IMPEDANCE,
        frequency_start=10.0,
        frequency_end=0.01,
        points_per_decade=1,
        measures_per_point=1,
    )
    assert impedance_duration(step) == pytest.approx(0.1 + 1 + 10 + 100)


def test_a_thermostat_is_waited_for_and_stays_where_it_is():
    one = cell((StepType.TEMPERATURE, {"temperature": 35.0, "tolerance": 0.0}), rest(60.0))
    one.advance(150.0)
    assert one.reading().temperature == pytest.approx(30.0)
    one.advance(1e4)
    assert (one.ended_at, one.reading().temperature) == (pytest.approx(360.0), 35.0)


def test_a_rest_ends_when_the_voltage_has_settled():
    one = cell(
        current(1e-3, duration=600.0),
        (StepType.REST, {"until_voltage_rate": 0.01, "duration": 1e4}),
        relaxation=60.0,
    )
    one.advance(1e5)
    # 1 C x 60 s of lag are 16.7 mV, falling with 60 s: 1 V/h x exp(-t/60) reaches 0.01 V/h.
    assert one.ended_at == pytest.approx(600.0 + 60.0 * math.log(100.0), abs=15.0)


def test_outside_its_window_the_guard_trips():
    one = cell(current(1e-3, duration=7200.0), window=Window(2.5, 3.6, 0.01))
    one.advance(1e5)
    assert "outside 2.5 to 3.6 V" in one.trip
    assert one.reading().state == "Tripped"


def test_beyond_its_charge_in_one_direction_the_guard_trips():
    steps = [
        Step(k, StepType.CONSTANT_CURRENT, current=amperes, duration=1500.0, direction=1)
        for k, amperes in enumerate((1e-3, -1e-3, 1e-3, 1e-3))
    ]
    one = ModelCell(model(), steps, window=WINDOW, start=0.0, charge_max=0.5)
    one.advance(1e5)
    assert "mAh in one direction, beyond 0.5 mAh" in one.trip
    assert one.ended_at == pytest.approx(3000.0 + 1800.0, abs=37.0)


def test_how_often_it_is_looked_at_changes_nothing():
    steps = (
        current(1e-3, until_voltage=3.6),
        (StepType.CONSTANT_VOLTAGE, {"voltage": 3.6, "until_current": 2e-4}),
        rest(100.0),
        current(-1e-3, until_voltage=3.1),
    )
    once, often = cell(*steps, relaxation=60.0), cell(*steps, relaxation=60.0)
    once.advance(1e5)
    for time in np.arange(0.0, 1e4, 7.3):
        often.advance(float(time))
    often.advance(1e5)
    assert often.ended_at == pytest.approx(once.ended_at, abs=2.0)
    assert often.state.charge == pytest.approx(once.state.charge, abs=1e-3)


DURATION = st.floats(1.0, 1000.0)
STEPS = st.lists(
    st.one_of(
        DURATION.map(rest),
        st.builds(
            lambda amperes, seconds, volts: current(amperes, duration=seconds, until_voltage=volts),
            st.sampled_from([-2e-3, -1e-4, 1e-4, 2e-3]),
            DURATION,
            st.floats(2.9, 4.1),
        ),
        st.builds(
            lambda volts, seconds: (
                StepType.CONSTANT_VOLTAGE,
                {"voltage": volts, "until_current": 1e-4, "duration": seconds},
            ),
            st.floats(2.9, 4.1),
            DURATION,
        ),
        st.builds(
            lambda begin, end, seconds: (
                StepType.CURRENT_RAMP,
                {"current": begin, "current_end": end, "duration": seconds},
            ),
            st.floats(-1e-3, 1e-3),
            st.floats(-1e-3, 1e-3),
            DURATION,
        ),
        st.builds(
            lambda ohms, seconds: (
                StepType.CONSTANT_RESISTANCE,
                {"resistance": ohms, "duration": seconds, "direction": -1},
            ),
            st.floats(500.0, 1e4),
            DURATION,
        ),
        st.builds(
            lambda begin, end: (
                StepType.VOLTAGE_SCAN,
                {"voltage": begin, "voltage_end": end, "scan_rate": 1e-3},
            ),
            st.floats(3.0, 4.0),
            st.floats(3.0, 4.0),
        ),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(steps=STEPS, start=st.sampled_from([0.0, 1.75e9]))
def test_every_protocol_comes_to_an_end_in_its_time_and_charge_is_current_times_time(steps, start):
    numbered = [Step(index, kind, **fields) for index, (kind, fields) in enumerate(steps)]
    one = ModelCell(model(relaxation=60.0), numbered, window=Window(-1e4, 1e4, 1.0), start=start)
    longest = sum(
        step.duration or abs((step.voltage_end or 0) - (step.voltage or 0)) / 1e-3
        for step in numbered
    )
    charge, time = 0.0, start
    while not one.is_over:
        before, then = one.state, one.time
        one.advance(one.time + 1.0)
        charge += (before.current + one.state.current) / 2 * (one.time - then) / 3.6
        time = one.time
    assert one.ended_at - start <= longest + 1.0
    assert time - start <= longest + 2.0
    # Where a step ends between two looks the mean of both currents is wrong by one second of it.
    assert one.state.charge == pytest.approx(charge, abs=0.02)


# Curves.


def test_a_published_curve_goes_through_its_table_and_beyond_its_ends():
    curve = published_curve("LFP_Afshar2017")
    assert curve.voltage(0.47483) == pytest.approx(3.39808, abs=1e-4)
    assert curve.voltage(0.999) < curve.voltage(0.995)
    assert curve.voltage(1.2) == -math.inf
    assert curve.voltage(-0.1) == math.inf


def test_a_lithium_content_is_found_from_its_voltage():
    curve = LithiumCurve(0.1, 0.4, (4.0, 3.6, 3.2))
    assert curve.voltage(curve.content(3.5)) == pytest.approx(3.5)


def test_the_nominal_capacity_lies_between_the_voltages_of_its_definition():
    curve = curve_of(PASSPORT)
    content = curve.working.content + curve.working.slope * np.array([0.0, 1.0])
    assert content[0] == 0.98
    low, high = (curve.working.curve.content(voltage) for voltage in (2.5, 3.8))
    assert content[0] - content[1] == pytest.approx(low - high, abs=1e-3)


def test_a_full_cell_has_the_difference_of_both_electrodes():
    counter = {"material": "graphite", "capacity": 3.4, "initial_lithium_content": 0.01}
    full = CellPassport.read({**EXAMPLE, "counter_electrode": counter})
    curve = curve_of(full)
    assert curve.voltage(0.5) == pytest.approx(
        curve.working.voltage(0.5)
        - published_curve("graphite_Chen2020").voltage(0.01 + 0.5 * 2.9 / 3.4)
    )


def test_a_chemistry_without_a_curve_is_refused_with_what_to_give():
    other = CellPassport.read({**EXAMPLE, "counter_electrode": {"material": "LTO"}})
    with pytest.raises(ValueError, match=r"against LTO; give one as a table"):
        curve_of(other)


def test_a_table_that_falls_is_refused():
    with pytest.raises(ValueError, match="voltages must rise from row to row"):
        TableCurve((0.0, 0.5, 1.0), (3.0, 3.5, 3.4))
    with pytest.raises(ValueError, match="at least 2 states"):
        TableCurve((0.0,), (3.0,))


# One beamline.

PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 100},
        {"step": "constant_current", "rate_C": 1, "until_time_s": 1000, "until_voltage_V": 3.9},
        {"step": "open_circuit_voltage", "until_time_s": 100},
    ],
}


def run(*rules, exposure=20.0, overhead=4.0, budget=None, reading_interval=5.0):
    site = SiteFacts(overhead=overhead)
    compiled = Protocol.read(PROTOCOL).compile(PASSPORT)
    believed = CellModel.of(PASSPORT, curve_of(PASSPORT), resistance=20.0, relaxation=60.0)
    one = ModelCell(believed, compiled.steps, window=compiled.window, start=0.0)
    subject = Subject(
        one,
        Schedule(rules=rules).anchored(0.0),
        {"pattern": point_cost(site, exposure)},
        PASSPORT,
        budget,
    )
    rows = []
    event = DiscreteEvent(
        {"cell1": subject}, site, start=0.0, reading_interval=reading_interval, sink=rows.append
    )
    event.run()
    return rows, event, one


def rule(when, **fields):
    return Rule(name="rule", when=when, measure="pattern", **fields)


def test_slots_are_served_when_they_are_due():
    rows, event, _ = run(rule(AbsoluteClock(period=100.0)))
    assert [row.start for row in rows] == [100.0 * k for k in range(len(rows))]
    assert event.clock.now() >= 1200.0


def test_smear_is_the_charge_of_the_exposure_alone():
    rows, _, _ = run(rule(AbsoluteClock(period=100.0)))
    under_current = next(row for row in rows if row.start == 300.0)
    assert under_current.smear == pytest.approx(20.0 / 3600, rel=1e-6)
    assert rows[0].smear == 0.0


def test_a_held_cell_smears_less_and_its_protocol_takes_longer():
    free, _, _ = run(rule(AbsoluteClock(period=100.0)))
    held, _, one = run(rule(AbsoluteClock(period=100.0), coupling="hold_potential"))
    at = {row.start: row.smear for row in held}
    # On a plateau a held current dies away no faster than the surface relaxes.
    assert at[300.0] < 0.9 * next(row.smear for row in free if row.start == 300.0)
    # A step that is interrupted goes on with what is left of it, a rest too.
    n_held = sum(row.start < one.ended_at for row in held)
    assert one.ended_at == pytest.approx(1200.0 + 24.0 * n_held, abs=1.0)


def test_a_hold_ends_after_its_maximum():
    rows, _, one = run(
        rule(AbsoluteClock(period=1e5, start=500.0), coupling="hold_potential", hold_maximum=5.0),
        exposure=100.0,
    )
    (row,) = rows
    assert row.start == 500.0
    # Held for 5 s, then at open circuit: no charge flows any more, and the step goes on later.
    assert row.smear < 2e-3
    assert one.ended_at == pytest.approx(1200.0 + 104.0, abs=1.0)


def test_a_rest_is_kept_until_it_is_measured():
    rows, _, one = run(
        rule(StepEdge(step_type="open_circuit_voltage"), coupling="step_then_measure"),
        exposure=300.0,
    )
    assert rows[-1].smear < 1e-9
    assert one.ended_at == pytest.approx(rows[-1].end, abs=5.0)


def test_the_end_of_the_protocol_is_measured_after_it():
    rows, _, one = run(rule(EndOfProtocol()))
    (row,) = rows
    assert one.ended_at <= row.start <= one.ended_at + 5.0


def test_a_dose_budget_is_never_passed():
    budget = DoseBudget(fluence=1.5e11, at_limit="skip")
    rows, event, _ = run(rule(AbsoluteClock(period=100.0)), budget=budget)
    fluence = event.light.fluence(PASSPORT.sample_uid, 0.0, 0.0, (0.3, 0.3))
    assert 0 < fluence <= 1.5e11
    assert [row.is_served for row in rows[:4]] == [True, True, True, False]
    assert "dose limit" in rows[3].refused


def test_at_the_limit_fresh_spots_are_used_one_after_the_other():
    budget = DoseBudget(fluence=1e11, at_limit="move", spots=((1.0, 0.0), (2.0, 0.0)))
    rows, event, _ = run(rule(AbsoluteClock(period=100.0)), budget=budget)
    places = [(each.x, each.y) for each in event.light.footprints(PASSPORT.sample_uid)]
    assert places == [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]
    assert sum(row.is_served for row in rows) == 6


def test_a_limit_that_stops_ends_the_experiment():
    budget = DoseBudget(fluence=1e11, at_limit="stop")
    rows, event, _ = run(rule(AbsoluteClock(period=100.0)), budget=budget)
    assert "dose limit" in event.stopped
    assert len(rows) == 3
