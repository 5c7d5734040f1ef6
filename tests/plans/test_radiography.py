import math

import pytest

from battbeam.devices import frame_flyer
from battbeam.errors import PreflightError
from battbeam.experiment.camera_facts import CameraFacts
from battbeam.experiment.conditions import ChargeStep, FastChange, VoltageCrossing
from battbeam.experiment.description import SiteFacts
from battbeam.plans import radiography_burst as burst_module
from battbeam.plans.fields import Fields
from battbeam.plans.radiography import radiography_cost, radiography_series
from battbeam.plans.radiography_burst import radiography_burst


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(frame_flyer, "LOST_AFTER", 0.05)
    monkeypatch.setattr(burst_module, "SLICE", 0.002)


def advance_by(clock, step):
    clock.time += step
    return clock.time


def options(fakes, **changed):
    return {
        "beam": fakes.beam,
        "clock": fakes.clock,
        "stage": fakes.sample_stage,
        "fields": Fields(flat_offset=5.0, n_darks=3, n_flats=4),
        "exposure": 0.5,
        "energy": 25_000.0,
        **changed,
    }


def series(fakes, **changed):
    return radiography_series(fakes.fly_camera, **options(fakes, **changed))


def test_a_series_is_an_event_a_radiograph_beside_darks_and_flats(fakes, engine, documents):
    engine(series(fakes, n_points=3, readables=[fakes.potentiostat]))
    assert [event["point"] for event in documents.events()] == [0, 1, 2]
    assert "potentiostat_voltage" in documents.events()[0]
    assert [event["role"] for event in documents.events("trains")] == ["dark", "flat"]
    start = documents.of("start")[0]
    assert start["technique"] == "radiography"
    assert start["radiography"]["mode"] == "series"
    assert start["reduction"] == {"method": "radiography"}


def test_slots_that_have_passed_are_left_out_and_none_is_shifted(fakes, engine, documents):
    expose, begun = fakes.camera.trigger, []
    fakes.clock.now = lambda: advance_by(fakes.clock, 0.1)

    def trigger():
        begun.append(fakes.clock.time)
        # One exposure takes longer than two slots.
        fakes.clock.time += 25.0 if len(begun) == 1 else 0.5
        return expose()

    fakes.clock.rate = 1000.0
    fakes.camera.trigger = trigger
    engine(series(fakes, n_points=5, interval=10.0))
    points = [event["point"] for event in documents.events()]
    assert points == [0, 2, 3, 4]
    # The third slot had begun when the first exposure ended; those behind it are on time.
    assert [begun[k] - begun[0] for k in (2, 3)] == pytest.approx([30.0, 40.0], abs=0.5)


def test_the_sample_is_turned_for_a_series_and_back(fakes, engine, documents):
    engine(series(fakes, n_points=1, omega=90.0, readables=[fakes.rotation_stage]))
    assert documents.events()[0]["rotation_stage"] == 90.0
    assert fakes.rotation_stage.position == 0.0


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"n_points": 0}, "n_points must be above 0, got 0"),
        ({"interval": -1.0}, "interval must not be negative, got -1 s"),
        ({"omega": 500.0}, "rotation_stage: 500 degree is outside its limits"),
        ({"fields": Fields()}, "no flat position"),
        ({"reduction": {"method": "xrd"}}, "must have the method 'radiography'"),
    ],
)
def test_a_series_that_cannot_be_is_refused(fakes, engine, documents, changed, fault):
    with pytest.raises(PreflightError, match=fault):
        engine(series(fakes, **changed))
    assert documents == []


def test_the_cost_of_a_series_is_its_slots():
    site = SiteFacts(camera=CameraFacts(n_rows=10, n_columns=20), overhead=0.5)
    cost = radiography_cost(site, exposure=2.0, n_points=4, interval=10.0)
    assert (cost.duration, cost.span, cost.exposure) == (32.5, 32.0, 8.0)
    assert cost.n_bytes == 4 * 800


# Bursts


@pytest.fixture
def dipping(fakes):
    """A cell whose voltage falls from 3.7 V after 1020 s on the clock."""
    guard = fakes.potentiostat
    guard.voltage.sim_put(3.7)

    def now():
        fakes.clock.time += 0.25
        guard.voltage.sim_put(3.7 if fakes.clock.time < 1020.0 else 0.4)
        return fakes.clock.time

    fakes.clock.now = now
    return fakes


DIP = VoltageCrossing(level=3.0, direction="falling")


def burst(fakes, **changed):
    wanted = {"condition": DIP, "longest": 60.0, "n_before": 20, "n_after": 30, **changed}
    guard = fakes.potentiostat
    return radiography_burst(fakes.burst_camera, potentiostat=guard, **options(fakes, **wanted))


def test_a_dip_of_the_voltage_keeps_what_came_before(dipping, engine, documents):
    engine(burst(dipping))
    trains = documents.events("trains")
    assert [event["role"] for event in trains] == ["dark", "flat", "burst"]
    assert (trains[-1]["n_frames"], trains[-1]["fault"]) == (50, "")
    (trigger,) = documents.events("trigger")
    assert trigger["trigger_why"] == "met"
    assert trigger["trigger_due"] == pytest.approx(1020.0, abs=0.5)
    assert 0 <= trigger["trigger_met"] - trigger["trigger_due"] < 1.0
    assert trigger["trigger_condition"] == "when the voltage falls through 3 V"
    said = documents.of("start")[0]["radiography"]
    assert (said["mode"], said["n_before"], said["n_after"]) == ("burst", 20, 30)
    assert said["condition"]["kind"] == "voltage_crossing"


def test_darks_and_flats_pass_the_ring_buffer_by(dipping, engine, documents):
    hdf, acquire = dipping.camera.hdf, dipping.camera.cam.acquire
    sources, take = [], acquire._put_func

    def put(value, **kwargs):
        if value:
            sources.append(hdf.source.get())
        take(value, **kwargs)

    acquire.sim_set_putter(put)
    fields = Fields(flat_offset=5.0, n_darks=3, n_flats=4, at=("start", "end"))
    engine(burst(dipping, fields=fields))
    assert sources == ["CAM", "CAM", "CB1", "CAM", "CAM"]
    assert documents.events("trains")[0]["n_frames"] == 3
    assert hdf.source.get() == "CAM"
    assert dipping.camera.cam.image_mode.get() == 0
    assert dipping.camera.cam.acquire.get() == 0
    assert dipping.beam.shutter.position == 0


def test_a_cell_to_which_nothing_happens_ends_the_watch_without_frames(fakes, engine, documents):
    fakes.potentiostat.voltage.sim_put(3.7)
    fakes.clock.now = lambda: advance_by(fakes.clock, 1.0)
    engine(burst(fakes))
    assert [event["role"] for event in documents.events("trains")] == ["dark", "flat"]
    (trigger,) = documents.events("trigger")
    assert trigger["trigger_why"] == "not met within 60 s"
    assert math.isnan(trigger["trigger_due"])
    assert fakes.burst_camera.ring.capture.get() == 0
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_a_burst_that_came_too_early_says_how_many_frames_it_has(dipping, engine, documents):
    dipping.burst_camera.ring.n_kept.sim_put(5)
    engine(burst(dipping))
    train = documents.events("trains")[-1]
    assert train["fault"] == "50 frames asked, 35 written"
    assert documents.events("trigger")[0]["trigger_n_kept"] == 5


def test_after_a_pause_the_ring_buffer_is_armed_again(dipping, engine, documents):
    ring, armed = dipping.burst_camera.ring, []
    capture = ring.capture.sim_put

    def put(value, **_):
        capture(value)
        armed.append(value)
        if armed == [1]:
            # As a pause does.
            dipping.burst_camera.pause()

    ring.capture.sim_set_putter(put)
    engine(burst(dipping))
    assert armed.count(1) == 2
    assert documents.events("trains")[-1]["n_frames"] == 50


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"n_before": -1}, "n_before must be at least 0 and n_after at least 1, got -1 and 30"),
        ({"n_after": 0}, "n_after at least 1"),
        ({"period": 0.1}, "period must be 0 or at least 0.5 s, got 0.1 s"),
        ({"longest": math.inf}, "longest must be above 0 s and have an end"),
        ({"condition": ChargeStep(fraction=0.1)}, "nominal_capacity"),
    ],
)
def test_a_burst_that_cannot_be_is_refused(fakes, engine, documents, changed, fault):
    fakes.potentiostat.passport.sim_put("")
    with pytest.raises(PreflightError, match=fault):
        engine(burst(fakes, **changed))
    assert documents == []


def test_self_heating_fires_too(fakes, engine, documents):
    guard = fakes.potentiostat

    def now():
        fakes.clock.time += 0.25
        late = max(fakes.clock.time - 1030.0, 0.0)
        guard.temperature.sim_put(25.0 + 0.2 * late)
        return fakes.clock.time

    fakes.clock.now = now
    rising = FastChange(quantity="temperature", direction="rising", rate=6.0, window=10.0)
    engine(burst(fakes, condition=rising))
    (trigger,) = documents.events("trigger")
    assert trigger["trigger_why"] == "met"
    assert 1030.0 <= trigger["trigger_met"] <= 1045.0
