"""A detector that does something wrong, and one that does not."""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest

from battbeam.errors import PreflightError
from battbeam.sim.artefacts import Panel, moved, moved_at
from battbeam.sim.beam import BeamLog
from battbeam.sim.cell import HalfCell
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.frame import counts
from battbeam.sim.history import History, HistoryWriter, history_path
from battbeam.sim.scenario import Cell, Detector, DetectorFaults, Scenario
from battbeam.sim.shots import DiffractionCamera, Request
from battbeam.sim.truth import TruthWriter
from battbeam.units import FloatArray

LIGHT = np.full((40, 50), 200.0)
START = Scenario().start


def scenario(**faults: object) -> Scenario:
    detector = Detector(n_rows=40, n_columns=50, dark_rate=0.5, saturation=5000)
    detector = detector.model_copy(update={"faults": DetectorFaults.model_validate(faults)})
    return Scenario(detector=detector)


def frame(panel: Panel, light: FloatArray, *, after: float = 0.0, number: int = 1) -> FloatArray:
    """Of a second, so many s after the start."""
    rng = np.random.default_rng([1, number])
    start = START + after
    seen = panel.counts(light, start=start, end=start + 1.0, number=number, rng=rng)
    return np.asarray(seen, dtype=float)


def test_a_good_detector_counts_as_ever() -> None:
    quiet = scenario()
    rng = np.random.default_rng([1, 7])
    plain = counts(LIGHT, duration=1.0, detector=quiet.detector, rng=rng)
    panel = Panel(quiet)
    frame(panel, 10 * LIGHT)
    assert np.array_equal(frame(panel, LIGHT, after=1.0, number=7), plain)
    assert panel.truth(START) == {}


def test_a_frame_leaves_a_share_in_the_next_that_dies_away() -> None:
    for delay in (0.0, 4.0):
        panel = Panel(scenario(lag_fraction=0.05, lag_time=4.0))
        first = frame(panel, 20 * LIGHT)
        second = frame(panel, LIGHT, after=1.0 + delay, number=2)
        alone = frame(Panel(scenario()), LIGHT, after=1.0 + delay, number=2)
        left = second - alone
        share = 0.05 * np.exp(-delay / 4.0)
        expected = share * (first - 0.5).sum()
        assert left.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))
        third = frame(panel, 0 * LIGHT, after=2.0 + delay, number=3)
        expected = 0.05 * (second - 0.5).sum() + 0.5 * LIGHT.size
        assert third.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_dark_drifts_by_the_hour() -> None:
    panel = Panel(scenario(dark_drift=3.0))
    for hours in (0.0, 2.0):
        dark = frame(panel, 0 * LIGHT, after=3600 * hours)
        expected = (0.5 + 3.0 * hours) * LIGHT.size
        assert dark.sum() == pytest.approx(expected, abs=5 * np.sqrt(expected))
        assert panel.truth(START + 3600 * hours)["dark_rate"] == 0.5 + 3.0 * hours


def test_a_busy_pixel_misses_photons() -> None:
    # After each photon that it counts a pixel is busy: m = n / (1 + n t).
    seen = frame(Panel(scenario(dead_time=1e-3)), LIGHT).sum() - 0.5 * LIGHT.size
    expected = LIGHT.sum() / (1 + 200 * 1e-3)
    assert seen == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_a_hot_cluster_counts_too_much_and_nothing_else_does() -> None:
    hot = frame(Panel(scenario(hot_cluster=(10, 20, 3, 8.0))), LIGHT) - 0.5
    inside = np.zeros(LIGHT.shape, dtype=bool)
    inside[10:13, 20:23] = True
    assert hot[inside].mean() == pytest.approx(1600, abs=5 * np.sqrt(1600 / 9))
    assert hot[~inside].mean() == pytest.approx(200, abs=5 * np.sqrt(200 / 2000))


def test_a_detector_that_is_moved_is_elsewhere_from_then_on() -> None:
    hidden = scenario(moves=(100.0, 2.0, 1.5, -0.5), dark_drift=1.0)
    assert [moved_at(hidden, START + after) for after in (0.0, 99.0, 100.0)] == [False, False, True]
    there = moved(hidden).detector
    assert (there.distance, there.centre_row, there.centre_column) == (132.0, 252.8, 262.2)
    assert there.faults.moves is None
    assert there.faults.dark_drift == 1.0
    assert moved(scenario()) == scenario()


class Standing:
    """A clock that nobody reads."""

    def now(self) -> float:
        return START

    def frozen(self, token: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def test_the_camera_draws_the_rings_where_the_detector_is(tmp_path: Path) -> None:
    detector = scenario(moves=(5.0, 0.0, 3.0, 0.0)).detector
    whole = {"pixel_size": 1.0, "centre_row": 18.3, "centre_column": 24.7, "saturation": 10**9}
    hidden = Scenario(detector=detector.model_copy(update=whole))
    log = BeamLog(hidden.beam, start=START)
    log.change(START, is_open=True)
    path, half = history_path(tmp_path, 1), HalfCell(Cell())
    writer = HistoryWriter(path)
    for second in (0, 30):
        writer.add(START + second, half)
        half.step(30.0, current=0.0)
    writer.close()
    histories = [History(path)]
    camera = DiffractionCamera(
        hidden,
        clock=Standing(),
        histories=histories,
        ledger=FluenceLedger(hidden, beam_log=log, histories=histories),
        beam_log=log,
        truth=TruthWriter(tmp_path / "truth.jsonl"),
    )
    requests = [
        Request(START + t, START + t + 1, 0.0, 0.0, 22163.0, n) for n, t in ((1, 0), (2, 9))
    ]
    before, after = (camera.expose(request) for request in requests)
    assert [shot.truth["detector_moved"] for shot in (before, after)] == [False, True]
    first, second = (shot.frame.astype(float) for shot in (before, after))
    along = np.corrcoef(first[:-3].ravel(), second[3:].ravel())[0, 1]
    # With 50 counts a pixel, of which chance moves 7.
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < 0.5 < 0.8 < along


#: A scenario document in which each artefact is switched on, as `docs/reference/scenarios.md` has it.
SWITCHED_ON = {
    "texture": """[stack.texture]
        r = 0.5
        plane = [1, 1, 1]
        tilt = 60.0
        tilt_direction = 20.0""",
    "graininess": "graininess = 4e6",
    "impurity": """[[stack]]
        material = "LiF"
        thickness = 0.004
        depth = 0.012""",
    "displacement": """[[cells]]
        [cells.motion]
        law = "step"
        at = 10.0""",
    "lag": "[detector.faults]\nlag_fraction = 0.05\nlag_time = 40.0",
    "dark drift": "[detector.faults]\ndark_drift = 0.8",
    "saturation": "[detector]\nsaturation = 5000",
    "pile-up": "[detector.faults]\ndead_time = 1e-6",
    "hot cluster": "[detector.faults]\nhot_cluster = [40, 50, 5, 15.0]",
    "wavelength": "[beam]\nenergy_offset = 14.0",
    "geometry": "[detector.faults]\nmoves = [100.0, 0.12, 0.5, 0.4]",
}
#: One that cannot be, and what is said of it.
REFUSED = {
    "[stack.texture]\nr = 0.0": "stack.1.texture.r",
    "[stack.texture]\nr = 0.5\nplane = [0, 0, 0]": "plane (0, 0, 0) is none",
    "[stack.texture]\nr = 0.5\ntilt_direction = inf": "finite number",
    '[[stack]]\nmaterial = "Kapton"\nthickness = 0.05\ndepth = 1.5\n[stack.texture]\nr = 0.5': (
        "Kapton has no crystals"
    ),
    "graininess = -1.0": "stack.1.graininess",
    "graininess = inf": "finite number",
    '[[stack]]\nmaterial = "SiO2"\nthickness = 0.004\ndepth = 0.012': "'SiO2' is not known",
    "[[cells]]\n[cells.motion]\namplitude = nan": "finite number",
    "[detector.faults]\nlag_fraction = 1.0": "lag_fraction",
    "[detector.faults]\ndark_drift = -0.8": "dark_drift",
    "[detector.faults]\ndead_time = -1e-6": "dead_time",
    "[detector]\nsaturation = 0": "saturation",
    "[detector.faults]\nhot_cluster = [-3, 50, 5, 15.0]": "hot_cluster must begin on one of",
    "[detector.faults]\nhot_cluster = [40, 512, 5, 15.0]": "hot_cluster must begin on one of",
    "[detector.faults]\nhot_cluster = [40, 50, 0, 15.0]": "a size of 1 or more",
    "[detector.faults]\nhot_cluster = [40, 50, 5, -1.0]": "a factor of 0 or more",
    "[detector.faults]\nmoves = [100.0, -130.0, 0.0, 0.0]": "leave the detector behind the sample",
    "[detector.faults]\nmoves = [-1.0, 0.1, 0.0, 0.0]": "moves must be after the start",
    "[detector.faults]\nmoves = [100.0, nan, 0.0, 0.0]": "finite number",
    "[beam]\nenergy_offset = nan": "finite number",
    "[detector.faults]\nlag = 0.1": "detector.faults.lag",
}
#: What comes before, so that a document may go on about the foil.
FOIL = """
[[stack]]
material = "active"
thickness = 0.06
depth = 0.0
[[stack]]
material = "Al"
thickness = 0.015
depth = 0.04
"""


def read(directory: Path, document: str) -> Scenario:
    path = directory / "scenario.toml"
    path.write_text(FOIL + document)
    return Scenario.read(path)


@pytest.mark.parametrize("name", SWITCHED_ON)
def test_an_artefact_is_switched_on_in_a_scenarios_document(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, SWITCHED_ON[name]) != read(tmp_path, "")


@pytest.mark.parametrize("document", REFUSED)
def test_an_artefact_that_cannot_be_is_refused_in_words(tmp_path: Path, document: str) -> None:
    with pytest.raises(PreflightError, match=re.escape(REFUSED[document])):
        read(tmp_path, document)
