"""Channels at their own rates beside an experiment: in its outer run, whatever is measured meanwhile."""

import bluesky.plan_stubs as bps
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from battbeam.callbacks.channels import channel_of
from battbeam.devices.fake_spectroscopy import with_spectroscopy
from battbeam.devices.frames import FrameTrain
from battbeam.errors import PreflightError
from battbeam.experiment.conditions import AbsoluteClock
from battbeam.experiment.protocol import StepType
from battbeam.experiment.schedule import Rule, Schedule
from battbeam.plans.measurements import OwnRun, Pattern
from battbeam.plans.operando import operando
from battbeam.plans.preprocessors import recorded
from battbeam.plans.stubs import Exposure
from battbeam.plans.xrd_map import xrd_map
from battbeam.processes import wait_for

KEY = "mass_spectrometer_ion_current"
STREAM = "mass_spectrometer_monitor"
#: s from one cycle of the spectrometer to the next, and of the cell's only step.
PERIOD, LENGTH = 10.0, 200.0


@pytest.fixture
def held(cycling):
    """A cell that cycles beside a spectrometer that cycles."""
    made = with_spectroscopy(cycling)
    spectrometer, told = made.mass_spectrometer, []

    def cycle(time):
        if not told or time >= told[-1] + PERIOD:
            told.append(time)
            Signal.put(spectrometer.ion_current, [time] * 5, timestamp=time, force=True)

    cycle(made.clock.time)
    made.clock.hook = cycle
    made.clock.cycle(made.potentiostat, (str(StepType.CONSTANT_CURRENT), 0.001, LENGTH))
    spectrometer.told = told
    return made


def measured(held, paused=()):
    """Patterns of a series, and a map that is a run of its own; it may pause."""
    how = Exposure((held.detector,), held.beam, FrameTrain(1.0), (held.potentiostat,))
    stage = held.sample_stage

    def mapped(said):
        for each in paused:
            yield from bps.checkpoint()
            yield from each()
        return (
            yield from xrd_map(
                [held.detector],
                *(stage.x, -1, 1, 2),
                beam=held.beam,
                clock=held.clock,
                exposure=1.0,
                suspend=False,
                md=said,
            )
        )

    return {"pattern": Pattern(how), "map": OwnRun(mapped, (stage.x,))}


def experiment(held, measurements, **options):
    rules = (
        Rule(name="clock", when=AbsoluteClock(period=50.0, n=3), measure="pattern"),
        Rule(name="square", when=AbsoluteClock(period=90.0, n=1), measure="map"),
    )
    return operando(
        Schedule(rules=rules),
        measurements,
        potentiostat=held.potentiostat,
        beam=held.beam,
        clock=held.clock,
        protocol={
            "record": {"time_s": 10},
            "method": [{"step": "constant_current", "rate_C": 1, "until_voltage_V": 3.8}],
        },
        **options,
    )


def by_option(held, measurements):
    return experiment(held, measurements, channels=[held.mass_spectrometer.channel])


def by_wrapper(held, measurements):
    return recorded(experiment(held, measurements), [held.mass_spectrometer.channel])


@pytest.mark.parametrize("made", [by_option, by_wrapper])
def test_every_cycle_is_in_the_outer_run_and_in_no_other(held, engine, documents, made):
    before = len(held.mass_spectrometer.told)
    engine(made(held, measured(held)))
    starts = {start["plan_name"]: start for start in documents.of("start")}
    assert set(starts) == {"operando", "xrd_series", "xrd_map"}
    (stream,) = [each for each in documents.of("descriptor") if each["name"] == STREAM]
    assert stream["run_start"] == starts["operando"]["uid"]
    times = channel_of(documents, KEY).time.tolist()
    # The present value is told first; what came after the run was closed is not there.
    assert times == held.mass_spectrometer.told[before - 1 :][: len(times)]
    # It goes on after the runs within have been closed: the map's, 90 s from the start.
    assert times[-1] > times[0] + 0.75 * LENGTH
    assert {stop["exit_status"] for stop in documents.of("stop")} == {"success"}


def test_a_pause_within_a_map_leaves_a_gap_and_it_goes_on_after_it(held, engine, documents):
    def seen():
        return channel_of(documents, KEY).time.tolist()

    def caught_up():
        while held.mass_spectrometer.told[-1] not in seen():
            yield from bps.sleep(0.01)

    paused = [caught_up, bps.pause]
    with pytest.raises(RunEngineInterrupted):
        engine(by_option(held, measured(held, paused)))
    last = held.mass_spectrometer.told[-1]
    for _ in range(int(5 * PERIOD)):
        held.clock.now()
    missed = held.mass_spectrometer.told[-5:-1]
    assert last not in missed
    engine.resume()
    wait_for(lambda: seen()[-1] > missed[-1] + 2 * PERIOD, timeout=5, what="cycles afterwards")
    assert last in seen()
    assert not set(missed) & set(seen())
    ((begin, end),) = channel_of(documents, KEY).gaps(PERIOD)
    assert begin == last
    assert end > missed[-1]
    assert {stop["exit_status"] for stop in documents.of("stop")} == {"success"}


def test_an_experiment_says_which_channels_it_records(held, engine, documents):
    engine(by_option(held, measured(held)))
    (start,) = [each for each in documents.of("start") if each["plan_name"] == "operando"]
    assert start["channels"] == ["mass_spectrometer"]


def test_a_channel_that_does_not_answer_is_refused_before_anything_is_done(held, monkeypatch):
    monkeypatch.setattr(type(held.mass_spectrometer), "connected", False)
    with pytest.raises(PreflightError, match="mass_spectrometer is not connected"):
        list(by_option(held, measured(held)))
