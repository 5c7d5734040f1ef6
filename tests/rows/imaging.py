"""What the rows on images share: scenarios, a beamline of their own, and reduced runs beside the hidden truth."""

import json
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from battbeam.callbacks.methods import reduced_again
from battbeam.channel_access import Context
from battbeam.experiment.cell import EXAMPLE
from battbeam.plans.fields import Fields
from battbeam.plans.operando import operando
from battbeam.plans.stubs import mounted
from battbeam.session import Session
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Scenario
from battbeam.storage.tail import documents
from tests.own import own_prefix

SCENARIOS = Path(__file__).parents[2] / "sim"
#: mm to the side, where the field sees no cell.
OUT = 19.0
COULOMB_PER_MAH = 3.6
#: s by which times of a row may differ from those of its frames.
CLOCK = 0.5


def scenario(name, *, cell=None, phantom=None, imaging=None, beam=None, **changes):
    """A scenario of ``sim/`` under names of its own, with other values of its parts."""
    document = Scenario.read(SCENARIOS / f"{name}.toml").model_dump()
    document["imaging"] |= imaging or {}
    document["beam"] |= beam or {}
    document["cells"] = [
        each | (cell or {}) | {"phantom": _other(each["phantom"], phantom or {})}
        for each in document["cells"]
    ]
    return Scenario.model_validate(document | {"prefix": own_prefix()} | changes)


def _other(phantom, changes):
    """With other values, or one of another kind altogether."""
    return changes if "kind" in changes else phantom | changes


def passport(cell, *, chemistry, capacity, limits, **values):
    """What is believed of a cell: mass and area as they are."""
    low, high, current = limits
    return {
        **EXAMPLE,
        "cell": "row-1",
        "sample_uid": "row-1",
        "chemistry": chemistry,
        "active_mass": cell.active_loading * cell.electrode_area,
        "electrode_area": cell.electrode_area,
        "nominal_capacity": capacity,
        "nominal_capacity_definition": "by the makers of the simulation",
        "initial_lithium_content": cell.initial_lithium_content,
        "limits": {"voltage_min": low, "voltage_max": high, "current_max": current},
        **values,
    }


@contextmanager
def beamline_of(hidden, directory):
    """A simulated beamline of one's own, with a session on it."""
    with SimulatedBeamline(hidden, directory) as running, Session(running.start()) as session:
        yield session


def options(beamline, *, fields=None, **given):
    """What every imaging plan is told of the beamline."""
    return {
        "beam": beamline.beam,
        "clock": beamline.clock,
        "stage": beamline.sample_stage,
        "fields": fields or Fields(flat_offset=OUT, max_age=1e9),
        "energy": float(beamline.monochromator.position),
        "readables": (beamline.potentiostat,),
        **given,
    }


def at_rest(beamline):
    """What a plan must leave as it found it: sample, speed, camera, pulses, shutter."""
    stage, rotation, camera = beamline.sample_stage, beamline.rotation_stage, beamline.camera
    cam, hdf = camera.cam, camera.hdf
    places = {"x": stage.x, "y": stage.y, "omega": rotation}
    signals = {
        "speed": rotation.velocity,
        "is_still": rotation.is_done,
        "armed": beamline.pulses.arm,
        "ring": beamline.burst_camera.ring.capture,
        "writes": hdf.capture,
        "source": hdf.source,
        "acquires": cam.acquire,
        "exposure": cam.exposure,
        "n_images": cam.n_images,
        "image_mode": cam.image_mode,
        "trigger_mode": cam.trigger_mode,
    }
    # To a hundredth: an axis comes to rest within a count or two of its encoder.
    found = {name: round(float(motor.position), 2) for name, motor in places.items()}
    found["shutter"] = beamline.beam.shutter.position
    return found | {name: signal.get() for name, signal in signals.items()}


@contextmanager
def slow_near(potentiostat, hidden, levels, *, fast=90.0, slow=12.0, before=4.0, behind=1.0):
    """The simulated clock runs slowly while the areal charge is near a level, C/cm2."""
    (rate,) = Context(timeout=5).get_pvs(f"{hidden.clock_prefix}Rate")
    rate.wait_for_connection(timeout=10)
    area, wanted = hidden.cells[0].electrode_area, [0.0]

    def follow(value, **_):
        beyond = abs(value) * COULOMB_PER_MAH / area - np.array([0.0, *levels])
        is_near = np.any((beyond > -before) & (beyond < behind))
        if (now := slow if is_near else fast) != wanted[0]:
            wanted[0] = now
            rate.write([now], wait=False)

    potentiostat.charge.subscribe(follow, run=False)
    try:
        yield
    finally:
        potentiostat.charge.clear_sub(follow)


def experiment(session, believed, schedule, measurements, method, *, record=10.0):
    """Mount a cell and follow it; what each run wrote, the outer one first."""
    b = session.beamline

    def plan():
        yield from mounted(b.potentiostat, believed)
        yield from operando(
            schedule,
            measurements,
            potentiostat=b.potentiostat,
            beam=b.beam,
            clock=b.clock,
            protocol={"record": {"time_s": record}, "method": list(method)},
            policies={"plan_end": "open_circuit"},
        )

    uids = session.run(plan())
    b.potentiostat.dismount().wait(timeout=10)
    return [recorded(session, uid) for uid in uids]


def recorded(session, uid):
    """The documents of one run."""
    return [(line.name, line.doc) for line in documents(session.connection.spool / f"{uid}.jsonl")]


def notes(run, rule):
    """What is written down of one rule, in order."""
    found = [doc["data"] for name, doc in run if name == "event"]
    found = [row for row in found if row.get("rules_rule") == rule]
    return [{key.removeprefix("rules_"): value for key, value in row.items()} for row in found]


class Reduced:
    """One reduced run.

    Args:
        run: Documents of the raw run.
        volumes: Where its volumes go.
        options: Of the reduction, in place of the run's own.
    """

    def __init__(self, run, volumes, options=None):
        self.start = run[0][1]
        self.documents = reduced_again(run, volumes, options=options)

    def rows(self, stream="primary"):
        """Of a stream, in order."""
        of = {doc["uid"]: doc["name"] for name, doc in self.documents if name == "descriptor"}
        events = [doc for name, doc in self.documents if name == "event"]
        return [doc["data"] for doc in events if of[doc["descriptor"]] == stream]

    def of(self, name, stream="primary"):
        """A column, one number a row."""
        return np.array([row[name] for row in self.rows(stream)], dtype=float)

    @property
    def volume(self):
        """The first one, 1/mm."""
        path = next(
            doc["uri"].removeprefix("file://localhost")
            for name, doc in self.documents
            if name == "stream_resource" and "/volume_" in doc["uri"]
        )
        with h5py.File(path) as file:
            return np.asarray(file["volume"][0], dtype=float)


class Truth:
    """The hidden truth of every frame of the imaging camera."""

    def __init__(self, directory):
        lines = map(json.loads, (directory / "sim" / "truth.jsonl").read_text().splitlines())
        self.lines = [line for line in lines if line.get("camera") == "imaging camera"]

    def of(self, row):
        """Of the frame of a reduced radiograph."""
        (found,) = [
            line
            for line in self.lines
            if Path(line["file"]).name == row["frame_file"] and line["index"] == row["frame_index"]
        ]
        return found

    def during(self, row):
        """Of the frames of a reduced tomogram that saw a cell, in order."""
        start, end = row["time_start"] - CLOCK, row["time_end"] + CLOCK
        found = [
            line
            for line in self.lines
            if line["in_beam"] == "cell"
            and line["exposure_start"] >= start
            and line["exposure_end"] <= end
        ]
        return sorted(found, key=lambda line: line["exposure_start"])

    def middle(self, row):
        """Of the frame in the middle of a row."""
        found = self.during(row)
        return found[len(found) // 2]


def places(volume, voxel_size):
    """Height of each row and distance of each (z, x) from the axis, mm."""
    n_rows, n_columns = volume.shape[0], volume.shape[1]
    height = (np.arange(n_rows) - (n_rows - 1) / 2) * voxel_size
    across = (np.arange(n_columns) - (n_columns - 1) / 2) * voxel_size
    return height, np.hypot(across[:, None], across)
