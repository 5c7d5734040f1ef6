"""Every scenario runs, with its guards, and a frame can be taken of every cell."""

import json
import os
from pathlib import Path

import pytest

from battbeam.channel_access import Context
from battbeam.connection import SiteNotes
from battbeam.processes import wait_for
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Scenario
from tests.own import own_prefix

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

SCENARIOS = sorted((Path(__file__).parents[2] / "sim").glob("*.toml"))


def take_frame(panel, place):
    for axis, target in zip("XY", place, strict=True):
        panel(f"SAMPLE:{axis}").write(target, timeout=10)
        wait_for(
            lambda axis=axis: panel(f"SAMPLE:{axis}.DMOV").read().data[0] == 1,
            timeout=20,
            what=f"axis {axis} at {target}",
        )
    panel("SHUTTER:CMD").write(1, timeout=5)
    panel("DET1:cam1:ImageMode").write(0, timeout=5)
    panel("DET1:cam1:AcquireTime").write(10.0, timeout=5)
    panel("DET1:cam1:Acquire").write(1, timeout=60)
    panel("SHUTTER:CMD").write(0, timeout=5)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_runs_and_shows_every_cell(path, tmp_path, monkeypatch):
    scenario = Scenario.read(path)
    small = {"n_rows": 128, "n_columns": 128, "pixel_size": 0.688}
    for side in ("centre_row", "centre_column"):
        small[side] = getattr(scenario.detector, side) / 4
    detector = scenario.detector.model_copy(update=small)
    own = scenario.model_copy(update={"detector": detector, "prefix": own_prefix()})
    with SimulatedBeamline(own, tmp_path) as running:
        connection = running.start()
        for name, value in connection.environment().items():
            monkeypatch.setitem(os.environ, name, value)
        context, known = Context(), {}

        def panel(name):
            if name not in known:
                (known[name],) = context.get_pvs(f"{own.beamline_prefix}{name}", timeout=10)
                known[name].wait_for_connection(timeout=10)
            return known[name]

        try:
            for place in SiteNotes.read(tmp_path).cell_positions.values():
                take_frame(panel, place)
        finally:
            context.disconnect()
        assert all(child.is_alive for child in running.children)
    lines = [
        json.loads(line) for line in (tmp_path / "sim" / "truth.jsonl").read_text().splitlines()
    ]
    assert [line["cell"] for line in lines] == list(range(1, len(scenario.cells) + 1))
    for line, cell in zip(lines, scenario.cells, strict=True):
        assert line["in_beam"] == "cell"
        assert line["lithium_content"] == pytest.approx(cell.initial_lithium_content, abs=0.05)
