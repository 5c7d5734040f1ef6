import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from battbeam.errors import ProcessError
from battbeam.sim.count_request import Reading, Request
from battbeam.sim.counters import Counts
from battbeam.sim.counting_panel import CountingPanel
from battbeam.sim.scaler import Scaler


@dataclass
class SteppedClock:
    """A clock that goes on by a step each time that it is asked."""

    step: float = 0.01
    time: float = 100.0
    rate: float = 1e9

    def now(self) -> float:
        self.time += self.step
        return self.time


def reading(fault=""):
    values = (np.array([float(value)]) for value in (11, 22, 33, 44, 55))
    return Reading(Counts(*values, overloaded=()), np.array([13.5]), fault)


class Bench:
    def __init__(self, answer=None, *, step=0.01):
        self.clock, self.requests = SteppedClock(step=step), []
        self.answer = reading() if answer is None else answer
        self.scaler = Scaler("SCALER1:", clock=self.clock, ask=self.ask, take=self.take)

    def ask(self, number, edges):
        return Request("count", number, edges, 0.0, 0.0, (2, 2, 2), "", None, 0)

    async def take(self, request):
        self.requests.append((self.clock.time, request))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_count_lasts_its_preset_and_then_everything_is_there():
    bench = Bench()

    async def steps():
        await bench.scaler.Preset.write(2.5)
        await bench.scaler.count()

    asyncio.run(steps())
    ((taken, request),) = bench.requests
    assert request.end - request.start == pytest.approx(2.5)
    assert taken >= request.end
    scaler = bench.scaler
    shown = [
        record.value
        for record in (
            scaler.I0,
            scaler.Transmitted,
            scaler.Reference,
            scaler.Fluorescence,
            scaler.FluorescenceInput,
            scaler.Bragg,
        )
    ]
    assert shown == [11, 22, 33, 44, 55, 13.5]
    assert scaler.Stamp.value == request.end
    assert scaler.Elapsed.value == pytest.approx(2.5)
    assert (scaler.Number.value, scaler.Fault.value, scaler.Count.value) == (1, "", "Done")


def test_a_count_that_is_aborted_is_lost_and_its_number_free():
    bench = Bench(step=0.0)

    async def steps():
        counting = asyncio.ensure_future(bench.scaler.count())
        for _ in range(3):
            await asyncio.sleep(0)
        busy = bench.scaler.Count.value
        await bench.scaler.abort()
        await counting
        aborted = bench.scaler.Fault.value
        bench.clock.step = 0.01
        await bench.scaler.count()
        return busy, aborted

    assert asyncio.run(steps()) == ("Count", "aborted")
    assert [request.number for _, request in bench.requests] == [1]
    assert bench.scaler.Fault.value == ""


def test_who_puts_while_it_counts_waits_for_the_same_count():
    bench = Bench()

    async def steps():
        await asyncio.gather(bench.scaler.count(), bench.scaler.count())

    asyncio.run(steps())
    assert len(bench.requests) == 1


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (reading("overload I0"), "overload I0"),
        (ProcessError("history_C1.jsonl: waited 10 s"), "history_C1.jsonl: waited 10 s"),
    ],
)
def test_what_went_wrong_is_told_and_the_scaler_serves_on(answer, fault):
    bench = Bench(answer)
    asyncio.run(bench.scaler.count())
    assert bench.scaler.Fault.value == fault
    assert bench.scaler.Count.value == "Done"
    bench.answer = reading()
    asyncio.run(bench.scaler.count())
    assert bench.scaler.Fault.value == ""


def test_the_panel_says_which_gains_and_which_foil():
    panel = CountingPanel("BL:")

    async def steps():
        before = panel.gains, panel.foil
        await panel.amplifiers["IT"].Gain.write("1e9")
        await panel.wheel.Name.write("Ni")
        out = panel.foil
        await panel.wheel.IsIn.write("In")
        return before, out

    assert asyncio.run(steps()) == (((2, 2, 2), ""), "")
    assert (panel.gains, panel.foil) == ((2, 3, 2), "Ni")
    names = {name for group in panel.groups for name in group.pvdb}
    assert names == {"BL:AMP_I0:GAIN", "BL:AMP_IT:GAIN", "BL:AMP_IR:GAIN"} | {
        "BL:FOIL:NAME",
        "BL:FOIL:IN",
    }


def test_a_foil_that_there_is_none_of_is_not_taken():
    panel = CountingPanel("BL:")

    async def steps():
        await panel.wheel.IsIn.write("In")
        await panel.wheel.Name.write("Fe")
        await panel.wheel.Name.write("Unobtainium")

    asyncio.run(steps())
    assert panel.foil == "Fe"
