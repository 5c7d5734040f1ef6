import pytest
from bluesky import RunEngine

from battbeam.devices.fakes import ManualClock, fake_beamline
from battbeam.experiment.cell import EXAMPLE


class Documents(list):
    """Documents as (name, document), and short ways to them."""

    __hash__ = object.__hash__

    def __call__(self, name, document):
        self.append((name, document))

    def of(self, name):
        return [document for each, document in self if each == name]

    def events(self, stream="primary"):
        uids = {d["uid"] for d in self.of("descriptor") if d["name"] == stream}
        return [d["data"] for d in self.of("event") if d["descriptor"] in uids]


@pytest.fixture
def fakes(tmp_path):
    return fake_beamline(tmp_path)


@pytest.fixture
def documents():
    return Documents()


@pytest.fixture
def engine(documents):
    made = RunEngine({}, context_managers=[])
    made.subscribe(documents)
    return made


@pytest.fixture
def reduction(tmp_path):
    """A reduction whose files are there."""
    geometry = tmp_path / "detector.poni"
    keys = ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")
    geometry.write_text("poni_version: 2.1\n" + "".join(f"{key}: 1e-10\n" for key in keys))
    instrument = tmp_path / "detector.json"
    instrument.write_text("{}")
    return {
        "geometry": str(geometry),
        "instrument": str(instrument),
        "phases": [{"phase": "LiFePO4"}],
    }


class FollowingClock(ManualClock):
    """Each look at it is ``pace`` s later, and fake cells have gone on meanwhile.

    ``cells`` maps a potentiostat to its steps: (type, current in A, duration in s) one after the
    other from 1000 s on; a cell that is held or opened waits.
    """

    def __init__(self, pace=1.0):
        super().__init__(rate=1000.0)
        self.pace, self.cells, self.hook = pace, {}, lambda time: None
        self._elapsed, self._shown = {}, {}

    def cycle(self, potentiostat, *steps):
        self.cells[potentiostat] = steps
        self._elapsed[potentiostat], self._shown[potentiostat] = 0.0, -1

    def now(self):
        self.time += self.pace
        for potentiostat in self.cells:
            if potentiostat.state.get() == "Running":
                self._go_on(potentiostat)
        self.hook(self.time)
        return self.time

    def _go_on(self, cell):
        self._elapsed[cell] += self.pace
        elapsed, begin, number = self._elapsed[cell], 0.0, 0
        steps = self.cells[cell]
        while number < len(steps) and elapsed > begin + steps[number][2]:
            begin, number = begin + steps[number][2], number + 1
        if number == len(steps):
            cell.state.sim_put("Finished")
            cell.current.sim_put(0.0)
            return
        kind, current, duration = steps[number]
        if number != self._shown[cell]:
            self._shown[cell] = number
            cell.step_index.sim_put(number)
            cell.step_count.sim_put(cell.step_count.get() + 1)
            cell.step_type.sim_put(kind)
            cell.current.sim_put(current)
        cell.charge.sim_put(cell.charge.get() + current * 1e3 * self.pace / 3600)
        cell.voltage.sim_put(3.0 + elapsed / 1000.0)
        for name, value in (
            ("elapsed", elapsed - begin),
            ("remaining", begin + duration - elapsed),
        ):
            signal = getattr(cell, f"step_{name}", None)
            if signal is not None:
                signal.sim_put(value)


@pytest.fixture
def cycling(tmp_path, monkeypatch):
    """A fake beamline with one cell that is owned, on a clock that its cells follow."""
    for module in ("following", "couplings", "stubs"):
        monkeypatch.setattr(f"battbeam.plans.{module}.SLICE", 0.002)
    made = fake_beamline(tmp_path, passport=EXAMPLE)
    object.__setattr__(made, "clock", FollowingClock())
    made.potentiostat.acquire({"session": "s"}).wait(timeout=1)
    return made
