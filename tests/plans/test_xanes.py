import math
import threading

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.devices.fake_spectroscopy import FAKE_DARK_RATE, FAKE_RATES, with_spectroscopy
from battbeam.devices.fakes import fake, fake_beamline
from battbeam.devices.top_up import TopUp
from battbeam.errors import DeviceError, PreflightError
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.dose import DoseBudget, DoseLedger
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import multi_edge_xas, quick_xanes, xanes, xas
from tests.devices.metering import metered

GRID = EnergyGrid.of("Ni K", [Region(-20, -10, 10, 2.0), Region(-10, 10, 5, 1.0)])
COBALT = EnergyGrid.of("Co K", [Region(-20, 20, 10, 1.0)])
#: Thin enough for every edge.
THIN = {**EXAMPLE, "stack": [{"material": "active", "thickness": 0.02}]}


@pytest.fixture
def bench(tmp_path):
    return with_spectroscopy(fake_beamline(tmp_path, passport=THIN))


@pytest.fixture
def station(bench):
    return Station.of(bench)


def moves_of(bench):
    """Energies that the monochromator was sent to, as they come."""
    mono, sent = bench.monochromator, []

    def go(angle, **_):
        sent.append(round(mono.energy_at(angle), 3))
        mono.bragg.readback.sim_put(angle)

    mono.bragg.setpoint.sim_set_putter(go)
    return sent


def openings_of(bench):
    """What the shutter was told, as it comes."""
    shutter, told = bench.beam.shutter, []

    def command(wanted, **_):
        if wanted != shutter.status.get():
            told.append(wanted)
        shutter.status.sim_put(wanted)

    shutter.command.sim_set_putter(command)
    return told


def test_a_spectrum_visits_the_energies_of_its_grid_and_counts_for_its_dwells(
    bench, station, engine, documents
):
    sent = moves_of(bench)
    engine(xanes(GRID, station))
    events = documents.events()
    assert sent[:6] == [8313.0, 8323.0, 8328.0, 8333.0, 8338.0, 8343.0]
    assert [event["energy"] for event in events] == sent[:6]
    assert [event["dwell"] for event in events] == [2, 2, 1, 1, 1, 1]
    assert [event["counters_i0"] for event in events] == [
        dwell * FAKE_RATES["i0"] for dwell in (2, 2, 1, 1, 1, 1)
    ]
    assert [event["point"] for event in events] == list(range(6))
    assert {(e["spectrum"], e["repeat"], e["edge"]) for e in events} == {(0, 0, "Ni K")}
    assert {(e["shutter"], e["fault"], e["beam_lost"]) for e in events} == {(1, "", "")}


def test_the_energy_is_that_of_the_encoder(bench, station, engine, documents):
    engine(xanes(GRID, station))
    for event in documents.events():
        assert event["monochromator_energy"] == pytest.approx(event["energy"], abs=1e-6)


def test_the_messages_are_the_protocol_of_a_spectrum(station):
    """Without a RunEngine: the order of what is asked for."""
    asked = [
        (message.command, getattr(message.obj, "name", ""))
        for message in xanes(GRID, station)
        if message.command in ("set", "trigger", "prepare", "open_run", "close_run", "create")
    ]
    point = [
        ("set", "monochromator"),
        ("prepare", "counters"),
        ("set", "steady_light"),
        ("trigger", "beam"),
        ("trigger", "counters"),
        ("create", ""),
    ]
    dark = [
        ("set", "foil"),
        ("set", "beam_shutter"),
        ("prepare", "counters"),
        ("trigger", "counters"),
        ("create", ""),
    ]
    begin = asked.index(("open_run", ""))
    assert asked[begin + 1 :][: len(dark) + 2 * len(point)] == dark + 2 * point
    # Closed and written down; closed again in any case; and put back.
    assert asked[-9:] == [
        ("set", "beam_shutter"),
        ("create", ""),
        ("set", "beam_shutter"),
        ("set", "monochromator_bragg"),
        *[("set", f"counters_amplifier_{channel}") for channel in ("i0", "it", "ir")],
        ("set", "foil"),
        ("close_run", ""),
    ]


def test_the_start_document_says_what_a_reader_needs(station, engine, documents):
    engine(xanes(GRID, station, reduction={"edge_energy": 8333.0}, md={"sample": "a"}))
    start = documents.of("start")[0]
    assert (start["technique"], start["plan_name"], start["mode"]) == ("XANES", "xanes", "step")
    assert start["edges"] == [{"element": "Ni", "edge": "K", "energy": 8333.0}]
    assert EnergyGrid.read(start["grid"]) == GRID
    assert start["grids"] == {"Ni K": start["grid"]}
    assert start["foil"] == {"Ni K": "Ni"}
    assert start["reduction"] == {
        "method": "xanes",
        "signal": "transmission",
        "edge_energy": 8333.0,
    }
    assert start["repeats"] == {"n_max": 1, "noise": 0.0, "smear": None, "longest": None}
    assert start["sample"] == "a"


# Dark and foil.


def test_a_dark_is_counted_behind_the_closed_shutter_before_the_first_spectrum(
    bench, station, engine, documents
):
    engine(xanes(GRID, station))
    (dark,) = documents.events("dark")
    assert (dark["shutter"], dark["dark"]) == (0, 0)
    # As long as the longest dwell.
    assert dark["counters_i0"] == 2 * FAKE_DARK_RATE
    assert (dark["dwell"], dark["counters_elapsed"]) == (2.0, 2.0)
    assert (dark["gain_i0"], dark["gain_it"]) == (1e8, 1e8)
    assert dark["counts_per_photon_i0"] == pytest.approx(1e-3)
    assert dark["share_i0"] == bench.counters.shares()["i0"]
    assert {event["dark"] for event in documents.events()} == {0}


def test_another_gain_has_another_dark(bench, station, engine, documents):
    gains = {"Ni K": {"it": 1e8}, "Co K": {"it": 1e9}}
    engine(multi_edge_xas([GRID, COBALT], station, gains=gains, repeats=Repeats(n_max=2)))
    darks = documents.events("dark")
    assert [dark["gain_it"] for dark in darks] == [1e8, 1e9, 1e8, 1e9]
    assert [dark["counts_per_photon_it"] for dark in darks] == [1e-3, 1e-2, 1e-3, 1e-2]
    of_edge = {(event["edge"], event["dark"]) for event in documents.events()}
    assert of_edge == {("Ni K", 0), ("Co K", 1), ("Ni K", 2), ("Co K", 3)}


def test_repeats_at_the_same_gains_share_a_dark(station, engine, documents):
    engine(xanes(GRID, station, repeats=Repeats(n_max=3)))
    assert len(documents.events("dark")) == 1


def test_the_foil_of_the_element_is_in_the_beam_while_it_is_measured(
    bench, station, engine, documents
):
    engine(multi_edge_xas([GRID, COBALT], Station.of(bench, readables=(bench.foil,))))
    assert {(e["edge"], e["foil_element"], e["foil_is_in"]) for e in documents.events()} == {
        ("Ni K", "Ni", 1),
        ("Co K", "Co", 1),
    }
    assert bench.foil.position == ""


def test_a_missing_foil_is_flagged(bench, engine, documents):
    engine(xanes(GRID, Station.of(bench, foil=None)))
    start = documents.of("start")[0]
    assert start["foil"] == {"Ni K": ""}
    assert "Ni K: no reference foil of this element is in the beam" in start["warnings"][0]


def test_a_missing_foil_is_refused_where_it_must_not_be(bench, engine):
    with pytest.raises(PreflightError, match="no reference foil of this element is in the beam"):
        engine(xanes(GRID, Station.of(bench, foil=None), require_foil=True))
    platinum = EnergyGrid.of("Pt L3", [Region(-10, 10, 5, 1)])
    with pytest.raises(PreflightError, match="Pt L3: no reference foil"):
        engine(xanes(platinum, Station.of(bench), require_foil=True))


# The shutter.


def test_the_shutter_opens_once_a_spectrum(bench, station, engine):
    told = openings_of(bench)
    engine(xanes(GRID, station, repeats=Repeats(n_max=3)))
    assert told == [1, 0] * 3


def test_the_end_of_each_spectrum_is_written_down(bench, station, engine, documents):
    engine(xanes(GRID, station, repeats=Repeats(n_max=2)))
    first, second = documents.events("spectra")
    assert (first["spectrum"], first["n_points"], first["stopped"]) == (0, 6, "")
    assert (second["repeat"], second["stopped"]) == (1, "count cap of 2 spectra")
    assert first["end"] - first["start"] == pytest.approx(GRID.duration)
    assert first["attenuator_transmission"] == 1.0


def test_a_point_behind_a_shutter_that_was_closed_is_told_and_counted_once_more(
    bench, station, engine, documents
):
    counts, counters = [], bench.counters
    count = counters.count._put_func

    def closing(value, **_):
        counts.append(value)
        # The dark is the first.
        if len(counts) == 4:
            bench.beam.shutter.status.sim_put(0)
        count(value)

    counters.count.sim_set_putter(closing)
    engine(xanes(GRID, station))
    events = documents.events()
    faults = [event["fault"] for event in events]
    assert faults == ["", "", "the shutter was closed", "", "", "", ""]
    assert [event["point"] for event in events] == [0, 1, 2, 2, 3, 4, 5]
    assert [event["shutter"] for event in events] == [1, 1, 0, 1, 1, 1, 1]


def test_a_failure_in_the_middle_leaves_the_beamline_safe(bench, station, engine, documents):
    mono, sent = bench.monochromator, []
    found = mono.bragg.position

    def go(angle, **_):
        sent.append(angle)
        if len(sent) == 4:
            raise DeviceError("the crystal is gone")
        mono.bragg.readback.sim_put(angle)

    mono.bragg.setpoint.sim_set_putter(go)
    gains = {"it": 1e9}
    with pytest.raises(DeviceError, match="the crystal is gone"):
        engine(xanes(GRID, station, gains=gains, positions=[(bench.sample_stage.x, 2.0)]))
    assert bench.beam.shutter.position == 0
    assert mono.bragg.position == found
    assert bench.counters.gains == {"i0": 1e8, "it": 1e8, "ir": 1e8}
    assert bench.foil.position == ""
    assert bench.sample_stage.x.position == 0.0
    assert documents.of("stop")[0]["exit_status"] == "fail"
    assert len(documents.events()) == 3


def test_a_plan_that_is_thrown_away_in_the_middle_closes_the_shutter(bench, station):
    """As when the RunEngine closes the generator: no message is possible any more."""
    plan = xanes(GRID, station)
    for message in plan:
        if message.command == "set" and getattr(message.obj, "name", "") == "steady_light":
            message.obj.set(*message.args)
            break
    assert bench.beam.shutter.position == 1
    plan.close()
    assert bench.beam.shutter.position == 0


def test_a_pause_closes_the_shutter_and_the_spectrum_goes_on_where_it_was(
    bench, station, engine, documents
):
    told, counts, action = openings_of(bench), [], bench.counters.count
    begin = action.begin

    def pausing(ended):
        counts.append(1)
        if len(counts) == 4:
            # This count does not end by itself.
            threading.Thread(target=engine.request_pause).start()
        else:
            begin(ended)

    action.begin = pausing
    with pytest.raises(RunEngineInterrupted):
        engine(xanes(GRID, station))
    assert bench.beam.shutter.position == 0
    engine.resume()
    assert told == [1, 0, 1, 0]
    events = documents.events()
    assert [event["point"] for event in events] == list(range(6))
    assert {event["shutter"] for event in events} == {1}
    assert len(documents.events("spectra")) == 1


def test_a_dump_of_the_beam_suspends_a_spectrum(bench, station, engine, documents):
    counts, count = [], bench.counters.count._put_func

    def dumping(value, **_):
        count(value)
        counts.append(value)
        if len(counts) == 4:
            bench.beam.ring_current.sim_put(0.0)
            threading.Timer(0.3, bench.beam.ring_current.sim_put, [100.0]).start()

    bench.counters.count.sim_set_putter(dumping)
    engine(xanes(GRID, station))
    # As last written: a point that was taken again counts once.
    last = {event["point"]: event for event in documents.events()}
    assert list(last) == list(range(6))
    assert {(event["shutter"], event["beam_lost"]) for event in last.values()} == {(1, "")}


def test_the_energy_is_put_back(bench, station, engine):
    found = bench.monochromator.position
    engine(xanes(GRID, station))
    assert bench.monochromator.position == pytest.approx(found, abs=1e-6)


# Beam.


def test_a_point_without_beam_is_taken_again_with_the_same_number(
    bench, station, engine, documents
):
    counters, counts = bench.counters, []
    count = counters.count._put_func

    def losing(value, **_):
        counts.append(value)
        if len(counts) == 3:
            bench.beam.ring_current.sim_put(math.nan)
            bench.beam.ring_current.sim_put(100.0)
        count(value)

    counters.count.sim_set_putter(losing)
    engine(xanes(GRID, Station.of(bench, suspend=False)))
    events = documents.events()
    assert [event["point"] for event in events] == [0, 1, 1, 2, 3, 4, 5]
    assert events[1]["beam_lost"] == "ring current not known"
    assert events[2]["beam_lost"] == ""
    assert documents.events("spectra")[0]["n_points"] == 6


def test_without_beam_it_waits_behind_the_closed_shutter(bench, engine, documents, monkeypatch):
    counts, count, waits = [], bench.counters.count._put_func, []

    def losing(value, **_):
        counts.append(value)
        if len(counts) == 3:
            bench.beam.ring_current.sim_put(0.0)
        count(value)

    def waited(beam, clock, *, patience):
        waits.append((beam.shutter.position, patience))
        beam.ring_current.sim_put(100.0)
        yield from ()
        return True

    bench.counters.count.sim_set_putter(losing)
    monkeypatch.setattr("battbeam.plans.spectrum.wait_for_beam", waited)
    engine(xanes(GRID, Station.of(bench, suspend=False, patience=77.0)))
    assert waits == [(0, 77.0)]
    assert [event["point"] for event in documents.events()] == [0, 1, 1, 2, 3, 4, 5]


def test_a_beam_that_stays_away_ends_the_spectra_and_keeps_their_points(bench, engine, documents):
    counts, count = [], bench.counters.count._put_func

    def losing(value, **_):
        counts.append(value)
        if len(counts) == 4:
            bench.beam.ring_current.sim_put(0.0)
        count(value)

    bench.counters.count.sim_set_putter(losing)
    station = Station.of(bench, suspend=False, patience=-1.0)
    engine(xanes(GRID, station, repeats=Repeats(n_max=3)))
    (end,) = documents.events("spectra")
    assert end["n_points"] == 2
    assert end["stopped"] == "no beam for -1 s: ring current 0 mA, below 5 mA"
    assert bench.beam.shutter.position == 0
    assert documents.of("stop")[0]["exit_status"] == "success"


def test_an_injection_is_waited_for_and_the_delay_is_noted(bench, engine, documents, monkeypatch):
    beam = bench.beam
    beam.top_up = fake(TopUp, "X:RING:", name="top_up", clock=bench.clock, length=2.0)
    # In 1.5 s, within the first dwell of 2 s.
    beam.top_up.next.sim_put(1.5)

    def waited(clock, time):
        clock.time = time
        beam.top_up.next.sim_put(math.nan)
        yield from ()

    monkeypatch.setattr("battbeam.plans.stubs.wait_until", waited)
    engine(xanes(GRID, Station.of(bench)))
    delays = [event["top_up_delay"] for event in documents.events()]
    assert delays == pytest.approx([3.5, 0, 0, 0, 0, 0])


# Counts that cannot be used.


def test_an_overload_is_flagged_at_its_point(bench, station, engine, documents):
    counters, counts = bench.counters, []
    count = counters.count._put_func

    def overloading(value, **_):
        counts.append(value)
        counters.fault.sim_put("overload I0" if len(counts) == 3 else "")
        count(value)

    counters.count.sim_set_putter(overloading)
    engine(xanes(GRID, station))
    faults = [event["fault"] for event in documents.events()]
    assert faults == ["", "overload I0", "", "", "", ""]


# Until it is enough.


def test_spectra_are_repeated_until_their_noise_is_met(bench, engine, documents):
    # 1e6 counts of 1e-3 a photon in I0, 4e5 in It, in 1 s, less the dark: in photons
    before = (FAKE_RATES["i0"] - FAKE_DARK_RATE) / 1e-3
    behind = (FAKE_RATES["it"] - FAKE_DARK_RATE) / 1e-3
    once = math.sqrt(1 / before + 1 / behind)
    target = once / math.sqrt(3.5)
    engine(xanes(GRID, Station.of(bench), repeats=Repeats(n_max=20, noise=target)))
    ends = documents.events("spectra")
    assert len(ends) == 4
    assert ends[0]["absorbance_error"] == pytest.approx(once)
    assert ends[3]["absorbance_error"] == pytest.approx(once / 2)
    assert ends[3]["stopped"].startswith("counting error")


def test_in_fluorescence_the_noise_is_that_of_the_fluorescence(bench, engine, documents):
    engine(xanes(GRID, Station.of(bench), signal="fluorescence"))
    before = (FAKE_RATES["i0"] - FAKE_DARK_RATE) / 1e-3
    behind = FAKE_RATES["fluorescence"] - FAKE_DARK_RATE
    (end,) = documents.events("spectra")
    assert end["absorbance_error"] == pytest.approx(math.sqrt(1 / before + 1 / behind))


def test_spectra_are_repeated_no_longer_than_allowed(station, engine, documents):
    # 8 s each; a third would end after 24 s.
    engine(xanes(GRID, station, repeats=Repeats(n_max=20, longest=20.0)))
    ends = documents.events("spectra")
    assert len(ends) == 2
    assert ends[-1]["stopped"] == "another spectrum would pass 20 s"


def test_spectra_are_repeated_until_the_cell_has_changed_too_much(bench, engine, documents):
    charge, counters = bench.potentiostat.charge, bench.counters
    count = counters.count._put_func

    def charging(value, **_):
        # 0.01 of 2.9 mAh in a spectrum of six points.
        charge.sim_put(charge.get() + 0.01 / 6 * 2.9)
        count(value)

    counters.count.sim_set_putter(charging)
    repeats = Repeats(n_max=20, smear=0.035)
    engine(xanes(GRID, Station.of(bench), repeats=repeats))
    ends = documents.events("spectra")
    assert len(ends) == 3
    assert [end["smear"] for end in ends] == pytest.approx([0.01, 0.02, 0.03])
    assert ends[-1]["stopped"] == "another spectrum would pass a smear of 0.035"


# Light.


@pytest.fixture
def metered_bench(bench, tmp_path):
    """With a meter, and a shutter whose server stamps with the session's clock."""
    metered(bench, DoseLedger(tmp_path / "ledger.jsonl"), overhead=0.0)
    shutter = bench.beam.shutter
    shutter.command.sim_set_putter(
        lambda wanted, **_: shutter.status.sim_put(wanted, timestamp=bench.clock.time)
    )
    return bench


def test_the_light_of_a_spectrum_stands_at_its_end(metered_bench, engine, documents):
    engine(xanes(GRID, Station.of(metered_bench), repeats=Repeats(n_max=2)))
    first, second = documents.events("spectra")
    assert first["shutter_open_time"] == pytest.approx(GRID.duration)
    # The most that can have come: 2e8 a second, with the margin of the calibration.
    assert first["photons"] == pytest.approx(1.05 * 2e8 * GRID.duration)
    assert second["fluence"] == pytest.approx(2 * first["fluence"])
    assert metered_bench.beam.dose_meter.ledger.unsettled() == ()


def test_spectra_are_repeated_until_their_light_is_used_up(metered_bench, engine, documents):
    # What is reserved: the dwells, and what moves and Channel Access take.
    most = 1.05 * 2e8 * (GRID.duration + 6 * 0.15)
    came = 1.05 * 2e8 * GRID.duration
    budget = DoseBudget(fluence=(came + 1.5 * most) / 0.06)
    engine(xanes(GRID, Station.of(metered_bench, budget=budget), repeats=Repeats(n_max=9)))
    ends = documents.events("spectra")
    assert [end["n_points"] for end in ends] == [6, 6, 0]
    assert ends[-1]["stopped"].startswith("not exposed: dose limit of")
    assert documents.of("start")[0]["dose_budget"]["at_limit"] == "skip"


def test_light_that_is_used_up_in_the_middle_ends_a_spectrum_and_keeps_its_points(
    metered_bench, engine, documents, monkeypatch
):
    bench, count = metered_bench, metered_bench.counters.count._put_func

    def slow(value, **_):
        # Far slower than was reserved for.
        bench.clock.time += 4.0
        count(value)

    bench.counters.count.sim_set_putter(slow)
    most = 1.05 * 2e8 * (GRID.duration + 6 * 0.15)
    budget = DoseBudget(fluence=1.4 * most / 0.06)
    engine(xanes(GRID, Station.of(bench, budget=budget), repeats=Repeats(n_max=9)))
    (end,) = documents.events("spectra")
    assert 0 < end["n_points"] < 6
    assert "beam_shutter stays closed: dose limit of" in end["stopped"]
    assert len(documents.events()) == end["n_points"]
    assert bench.beam.shutter.position == 0


def test_a_spectrum_that_takes_longer_than_was_reserved_reserves_again(
    metered_bench, engine, documents
):
    bench, count = metered_bench, metered_bench.counters.count._put_func
    told = []
    bench.beam.shutter.status.subscribe(lambda value, **_: told.append(value), run=False)

    def slow(value, **_):
        bench.clock.time += 4.0
        count(value)

    bench.counters.count.sim_set_putter(slow)
    engine(xanes(GRID, Station.of(bench)))
    assert documents.events("spectra")[0]["n_points"] == 6
    assert {event["shutter"] for event in documents.events()} == {1}
    assert told.count(1) > 1


def test_a_spectrum_is_reserved_for_as_long_as_the_one_before_took(
    metered_bench, engine, documents
):
    bench, count = metered_bench, metered_bench.counters.count._put_func
    openings, meter = [], metered_bench.beam.dose_meter
    bench.beam.shutter.status.subscribe(
        lambda value, **_: openings.append(meter.ledger.unsettled()) if value else None, run=False
    )

    def slow(value, **_):
        bench.clock.time += 4.0
        count(value)

    bench.counters.count.sim_set_putter(slow)
    engine(xanes(GRID, Station.of(bench), repeats=Repeats(n_max=2)))
    first, *_, last = openings
    assert first[0].open_time == pytest.approx(GRID.duration + 6 * 0.15)
    # Six points, each 4 s longer than its dwell; the first spectrum was opened for more than once.
    assert last[0].open_time == pytest.approx(GRID.duration + 6 * 4.0)
    assert len(openings) > 2


def test_light_that_overloads_a_chamber_is_refused_before_it_shines(metered_bench, engine):
    # 2e8 a second, a tenth detected, 1e-2 counts each at 1e9 V/A: far below 1e7 counts/s.
    engine(xanes(GRID, Station.of(metered_bench), gains={"i0": 1e9}))
    metered_bench.counters.calibration.counts_per_photon["i0"] = 1.0
    said = refused(engine, xanes(GRID, Station.of(metered_bench), gains={"i0": 1e8}))
    assert "counters: 2e+07 counts/s expected in i0 at 1e+08 V/A" in said


# Several edges.


def test_edges_alternate_and_each_has_its_repeats(bench, station, engine, documents):
    sent = moves_of(bench)
    engine(multi_edge_xas([GRID, COBALT], station, repeats=Repeats(n_max=2)))
    ends = documents.events("spectra")
    assert [(end["edge"], end["spectrum"], end["repeat"]) for end in ends] == [
        ("Ni K", 0, 0),
        ("Co K", 1, 0),
        ("Ni K", 2, 1),
        ("Co K", 3, 1),
    ]
    assert [event["point"] for event in documents.events()] == list(range(22))
    start = documents.of("start")[0]
    assert [edge["element"] for edge in start["edges"]] == ["Ni", "Co"]
    assert set(start["grids"]) == {"Ni K", "Co K"}
    assert "grid" not in start
    assert len(sent) == 23


def test_an_edge_that_has_enough_is_left_out_and_the_other_goes_on(bench, engine, documents):
    short = EnergyGrid.of("Co K", [Region(-20, 20, 10, 0.1)])
    before, behind = ((FAKE_RATES[channel] - FAKE_DARK_RATE) / 1e-3 for channel in ("i0", "it"))
    noise = 1.01 * math.sqrt(1 / before + 1 / behind)
    engine(multi_edge_xas([GRID, short], Station.of(bench), repeats=Repeats(n_max=4, noise=noise)))
    edges = [end["edge"] for end in documents.events("spectra")]
    assert edges == ["Ni K", "Co K", "Co K", "Co K", "Co K"]


def test_xas_is_the_preset_in_k(station):
    messages = list(xas("Ni K", station))
    (start,) = [message.kwargs for message in messages if message.command == "open_run"]
    assert (start["technique"], start["plan_name"]) == ("XAS", "xas")
    assert start["grid"]["regions"][-1]["axis"] == "k"
    counts = [message.obj.name for message in messages if message.command == "trigger"]
    assert counts.count("counters") == 1 + start["grid"]["n_points"]


# Sweeps.


def test_sweeps_go_up_and_down_and_each_is_one_event_of_arrays(bench, station, engine, documents):
    engine(quick_xanes("Ni K", station, duration=2.0, repeats=Repeats(n_max=3)))
    events = documents.events()
    assert [event["sweep_direction"] for event in events] == [1, -1, 1]
    assert [event["spectrum"] for event in events] == [0, 1, 2]
    assert {len(event["sweep_i0"]) for event in events} == {1600}
    assert math.isnan(events[0]["energy"])
    assert events[0]["dwell"] == pytest.approx(2.0 / 1600)
    assert events[0]["sweep_i0"][0] == pytest.approx(FAKE_RATES["i0"] * 2.0 / 1600)
    start = documents.of("start")[0]
    assert (start["mode"], start["plan_name"]) == ("sweep", "quick_xanes")
    assert start["grid"] == {"start": 8183.0, "stop": 8583.0, "duration": 2.0, "n_samples": 1600}


def test_sweeps_have_their_dark_and_their_ends(bench, station, engine, documents):
    told = openings_of(bench)
    engine(quick_xanes("Ni K", station, duration=2.0))
    assert len(documents.events("dark")) == 1
    ends = documents.events("spectra")
    assert [end["n_points"] for end in ends] == [1, 1]
    before, behind = (
        (FAKE_RATES[channel] - FAKE_DARK_RATE) * 2 / 1600 / 1e-3 for channel in ("i0", "it")
    )
    assert ends[0]["absorbance_error"] == pytest.approx(math.sqrt(1 / before + 1 / behind))
    assert told == [1, 0, 1, 0]


def test_the_way_to_the_start_of_a_sweep_is_not_lit(bench, station, engine):
    mono, lit = bench.monochromator, []

    def go(angle, **_):
        lit.append(bench.beam.shutter.position)
        mono.bragg.readback.sim_put(angle)

    mono.bragg.setpoint.sim_set_putter(go)
    engine(quick_xanes("Ni K", station))
    assert lit == [0, 0, 0]


def test_a_sweep_needs_its_controller(bench, engine):
    with pytest.raises(PreflightError, match="a sweep needs a controller for it"):
        engine(quick_xanes("Ni K", Station.of(bench, energy_sweep=None)))


# Refused before anything moves.


def refused(engine, plan):
    with pytest.raises(PreflightError) as caught:
        engine(plan)
    return "\n".join(caught.value.faults)


def test_everything_that_is_wrong_is_told_at_once_and_nothing_moves(bench, station, engine):
    sent = moves_of(bench)
    grid = EnergyGrid.of("Ni K", [Region(10, 0, 1, 1), Region(0, 1, 0, 1)])
    said = refused(engine, xanes(grid, station, repeats=Repeats(n_max=0), signal="guess"))
    assert "grid at Ni K: region 1: energies must ascend" in said
    assert "region 2: step must be greater than 0 eV" in said
    assert "repeats: n_max must be at least 1, got 0" in said
    assert "signal must be transmission or fluorescence, got 'guess'" in said
    assert sent == []


def test_an_edge_outside_the_monochromator_is_refused(station, engine):
    said = refused(engine, xanes("Mg K", station))
    assert "monochromator: 1153 eV is outside its limits, 4000 to 40000 eV" in said


def test_an_edge_that_the_axis_does_not_reach_is_refused(bench, station, engine):
    bench.monochromator.bragg.high_limit.sim_put(13.0)
    said = refused(engine, xanes("Ni K", station))
    assert "monochromator_bragg: 13.9" in said


def test_a_cell_that_is_too_thick_is_refused_but_not_in_fluorescence(tmp_path, engine, documents):
    # The default coin cell, in which a steel foil absorbs too.
    thick = with_spectroscopy(fake_beamline(tmp_path, passport=EXAMPLE))
    iron = EnergyGrid.of("Fe K", [Region(-10, 10, 5, 1)])
    said = refused(engine, xanes(iron, Station.of(thick)))
    assert "Fe K: the cell's absorbance is 3.2" in said
    assert "what fits is fluorescence, or a single-sided electrode" in said
    engine(xanes(iron, Station.of(thick), signal="fluorescence"))
    start = documents.of("start")[0]
    assert start["forecast"]["Fe K"]["absorbance"] > 3
    assert "of the edge step is not the active material's" in start["warnings"][0]


def test_a_gain_that_there_is_not_is_refused(station, engine):
    said = refused(engine, xanes(GRID, station, gains={"i0": 3e8, "if": 1e8}))
    assert "no gain of 3e+08 V/A" in said
    assert "no amplifier of 'if'; there are i0, it, ir" in said


def test_a_smear_without_a_passport_is_refused(bench, engine):
    station = Station.of(bench, potentiostat=None)
    said = refused(engine, xanes(GRID, station, repeats=Repeats(smear=0.1)))
    assert "a smear needs the cell's potentiostat, with a passport" in said


def test_one_edge_twice_and_none_at_all_are_refused(station, engine):
    assert "edge Ni K was given twice" in refused(engine, multi_edge_xas([GRID, "Ni K"], station))
    assert "no edge was given" in refused(engine, multi_edge_xas([], station))


def test_gains_for_an_edge_that_is_not_measured_are_refused(station):
    with pytest.raises(ValueError, match="gains are for Fe K, which is no edge here"):
        list(multi_edge_xas([GRID], station, gains={"Fe K": {"it": 1e8}}))


def test_counters_that_do_not_answer_are_refused(bench, station, engine):
    bench.counters.i0._metadata["connected"] = False
    assert "counters is not connected" in refused(engine, xanes(GRID, station))


def test_a_beamline_without_counters_measures_no_spectra(tmp_path):
    with pytest.raises(DeviceError, match="declares no counters"):
        Station.of(fake_beamline(tmp_path))


def test_a_sweep_down_is_added_to_one_up_at_the_same_energies(bench, station, engine, documents):
    sweep, go = bench.energy_sweep, bench.energy_sweep.go._put_func

    def ramped(value, **_):
        go(value)
        ramp = np.linspace(10.0, 1000.0, int(sweep.n_samples.get()))
        upward = sweep.end.get() > sweep.start.get()
        sweep.it.sim_put(ramp if upward else ramp[::-1])

    sweep.go.sim_set_putter(ramped)
    engine(quick_xanes("Ni K", station, duration=0.016))
    before, behind = (FAKE_RATES["i0"] - FAKE_DARK_RATE) * 1e-5, 10.0 - FAKE_DARK_RATE * 1e-5
    once = math.sqrt(1e-3 / before + 1e-3 / behind)
    first, second = documents.events("spectra")
    assert first["absorbance_error"] == pytest.approx(once)
    assert second["absorbance_error"] == pytest.approx(once / math.sqrt(2))
