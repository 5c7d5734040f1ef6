"""Row D4: what a protocol asks for and this beamline lacks is refused before anything moves."""

import json

import pytest
import yaml

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.conditions import AbsoluteClock, EndOfRest, StepEdge
from battbeam.experiment.cost import Cost
from battbeam.experiment.protocol import Protocol
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.guard.config import EclabConfig
from battbeam.guard.drivers import eclab_compile
from battbeam.plans.measurements import OwnRun
from battbeam.plans.operando import operando

CHARGE = {"step": "constant_current", "rate_C": 1, "until_time_s": 600}
SPECTRUM = {
    "step": "impedance_spectroscopy",
    "amplitude_V": 0.01,
    "start_frequency_Hz": 1e4,
    "end_frequency_Hz": 1,
}
CLOCK = Rule(name="clock", when=AbsoluteClock(period=100.0), measure="pattern")


def nothing(md):
    yield from ()
    return ""


def experiment(cycling, *rules, method=(CHARGE,), **options):
    protocol = {"record": {"time_s": 5}, "method": list(method)} if method else None
    return operando(
        Schedule(rules=rules or (CLOCK,)),
        {"pattern": OwnRun(nothing, cost=Cost(duration=10.0))},
        potentiostat=cycling.potentiostat,
        beam=cycling.beam,
        clock=cycling.clock,
        protocol=protocol,
        **options,
    )


@pytest.fixture
def states(cycling):
    """The states that the cell went through; the guard has the ``faults`` given here to tell."""

    class States(list):
        faults = ()

    seen, guard = States(), cycling.potentiostat
    guard.state.subscribe(lambda value, **_: seen.append(value), run=False)

    def judge(text, **_):
        faults = list(seen.faults)
        answer = {"id": json.loads(text)["id"], "verb": "Validate", "ok": not faults}
        answer |= {"error": f"protocol: {len(faults)} fault(s)", "faults": faults}
        guard.result.sim_put(json.dumps(answer))

    guard.validate_command.sim_set_putter(judge)
    return seen


def refused(engine, plan):
    with pytest.raises(PreflightError) as refusal:
        engine(plan)
    return "\n".join(refusal.value.faults)


@pytest.mark.parametrize(
    ("field", "example"),
    [
        ("electrode_area", "electrode_area = 1.767"),
        ("active_mass", "active_mass = 17.67"),
        ("nominal_capacity", "nominal_capacity = 2.9"),
        ("electrolyte", 'electrolyte = {"composition"'),
    ],
)
def test_a_sheet_without_area_mass_capacity_or_electrolyte_is_refused_with_an_example(
    tmp_path, field, example
):
    path = tmp_path / "cell.yaml"
    path.write_text(yaml.safe_dump({key: EXAMPLE[key] for key in EXAMPLE if key != field}))
    with pytest.raises(PreflightError) as refusal:
        CellPassport.read(path)
    (fault,) = refusal.value.faults
    assert f"{field} is missing; for example {example}" in fault


def test_what_the_guard_finds_lacking_is_told_before_anything_moves(
    cycling, states, engine, documents, tmp_path
):
    states.faults = ("it sets a temperature, and this guard has no thermostat", "no impedance")
    other = Rule(name="other", when=AbsoluteClock(period=100.0), measure="map")
    told = refused(engine, experiment(cycling, CLOCK, other, method=(SPECTRUM,)))
    # Together with what the session finds itself.
    assert "potentiostat: it sets a temperature, and this guard has no thermostat" in told
    assert "potentiostat: no impedance" in told
    assert "rule 'other' measures 'map', which is none of pattern" in told
    assert states == []
    assert documents == []


def test_a_protocol_that_the_guard_finds_nothing_against_runs(cycling, states, engine, documents):
    cycling.clock.cycle(cycling.potentiostat, ("constant_current", 2.9e-3, 100.0))
    engine(experiment(cycling))
    assert states[:2] == ["Loaded", "Running"]


def test_a_channel_without_impedance_says_so_by_step():
    protocol = Protocol.read({"record": {"time_s": 5}, "method": [CHARGE, SPECTRUM]})
    steps = protocol.compile(CellPassport.read(EXAMPLE)).steps
    assert eclab_compile.faults(steps) == []
    (fault,) = eclab_compile.faults(steps, has_impedance=False)
    assert fault.startswith("step 1 (impedance_spectroscopy): this channel cannot measure")
    assert EclabConfig(prefix="E:", file_prefix="x").impedance


def test_an_observed_cell_is_neither_started_nor_kept(cycling, engine, documents):
    cycling.potentiostat.controls.sim_put(0)
    held = Rule(name="held", when=StepEdge(), measure="pattern", coupling="hold_potential")
    relaxed = Rule(
        name="relaxed", when=EndOfRest(lead=30.0), measure="pattern", coupling="step_then_measure"
    )
    told = refused(engine, experiment(cycling, CLOCK, held, relaxed))
    assert "its guard only watches a cycler that other software runs" in told
    for rule in ("'held': hold_potential", "'relaxed': step_then_measure"):
        assert f"rule {rule} needs a guard that commands the cycler" in told
    assert "'clock'" not in told
    assert documents == []


def test_a_schedule_file_that_cannot_be_written_is_refused(cycling, states, engine, tmp_path):
    missing = tmp_path / "nowhere" / "schedule.txt"
    told = refused(engine, experiment(cycling, schedule_file=missing))
    assert f"schedule file {missing}: {missing.parent} is no directory; make it first" in told
    told = refused(engine, experiment(cycling, schedule_file=tmp_path))
    assert "is a directory; name a file in it" in told
    assert states == []
