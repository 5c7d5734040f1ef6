import json
import math
import time

import pytest

from battbeam.devices.brightness import FLUX_MARGIN
from battbeam.devices.fakes import fake_beamline
from battbeam.devices.sample_places import Place, SamplePlaces
from battbeam.errors import DeviceError, DoseError
from battbeam.experiment.dose import DoseBudget, DoseLedger
from battbeam.processes import wait_for
from tests.devices.metering import metered

PASSPORT = {"cell": "LFP-7", "sample_uid": "lfp-007"}
AREA = 0.06


class ListKeeper:
    """A keeper that remembers what it was told."""

    def __init__(self):
        self.told = []

    def start(self):
        self.told.append("start")

    def wait_ready(self):
        self.told.append("ready")

    def arm(self, until):
        self.told.append(until)

    def disarm(self):
        self.told.append("disarm")

    def close(self):
        self.told.append("close")


@pytest.fixture
def fakes(tmp_path):
    made = fake_beamline(tmp_path, passport=PASSPORT)
    shutter, clock = made.beam.shutter, made.clock

    def follow(wanted, **_):
        # As a server that stamps with the session's clock.
        shutter.status.sim_put(wanted, timestamp=clock.time)

    shutter.command.sim_set_putter(follow)
    made.monochromator.bragg.readback.sim_put(5.12)
    return made


@pytest.fixture
def ledger(tmp_path):
    return DoseLedger(tmp_path / "ledger.jsonl")


def meter_of(fakes, ledger, **options):
    return metered(fakes, ledger, **{"overhead": 1.0, **options})


def move(fakes, position, timeout=1.0):
    shutter = fakes.beam.shutter
    shutter.set(position).wait(timeout=timeout)
    wait_for(lambda: shutter._seen == position, timeout=timeout, what="the shutter's monitor")


def expose(fakes, meter, seconds, *, counts=None):
    """Open for ``seconds``, of which the counters were gated for 10 s."""
    meter.expect(10.0)
    move(fakes, 1)
    fakes.clock.time += seconds
    if counts is not None:
        fakes.beam.i0.sim_put(counts)
    move(fakes, 0)
    meter.settle(counted=0.0 if counts is None else 10.0)


def test_what_can_come_is_in_the_ledger_before_the_shutter_opens(fakes, ledger):
    meter, seen = meter_of(fakes, ledger), []
    follow = fakes.beam.shutter.command.sim_set_putter
    follow(lambda wanted, **_: seen.append(ledger.unsettled()[0].light.photons))
    meter.expect(10.0)
    fakes.beam.shutter.set(1)
    # 100 mA, 10 s and a second beside them.
    assert seen == [pytest.approx(FLUX_MARGIN * 2e8 * 11)]


def test_what_came_is_the_counts_of_the_gate_for_as_long_as_it_was_open(fakes, ledger):
    meter = meter_of(fakes, ledger)
    fakes.beam.i0_dark_rate.sim_put(5.0)
    expose(fakes, meter, 12.0, counts=1.8e7 + 50)
    assert ledger.unsettled() == ()
    assert meter.photons.get() == pytest.approx(1.8e9 * 1.2)
    assert meter.open_time.get() == pytest.approx(12.0)
    assert ledger.fluence("lfp-007", 0, 0, (0.3, 0.2)) == pytest.approx(1.8e9 * 1.2 / AREA)
    assert meter.fluence.get() == pytest.approx(1.8e9 * 1.2 / AREA)
    assert meter.sample.get() == "lfp-007"


def test_without_counts_the_most_that_can_have_come_counts(fakes, ledger):
    meter = meter_of(fakes, ledger)
    expose(fakes, meter, 3.0)
    assert meter.photons.get() == pytest.approx(FLUX_MARGIN * 2e8 * 3)


def test_a_beam_that_was_lost_meanwhile_is_not_taken_for_weak_all_the_time(fakes, ledger):
    meter = meter_of(fakes, ledger)
    fakes.beam.i0_dark_rate.sim_put(0.0)
    fakes.beam.trigger()
    fakes.beam.latest_loss, fakes.beam.n_losses = "lost", 1
    expose(fakes, meter, 12.0, counts=1e6)
    assert meter.photons.get() == pytest.approx(1e8 + FLUX_MARGIN * 2e8 * 2)


def test_a_beam_brighter_than_its_calibration_is_reserved_for_from_then_on(fakes, ledger):
    meter = meter_of(fakes, ledger)
    fakes.beam.i0_dark_rate.sim_put(0.0)
    expose(fakes, meter, 10.0, counts=4e7)
    assert meter.most(10.0).photons == pytest.approx(FLUX_MARGIN * 4e8 * 11)


@pytest.mark.parametrize(("ring", "most"), [(math.nan, 100.0), (30.0, 100.0), (120.0, 120.0)])
def test_the_fullest_ring_counts_before_the_exposure(fakes, ledger, ring, most):
    meter = meter_of(fakes, ledger)
    fakes.beam.ring_current.sim_put(ring)
    assert meter.most(10.0).photons == pytest.approx(FLUX_MARGIN * 2e6 * most * 11)


def test_a_limit_keeps_the_shutter_closed_and_writes_nothing_down(fakes, ledger):
    meter = meter_of(fakes, ledger)
    meter.expect(10.0, budget=DoseBudget(fluence=2e9 / AREA))
    with pytest.raises(DoseError, match=r"beam_shutter stays closed: dose limit of 3.33e\+10"):
        fakes.beam.shutter.set(1)
    assert fakes.beam.shutter.position == 0
    assert ledger.path.read_text() == ""


def test_an_opening_by_hand_is_counted_too(fakes, ledger):
    meter = meter_of(fakes, ledger)
    move(fakes, 1)
    (open_now,) = ledger.unsettled()
    assert open_now.purpose == "by hand"
    fakes.clock.time += 7.0
    move(fakes, 0)
    meter.close()
    assert ledger.unsettled() == ()
    assert ledger.open_time("lfp-007") == pytest.approx(7.0)


def test_an_opening_after_a_pause_settles_the_one_before(fakes, ledger):
    meter = meter_of(fakes, ledger)
    meter.expect(10.0)
    move(fakes, 1)
    fakes.clock.time += 4.0
    fakes.beam.shutter.pause()
    wait_for(lambda: fakes.beam.shutter._seen == 0, timeout=1, what="the monitor")
    move(fakes, 1)
    (again,) = ledger.unsettled()
    assert ledger.open_time("lfp-007") == pytest.approx(4.0)
    assert again.time == fakes.clock.time


def test_a_shutter_that_never_opened_brought_nothing(fakes, ledger):
    meter = meter_of(fakes, ledger)
    fakes.beam.shutter.command.sim_set_putter(lambda _wanted, **_: None)
    with pytest.raises(DeviceError, match=r"not open within 0.05 s"):
        fakes.beam.shutter.set(1, timeout=0.05).wait(timeout=1)
    meter.settle()
    assert ledger.unsettled() == ()
    assert ledger.fluence("lfp-007", 0, 0, (0.3, 0.2)) == 0.0


def test_the_keeper_is_told_until_when_the_shutter_may_be_open(fakes, ledger):
    keeper = ListKeeper()
    meter = meter_of(fakes, ledger, keeper=keeper)
    expose(fakes, meter, 12.0, counts=1e7)
    meter.close()
    assert keeper.told == ["ready", 1000.0 + 10.0 + 0.8, "disarm", "close"]


def test_without_a_keeper_that_can_close_it_the_shutter_stays_closed(fakes, ledger):
    keeper = ListKeeper()
    meter_of(fakes, ledger, keeper=keeper)

    def gone(_until):
        raise DeviceError("the shutter's keeper is gone; the shutter stays closed")

    keeper.arm = gone
    with pytest.raises(DeviceError, match="keeper is gone"):
        fakes.beam.shutter.set(1)
    assert fakes.beam.shutter.position == 0


def left_behind(ledger, **changes):
    """A reservation of a process that is gone: 2.2e9 photons in 11 s, from time 900 on."""
    ledger.reserve(
        "lfp-007",
        0.0,
        0.0,
        2.2e9,
        size=(0.3, 0.2),
        energy=22163.0,
        time=900.0,
        open_time=11.0,
    )
    line = json.loads(ledger.path.read_text())
    ledger.path.write_text(json.dumps({**line, **changes}) + "\n")


def test_what_a_dead_session_left_is_closed_and_counted_until_then(fakes, ledger):
    left_behind(ledger, started=1)
    fakes.beam.shutter.status.sim_put(1, timestamp=901.0)
    meter = meter_of(fakes, ledger)
    assert meter.recover() == 1
    assert fakes.beam.shutter.position == 0
    # It was open from 900 to 1000 as far as anybody knows.
    assert ledger.fluence("lfp-007", 0, 0, (0.3, 0.2)) == pytest.approx(2e8 * 100 / AREA)
    assert meter.recover() == 0


def test_of_a_shutter_that_a_keeper_closed_only_that_time_counts(fakes, ledger):
    left_behind(ledger, started=1)
    meter = meter_of(fakes, ledger)
    fakes.beam.shutter.status.sim_put(1, timestamp=900.5)
    fakes.beam.shutter.status.sim_put(0, timestamp=905.0)
    wait_for(lambda: fakes.beam.shutter.closed_at == 905.0, timeout=1, what="the monitor")
    meter.recover()
    assert ledger.fluence("lfp-007", 0, 0, (0.3, 0.2)) == pytest.approx(2e8 * 5 / AREA)


def test_where_nothing_was_seen_the_reservation_counts_in_full(fakes, ledger):
    left_behind(ledger, started=1)
    fakes.beam.shutter.closed_at = 500.0
    meter_of(fakes, ledger).recover()
    assert ledger.fluence("lfp-007", 0, 0, (0.3, 0.2)) == pytest.approx(2.2e9 / AREA)


def test_a_session_that_lives_is_left_alone(fakes, ledger):
    left_behind(ledger)
    fakes.beam.shutter.status.sim_put(1, timestamp=901.0)
    assert meter_of(fakes, ledger).recover() == 0
    assert fakes.beam.shutter.position == 1


def test_a_reservation_of_which_nothing_is_known_is_left_after_an_hour(fakes, ledger):
    left_behind(ledger, host="elsewhere", wall=time.time() - 3601)
    assert meter_of(fakes, ledger).recover() == 1


def test_the_sample_is_the_cell_whose_place_is_in_the_beam(fakes, ledger):
    guard = fakes.potentiostat
    places = SamplePlaces(fakes.sample_stage, [Place(guard, (1.0, 18.0)), Place(guard)])
    assert places.here() == ("lfp-007", 0.0, 0.0)
    fakes.sample_stage.y.readback.sim_put(17.5)
    assert places.here() == ("lfp-007", -1.0, -0.5)
    assert places.position_of((0.5, 0.5)) == (1.5, 18.5)
    fakes.sample_stage.x.readback.sim_put(-15.0)
    assert places.here() == ("none", -15.0, 17.5)


def test_light_on_a_way_is_spread_over_it(fakes, ledger):
    meter = meter_of(fakes, ledger)
    meter.expect(10.0, ahead=(-2.0, 0.0))
    move(fakes, 1)
    (light,) = (each.light for each in ledger.unsettled())
    # From here 2 mm back, and half a beam beyond either end.
    assert (light.x, light.y, light.size) == (-1.0, 0.0, pytest.approx((2.3, 0.2)))
    fakes.clock.time += 10.0
    move(fakes, 0)
    meter.settle()
    spots = [ledger.fluence("lfp-007", x, 0, (0.1, 0.1)) for x in (-2.0, -1.0, 0.0, 0.5)]
    assert spots[:3] == [pytest.approx(spots[0])] * 3
    assert spots[0] * 2.3 * 0.2 == pytest.approx(meter.photons.get())
    assert spots[3] == 0.0
