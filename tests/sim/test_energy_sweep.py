import asyncio
from dataclasses import dataclass

import numpy as np
import pytest

from battbeam.sim.count_request import Reading, Request
from battbeam.sim.counters import Counts
from battbeam.sim.energy_sweep import EnergySweep, Sweep
from battbeam.sim.monochromator import angle_at, energy_at
from battbeam.sim.motor import Motor


@dataclass
class SteppedClock:
    """A clock that goes on by a step each time that it is asked."""

    step: float = 0.01
    time: float = 100.0
    rate: float = 1e9

    def now(self) -> float:
        self.time += self.step
        return self.time


class Bench:
    def __init__(self, *, fault="", step=0.01):
        self.clock, self.requests, self.fault = SteppedClock(step=step), [], fault
        self.axis = Motor(
            "BRAGG",
            units="deg",
            limits=(1, 60),
            velocity=5.0,
            acceleration_time=0.05,
            position=angle_at(8000.0),
            clock=self.clock,
        )
        self.sweep = EnergySweep(
            "SWEEP1:",
            axis=self.axis,
            clock=self.clock,
            encoder_period=1e-5,
            ask=self.ask,
            take=self.take,
        )

    def ask(self, number, edges):
        return Request(
            "sweep", number, edges, 0.0, 0.0, (2, 2, 2), "", self.axis, self.axis.n_turns
        )

    async def take(self, request):
        self.requests.append(request)
        n = len(request.edges) - 1
        counts = Counts(*(np.full(n, float(value)) for value in range(1, 6)), overloaded=())
        return Reading(counts, np.linspace(13.7, 13.5, n), self.fault)

    async def ready(self, start=8300.0, stop=8400.0, duration=2.0, n=100):
        await self.axis.prepare()
        await self.sweep.prepare()
        await self.sweep.Start.write(start)
        await self.sweep.Stop.write(stop)
        await self.sweep.Duration.write(duration)
        await self.sweep.NSamples.write(n)

    def run(self, **asked):
        async def steps():
            await self.ready(**asked)
            await self.sweep.sweep()

        asyncio.run(steps())


@pytest.mark.parametrize(("start", "stop"), [(8300.0, 8400.0), (8400.0, 8300.0)])
def test_the_gates_run_from_start_to_stop_at_constant_speed(start, stop):
    bench = Bench()
    bench.run(start=start, stop=stop)
    (request,) = bench.requests
    assert len(request.edges) == 101
    np.testing.assert_allclose(np.diff(request.edges), 0.02, rtol=1e-6)
    angles = bench.axis.position_at(request.edges)
    assert energy_at(angles[0]) == pytest.approx(start, abs=1e-6)
    assert energy_at(angles[-1]) == pytest.approx(stop, abs=1e-6)
    np.testing.assert_allclose(np.diff(angles), (angles[-1] - angles[0]) / 100, rtol=1e-6)


def test_the_axis_taxis_before_and_comes_to_rest_behind():
    bench = Bench()
    bench.run()
    (request,) = bench.requests
    begin, end = bench.axis.move.origin, bench.axis.move.target
    assert energy_at(begin) < 8300 < 8400 < energy_at(end)
    assert bench.axis.position == end
    assert request.n_turns == 0
    assert bench.axis.record.field_inst.done_moving_to_value.value == 1


def test_when_it_is_done_the_arrays_are_there_with_their_times():
    bench = Bench(fault="overload IT")
    bench.run(n=50)
    sweep, (request,) = bench.sweep, bench.requests
    np.testing.assert_allclose(sweep.Time.value, request.edges[1:])
    assert [len(record.value) for record in (sweep.Bragg, sweep.I0, sweep.Fluorescence)] == [50] * 3
    assert [record.value[0] for record in (sweep.I0, sweep.Transmitted, sweep.Reference)] == [
        1,
        2,
        3,
    ]
    assert sweep.StampStart.value == request.edges[0]
    assert sweep.StampEnd.value == request.edges[-1]
    assert sweep.EncoderPeriod.value == 1e-5
    assert (sweep.Go.value, sweep.Number.value, sweep.Fault.value) == ("Done", 1, "overload IT")


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({"n": 1}, "N must be 2 to 4000, got 1"),
        ({"n": 4001}, "N must be 2 to 4000, got 4001"),
        ({"duration": 0.0}, "DURATION must be > 0 s, got 0"),
        ({"start": 8300.0, "stop": 8300.0}, "START and STOP are both 8300 eV"),
        ({"stop": 1500.0}, "1500 eV is reflected at no angle, the"),
        ({"start": 2100.0, "stop": 2200.0}, "deg is out of limits"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_moves(asked, fault):
    bench = Bench()
    bench.run(**asked)
    assert fault in bench.sweep.Fault.value
    assert bench.sweep.Go.value == "Done"
    assert bench.axis.position == angle_at(8000.0)
    assert bench.requests == []


def test_a_sweep_that_is_aborted_leaves_the_axis_at_rest():
    bench = Bench(step=1e-4)

    async def steps():
        await bench.ready(duration=1e3)
        sweeping = asyncio.ensure_future(bench.sweep.sweep())
        while bench.axis.move.velocity > 0.5:
            await asyncio.sleep(0)
        await bench.sweep.abort()
        await sweeping

    asyncio.run(steps())
    assert bench.sweep.Fault.value == "aborted"
    assert bench.axis.move.distance == 0
    assert bench.requests == []


def test_an_axis_that_somebody_sends_elsewhere_spoils_the_sweep():
    bench = Bench(step=1e-4)

    async def steps():
        await bench.ready(duration=1e3)
        sweeping = asyncio.ensure_future(bench.sweep.sweep())
        while bench.axis.move.velocity > 0.5:
            await asyncio.sleep(0)
        await bench.axis.start(10.0)
        await sweeping

    asyncio.run(steps())
    assert bench.sweep.Fault.value == "axis stopped or sent elsewhere"
    assert bench.requests == []


def test_the_run_up_reaches_full_speed_before_the_first_gate():
    sweep = Sweep.of(8300.0, 8400.0, 1.0, 100, acceleration_time=0.4)
    begin, end = sweep.taxi
    # v t / 2 of acceleration and 0.05 s of constant speed.
    assert begin - sweep.first == pytest.approx(sweep.velocity * (0.2 + 0.05))
    assert sweep.last - end == pytest.approx(sweep.velocity * (0.2 + 0.05))
