import math

import pytest

from battbeam.devices.fakes import fake
from battbeam.devices.statistics import Statistics
from battbeam.devices.top_up import TopUp
from battbeam.errors import DoseError, PreflightError
from battbeam.experiment.dose import DoseBudget, DoseLedger
from battbeam.plans.by_result import ByResult, counting_error
from battbeam.plans.light import limited
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import xrd_series
from tests.devices.metering import metered

FILTERS = (1.0, 0.3, 0.1, 0.03, 0.01)


class Camera:
    """Lets a fake detector's statistics follow exposure and absorber.

    Attributes:
        rate: Counts per s of the brightest pixel, unattenuated.
        exposed: (transmission, exposure) of every frame.
    """

    def __init__(self, fakes, *, rate, saturation=10_000.0):
        self.rate, self.exposed = rate, []
        self.statistics = fake(Statistics, name="statistics", saturation=saturation)
        for signal, value in (("enabled", "Enable"), ("computes", "Yes"), ("counter", 0)):
            getattr(self.statistics, signal).sim_put(value)
        beam, detector = fakes.beam, fakes.detector
        beam.attenuator.transmissions = FILTERS
        beam.attenuator.setpoint.sim_set_putter(
            lambda wanted, **_: beam.attenuator.transmission.sim_put(wanted)
        )

        def exposing(value, **_):
            if value:
                through, seconds = beam.attenuator.position, detector.cam.exposure.get()
                self.exposed.append((through, seconds))
                counts = self.rate * through * seconds
                self.statistics.brightest.sim_put(min(counts, saturation))
                self.statistics.total.sim_put(100 * counts)
                self.statistics.counter.sim_put(self.statistics.counter.get() + 1)
                cam, hdf = detector.cam, detector.hdf
                cam.counter.sim_put(cam.counter.get() + 1)
                hdf.captured.sim_put(hdf.captured.get() + 1)
            detector.cam.acquire.sim_put(0)

        detector.cam.acquire.sim_set_putter(exposing)


def series(fakes, **options):
    return xrd_series(
        [fakes.detector],
        beam=fakes.beam,
        clock=fakes.clock,
        suspend=False,
        **{"exposure": 10.0, "n_points": 3, **options},
    )


# By result.


def test_the_transmission_is_probed_from_below_and_frozen(fakes, engine, documents):
    camera = Camera(fakes, rate=5000.0)
    result = ByResult(camera.statistics, probe=1.0, fill=0.5, n_max=1)
    engine(series(fakes, by_result=result))
    # 50 counts tell enough; 10 s at 0.1 are 5000 and may be brighter by chance, so 0.03 it is.
    assert camera.exposed == [(0.01, 1.0), (0.03, 10.0), (0.03, 10.0), (0.03, 10.0)]
    events = documents.events()
    assert [event["point"] for event in events] == [0, 1, 2]
    assert {event["stopped"] for event in events} == {"count cap of 1 points"}
    assert documents.of("start")[0]["by_result"]["fill"] == 0.5


def test_a_weak_beam_is_probed_again_behind_less(fakes, engine):
    camera = Camera(fakes, rate=250.0)
    result = ByResult(camera.statistics, n_max=1)
    engine(series(fakes, by_result=result, n_points=1))
    assert [through for through, _ in camera.exposed] == [0.01, 0.03, 0.1, 0.3, 1.0]
    assert result.transmission == 1.0


def test_points_are_repeated_until_the_noise_is_low_enough(fakes, engine, documents):
    camera = Camera(fakes, rate=500.0)
    # 5000 counts in the brightest pixel, 150,000 in all at 0.3: three repeats are enough.
    result = ByResult(camera.statistics, noise=counting_error(400_000.0), fill=0.5)
    engine(series(fakes, by_result=result, n_points=1))
    events = documents.events()
    assert [event["repeat"] for event in events] == [0, 1, 2]
    assert [event["point"] for event in events] == [0, 1, 2]
    assert [bool(event["stopped"]) for event in events] == [False, False, True]
    assert events[-1]["stopped"].startswith("relative counting error 0.0015 met 0.00158")


def test_a_frame_behind_a_shutter_that_was_closed_is_no_part_of_the_result(
    fakes, engine, documents
):
    camera = Camera(fakes, rate=500.0)
    expose = fakes.detector.cam.acquire._put_func

    def exposing(value, **_):
        if value and len(camera.exposed) == 1:
            fakes.beam.shutter.status.sim_put(0)
        expose(value)

    fakes.detector.cam.acquire.sim_set_putter(exposing)
    result = ByResult(camera.statistics, transmission=0.3, noise=counting_error(400_000.0), n_max=9)
    engine(series(fakes, by_result=result, n_points=1))
    events = documents.events()
    assert [event["point"] for event in events] == [0, 1, 1, 2]
    assert [event["repeat"] for event in events] == [0, 1, 1, 2]
    assert [event["shutter"] for event in events] == [1, 0, 1, 1]
    # 150,000 counts a frame.
    errors = [event["counting_error"] for event in events]
    assert errors == pytest.approx([counting_error(150_000.0 * n) for n in (1, 1, 2, 3)])


def test_an_overload_attenuates_and_starts_afresh(fakes, engine, documents):
    camera = Camera(fakes, rate=500.0)
    result = ByResult(camera.statistics, n_max=5, noise=counting_error(80_000.0), transmission=1.0)
    camera.rate = 3000.0
    engine(series(fakes, by_result=result, n_points=1))
    events = documents.events()
    assert [event["overloaded"] for event in events] == [1, 0]
    assert [event["repeat"] for event in events] == [0, 0]
    assert [event["attenuator_transmission"] for event in events] == [1.0, 0.3]
    assert math.isnan(events[0]["counting_error"])
    assert result.transmission == 0.3


def test_a_pixel_that_is_full_behind_every_absorber_ends_it(fakes, engine, documents):
    camera = Camera(fakes, rate=1e9)
    engine(series(fakes, by_result=ByResult(camera.statistics), n_points=1))
    (event,) = documents.events()
    assert event["stopped"] == "a pixel is full at the lowest transmission there is"


def test_a_measurement_stays_within_its_smear(fakes, engine, documents):
    camera = Camera(fakes, rate=1.0)
    engine(series(fakes, by_result=ByResult(camera.statistics, longest=25.0), n_points=1))
    assert [event["stopped"] for event in documents.events()] == [
        "",
        "another point would pass 25 s",
    ]


def test_every_fault_is_said_before_anything_moves(fakes, engine):
    camera = Camera(fakes, rate=1.0)
    camera.statistics.enabled.sim_put("Disable")
    result = ByResult(camera.statistics, probe=0.0, fill=2.0, noise=-1.0, n_max=0, longest=0.0)
    with pytest.raises(PreflightError, match=r"probe must be greater than 0 s, got 0 s") as refused:
        engine(series(fakes, by_result=result, budget=DoseBudget(fluence=1e12)))
    said = str(refused.value)
    for part in ("dose meter", "fill must", "noise must", "n_max must", "longest must", "'Enable'"):
        assert part in said


# Within a dose budget.


@pytest.fixture
def meter(fakes, tmp_path):
    return metered(fakes, DoseLedger(tmp_path / "ledger.jsonl"), overhead=0.0)


def test_at_the_limit_a_series_moves_on(fakes, meter, engine, documents):
    most = 1.05 * 2e9 / 0.06
    # Without counts the most counts; the fake shutter is open for next to nothing.
    budget = DoseBudget(fluence=1.5 * most, at_limit="move", spots=((2.0, 1.0),))
    meter.ledger.reserve(
        "no passport on X:", 0, 0, 1.5e9, size=(0.3, 0.2), energy=22163.0, time=0.0
    )
    engine(series(fakes, budget=budget, n_points=2))
    first, second = documents.events()
    assert (first["spot_x"], first["spot_y"]) == (2.0, 1.0)
    assert first["dose_decision"].startswith("move: dose limit of")
    assert second["dose_decision"] == ""
    assert documents.of("start")[0]["dose_budget"]["at_limit"] == "move"


def test_counts_of_a_gate_that_the_shutter_left_dark_hide_no_light(fakes, meter, engine, documents):
    beam, clock, told = fakes.beam, fakes.clock, []

    def command(wanted, **_):
        beam.shutter.status.sim_put(wanted, timestamp=clock.time)

    def acquire(value, **_):
        cam, hdf = fakes.detector.cam, fakes.detector.hdf
        if value:
            told.append(value)
            # The exposure begins late: what was reserved has ended, and the shutter's keeper acted.
            clock.time += 10.0
            if len(told) == 1:
                command(0)
            beam.i0.sim_put(0.0 if len(told) == 1 else 1e8)
            cam.counter.sim_put(cam.counter.get() + 1)
            hdf.captured.sim_put(hdf.captured.get() + 1)

    beam.i0_dark_rate.sim_put(0.0)
    beam.shutter.command.sim_set_putter(command)
    fakes.detector.cam.acquire.sim_set_putter(acquire)
    engine(series(fakes, n_points=1))
    first, second = documents.events()
    # Nothing was counted, and the shutter was open for 10 s: the most that can have come.
    assert first["photons"] == pytest.approx(1.05 * 2e8 * 10)
    assert second["photons"] == pytest.approx(1e8 * 100)


@pytest.mark.parametrize("at_limit", ["skip", "attenuate"])
def test_what_does_not_fit_is_a_point_without_frames(fakes, meter, engine, documents, at_limit):
    engine(series(fakes, budget=DoseBudget(fluence=1.0, at_limit=at_limit), n_points=1))
    (event,) = documents.events()
    assert event["fault"].startswith("not exposed: dose limit of 1 photons/mm2")
    assert event["detector_n_frames"] == 0
    assert event["photons"] == 0.0


def test_at_the_limit_an_absorber_goes_in(fakes, meter, engine, documents):
    Camera(fakes, rate=1.0)
    budget = DoseBudget(fluence=0.2 * 1.05 * 2e9 / 0.06, at_limit="attenuate")
    engine(series(fakes, budget=budget, n_points=1))
    (event,) = documents.events()
    assert event["attenuator_transmission"] == 0.1
    assert event["dose_decision"].startswith("attenuate: ")


def test_stop_ends_the_plan(fakes, meter, engine, documents):
    with pytest.raises(DoseError, match="dose limit of 1 photons/mm2"):
        engine(series(fakes, budget=DoseBudget(fluence=1.0, at_limit="stop")))
    assert documents.of("stop")[0]["exit_status"] == "fail"


def test_a_map_keeps_its_places_and_skips_those_that_are_spent(fakes, meter, engine, documents):
    most = 1.05 * 2e9 / 0.06
    meter.ledger.reserve(
        "no passport on X:", 1.0, 0, 1e9, size=(0.3, 0.2), energy=22163.0, time=0.0
    )

    def map_with(at_limit, **spots):
        budget = DoseBudget(fluence=1.2 * most, at_limit=at_limit, **spots)
        axis = (fakes.sample_stage.x, 0.0, 2.0, 3)
        how = {"beam": fakes.beam, "clock": fakes.clock, "exposure": 10.0, "suspend": False}
        return xrd_map([fakes.detector], *axis, budget=budget, readables=[], **how)

    engine(map_with("skip"))
    faults = [bool(event["fault"]) for event in documents.events()]
    assert faults == [False, True, False]
    with pytest.raises(PreflightError, match="a map cannot move to a fresh spot"):
        engine(map_with("move", spots=((5.0, 5.0),)))


def test_whatever_a_limited_plan_opens_the_shutter_for_meets_the_limit(
    fakes, meter, engine, documents
):
    with pytest.raises(DoseError, match="beam_shutter stays closed: dose limit of 1 photons/mm2"):
        engine(limited(series(fakes), fakes.beam, DoseBudget(fluence=1.0)))
    assert meter.budget is None
    assert meter.ledger.path.read_text() == ""
    assert documents.events() == []


# Top-up.


@pytest.mark.parametrize(
    ("until", "waits"),
    # An exposure of 10 s; an injection takes 2 s.
    [(math.nan, 0.0), (30.0, 0.0), (4.0, 6.0), (0.0, 2.0), (-1.5, 0.5), (-5.0, 0.0)],
)
def test_an_injection_that_would_fall_into_an_exposure_is_waited_for(fakes, until, waits):
    top_up = fake(TopUp, name="top_up", clock=fakes.clock, length=2.0)
    top_up.next.sim_put(until, timestamp=fakes.clock.time)
    assert top_up.clear_from(10.0) - fakes.clock.time == pytest.approx(waits)


def test_what_was_told_a_while_ago_has_come_nearer(fakes):
    top_up = fake(TopUp, name="top_up", clock=fakes.clock, length=2.0)
    top_up.next.sim_put(14.0, timestamp=fakes.clock.time - 5.0)
    assert top_up.clear_from(10.0) - fakes.clock.time == pytest.approx(11.0)


def test_the_delay_stands_in_the_event(fakes, engine, documents, monkeypatch):
    top_up = fake(TopUp, name="top_up", clock=fakes.clock, length=2.0)
    top_up.next.sim_put(4.0, timestamp=fakes.clock.time)
    fakes.beam.top_up = top_up
    now = fakes.clock.now

    def hurried():
        fakes.clock.time += 0.5
        return now()

    monkeypatch.setattr(fakes.clock, "now", hurried)
    engine(series(fakes, n_points=1))
    (event,) = documents.events()
    assert 3.0 < event["top_up_delay"] < 8.0
