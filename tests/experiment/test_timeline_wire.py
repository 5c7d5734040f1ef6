"""The timeline on the log of a real guard, against what was hidden in the simulated cell."""

import json
import threading

import numpy as np
import pytest

from battbeam.channel_access import Context
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.cell_log import CellLog
from battbeam.experiment.timeline import CellTimeline
from battbeam.processes import wait_for
from battbeam.sim.history import History, history_path
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Cycler, Scenario

pytestmark = pytest.mark.ioc

#: An hour behind and drifting.
CLOCK = Cycler(clock_offset=-3600.0, clock_drift=50e-6)
PROTOCOL = {
    "record": {"time_s": 10},
    "method": [
        {"step": "open_circuit_voltage", "until_time_s": 120},
        {"step": "constant_current", "rate_C": 1, "until_time_s": 600, "until_voltage_V": 3.8},
        {"step": "constant_voltage", "voltage_V": 3.45, "until_time_s": 300},
        {"step": "constant_current", "rate_C": -1, "until_time_s": 300, "until_voltage_V": 2.6},
    ],
}


class Client:
    """Speaks to one guard, through a context of its own, and beats for it."""

    def __init__(self) -> None:
        names = ("Owner", "Passport", "Load", "Start", "Heartbeat", "OwnerState", "State")
        self.context = Context(timeout=20)
        pvs = self.context.get_pvs(*(f"SIM:CELL1:{name}" for name in names))
        self.pvs = dict(zip(names, pvs, strict=True))
        for pv in pvs:
            pv.wait_for_connection(timeout=20)

    def text(self, name: str) -> str:
        return bytes(self.pvs[name].read(timeout=10).data).split(b"\0")[0].decode()

    def say(self, name: str, *, until: tuple[str, str], **fields) -> None:
        """Put, and wait until a record shows that it was done."""
        document = json.dumps({"id": name, "token": "timeline", **fields}).encode()
        self.pvs[name].write(list(document), timeout=60)
        wait_for(lambda: until[1] in self.text(until[0]), timeout=30, what=f"{name}: {until}")

    def cycle(self) -> None:
        """Mount the cell and run the protocol to its end."""
        self.say("Owner", until=("OwnerState", "owned"), host="here", pid=1, session="test")
        stopping = threading.Event()
        heart = threading.Thread(target=self.beat, args=(stopping,), daemon=True)
        heart.start()
        try:
            self.say("Passport", until=("Passport", EXAMPLE["cell"]), passport=EXAMPLE)
            self.say("Load", until=("State", "Loaded"), protocol=PROTOCOL)
            self.say("Start", until=("State", "Running"))
            wait_for(lambda: "Finished" in self.text("State"), timeout=60, what="its end")
        finally:
            stopping.set()
            heart.join()
            self.context.disconnect()

    def beat(self, stopping: threading.Event) -> None:
        count = 0
        while not stopping.wait(0.4):
            count += 1
            self.pvs["Heartbeat"].write(list(f"timeline {count}".encode()), timeout=10)


def test_charge_smear_and_voltage_are_those_hidden_in_the_cell(tmp_path, monkeypatch):
    scenario = Scenario(name="timeline", rate=200.0, cycler=CLOCK)
    with SimulatedBeamline(scenario, tmp_path, with_beamline=False) as simulated:
        connection = simulated.start()
        for name, value in connection.environment().items():
            monkeypatch.setenv(name, value)
        runner = threading.Thread(target=Client().cycle)
        runner.start()
        log = CellLog(connection.guards["cell1"].log)
        timeline, found = CellTimeline(log), {}
        while runner.is_alive():
            runner.join(0.25)
            log.refresh()
            end = log.complete_to
            for length in (2.0, 30.0, 200.0) if np.isfinite(end) else ():
                found.setdefault((end - length, end), timeline.at(end - length, end))
    assert log.n_unreadable == log.n_unknown == 0
    compare(found, log, History(history_path(tmp_path, 1)))
    replayed = CellLog(log.path)
    replayed.refresh()
    again = CellTimeline(replayed)
    assert all(repr(again.at(*exposure)) == repr(during) for exposure, during in found.items())


def compare(found, log: CellLog, history: History) -> None:
    """Everything within a tenth of what is promised."""
    (mounting,) = log.mountings
    capacity = EXAMPLE["nominal_capacity"]
    mounted = history.at(np.array([mounting.time])).charge[0]
    known = {exposure: during for exposure, during in found.items() if not during.fault}
    assert len(known) > 30
    for (start, end), during in known.items():
        times = np.linspace(start, end, 401)
        hidden = history.at(times)
        charge = (hidden.charge - mounted) / capacity
        assert during.middle.state_of_charge == pytest.approx(charge[200], abs=1e-4)
        assert during.smear == pytest.approx(np.ptp(charge), abs=1e-4)
        # How wrong the mean can be: an edge is dated by the clock, and where a live value stood in,
        # by the interval between readings, for a value is held until the next.
        blur = 3 * during.clock.uncertainty(end) + during.is_live * reading_interval(
            log, start, end
        )
        newest = history.newest
        around = history.at(np.linspace(start - 2 * blur, min(end + 2 * blur, newest), 801))
        allowed = 0.01 + np.ptp(around.voltage) * min(1.0, blur / (end - start))
        mean = np.trapezoid(hidden.voltage, times) / (end - start)
        assert during.voltage == pytest.approx(mean, abs=allowed)
        assert during.warning == ""
    assert max(during.middle.state_of_charge for during in known.values()) > 0.15


def reading_interval(log: CellLog, start: float, end: float) -> float:
    """The longest time for which one live value stood around an exposure, s."""
    times = log.live["session_time"]
    first, last = np.searchsorted(times, (start, end))
    around = times[max(first - 1, 0) : last + 1]
    return np.diff(np.append(around, max(end, around[-1]))).max()
