from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battbeam.experiment.local_time import (
    WHOLE_SECONDS,
    DateOrder,
    local_time,
    time_zone,
)
from battbeam.sim.foreign_log import ec_lab_date as written_local

BERLIN = time_zone("Europe/Berlin")


def at(*parts) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()


def test_a_zone_without_a_name_is_refused_with_an_example():
    for name in ("", "CET+1", "Mars/Olympus", "../etc/passwd"):
        with pytest.raises(ValueError, match="such as 'Europe/Berlin'"):
            time_zone(name)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("04/20/2025 10:55:16.500", None),
        ("04.20.2025 10:55:16.500", DateOrder.MONTH_FIRST),
        ("20.04.2025 10:55:16,500", DateOrder.DAY_FIRST),
        ("20/04/2025 10:55:16.5", None),
        ("2025-04-20T10:55:16.500", None),
        ("2025-04-20 10:55:16.500", DateOrder.YEAR_FIRST),
    ],
)
def test_every_order_and_mark_gives_the_same_moment(text, order):
    found = local_time(text, zone=BERLIN, order=order)
    assert found.time == at(2025, 4, 20, 8, 55, 16, 500_000)
    assert found.uncertainty == 1e-3


def test_whole_seconds_carry_what_was_cut_off():
    found = local_time("04/20/2025 10:55:16", zone=BERLIN)
    assert found.time == at(2025, 4, 20, 8, 55, 16, 500_000)
    assert found.uncertainty == pytest.approx(0.2887, abs=1e-4)
    assert found.uncertainty == WHOLE_SECONDS


def test_day_and_month_that_cannot_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="say date_order"):
        local_time("04/05/2025 10:00:00", zone=BERLIN)
    day = local_time("04/05/2025 10:00:00", zone=BERLIN, order=DateOrder.DAY_FIRST)
    assert day.time == at(2025, 5, 4, 8, 0, 0, 500_000)
    assert local_time("05/05/2025 10:00:00", zone=BERLIN).time == at(2025, 5, 5, 8, 0, 0, 500_000)


@pytest.mark.parametrize(
    ("text", "order", "message"),
    [
        ("20/04/2025 10:00:00", DateOrder.MONTH_FIRST, "no month 20"),
        ("2025-04-20 10:00:00", DateOrder.DAY_FIRST, "as date_order says"),
        ("02/30/2025 10:00:00", None, "is no date"),
        ("yesterday", None, "wanted a date such as"),
        ("03/30/2025 02:30:00", None, "clocks were put forward"),
    ],
)
def test_what_is_no_date_is_refused(text, order, message):
    with pytest.raises(ValueError, match=message):
        local_time(text, zone=BERLIN, order=order)


def test_an_hour_that_was_twice_is_refused_unless_the_files_before_and_now_decide():
    text, first, second = "10/26/2025 02:30:00", at(2025, 10, 26, 0, 30), at(2025, 10, 26, 1, 30)
    with pytest.raises(ValueError, match=r"was twice in Europe/Berlin.*Etc/GMT-2.*Etc/GMT-1"):
        local_time(text, zone=BERLIN)
    early = local_time(text, zone=BERLIN, not_after=first + 60)
    late = local_time(text, zone=BERLIN, not_before=first + 1800, not_after=second + 60)
    assert (early.time, late.time) == (first + 0.5, second + 0.5)
    with pytest.raises(ValueError, match="was twice"):
        local_time(text, zone=BERLIN, not_before=first - 60, not_after=second + 60)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    time=st.integers(min_value=int(at(2020, 1, 1)), max_value=int(at(2030, 1, 1))),
    zone=st.sampled_from(["Europe/Berlin", "America/Chicago", "Asia/Tokyo", "Asia/Kolkata", "UTC"]),
)
def test_what_ec_lab_writes_is_read_back(time, zone):
    zone = time_zone(zone)
    text = written_local(time + 0.25, zone=zone)
    found = local_time(
        text,
        zone=zone,
        order=DateOrder.MONTH_FIRST,
        not_before=time - 1,
        not_after=time - 599,
    )
    assert found.time == time + 0.25
