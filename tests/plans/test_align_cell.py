import json
import math

import numpy as np
import pytest
from scipy.special import erf

from battbeam.errors import PreflightError, ReductionError
from battbeam.plans.align_cell import align_cell, alignment
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel
from battbeam.sim.scenario import Cell, Detector, Scenario

#: Of the cell: middle, radius, tilt, and what it lets through straight; of the beam: counts, and
#: standard deviation, mm.
X, Y, RADIUS, TILT, THROUGH = 0.13, -0.21, 3.0, 1.3, 0.5
COUNTS, WIDTH = 1e8, 0.09
#: Of a point of the simulated cell, which lets 85 % through: its tilt is known to 0.03 degree then.
PHOTONS = 4e10


@pytest.fixture
def cell(fakes):
    """A round cell whose counters answer every exposure of the detector."""
    stage, tilt, beam = fakes.sample_stage, fakes.tilt_stage, fakes.beam
    rng = np.random.default_rng(7)
    cam, hdf = fakes.detector.cam, fakes.detector.hdf

    def acquire(value, **_):
        if not value:
            return
        away = math.hypot(stage.x.position - X, stage.y.position - Y)
        met = (1 - erf((away - RADIUS) / (math.sqrt(2) * WIDTH))) / 2
        through = THROUGH ** (1 / math.cos(math.radians(tilt.position - TILT)))
        beam.i0.sim_put(float(rng.poisson(COUNTS)))
        beam.transmission_counts.sim_put(float(rng.poisson(COUNTS * (1 - met * (1 - through)))))
        cam.counter.sim_put(cam.counter.get() + 1)
        hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    return fakes


def aligned(fakes, **options):
    return align_cell(
        fakes.detector,
        fakes.sample_stage,
        beam=fakes.beam,
        **{"size": (2 * RADIUS, 2 * RADIUS), "tilt": fakes.tilt_stage, **options},
    )


def test_centre_and_tilt_are_found_and_everything_is_put_back(cell, engine, documents):
    engine(aligned(cell, n_points=11))
    (event,) = documents.events("alignment")
    found = alignment(event["alignment_document"])
    assert found["x"].position == pytest.approx(X, abs=0.01)
    assert found["y"].position == pytest.approx(Y, abs=0.01)
    assert found["x"].size == pytest.approx(2 * RADIUS, abs=0.05)
    assert abs(found["tilt"].tilt - TILT) < 4 * found["tilt"].tilt_error < 0.4
    assert len(documents.events()) == 5 * 11
    stage = cell.sample_stage
    assert [stage.x.position, stage.y.position, cell.tilt_stage.position] == [0.0, 0.0, 0.0]
    assert cell.beam.shutter.position == 0


def test_y_is_looked_for_where_x_was_found(cell, engine, documents):
    engine(aligned(cell, tilt=None, n_points=8))
    over_y = documents.events()[16:]
    assert over_y[0]["sample_stage_x"] == pytest.approx(X, abs=0.01)
    assert set(json.loads(documents.events("alignment")[0]["alignment_document"])) == {"x", "y"}


def test_a_cell_that_is_not_there_fails_the_run_and_leaves_the_beamline_safe(
    fakes, engine, documents
):
    with pytest.raises(ReductionError, match="no edge between"):
        engine(aligned(fakes))
    assert documents.of("stop")[0]["exit_status"] == "fail"
    assert fakes.sample_stage.x.position == 0.0
    assert fakes.beam.shutter.position == 0


def test_scans_that_cannot_be_are_refused(fakes, engine):
    with pytest.raises(PreflightError, match="reach must be above 0 and below half of the cell"):
        engine(aligned(fakes, reach=3.0))
    with pytest.raises(PreflightError, match="n_points must be at least 8"):
        engine(aligned(fakes, n_points=5))
    for no_number in (-1, 21.5):
        with pytest.raises(PreflightError, match="n_points must be at least 8"):
            engine(aligned(fakes, n_points=no_number))
    for no_pair in (15.0, (15.0,), (15.0, float("nan")), ("15", "15")):
        with pytest.raises(PreflightError, match="size must be two numbers in mm"):
            engine(aligned(fakes, size=no_pair))
    with pytest.raises(PreflightError, match="centre must be two numbers in mm"):
        engine(aligned(fakes, centre=0.0))
    with pytest.raises(PreflightError, match=r"tilt_stage: .* outside its limits"):
        engine(aligned(fakes, tilt_reach=25.0))


def test_the_simulated_cell_is_found_where_its_scenario_puts_it(fakes, engine, documents):
    """Row: centre within 0.02 mm, tilt within 0.1 degree; in the physics of the simulation."""
    cell = Cell(position=(X, Y), tilt=TILT)
    small = {"n_rows": 16, "n_columns": 16, "pixel_size": 3.0}
    scenario = Scenario(
        cells=(cell,), detector=Detector(**small, centre_row=8.0, centre_column=8.0)
    )
    model, rng = FrameModel(scenario), np.random.default_rng(3)
    stage, beam, tilt = fakes.sample_stage, fakes.beam, fakes.tilt_stage
    cam, hdf = fakes.detector.cam, fakes.detector.hdf
    light = Instants(np.array([0.5]), np.array([PHOTONS]))

    def acquire(value, **_):
        if not value:
            return
        place = stage.x.position, stage.y.position
        exposure = Exposure(0.0, 1.0, *place, scenario.beam.energy, light, tilt=tilt.position)
        passed = model.expected(exposure, lambda times: np.full(len(times), 0.5)).transmission
        beam.i0.sim_put(float(rng.poisson(PHOTONS * scenario.beam.i0_efficiency)))
        behind = PHOTONS * passed * scenario.beam.transmission_efficiency
        beam.transmission_counts.sim_put(float(rng.poisson(behind)))
        cam.counter.sim_put(cam.counter.get() + 1)
        hdf.captured.sim_put(hdf.captured.get() + 1)

    cam.acquire.sim_set_putter(acquire)
    radius = cell.electrode_radius
    engine(aligned(fakes, size=(2 * radius, 2 * radius), n_points=15))
    found = alignment(documents.events("alignment")[0]["alignment_document"])
    assert found["x"].position == pytest.approx(X, abs=0.02)
    assert found["y"].position == pytest.approx(Y, abs=0.02)
    assert found["tilt"].tilt == pytest.approx(TILT, abs=0.1)
    assert abs(found["tilt"].tilt - TILT) < 4 * found["tilt"].tilt_error < 0.2
