import pytest

from battbeam.devices.frames import FrameTrain
from battbeam.errors import PreflightError
from battbeam.experiment.conditions import AbsoluteClock, ArealChargeLevels, Cadence, Rate
from battbeam.experiment.control_spot import ControlSpot
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.dose import DoseBudget, DoseLedger
from battbeam.experiment.predicates import Compare
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.experiment_faults import pattern_faults
from battbeam.plans.light import decided
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.stubs import Exposure
from tests.devices.metering import metered

CURRENT = str(StepType.CONSTANT_CURRENT)
ONE_C = 2.9e-3
#: Photons per mm2 of one exposure of 10 s at most.
ONE = 1.05 * 2e8 * 10 / 0.09


@pytest.fixture
def lit(cycling, tmp_path):
    """The fake beamline with a dose meter; every opening brings what was reserved."""
    cycling.clock.cycle(cycling.potentiostat, (CURRENT, ONE_C, 700.0))
    cycling.potentiostat.state.sim_put("Running")
    cycling.beam.attenuator.transmissions = (1.0, 0.5, 0.1)
    ledger = DoseLedger(tmp_path / "ledger.jsonl")
    metered(cycling, ledger, beam_size=(0.3, 0.3), overhead=0.0)
    cycling.beam.shutter.status.subscribe(
        lambda value, **_: places_of.append(cycling.sample_stage.x.position) if value else None,
        run=False,
    )
    places_of = []
    shutter = cycling.beam.shutter

    def follow(wanted, **_):
        # As a server that stamps with the session's clock; the exposure takes its time.
        if shutter.status.get() == 1 and wanted == 0:
            cycling.clock.time += 10.0
        shutter.status.sim_put(wanted, timestamp=cycling.clock.time)

    shutter.command.sim_set_putter(follow)
    cycling.beam.i0.sim_put(2e7)
    cycling.potentiostat.places_of = places_of
    return cycling


def run(lit, engine, budget, **options):
    how = Exposure((lit.detector,), lit.beam, FrameTrain(10.0))
    stage = lit.sample_stage
    rule = Rule(name="clock", when=AbsoluteClock(period=100.0), measure="pattern")
    engine(
        operando(
            Schedule(rules=(rule,)),
            {"pattern": Pattern(how, positions=((stage.x, 0.0), (stage.y, 0.0)))},
            potentiostat=lit.potentiostat,
            beam=lit.beam,
            clock=lit.clock,
            dose={"cell1": budget},
            **{"stage": stage, **options},
        )
    )


def rows(documents):
    return [
        {key.removeprefix("rules_"): value for key, value in event.items()}
        for event in documents.events("rules")
    ]


def test_a_spot_that_has_had_its_light_is_left_for_a_fresh_one(lit, engine, documents):
    budget = DoseBudget(fluence=1.5 * ONE, at_limit="move", spots=((1.0, 0.0), (2.0, 0.0)))
    run(lit, engine, budget)
    assert lit.potentiostat.places_of[:3] == [0.0, 1.0, 2.0]
    first, second, third, *late = rows(documents)
    assert first["dose"] == "expose"
    assert second["dose"].startswith("move: dose limit of")
    assert [row["missed"] for row in (first, second, third)] == ["", "", ""]
    assert all("no fresh spot has room" in row["missed"] for row in late)
    assert late
    assert lit.sample_stage.x.position == 0.0


def test_at_the_limit_a_measurement_is_skipped_and_its_reason_kept(lit, engine, documents):
    run(lit, engine, DoseBudget(fluence=1.5 * ONE, at_limit="skip"))
    first, *others = rows(documents)
    assert first["missed"] == ""
    assert len(others) >= 4
    assert all(row["missed"].startswith("skip: dose limit of") for row in others)


def test_at_the_limit_a_cell_is_not_measured_any_more(lit, engine, documents):
    with pytest.raises(Exception, match="the dose limit is reached"):
        run(lit, engine, DoseBudget(fluence=1.5 * ONE, at_limit="stop"))
    served, stopped, ended = rows(documents)
    assert served["missed"] == ""
    assert stopped["missed"].startswith("stop: dose limit of")
    assert ended["index"] == -1


def test_at_the_limit_the_beam_is_attenuated_for_that_measurement_alone(lit, engine, documents):
    seen = []
    lit.beam.shutter.status.subscribe(
        lambda value, **_: seen.append(lit.beam.attenuator.position) if value else None, run=False
    )
    lit.beam.attenuator.setpoint.sim_set_putter(
        lambda value, **_: lit.beam.attenuator.transmission.sim_put(value)
    )
    run(lit, engine, DoseBudget(fluence=1.55 * ONE, at_limit="attenuate"))
    assert seen[:2] == [1.0, 0.5]
    assert lit.beam.attenuator.position == 1.0
    assert rows(documents)[1]["dose"].startswith("attenuate: dose limit of")


def test_a_map_is_judged_by_its_worst_spot_and_is_not_moved(lit, engine, documents):
    def plan(md):
        yield from ()
        return "uid"

    meter, stage = lit.beam.dose_meter, lit.sample_stage
    identity = meter.ledger.reserve(
        "b2f1c0de-lfp-007",
        1.0,
        0.0,
        ONE * 0.09,
        size=(0.3, 0.3),
        energy=22163.0,
        time=900.0,
        open_time=10.0,
        purpose="before",
    )
    meter.ledger.settle(identity, ONE * 0.09, 910.0, open_time=10.0)
    square = Cost(duration=30.0, spots=tuple(Spot(x, 0.0, 10.0) for x in (0.0, 1.0)))
    engine(
        operando(
            Schedule(rules=(Rule(name="map", when=AbsoluteClock(period=1e4, n=1), measure="map"),)),
            {"map": OwnRun(plan, cost=square)},
            potentiostat=lit.potentiostat,
            beam=lit.beam,
            clock=lit.clock,
            stage=stage,
            dose={"cell1": DoseBudget(fluence=1.5 * ONE, at_limit="move", spots=((3.0, 0.0),))},
        )
    )
    (row,) = rows(documents)
    assert "at (1, 0) mm" in row["missed"]
    assert row["missed"].endswith("a measurement of several spots is not moved")


def test_exposures_on_one_spot_are_openings_of_the_shutter_each_with_what_is_beside_it(lit):
    """Three of 10 s, each with up to 5 s beside it: what is let begin, the shutter lets end."""
    lit.beam.dose_meter.overhead = 5.0 / lit.clock.rate
    cost = Cost(duration=40.0, spots=(Spot(0.0, 0.0, 10.0),) * 3)

    def action(openings):
        budget = DoseBudget(fluence=openings * 1.5 * ONE, at_limit="skip")
        return decided(budget, lit.beam, "uid", cost).action

    assert [action(openings) for openings in (2.9, 3.01)] == ["skip", "expose"]


def test_a_dose_budget_without_meter_or_stage_is_refused(cycling, engine, documents):
    cycling.potentiostat.state.sim_put("Running")
    budget = DoseBudget(fluence=ONE, at_limit="move", spots=((1.0, 0.0),))
    with pytest.raises(PreflightError) as refused:
        run(cycling, engine, budget, stage=None)
    assert "a dose budget needs a dose meter, which beam has not" in str(refused.value)
    assert "moving to a fresh spot needs the sample stage" in str(refused.value)


def measured(cycling, engine, when, *steps, noted):
    def plan(md):
        noted(cycling.potentiostat)
        yield from ()
        return "uid"

    cycling.clock.cycle(cycling.potentiostat, *steps)
    cycling.potentiostat.state.sim_put("Running")
    engine(
        operando(
            Schedule(rules=(Rule(name="rule", when=when, measure="m"),)),
            {"m": OwnRun(plan)},
            potentiostat=cycling.potentiostat,
            beam=cycling.beam,
            clock=cycling.clock,
        )
    )


def test_measurements_at_9_84_and_296_coulomb_per_square_centimetre(cycling, engine, monkeypatch):
    """Row B12: charge per electrode area, within 0.5 C/cm2."""
    monkeypatch.setattr("battbeam.plans.watch.COMPARISON_INTERVAL", 1e5)
    at = []
    cycling.clock.pace = 6.0
    measured(
        cycling,
        engine,
        ArealChargeLevels(levels=(9, 84, 296)),
        (CURRENT, 0.02, 27_000.0),
        noted=lambda cell: at.append(cell.charge.get() * 3.6 / 1.767),
    )
    assert at == pytest.approx([9, 84, 296], abs=0.5)


def test_frames_are_five_times_denser_above_4_1_volt(cycling, engine):
    """Row A4: the fake cell's voltage rises by 1 mV/s from 3 V on."""
    at = []
    measured(
        cycling,
        engine,
        Cadence(
            rates=(Rate(period=20.0, during=Compare(quantity="voltage", relation=">", value=4.1)),),
            otherwise=100.0,
        ),
        (CURRENT, ONE_C, 1600.0),
        noted=lambda cell: at.append(cell.voltage.get()),
    )
    below = sum(voltage < 4.1 for voltage in at) / 1.1
    above = sum(voltage >= 4.1 for voltage in at) / 0.5
    assert above / below >= 5 * 0.9


def test_a_pattern_at_neither_of_its_two_spots_is_refused_and_the_others_say_both(
    lit, engine, documents
):
    stage = lit.sample_stage
    spots = ControlSpot(exposed=(0, 0), control=(2, 0), rate_of_interest=1e-13)
    how = Exposure((lit.detector,), lit.beam, FrameTrain(10.0))

    def pattern(x):
        return Pattern(how, positions=((stage.x, x), (stage.y, 0.0)), sentinel=spots)

    (fault,) = pattern_faults(pattern(1.0))
    assert "neither at the exposed spot of its sentinel, (0.0, 0.0), nor at the control" in fault
    rule = Rule(name="clock", when=AbsoluteClock(period=100.0), measure="pattern")
    engine(
        operando(
            Schedule(rules=(rule,)),
            {"pattern": pattern(2.0)},
            potentiostat=lit.potentiostat,
            beam=lit.beam,
            clock=lit.clock,
        )
    )
    (series,) = [doc for doc in documents.of("start") if doc["plan_name"] == "xrd_series"]
    assert ControlSpot.model_validate(series["sentinel"]) == spots
