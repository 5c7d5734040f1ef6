"""What the rows share that go through the wire: a beamline of a test's own, and what it measured."""

import json
import threading
from contextlib import contextmanager

from battbeam.callbacks.methods import reduced_again
from battbeam.channel_access import Context
from battbeam.experiment.cell import EXAMPLE
from battbeam.plans.stubs import finished, mounted, wait_until
from battbeam.processes import wait_for
from battbeam.session import Session
from battbeam.sim.chemistry import ACTIVE_MATERIALS
from battbeam.sim.lithium import full_capacity
from battbeam.sim.run import HARD_LIMITS, SimulatedBeamline
from battbeam.storage.tail import documents
from tests.rows.spectra import Measured, truth_lines

#: What chemistry is called in a passport, where that is not what the simulation calls it.
NAMES = {"nmc811": "NMC811"}


@contextmanager
def session_on(scenario, directory):
    """A session on a beamline of its own; its prefix must be no other test's."""
    with SimulatedBeamline(scenario, directory) as running, Session(running.start()) as session:
        yield session


def measured(session, *uids):
    """The reduced rows of runs, reduced from the spool, beside the truth."""
    spool, directory = session.connection.spool, session.connection.directory
    rows = []
    for uid in uids:
        lines = [(line.name, line.doc) for line in documents(spool / f"{uid}.jsonl")]
        found = reduced_again(lines, directory / "volumes")
        rows += [doc["data"] for name, doc in found if name == "event"]
    return Measured(rows, truth_lines(directory / "sim" / "truth.jsonl"))


def events(session, uid, stream="primary"):
    """Data of the events of one stream of a run."""
    lines = list(documents(session.connection.spool / f"{uid}.jsonl"))
    own = {d.doc["uid"] for d in lines if d.name == "descriptor" and d.doc["name"] == stream}
    return [d.doc["data"] for d in lines if d.name == "event" and d.doc["descriptor"] in own]


def start_of(session, uid):
    """The start document of a run."""
    return next(line.doc for line in documents(session.connection.spool / f"{uid}.jsonl"))


def runs_of(session, plan_name):
    """Uids of the runs of a plan, in the order in which they began."""
    found = []
    for path in session.connection.spool.glob("*.jsonl"):
        start = json.loads(path.open().readline())["doc"]
        if start.get("plan_name") == plan_name:
            found.append((start["time"], start["uid"]))
    return [uid for _, uid in sorted(found)]


def set_rate(scenario, rate):
    """Let the session's clock run at a rate, s per wall second."""
    (record,) = Context(timeout=5).get_pvs(f"{scenario.clock_prefix}Rate")
    record.wait_for_connection(timeout=10)
    record.write([rate], wait=True)


def passport(scenario, number=1, **values):
    """What is believed of a cell: what it is."""
    cell = scenario.cells[number - 1]
    low, high, current = HARD_LIMITS[cell.chemistry]
    layers = [
        {"material": layer.material, "thickness": layer.thickness}
        for layer in scenario.stack_of(number)
    ]
    return {
        **EXAMPLE,
        "cell": f"{cell.chemistry}-{number}",
        "sample_uid": f"{cell.chemistry}-{number}",
        "chemistry": NAMES.get(cell.chemistry, cell.chemistry),
        "molar_mass": ACTIVE_MATERIALS[cell.chemistry].molar_mass,
        "active_mass": cell.active_loading * cell.electrode_area,
        "electrode_area": cell.electrode_area,
        "nominal_capacity": full_capacity(cell),
        "nominal_capacity_definition": "all of its guest",
        "initial_lithium_content": cell.initial_lithium_content,
        "limits": {"voltage_min": low, "voltage_max": high, "current_max": current},
        "stack": layers,
        **values,
    }


def cycled(beamline, steps, passport):
    """Let the cell do a protocol, and come back when it has ended; its circuit is open then."""
    guard = beamline.potentiostat
    yield from mounted(guard, passport)
    yield from finished(guard.declare({"plan_end": "open_circuit"}))
    yield from finished(guard.load({"record": {"time_s": 10}, "method": steps}))
    yield from finished(guard.start())
    while str(guard.state.value_now()) == "Running":
        yield from wait_until(beamline.clock, beamline.clock.now() + 5.0)


def paused_in_row(session, number, *, n_points, patience):
    """A thread that pauses the session's run once some frames of a row have come."""
    fly = session.beamline.fly_detector
    begun, kickoff = [], fly.kickoff

    def counted():
        begun.append(1)
        return kickoff()

    def pause():
        try:
            wait_for(lambda: len(begun) > number, timeout=patience, what="the row")
            wait_for(lambda: 2 < fly.n_frames < n_points - 2, timeout=60, what="frames of it")
        finally:
            session.RE.request_pause()

    fly.kickoff = counted
    return threading.Thread(target=pause, daemon=True)
