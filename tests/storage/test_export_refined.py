"""Exported patterns of simulated frames, refined by a program that shares nothing with battbeam."""

import numpy as np
import pytest
import xarray as xr
from refinement import read_xy, refined

from battbeam import materials
from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.xrd import ScatteringPhase, XrdReducer
from battbeam.sim.beam import Instants
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.scenario import Cell, Detector, Layer, Scenario
from battbeam.sim.truth import frame_truth
from battbeam.storage.export import export_patterns
from battbeam.units import q_from_two_theta

EXPOSURE, FLUX = 60.0, 2.2e6
#: The electrode on its collector between films: two phases with lines.
STACK = (
    Layer(material="Kapton", thickness=0.05, depth=-0.2),
    Layer(material="active", thickness=0.06, depth=0.0),
    Layer(material="Al", thickness=0.015, depth=0.04),
    Layer(material="Kapton", thickness=0.05, depth=0.2),
)
PHASES = [ScatteringPhase("NMC811", 0.0, 0.5), ScatteringPhase("Al", 0.04, 0.4)]
#: Grains alike, so that there is one lattice to find.
CELL = Cell(chemistry="nmc811", gradient_x=0, gradient_depth=0, inactive_fraction=0)
#: The beam in a corner: lines to 40 degree.
SCENARIO = Scenario(
    cells=(CELL,), stack=STACK, detector=Detector(centre_row=60.4, centre_column=71.8)
)
CONTENTS = (0.9, 0.5, 0.3)
#: How far off the refinement starts, angstrom: ten times what it has to find.
OFF = np.array([0.005, -0.04])
#: Of an edge; two programs' structure factors and backgrounds are not the same to the last digit.
RELATIVE = 1e-4


def frame(model, place, content, flux, seed):
    """A frame and its truth."""
    energy, times = SCENARIO.beam.energy, np.linspace(0, EXPOSURE, 9)
    photons = Instants(times, np.full(9, flux * EXPOSURE / 9))
    exposure = Exposure(0.0, EXPOSURE, *place, energy, photons)
    expected = model.expected(exposure, lambda t: content + 0 * np.asarray(t))
    rng = np.random.default_rng(seed)
    made = counts(expected.photons, duration=EXPOSURE, detector=SCENARIO.detector, rng=rng)
    return made, expected, exposure


def reducer_of(model, directory):
    """A reducer for a geometry that was found from a standard."""
    detector = SCENARIO.detector
    guess = GeometryGuess(
        detector.distance * 1.01,
        (detector.centre_row + 2, detector.centre_column - 3),
        (detector.pixel_size, detector.pixel_size),
        SCENARIO.beam.energy,
    )
    standard, _, _ = frame(model, SCENARIO.standard_position, 0.5, 2.5e9, 999)
    found = calibrate_geometry(standard, calibrant=SCENARIO.standard, guess=guess, time=0.0)
    found.write(directory / "g.poni", directory / "i.json")
    shape = (detector.n_rows, detector.n_columns)
    return XrdReducer(directory / "g.poni", directory / "i.json", PHASES, shape=shape)


def rows_of(results, two_theta):
    """Reduced rows as the catalogue gives them."""
    lattices = [each.phases["NMC811"] for each in results]
    columns = {f"lattice_NMC811_{edge}": [each.lattice[edge] for each in lattices] for edge in "ac"}
    columns |= {
        f"lattice_NMC811_{edge}_error": [each.lattice_error[edge] for each in lattices]
        for edge in "ac"
    }
    columns["valid"] = [int(each.valid) for each in results]
    rows = xr.Dataset({name: ("time", values) for name, values in columns.items()})
    for name in ("intensity", "intensity_error"):
        rows[name] = (("time", "two_theta"), np.array([getattr(each, name) for each in results]))
    q = q_from_two_theta(two_theta=two_theta, energy=SCENARIO.beam.energy)
    rows = rows.assign_coords(
        time=np.arange(len(results)) * EXPOSURE, two_theta=two_theta, q=("two_theta", q)
    )
    phases = [{"phase": each.phase} for each in PHASES]
    rows.attrs = {"uid": "refined-by-others", "parameters": {"phases": phases}}
    return rows


@pytest.mark.acceptance
def test_another_program_refines_the_lattice_that_battbeam_found(tmp_path):
    pytest.importorskip("cryspy", reason="pip install battbeam[refinement]; ./run acceptance does")
    model = FrameModel(SCENARIO)
    reducer = reducer_of(model, tmp_path)
    results, truths = [], []
    for seed, content in enumerate(CONTENTS):
        made, expected, exposure = frame(model, (0.0, 0.0), content, FLUX, seed)
        monitor = FLUX * EXPOSURE * 0.01
        results.append(reducer.reduce(made, monitor=monitor, transmission=expected.transmission))
        truths.append(frame_truth(exposure, expected, SCENARIO, None))
    rows = rows_of(results, reducer.two_theta)
    paths = export_patterns(rows, tmp_path / "patterns")
    assert len(paths) == len(CONTENTS)
    for path, content, result, truth in zip(paths, CONTENTS, results, truths, strict=True):
        pattern, wavelength = read_xy(path)
        hidden = np.array([truth["lattice"]["NMC811"][edge] for edge in "ac"])
        ours, our_errors = (
            np.array([getattr(result.phases["NMC811"], name)[edge] for edge in "ac"])
            for name in ("lattice", "lattice_error")
        )
        structures = [materials.structure("NMC811", content), materials.structure("Al")]
        theirs = refined(pattern, wavelength, structures, [tuple(hidden + OFF), (4.05,)])
        # Its structure factors leave nothing over that counting does not explain.
        assert theirs.chi_squared < 1 + 4 * np.sqrt(2 / len(pattern))
        apart = np.abs(theirs.edges - ours)
        assert np.all(apart < 2 * np.hypot(theirs.errors, our_errors) + RELATIVE * ours)
        assert np.all(np.abs(theirs.edges - hidden) < 2 * theirs.errors + RELATIVE * hidden)
