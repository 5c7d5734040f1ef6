"""Artefacts of diffraction through the wire: the plain reduction is wrong, the one that asks is right or
says so. One beamline: four cells of the changer, and a detector that is moved between two runs.
"""

import contextlib

import numpy as np
import pytest

from battbeam.callbacks.frame_checks import AskedChecks, FrameChecks
from battbeam.callbacks.methods import reduced_again
from battbeam.callbacks.xrd_phases import scattering_phases
from battbeam.plans.calibrate import calibrate_geometry, measure_dark
from battbeam.plans.stubs import wait_until
from battbeam.plans.xrd_series import xrd_reduction, xrd_series
from battbeam.reduction.geometry import GeometryGuess
from battbeam.reduction.geometry import calibrate_geometry as calibrate_geometry_of
from battbeam.reduction.xrd import XrdReducer
from battbeam.sim.beam import BeamLog
from battbeam.sim.cell import HalfCell
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History, HistoryWriter, history_path
from battbeam.sim.scenario import (
    Beam,
    Cell,
    Detector,
    DetectorFaults,
    Layer,
    Motion,
    Scenario,
    Texture,
)
from battbeam.sim.scenario_layer import coin_cell_stack
from battbeam.sim.shots import DiffractionCamera, Request
from battbeam.sim.truth import TruthWriter
from battbeam.storage.tail import documents
from tests.rows.spectra import truth_lines
from tests.rows.wire import session_on, set_rate

#: Above this many of its own errors a value is wrong, below it is right.
SURE = 3.0
#: s after the start at which the detector is moved away, and by how much, mm.
MOVED_AT, AWAY = 20_000.0, 0.15
EXPOSURE = 10.0
#: depth, share of the absorption behind it, and whether it goes along where the cell moves.
LAYERS = {
    "NMC811": (0.0, 0.7, True),
    "Al": (0.04, 0.43, True),
    "Li": (-0.27, 0.98, True),
    "steel": (1.45, 0.2, False),
}


def phases(*references):
    """As a start document lists them."""
    return [
        {
            "phase": name,
            "depth": depth,
            "downstream": behind,
            "reference": name in references,
            "moves": moves,
        }
        for name, (depth, behind, moves) in LAYERS.items()
    ]


def cell(*more, motion=None, **changes):
    """An even one, with fields of layers changed by material, and more layers."""
    layers = [
        layer.model_copy(update=changes.get(layer.material, {})) for layer in coin_cell_stack()
    ]
    return Cell(
        chemistry="nmc811",
        initial_lithium_content=0.5,
        gradient_x=0,
        gradient_depth=0,
        dead_spot=None,
        inactive_fraction=0,
        motion=motion,
        stack=(*layers, *more),
    )


#: A good cell; one that moved; one with what nobody listed in it; one whose foil's grains lean.
CELLS = (
    cell(),
    cell(motion=Motion(law="step", amplitude=0.1)),
    cell(Layer(material="LiF", thickness=0.003, depth=0.012)),
    cell(Al={"texture": Texture(r=0.5, plane=(1, 1, 1), tilt=60.0, tilt_direction=20.0)}),
)
FAULTY = Scenario(
    seed=71,
    prefix="AF:",
    rate=10.0,
    cells=CELLS,
    beam=Beam(flux=1e9),
    detector=Detector(
        n_rows=256,
        n_columns=256,
        pixel_size=0.344,
        centre_row=125.6,
        centre_column=131.3,
        peak_width=0.17,
        faults=DetectorFaults(moves=(MOVED_AT, AWAY, 0.0, 0.0)),
    ),
)


def lattice_off(row, line):
    """Of the oxide's edges, the larger, in its own errors."""
    true = line["lattice"]["NMC811"]
    names = {edge: f"lattice_NMC811_{edge}" for edge in "ac"}
    return max(abs(row[n] - true[edge]) / row[f"{n}_error"] for edge, n in names.items())


def ratio(row):
    """Of aluminium to oxide, and its error."""
    one, other = (
        np.array([row[f"amount_{n}"], row[f"amount_{n}_error"]]) for n in ("Al", "NMC811")
    )
    found = one[0] / other[0]
    return found, found * np.hypot(one[1] / one[0], other[1] / other[0])


def ratio_off(row, good):
    """Between two cells that have the same of both, in its own errors."""
    (here, error), (there, other) = ratio(row), ratio(good)
    return abs(here - there) / np.hypot(error, other)


def said(row):
    """Flags of a row but that of a dark, which is hours old where the detector has been moved."""
    return [flag for flag in row["flags"].split("; ") if flag and not flag.startswith("dark is")]


def judge(naive, ours, lines):
    """Rows of the good cell, the moved one, the impure one, the leaning foil, the moved detector."""
    for name, rows in (("naive", naive), ("ours", ours)):
        for number, row in enumerate(rows):
            line = lines[number % 4 + 1]
            print(
                f"{name} {number}: lattice off by {lattice_off(row, line):.1f}, ratio by "
                f"{ratio_off(row, rows[0]):.1f}, displacement {row['displacement']:+.3f} mm, "
                f"valid {row['valid']} {row['invalid_reason']}, flags {row['flags']}"
            )
    good, moved, impure, leaning, away = range(5)
    assert [said(row) for row in naive] == [[]] * 5
    for rows in (naive, ours):
        assert rows[good]["valid"]
        assert lattice_off(rows[good], lines[1]) < SURE
    assert said(ours[good]) == []
    # A cell 0.1 mm from its place, and a detector from its: aluminium on the electrode tells.
    for number, line, displacement in ((moved, lines[2], 0.1), (away, lines[1], -AWAY)):
        assert naive[number]["valid"]
        assert lattice_off(naive[number], line) > SURE
        assert lattice_off(ours[number], line) < SURE
        c = line["lattice"]["NMC811"]["c"]
        assert abs(naive[number]["lattice_NMC811_c"] - c) > 0.009
        assert ours[number]["lattice_NMC811_c"] == pytest.approx(c, abs=0.003)
        error = ours[number]["displacement_error"]
        assert ours[number]["displacement"] == pytest.approx(displacement, abs=SURE * error)
    # A phase that nobody listed, and grains that lean: amounts are wrong, and it is said.
    for number, word in ((impure, "LiF"), (leaning, "Al textured: ring uneven")):
        assert naive[number]["valid"]
        assert ratio_off(naive[number], naive[good]) > SURE
        assert word in ours[number]["flags"]


# Without the wire.


class Standing:
    """A clock that nobody reads, at the start."""

    def now(self):
        return FAULTY.start

    def frozen(self, token):
        return contextlib.nullcontext()


def camera_of(directory):
    """With cells that rest, in an open beam."""
    log = BeamLog(FAULTY.beam, start=FAULTY.start)
    log.change(FAULTY.start, is_open=True)
    histories = []
    for number, each in enumerate(CELLS, start=1):
        path, half = history_path(directory, number), HalfCell(each)
        writer = HistoryWriter(path)
        for after in (0.0, 60.0, MOVED_AT, MOVED_AT + 1000.0):
            writer.add(FAULTY.start + after, half)
            half.step(60.0, current=0.0)
        writer.close()
        histories.append(History(path))
    return DiffractionCamera(
        FAULTY,
        clock=Standing(),
        histories=histories,
        ledger=FluenceLedger(FAULTY, beam_log=log, histories=histories),
        beam_log=log,
        truth=TruthWriter(directory / "truth.jsonl"),
    )


def shots_of(camera):
    """Of the standard, the four cells, and the first one once the detector was moved."""
    energy, places = FAULTY.beam.energy, [FAULTY.standard_position, *FAULTY.positions]
    asked = [(100.0 * (n + 1), place) for n, place in enumerate(places)]
    asked.append((MOVED_AT + 100.0, FAULTY.positions[0]))
    return [
        camera.expose(
            Request(FAULTY.start + at, FAULTY.start + at + EXPOSURE, *place, energy, number)
        )
        for number, (at, place) in enumerate(asked, start=1)
    ]


def row_of(result, flags=()):
    """The columns of a row that are looked at."""
    row = {"valid": result.valid, "invalid_reason": result.reason, "flags": "; ".join(flags)}
    for name in ("displacement", "displacement_error"):
        row[name] = getattr(result, name)
    oxide = result.phases["NMC811"]
    for edge in "ac":
        row[f"lattice_NMC811_{edge}"] = oxide.lattice[edge]
        row[f"lattice_NMC811_{edge}_error"] = oxide.lattice_error[edge]
    for name in ("Al", "NMC811"):
        found = result.phases[name]
        row |= {f"amount_{name}": found.amount, f"amount_{name}_error": found.amount_error}
    return row


@pytest.mark.acceptance
def test_artefacts_in_frames_are_set_right_or_said(tmp_path):
    standard, *shots = shots_of(camera_of(tmp_path))
    detector, energy = FAULTY.detector, FAULTY.beam.energy
    guess = GeometryGuess(
        detector.distance * 1.01,
        (detector.centre_row + 2, detector.centre_column - 3),
        (detector.pixel_size, detector.pixel_size),
        energy,
    )
    geometry, instrument = tmp_path / "g.poni", tmp_path / "i.json"
    found = calibrate_geometry_of(standard.frame, calibrant=FAULTY.standard, guess=guess, time=0.0)
    found.write(geometry, instrument)
    shape = standard.frame.shape
    naive, ours = (
        XrdReducer(geometry, instrument, scattering_phases(listed, None, energy), shape=shape)
        for listed in (phases(), phases("Al"))
    )
    checks = FrameChecks(
        AskedChecks(powder=True),
        geometry=geometry,
        instrument=instrument,
        phases=scattering_phases(phases("Al"), None, energy),
        shape=shape,
        energy=energy,
    )
    rows = [], []
    for shot in shots:
        light = {"monitor": shot.i0, "transmission": shot.truth["transmission"]}
        rows[0].append(row_of(naive.reduce(shot.frame, **light)))
        looked = checks.look(shot.frame, start=shot.request.start, exposure=EXPOSURE, dark=None)
        result = ours.reduce(looked.frame, **light)
        rows[1].append(row_of(result, [*looked.flags, *checks.said_of(result)]))
    judge(*rows, {shot.truth["cell"]: shot.truth for shot in shots})


# Through the wire.


def rows_of(session, uid, **asked):
    """Reduced rows of a run, as it asked for or otherwise."""
    spool = session.connection.spool
    lines = [(line.name, line.doc) for line in documents(spool / f"{uid}.jsonl")]
    found = reduced_again(lines, session.connection.directory / "volumes", options=asked or None)
    return [doc["data"] for name, doc in found if name == "event"]


def calibrated(b):
    """Dark, and geometry by the standard where it stands."""
    stage, place = b.sample_stage, b.standard_position
    yield from measure_dark(
        b.detector, beam=b.beam, exposure=EXPOSURE, n_frames=3, dark=b.calibration / "dark.npz"
    )
    yield from calibrate_geometry(
        b.detector,
        beam=b.beam,
        standard=b.standard,
        positions=[(stage.x, place[0]), (stage.y, place[1])],
        exposure=4.0,
        n_frames=3,
        energy=b.monochromator.position,
        guess=b.guess,
        geometry=b.calibration / "detector.poni",
        readables=[stage, b.monochromator],
    )


def pattern(b, place):
    """One of a cell of the changer, reduced as if nothing were wrong."""
    stage = b.sample_stage
    beam = FAULTY.beam
    plain = xrd_reduction(
        b.calibration,
        [],
        # What the counters say without a cell.
        transmission_reference=beam.transmission_efficiency / beam.i0_efficiency,
    )
    return (
        yield from xrd_series(
            [b.detector],
            beam=b.beam,
            clock=b.clock,
            exposure=EXPOSURE,
            readables=[stage],
            positions=[(stage.x, place[0]), (stage.y, place[1])],
            reduction=plain | {"phases": phases()},
        )
    )


@pytest.mark.ioc
@pytest.mark.acceptance
def test_artefacts_are_set_right_or_said_where_the_plain_reduction_is_wrong(tmp_path):
    with session_on(FAULTY, tmp_path) as session:
        b = session.beamline
        session.run(calibrated(b))
        uids = [session.run(pattern(b, place)) for place in FAULTY.positions]
        assert b.clock.now() < FAULTY.start + MOVED_AT
        set_rate(FAULTY, 1000.0)
        session.run(wait_until(b.clock, FAULTY.start + MOVED_AT + 10.0))
        set_rate(FAULTY, FAULTY.rate)
        uids.append(session.run(pattern(b, FAULTY.positions[0])))
        uids = [uid[0] if isinstance(uid, tuple) else uid for uid in uids]
        naive = [rows_of(session, uid)[-1] for uid in uids]
        asked = {"phases": phases("Al"), "checks": {"powder": True}}
        ours = [rows_of(session, uid, **asked)[-1] for uid in uids]
        truth = truth_lines(session.connection.directory / "sim" / "truth.jsonl")
        lines = {line["cell"]: line for line in truth if "lattice" in line}
    judge(naive, ours, lines)
    # The detector was moved hours after its dark.
    assert "dark is" in naive[-1]["flags"]
