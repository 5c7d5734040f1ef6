import asyncio
from unittest import mock

import pytest

from battbeam.guard.record import GuardRecord, Shown, as_text


def test_an_answer_is_shown_however_late_but_nothing_that_is_older():
    record = GuardRecord("TEST:CELL1:", service=mock.Mock())

    async def publish():
        await record.publish(Shown(5, {"Voltage": 3.6}))
        await record.publish(Shown(4, {"Voltage": 3.5}, '{"id": "load"}'))

    asyncio.run(publish())
    assert record.voltage.value == pytest.approx(3.6)
    assert as_text(record.command_result.value) == '{"id": "load"}'
