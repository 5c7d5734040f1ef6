"""What an experiment will cost: agreed with what then happens, refused when it cannot fit."""

import dataclasses
import json
import math
import random

import pytest

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.conditions import (
    AbsoluteClock,
    ChargeStep,
    EndOfProtocol,
    StepEdge,
    VoltageCrossing,
)
from battbeam.experiment.description import (
    BeamFacts,
    Description,
    DetectorFacts,
    SiteFacts,
    map_cost,
    point_cost,
)
from battbeam.experiment.dispatch import Parking
from battbeam.experiment.dose import DoseBudget, MassModel
from battbeam.experiment.forecast import forecast
from battbeam.experiment.forecast_curve import TableCurve
from battbeam.experiment.forecast_report import text_of
from battbeam.experiment.schedule import Rule, Schedule

PASSPORT = CellPassport.read(EXAMPLE)
LFP = MassModel(name="LiFePO4", formula={"Li": 1, "Fe": 1, "P": 1, "O": 4})
SITE = SiteFacts(overhead=4.0, move=8.0, reading_interval=10.0)


def cycle(rate, *, n=1, rest=300):
    method = [
        {"step": "tag", "tag": "begin"},
        {"step": "constant_current", "rate_C": rate, "until_voltage_V": 3.8},
        {"step": "open_circuit_voltage", "until_time_s": rest},
        {"step": "constant_current", "rate_C": -rate, "until_voltage_V": 2.6},
        {"step": "open_circuit_voltage", "until_time_s": rest},
        {"step": "loop", "loop_to": "begin", "cycle_count": n},
    ]
    return {"record": {"time_s": 10}, "method": method}


def described(*rules, site=SITE, protocol=None, costs=None, **fields):
    return Description(
        site=site,
        costs=costs or {"pattern": point_cost(site, 30.0)},
        passport=PASSPORT,
        protocol=protocol or cycle(1),
        schedule=Schedule(rules=rules),
        **fields,
    )


def rule(when, measure="pattern", name="rule", **fields):
    return Rule(name=name, when=when, measure=measure, **fields)


CLOCK = AbsoluteClock(period=300.0)


def test_an_hour_at_1c_takes_about_an_hour_each_way():
    found = forecast(described(rule(CLOCK))).refuse()
    (cell,) = found.cells
    assert found.duration == pytest.approx(2 * 3600 + 600, rel=0.05)
    assert cell.throughput == pytest.approx(2 * 2.9, rel=0.05)
    assert cell.state_of_charge[2] == pytest.approx(0.96, abs=0.03)
    assert found.n_frames == cell.measurements[0].n_served == math.ceil(found.duration / 300)


def test_light_and_bytes_are_those_of_the_exposures():
    found = forecast(described(rule(CLOCK), material=LFP))
    (kind,), (spot,) = found.cells[0].measurements, found.cells[0].spots
    assert kind.photons == pytest.approx(kind.n_served * 30.0 * 2e8)
    assert spot.fluence == pytest.approx(kind.photons / 0.09)
    assert spot.dose == pytest.approx(LFP.dose(fluence=spot.fluence, energy=22163.0))
    assert found.n_bytes == found.n_frames * 512 * 512 * 4


def test_short_experiments_are_looked_at_more_closely_than_long_ones():
    close = dataclasses.replace(SITE, reading_interval=None)
    slope = rule(VoltageCrossing(level=3.5))
    seen = [
        forecast(described(slope, site=close, protocol=cycle(1, n=n))).cells[0].lateness
        for n in (1, 10)
    ]
    assert 0 < seen[0].maximum <= 1.0 < seen[1].maximum <= 10.0


def test_a_decaying_ring_gives_less_light():
    site = dataclasses.replace(SITE, beam=BeamFacts(lifetime=3600.0))
    lasting, decaying = (
        forecast(described(rule(CLOCK), site=each)).cells[0].spots[0].photons
        for each in (SITE, site)
    )
    times = [300.0 * k for k in range(26)]
    share = sum(math.exp(-time / 3600.0) for time in times) / len(times)
    assert decaying / lasting == pytest.approx(share, rel=0.01)


def test_a_ten_minute_spectrum_at_1c_with_two_percent_of_smear_is_refused_with_what_fits():
    site = dataclasses.replace(SITE, overhead=0.0)
    costs = {"spectrum": point_cost(site, 600.0)}
    one = described(
        rule(AbsoluteClock(period=1800.0), "spectrum", smear_max=0.02), costs=costs, site=site
    )
    with pytest.raises(PreflightError) as refused:
        forecast(one).refuse()
    told = str(refused.value)
    assert "the state of charge would move by 0.167 during one spectrum (600 s at 1 1/h)" in told
    assert "what fits is at most 72 s at this rate, or at most 0.12 1/h for this long" in told
    # On the plateau of LiFePO4 a held cell goes on charging: nobody is sent there.
    assert "held at its voltage it would still be" in told


def test_what_is_said_to_fit_does_fit():
    site = dataclasses.replace(SITE, overhead=0.0)
    every = rule(AbsoluteClock(period=1800.0), "spectrum", smear_max=0.02)
    shorter = described(every, costs={"spectrum": point_cost(site, 71.9)}, site=site)
    slower = described(
        every, costs={"spectrum": point_cost(site, 600.0)}, site=site, protocol=cycle(0.1199)
    )
    assert forecast(shorter).faults == forecast(slower).faults == ()


def test_holding_is_offered_where_it_helps():
    steep = TableCurve((0.0, 1.0), (2.6, 3.9))
    costs = {"spectrum": point_cost(SITE, 600.0)}
    every = rule(AbsoluteClock(period=1800.0), "spectrum", smear_max=0.08)
    one = described(every, costs=costs, curve=steep, resistance=20.0)
    (fault,) = forecast(one).faults
    assert "or coupling hold_potential (0.0" in fault
    held = rule(AbsoluteClock(period=1800.0), "spectrum", smear_max=0.08, coupling="hold_potential")
    assert forecast(described(held, costs=costs, curve=steep, resistance=20.0)).faults == ()


def test_at_rest_nothing_smears():
    costs = {"spectrum": point_cost(SITE, 250.0)}
    one = described(
        rule(StepEdge(step_type="open_circuit_voltage"), "spectrum", smear_max=0.001), costs=costs
    )
    assert forecast(one).faults == ()


def test_what_breaks_a_budget_of_the_site_is_refused_with_what_fits():
    site = dataclasses.replace(SITE, free_bytes=10 * 512 * 512 * 4.0)
    (fault,) = forecast(described(rule(CLOCK), site=site)).faults
    assert "what fits is at most 10 of 26 frames" in fault


def test_a_dose_limit_is_told_with_what_fits():
    budget = DoseBudget(fluence=26 * 30 * 2e8 / 0.09 / 2, at_limit="skip")
    found = forecast(described(rule(CLOCK), budget=budget))
    (limit,) = found.cells[0].limits
    assert "what fits is 0.5 of the exposure or of the transmission" in limit
    assert found.cells[0].measurements[0].n_refused == 13
    stops = DoseBudget(fluence=1e11, at_limit="stop")
    (fault,) = forecast(described(rule(CLOCK), budget=stops)).faults
    assert "the experiment would be stopped: dose limit" in fault


def test_light_that_fell_before_counts():
    earlier = forecast(described(rule(CLOCK)))
    budget = DoseBudget(fluence=earlier.cells[0].spots[0].fluence * 1.5, at_limit="skip")
    from battbeam.experiment.fluence import FluenceMap, Light

    light = FluenceMap()
    light.add(
        PASSPORT.sample_uid, Light(0, 0, (0.3, 0.3), earlier.cells[0].spots[0].photons, 22163.0)
    )
    again = forecast(described(rule(CLOCK), budget=budget), light=light)
    assert again.cells[0].measurements[0].n_refused == 13
    assert light.fluence(PASSPORT.sample_uid, 0, 0, (0.3, 0.3)) < budget.fluence


def test_all_that_is_lacking_is_told_at_once():
    broken = described(
        rule(CLOCK, "map"), protocol={"record": {"time_s": 10}, "method": [{"step": "nap"}]}
    )
    found = forecast(broken)
    assert "nothing says what 'map' costs; known are pattern" in found.faults[0]
    assert len(found.faults) >= 2
    assert math.isnan(found.duration)
    bare = dataclasses.replace(broken, passport=None)
    assert "needs a passport and a schedule" in forecast(bare).faults[-1]


def test_missed_slots_are_foreseen():
    costs = {"pattern": point_cost(SITE, 30.0), "map": point_cost(SITE, 1000.0)}
    found = forecast(
        described(rule(StepEdge(), "map", name="edge"), rule(CLOCK, name="clock"), costs=costs)
    )
    (missed,) = found.cells[0].missed
    assert missed.startswith("clock: ")
    assert "not served until" in missed
    assert found.cells[0].lateness.n_missed > 3


def test_the_table_and_the_document_say_the_same():
    found = forecast(described(rule(CLOCK), material=LFP))
    text, document = text_of(found), json.loads(found.to_json())
    assert f"{found.n_frames} frames" in text
    assert document["n_frames"] == found.n_frames
    assert document["cells"][0]["measurements"][0]["smear_max"] == pytest.approx(
        30 / 3600, rel=1e-3
    )
    assert "Gy" in text
    assert "LFP_Afshar2017" in text
    assert "REFUSED" in text_of(forecast(described(rule(CLOCK, smear_max=1e-4))))


def test_a_schedule_without_a_protocol_never_ends_and_is_refused():
    (fault,) = forecast(dataclasses.replace(described(rule(CLOCK)), protocol=None)).faults
    assert fault == "cell1: a schedule needs a protocol: without one the experiment has no end"


def test_a_rule_on_a_cell_that_nobody_describes_is_told():
    one = dataclasses.replace(
        described(rule(CLOCK)),
        schedule=Schedule(rules=(rule(CLOCK), rule(CLOCK, name="other", cell="cell9"))),
    )
    assert forecast(one).faults == ("rule 'other' is on cell9; described are cell1",)


def test_absolute_times_are_kept():
    at = rule(AbsoluteClock(period=600.0, n=3, start=1.75e9))
    rows = []
    found = forecast(described(at), sink=rows.append)
    assert [row.start for row in rows] == [1.75e9, 1.75e9 + 600, 1.75e9 + 1200]
    later = forecast(described(at), start=1.75e9 - 3600.0, sink=rows.append)
    assert found.n_frames == later.n_frames == 3


def test_a_sequence_needs_no_cell():
    cost = map_cost(SITE, 20.0, [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)])
    found = forecast(Description(site=SITE, costs={"map": cost}, sequence=("map",)))
    assert (found.n_frames, found.duration) == (3, pytest.approx(72.0))
    assert len(found.cells[0].spots) == 3
    assert "map" in text_of(found)


# Several cells.

RATES = {"cell1": 1.0, "cell2": 0.5, "cell3": 0.2, "cell4": 0.1}


def four_cells(days, *, site=SITE, resistance=None, relaxation=60.0):
    """Cells at four rates; maps at each end of a current, patterns by charge and on the clock."""
    costs = {
        "pattern": point_cost(site, 20.0),
        "map": map_cost(site, 10.0, [(0.4 * k, 0.0) for k in range(9)]),
    }
    one_cycle = {cell: 2 * 3600 / rate * 0.97 + 1200 for cell, rate in RATES.items()}
    return [
        Description(
            site=site,
            costs=costs,
            passport=PASSPORT.model_copy(update={"sample_uid": cell, "cell": cell}),
            protocol=cycle(rate, n=max(1, round(days * 86400 / one_cycle[cell])), rest=600),
            schedule=Schedule(
                rules=(
                    rule(StepEdge(step_type="open_circuit_voltage"), "map", "map", cell=cell),
                    rule(ChargeStep(fraction=0.1), name="charge", cell=cell),
                    rule(AbsoluteClock(period=900.0, grace=400.0), name="clock", cell=cell),
                )
            ),
            cell=cell,
            resistance=resistance,
            relaxation=relaxation,
            parking=Parking(after=10),
        )
        for cell, rate in RATES.items()
    ]


def photons_of(found):
    return [sum(spot.photons for spot in cell.spots) for cell in found.cells]


@pytest.mark.parametrize(
    "days", [0.2, pytest.param(1.0, marks=pytest.mark.acceptance)], ids=["morning", "day"]
)
def test_four_cells_at_different_rates_share_a_beamline_for_a_simulated_day(days):
    foreseen = forecast(four_cells(days)).refuse()
    # What then happens: measurements are longer and shorter, and cells looked at more often.
    chance = random.Random(3)
    truth = forecast(
        four_cells(days, site=dataclasses.replace(SITE, reading_interval=3.0)),
        duration=lambda due, declared: declared * chance.uniform(0.97, 1.05) + chance.uniform(0, 1),
    )
    assert truth.n_frames == foreseen.n_frames > 1000 * days
    assert truth.duration == pytest.approx(foreseen.duration, rel=0.05)
    assert photons_of(truth) == pytest.approx(photons_of(foreseen), rel=0.02)
    for before, after in zip(foreseen.cells, truth.cells, strict=True):
        assert after.lateness.mean <= before.lateness.mean + SITE.reading_interval
        assert before.lateness.n_missed == after.lateness.n_missed == 0
        assert after.lateness.maximum <= foreseen_at_most(foreseen)
        assert before.limits == after.limits == ()


@pytest.mark.acceptance
def test_cells_that_are_not_as_believed_take_as_long_and_as_much_light_within_a_few_percent():
    foreseen, truth = (
        forecast(four_cells(1.0, resistance=resistance, relaxation=relaxation))
        for resistance, relaxation in ((None, 60.0), (30.0, 80.0))
    )
    assert truth.duration == pytest.approx(foreseen.duration, rel=0.05)
    assert sum(photons_of(truth)) == pytest.approx(sum(photons_of(foreseen)), rel=0.02)
    assert truth.n_frames == pytest.approx(foreseen.n_frames, rel=0.02)


def foreseen_at_most(foreseen):
    """The most that any cell is foreseen to wait, and one more measurement in the way."""
    longest = 9 * (10.0 + SITE.overhead) + SITE.move
    return max(cell.lateness.maximum for cell in foreseen.cells) + longest


def test_a_cell_that_cannot_be_served_in_time_is_foreseen_to_be_parked():
    costs = {"pattern": point_cost(SITE, 250.0)}
    clock = AbsoluteClock(period=600.0, grace=30.0)
    cells = [
        described(
            rule(clock, cell=cell), costs=costs, cell=cell, parking=Parking(after=3, policy="hold")
        )
        for cell in ("cell1", "cell2", "cell3")
    ]
    found = forecast(cells)
    parked = [cell.cell for cell in found.cells if cell.limits]
    assert parked == ["cell2", "cell3"]
    assert "in a row were missed while other cells were served" in found.cells[2].limits[0]
    assert found.cells[0].lateness.n_missed == 0


def test_the_end_of_a_protocol_is_served_for_every_cell():
    cells = [described(rule(EndOfProtocol(), cell=cell), cell=cell) for cell in ("cell1", "cell2")]
    assert [cell.measurements[0].n_served for cell in forecast(cells).cells] == [1, 1]


def test_a_cell_whose_protocol_has_ended_is_not_measured_while_others_go_on():
    cells = [
        described(rule(CLOCK, cell=cell), cell=cell, protocol=cycle(rate))
        for cell, rate in (("cell1", 1.0), ("cell2", 0.5))
    ]
    alone, both = forecast(cells[0]), forecast(cells)
    assert both.cells[0].lateness.n_served == alone.n_frames
    assert both.cells[1].lateness.n_served > 1.8 * alone.n_frames


def test_a_bright_line_that_saturates_is_refused():
    site = dataclasses.replace(SITE, detector=DetectorFacts(saturation=10.0))
    (fault,) = forecast(described(rule(CLOCK), site=site)).faults
    assert "the detector saturates at 10: what fits is an exposure of at most" in fault
