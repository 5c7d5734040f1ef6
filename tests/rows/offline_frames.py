"""What the rows on layered oxides share: frames of cycled cells without the wire, reduced, beside the truth."""

from dataclasses import replace

import numpy as np

from battbeam.reduction.geometry import GeometryGuess, calibrate_geometry
from battbeam.reduction.xrd import XrdOptions, XrdReducer
from battbeam.sim.beam import Instants
from battbeam.sim.cell import HalfCell
from battbeam.sim.frame import Exposure, FrameModel, counts
from battbeam.sim.history import History, HistoryWriter
from battbeam.sim.truth import frame_truth

#: s.
MODEL_STEP = 5.0


class Charged:
    """What a simulated cell goes through: steps of constant current (A) or voltage (V), each until a
    voltage or for a time.
    """

    def __init__(self, cell, path):
        self.half, self.path, self.time = HalfCell(cell), path, 0.0
        self._writer = HistoryWriter(path)
        self._writer.add(0.0, self.half)

    def step(self, duration, *, until=None, **control):
        end = self.time + duration
        while self.time < end and (until is None or self.half.voltage < until):
            self.half.step(MODEL_STEP, **control)
            self.time += MODEL_STEP
            self._writer.add(self.time, self.half)

    def discharge(self, duration, *, until, **control):
        end = self.time + duration
        while self.time < end and self.half.voltage > until:
            self.half.step(MODEL_STEP, **control)
            self.time += MODEL_STEP
            self._writer.add(self.time, self.half)

    def history(self):
        self._writer.close()
        return History(self.path)


class Bench:
    """A scenario on a smaller detector, calibrated with its standard."""

    def __init__(self, scenario, directory, *, n_pixels, exposure, standard=600.0):
        known = scenario.detector
        smaller = known.n_rows / n_pixels
        detector = known.model_copy(
            update={
                "n_rows": n_pixels,
                "n_columns": n_pixels,
                "pixel_size": known.pixel_size * smaller,
                "centre_row": known.centre_row / smaller,
                "centre_column": known.centre_column / smaller,
            }
        )
        self.scenario = scenario.model_copy(update={"detector": detector})
        self.model, self.directory, self.exposure = FrameModel(self.scenario), directory, exposure
        self._calibrate(standard)

    def instants(self, start, end):
        times = np.linspace(start, end, 9)
        return Instants(times, np.full(9, self.scenario.beam.flux * (end - start) / 9))

    def _calibrate(self, duration):
        detector, energy = self.scenario.detector, self.scenario.beam.energy
        place = self.scenario.standard_position
        shot = Exposure(0.0, duration, *place, energy, self.instants(0.0, duration))
        expected = self.model.expected(shot, lambda times: 0.5)
        # The sum of as many exposures as it takes: none is saturated.
        added = detector.model_copy(update={"saturation": int(1e9)})
        frame = counts(
            expected.photons, duration=duration, detector=added, rng=np.random.default_rng(999)
        )
        guess = GeometryGuess(
            detector.distance * 1.01,
            (detector.centre_row + 2, detector.centre_column - 3),
            (detector.pixel_size, detector.pixel_size),
            energy,
        )
        found = calibrate_geometry(frame, calibrant=self.scenario.standard, guess=guess, time=0.0)
        found.write(self.directory / "g.poni", self.directory / "i.json")

    def reducer(self, phases, **options):
        detector = self.scenario.detector
        return XrdReducer(
            self.directory / "g.poni",
            self.directory / "i.json",
            phases,
            shape=(detector.n_rows, detector.n_columns),
            options=XrdOptions(**options),
        )

    def frame(self, number, history, start, *, seed, energy=None):
        """Counts of a cell, of its monitor and its transmission, and the truth."""
        scenario, end = self.scenario, start + self.exposure
        place = scenario.positions[number - 1]
        shot = Exposure(
            start, end, *place, energy or scenario.beam.energy, self.instants(start, end)
        )
        expected = self.model.expected(
            shot, lambda times: history.at(times).lithium_content, hidden=history.at
        )
        frame = counts(
            expected.photons,
            duration=self.exposure,
            detector=scenario.detector,
            rng=np.random.default_rng([seed, number]),
        )
        state = history.at(np.array([start, start + self.exposure / 2, end]))
        light = {
            "monitor": shot.instants.total * scenario.beam.i0_efficiency,
            "transmission": expected.transmission,
        }
        return frame, light, frame_truth(shot, expected, scenario, state)


def row_of(result, phase, truth):
    """Columns of a reduced row, those that the rows on layered oxides look at."""
    found = result.phases[phase]
    row = {
        "valid": int(result.valid),
        "invalid_reason": result.reason,
        "voltage": truth["voltage_middle"],
        "current": truth["current_middle"],
        "displacement": result.displacement,
        "displacement_error": result.displacement_error,
        f"lattice_{phase}_c": found.lattice["c"],
        f"lattice_{phase}_c_error": found.lattice_error["c"],
        f"lattice_{phase}_c_shared_error": found.lattice_shared_error["c"],
    }
    for hkl, angle in found.two_theta.items():
        row[f"two_theta_{phase}_{hkl}"] = angle
        row[f"two_theta_{phase}_{hkl}_error"] = found.two_theta_error[hkl]
    metal = result.phases["Al"]
    row |= {"lattice_Al_a": metal.lattice["a"], "lattice_Al_a_error": metal.lattice_error["a"]}
    stopped = found.fatigued
    if stopped is not None:
        row |= {
            f"fatigued_fraction_{phase}": stopped.fraction,
            f"fatigued_fraction_{phase}_error": stopped.fraction_error,
            f"lattice_{phase}_c_fatigued": stopped.lattice["c"],
            f"lattice_{phase}_c_fatigued_error": stopped.lattice_error["c"],
        }
    return row


def without_references(phases):
    """The same phases, of which none says where the cell stands."""
    return [replace(phase, reference=False) for phase in phases]
