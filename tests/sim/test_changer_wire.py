"""The changer through the wire: each cell's frame shows that cell; every photon is counted."""

import json
import math

import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.connection import SiteNotes
from battbeam.processes import wait_for
from battbeam.sim.beam import BeamLog
from battbeam.sim.marker import Markers, marker_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Beam, Cell, Detector, Scenario

pytestmark = pytest.mark.ioc

EVEN = {"gradient_x": 0, "gradient_depth": 0, "dead_spot": None, "inactive_fraction": 0}
SCENARIO = Scenario(
    rate=60.0,
    cells=(
        Cell(initial_lithium_content=0.9, **EVEN),
        Cell(initial_lithium_content=0.3, beam_damage=1e-12, **EVEN),
    ),
    beam=Beam(top_up_interval=600.0, top_up_length=20.0),
    detector=Detector(
        n_rows=64, n_columns=64, pixel_size=1.0, centre_row=32, centre_column=32, clock_offset=5.0
    ),
)


class Panel:
    def __init__(self, context):
        self._context, self._pvs = context, {}

    def pv(self, name):
        if name not in self._pvs:
            (self._pvs[name],) = self._context.get_pvs(f"SIM:BL:{name}", timeout=5)
            self._pvs[name].wait_for_connection(timeout=10)
        return self._pvs[name]

    def get(self, name):
        return self.pv(name).read(timeout=5).data[0]

    def stamped(self, name):
        answer = self.pv(name).read(data_type="time", timeout=5)
        return answer.data[0], answer.metadata.timestamp

    def put(self, name, value):
        self.pv(name).write(value, timeout=30)

    def go(self, x, y):
        for axis, target in (("SAMPLE:X", x), ("SAMPLE:Y", y)):
            self.put(axis, target)
            wait_for(lambda axis=axis: self.get(f"{axis}.DMOV") == 1, timeout=10, what=axis)

    def expose(self, duration):
        self.put("DET1:cam1:ImageMode", 0)
        self.put("DET1:cam1:AcquireTime", duration)
        self.put("DET1:cam1:Acquire", 1)


def test_a_frame_is_of_the_cell_in_the_beam_and_every_photon_is_counted(tmp_path, monkeypatch):
    with SimulatedBeamline(SCENARIO, tmp_path, with_guard=False) as running:
        connection = running.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        context = Context()
        try:
            panel = Panel(context)
            places = SiteNotes.read(tmp_path).cell_positions
            assert places == {"cell1": (0.0, 0.0), "cell2": (0.0, 18.0)}
            panel.put("MARKER:WIDTH", 6.0)
            panel.put("MARKER", 1)
            openings = []
            for place in (places["cell1"], places["cell2"], (0.0, 9.0)):
                panel.go(*place)
                panel.put("SHUTTER:CMD", 1)
                openings.append(panel.stamped("SHUTTER:STATUS")[1])
                panel.expose(5.0)
                panel.put("SHUTTER:CMD", 0)
            lines = (tmp_path / "sim" / "truth.jsonl").read_text().splitlines()
            first, second, between = (json.loads(line) for line in lines)
            stamp, _ = panel.stamped("DET1:cam1:TimeStamp_RBV")
            late = stamp + 631_152_000.0 - between["exposure_end"]
            _, beat = panel.stamped("DET1:HEARTBEAT")
            left, asked = panel.stamped("RING:NextTopUp")
            edges = [panel.get(f"MARKER:{edge}") for edge in ("RISE", "FALL")]
        finally:
            context.disconnect()
    assert [line["cell"] for line in (first, second, between)] == [1, 2, None]
    assert first["lithium_content"] == pytest.approx(0.9, abs=1e-6)
    assert second["lithium_content"] == pytest.approx(0.3, abs=1e-6)
    assert second["footprint"] == pytest.approx([0.0, 0.0])
    assert between["in_beam"] == "nothing"
    # The shutter was open before the exposure: those photons count too.
    for opening, line in zip(openings[:2], (first, second), strict=True):
        log = BeamLog(SCENARIO.beam, start=SCENARIO.start)
        log.change(opening, is_open=True)
        through = log.instants(opening, line["exposure_end"]).total
        assert line["photons"] < through
        assert line["fluence"] * 0.09 == pytest.approx(through, rel=1e-6)
    assert late == pytest.approx(5.0 + 0.002 * 60, abs=1e-3)
    # It may be a moment old, the last before the last exposure, or of now, if the clock stood still.
    assert second["exposure_start"] < beat - 5.0 <= asked
    since_start = (asked - SCENARIO.start) % 600
    assert left == pytest.approx(0.0 if since_start < 20 else 600 - since_start, abs=0.01)
    assert edges[1] - edges[0] == pytest.approx(6.0, abs=1e-6)
    assert Markers(marker_path(tmp_path)).level(np.mean(edges)) == 5.0
    assert not math.isnan(first["flux"])
