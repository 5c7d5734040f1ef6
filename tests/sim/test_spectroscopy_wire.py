"""Counts, sweeps and the furnace through the wire, as any client sees them."""

import json
import threading

import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.processes import wait_for
from battbeam.sim.clock import ClockClient
from battbeam.sim.monochromator import angle_at, energy_at
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import (
    Beam,
    Cell,
    Detector,
    Furnace,
    Scenario,
    Spectroscopy,
    spectroscopy_stack,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

SCENARIO = Scenario(
    rate=60.0,
    cells=(Cell(chemistry="nmc811", active_loading=4.0, initial_lithium_content=0.9),),
    stack=spectroscopy_stack(),
    beam=Beam(energy=8300.0),
    spectroscopy=Spectroscopy(harmonics=0.0, glitches=()),
    furnace=Furnace(time_constant=1.0),
    detector=Detector(n_rows=64, n_columns=64, pixel_size=1.0, centre_row=32, centre_column=32),
)
N = 4000


class Panel:
    def __init__(self, directory, context):
        self.directory, self._context, self._pvs = directory, context, {}

    def pv(self, name):
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(f"SIM:BL:{name}", timeout=5)
            self._pvs[name].wait_for_connection(timeout=10)
        return self._pvs[name]

    def get(self, name):
        data = self.pv(name).read(timeout=5).data
        value = data[0] if len(data) == 1 else np.array(data)
        return value.decode() if isinstance(value, bytes) else value

    def put(self, name, value):
        self.pv(name).write(value.encode() if isinstance(value, str) else value, timeout=60)

    def go(self, energy):
        self.put("MONO:BRAGG", angle_at(energy))
        wait_for(lambda: self.get("MONO:BRAGG.DMOV") == 1, timeout=20, what="the axis")

    def count(self, duration=1.0):
        self.put("SCALER1:TP", duration)
        self.put("SCALER1:CNT", 1)
        return {name: self.get(f"SCALER1:{name}") for name in ("I0", "IT", "IR", "NUMBER", "FAULT")}

    @property
    def truth(self):
        text = (self.directory / "sim" / "truth.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def panel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("spectroscopy")
    with (
        pytest.MonkeyPatch.context() as patch,
        SimulatedBeamline(SCENARIO, directory, with_guard=False) as running,
    ):
        for name, value in running.start().environment().items():
            patch.setenv(name, value)
        context = Context()
        try:
            found = Panel(directory, context)
            found.put("SHUTTER:CMD", 1)
            yield found
        finally:
            context.disconnect()


def test_counts_lie_on_the_truth_below_and_above_the_edge(panel):
    panel.put("FOIL:NAME", "Ni")
    panel.put("FOIL:IN", 1)
    found = []
    for energy in (8320.0, 8420.0):
        panel.go(energy)
        found.append(panel.count(2.0))
    truth = [line for line in panel.truth if "count" in line][-2:]
    assert [each["NUMBER"] for each in found] == [line["count"] for line in truth]
    assert {each["FAULT"] for each in found} == {""}
    settings = SCENARIO.spectroscopy
    dark = 2 * settings.dark_rates[2]
    relative = settings.transmission_efficiency / settings.i0_efficiency
    for each, line in zip(found, truth, strict=True):
        assert line["end"] - line["start"] == pytest.approx(2.0)
        assert line["foil"] == "Ni"
        absorbance = -np.log((each["IT"] - dark) / (each["I0"] - dark) / relative)
        # 8e6 and 5e6 counts: 6e-4; five of them.
        assert absorbance == pytest.approx(line["absorbance"], abs=3e-3)
    (below, above) = (np.log(each["IT"] / each["IR"]) for each in found)
    assert above - below > 1.0


def test_gain_and_foil_are_as_they_were_put(panel):
    panel.go(8320.0)
    panel.put("FOIL:NAME", "Zz")
    assert panel.get("FOIL:NAME") == "Ni"
    panel.put("AMP_I0:GAIN", 1)
    low = panel.count()["I0"]
    panel.put("AMP_I0:GAIN", 3)
    overloaded = panel.count()
    panel.put("AMP_I0:GAIN", 2)
    assert panel.count()["I0"] / low == pytest.approx(10, rel=0.01)
    assert overloaded["FAULT"] == "overload I0"
    assert overloaded["I0"] == 1e7


def test_a_count_that_is_put_off_ends_at_once(panel):
    panel.put("SCALER1:TP", 36_000.0)
    panel.pv("SCALER1:CNT").write(1, wait=False)
    wait_for(lambda: panel.get("SCALER1:CNT") == 1, timeout=5, what="the count to begin")
    panel.put("SCALER1:CNT", 0)
    assert panel.get("SCALER1:CNT") == 0
    assert panel.get("SCALER1:FAULT") == "aborted"


@pytest.mark.parametrize(("start", "stop"), [(8300.0, 8400.0), (8400.0, 8300.0)])
def test_a_sweep_of_4000_samples_is_read_whole(panel, start, stop):
    for name, value in (("START", start), ("STOP", stop), ("DURATION", 2.0), ("N", N)):
        panel.put(f"SWEEP1:{name}", value)
    panel.put("SWEEP1:GO", 1)
    assert panel.get("SWEEP1:FAULT") == ""
    arrays = {name: panel.get(f"SWEEP1:{name}") for name in ("TIME", "BRAGG", "I0", "IT", "IR")}
    assert {len(values) for values in arrays.values()} == {N}
    line = [line for line in panel.truth if "sweep" in line][-1]
    assert line["sweep"] == panel.get("SWEEP1:NUMBER")
    np.testing.assert_allclose(np.diff(arrays["TIME"]), 2.0 / N, atol=1e-6)
    energy = energy_at(arrays["BRAGG"])
    assert np.all(np.diff(energy) * (stop - start) > 0)
    # 50 eV/s and a lag of 4 ms; 1 % less at one end than at the other, jitter, repeatability.
    shift = np.mean(np.array(line["energy"]) - energy)
    late = -np.sign(stop - start) * 50 * SCENARIO.spectroscopy.lag
    assert shift == pytest.approx(late, abs=0.1)
    assert panel.get("MONO:BRAGG.DMOV") == 1


def test_a_stock_ophyd_signal_reads_the_samples(panel):
    ophyd = pytest.importorskip("ophyd")
    ophyd.set_cl("caproto")
    signal = ophyd.EpicsSignalRO("SIM:BL:SWEEP1:I0", name="i0")
    signal.wait_for_connection(timeout=10)
    np.testing.assert_array_equal(signal.get(), panel.get("SWEEP1:I0"))
    assert signal.get().shape == (N,)
    signal.destroy()


def test_moves_take_session_time(panel):
    clock = ClockClient("SIM:CLOCK:")
    try:
        panel.go(8400.0)
        panel.put("MONO:BRAGG.VELO", 0.01)
        before, way = clock.now(), angle_at(8300.0) - angle_at(8400.0)
        panel.go(8300.0)
        took = clock.now() - before
    finally:
        panel.put("MONO:BRAGG.VELO", 5.0)
        clock.close()
    # 0.16 degree at 0.01 degree/s; asking takes a while, at 60 times the pace of the wall.
    assert way / 0.01 < took < way / 0.01 + 60


def test_the_furnace_ramps_in_session_time_and_refuses_too_much(panel):
    panel.put("FURNACE:RAMP", 300.0)
    panel.put("FURNACE:SP", 125.0)
    wait_for(lambda: panel.get("FURNACE:RBV") > 124.9, timeout=20, what="the furnace")
    panel.put("FURNACE:SP", 5000.0)
    assert panel.get("FURNACE:SP") == 125.0
    reached = threading.Event()
    subscription = panel.pv("FURNACE:RBV").subscribe()

    def take(_subscription, response):
        if response.data[0] < 30:
            reached.set()

    token = subscription.add_callback(take)
    panel.put("FURNACE:SP", 25.0)
    assert reached.wait(20)
    subscription.remove_callback(token)
