"""What the rows on spectra share: scenarios, reduced rows beside the hidden truth, and a beamline
without its wire, whose counts come in the documents that plans write.
"""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from battbeam.callbacks.live_run import reduced
from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.experiment.absorption_edge import AbsorptionEdge, energy_from_wavenumber
from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.sim.beam import BeamLog
from battbeam.sim.count_request import Request
from battbeam.sim.counters import GAINS
from battbeam.sim.fluence import FluenceLedger
from battbeam.sim.history import History
from battbeam.sim.monochromator import angle_at
from battbeam.sim.scenario import Scenario
from battbeam.sim.spectrometer import Spectrometer
from battbeam.sim.trajectory import Move
from battbeam.sim.truth import TruthWriter
from tests.rows.spectrum_documents import columns, documents

SCENARIOS = Path(__file__).parents[2] / "sim"


def scenario(name, *, cell=None, beam=None, spectroscopy=None, **changes):
    """A scenario of ``sim/``, with other values of its (first) cell, beam and counters."""
    document = Scenario.read(SCENARIOS / f"{name}.toml").model_dump()
    document["beam"] |= beam or {}
    document["spectroscopy"] |= spectroscopy or {}
    document["cells"] = [each | (cell or {}) for each in document["cells"]]
    return Scenario.model_validate(document | changes)


def near_edge(edge, *, dwell, fine=0.7, stop=150.0):
    """Some 90 energies: two lines to normalize by, and the edge."""
    regions = [
        Region(-100, -20, 10.0, dwell),
        Region(-20, -10, 2.0, dwell),
        Region(-10, 25, fine, dwell),
        Region(25, 60, 5.0, dwell),
        Region(60, stop, 10.0, dwell),
    ]
    return EnergyGrid.of(edge, regions)


def to_wavenumber(edge, *, dwell, k_max=12.0, step=0.07, k_weight=1.0):
    """Some 190 energies to ``k_max``, whose dwell grows with k to the power of ``k_weight``."""
    where = AbsorptionEdge.of(edge)
    begin = 2.8
    regions = [
        Region(-100, -20, 10.0, dwell),
        Region(-20, -10, 2.0, dwell),
        Region(-10, float(energy_from_wavenumber(begin)), 1.0, dwell),
        Region(begin, k_max, step, dwell, "k", k_weight),
    ]
    return EnergyGrid.of(where, regions)


def gains(gain):
    """V/A, the same of all chambers."""
    return dict.fromkeys(("i0", "it", "ir"), gain)


def swept(edge, how):
    """As start documents say it of sweeps."""
    energy = AbsorptionEdge.of(edge).energy
    low, high = how["ends"]
    grid = {"start": energy + low, "stop": energy + high}
    return {edge: grid | {"duration": how["duration"], "n_samples": how["n_samples"]}}


# What was found, beside what is so.


class Measured:
    """Reduced rows, each beside the truth of its own counts.

    Args:
        rows: Data of the events of reduced runs.
        truth: Lines of ``truth.jsonl``.
    """

    def __init__(self, rows, truth):
        self.rows = list(rows)
        self.lines = [line for line in truth if ("count" in line or "sweep" in line)]

    def __len__(self):
        return len(self.rows)

    def where(self, **wanted):
        """Those rows that have these values."""
        kept = [row for row in self.rows if all(row[name] == v for name, v in wanted.items())]
        return Measured(kept, self.lines)

    def of(self, name):
        """A column, one number a row."""
        return np.array([row[name] for row in self.rows], dtype=float)

    def lines_of(self, row):
        """The truth of a row's counts, in the order of time."""
        start, end = row["time_start"] - 1e-3, row["time_end"] + 1e-3
        lines = [line for line in self.lines if line["start"] >= start and line["end"] <= end]
        return sorted(lines, key=lambda line: line["start"])

    def true(self, name):
        """What the cell was like when the edge was measured, one number a row."""
        return np.array([line[name] for line in self.lines_at_edge()], dtype=float)

    def lines_at_edge(self):
        """The truth of the count of each row that lies next to its edge, or of its sweep."""
        return [self._at_edge(row) for row in self.rows]

    def true_shell(self, neighbour, name):
        """Of the neighbours of one element, mean over a row's counts."""
        found = []
        for row in self.rows:
            shells = [each for line in self.lines_of(row) for each in line["shells"]]
            found.append(np.mean([s[name] for s in shells if s["neighbour"] == neighbour]))
        return np.array(found)

    def _at_edge(self, row):
        lines = self.lines_of(row)
        if len(lines) == 1:
            return lines[0]
        return min(lines, key=lambda line: abs(line["energy"] - line["edge_position"]))


def rows_of(documents):
    """Reduce a run; the data of its rows."""
    found = reduced(LiveXanes, documents)
    return [doc["data"] for name, doc in found if name == "event"]


def truth_lines(path):
    """All of a truth file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def standard(row, name="standard", **values):
    """The curve of a reduced row, for other runs to be compared with."""
    curve = np.array([row["energy"], row["normalized_absorbance"]])
    error = np.array(row["normalized_absorbance_error"])
    good = np.isfinite(curve).all(axis=0) & np.isfinite(error)
    return {
        "name": name,
        "energy": curve[0, good].tolist(),
        "absorbance": curve[1, good].tolist(),
        "absorbance_error": error[good].tolist(),
        "edge_position": row["edge_position"],
        **values,
    }


def foil_curve(row, edge):
    """The foil of a reduced row, likewise."""
    curve = np.array([row["energy"], row["reference_absorbance"]])
    good = np.isfinite(curve).all(axis=0)
    return {
        "name": "foil",
        "energy": curve[0, good].tolist(),
        "absorbance": curve[1, good].tolist(),
        "edge_position": AbsorptionEdge.of(edge).energy,
    }


# Without the wire.


@dataclass
class _Axis:
    move: Move
    encoder: float

    def position_at(self, time):
        return self.move.position_at(time)

    def reading_at(self, time):
        return np.rint(self.move.position_at(time) * self.encoder) / self.encoder


class _Clock:
    def now(self):
        return 0.0

    def frozen(self, _token):
        return contextlib.nullcontext()


@dataclass
class Offline:
    """Spectra of a scenario, counted without its wire.

    Args:
        scenario: Of what.
        path: Directory for history and truth.
        histories: Of each cell (s since the start, lithium content, equivalent cycles), between
            which lines are drawn; by default it stays as it was built.
        gain: V/A of all chambers.
    """

    scenario: Scenario
    path: Path
    histories: tuple = ()
    gain: str = "1e8"
    time: float = 10.0
    n_taken: int = 0
    scans: list = field(default_factory=list)

    def __post_init__(self):
        self.path.mkdir(parents=True, exist_ok=True)
        log = BeamLog(self.scenario.beam, start=self.scenario.start)
        log.change(self.scenario.start, is_open=True)
        histories = [self._history(number) for number in range(len(self.scenario.cells))]
        ledger = FluenceLedger(self.scenario, beam_log=log, histories=histories)
        self.spectrometer = Spectrometer(
            self.scenario,
            clock=_Clock(),
            histories=histories,
            ledger=ledger,
            beam_log=log,
            truth=TruthWriter(self.path / "truth.jsonl"),
        )

    def _history(self, index):
        content = self.scenario.cells[index].initial_lithium_content
        rows = self.histories[index] if self.histories else ((-1.0, content, 0.0),)
        path = self.path / f"history_{index}.jsonl"
        ends = [(-1e6, *rows[0][1:]), *rows, (1e9, *rows[-1][1:])]
        with path.open("w") as file:
            for time, lithium, cycles in ends:
                row = {"time": self.scenario.start + time, "lithium_content": lithium}
                rest = {"voltage": 3.8, "current": 0.0, "charge": 0.0, "side_charge": 0.0}
                file.write(json.dumps(row | rest | {"cycles": cycles}) + "\n")
        return History(path)

    # Spectra.

    def steps(self, grid, *, cell=1, foil=None):
        """One spectrum, step by step."""
        points = []
        for energy, dwell in zip(grid.energies, grid.dwells, strict=True):
            begin = self.scenario.start + self.time
            edges = np.array([begin, begin + dwell])
            move = Move.rest(angle_at(float(energy)))
            reading = self._take("count", edges, move, cell, _foil(grid.edge, foil))
            counts = columns("counters", reading, scalar=True)
            stamps = {"counters_stamp": edges[1], "counters_elapsed": dwell}
            points.append(counts | stamps | {"counters_bragg": float(reading.bragg[0])})
            self.time += dwell + 0.1
        self.scans.append((grid.edge, points))
        self._n_turns += 1

    def sweep(self, edge, first, last, *, duration, n_samples, cell=1, foil=None):
        """One sweep, energies relative to the edge, eV."""
        where = AbsorptionEdge.of(edge)
        begin, end = angle_at(where.energy + first), angle_at(where.energy + last)
        velocity = abs(end - begin) / duration
        margin = np.sign(end - begin) * velocity * 0.5
        move = Move(self.scenario.start + self.time, begin - margin, end + margin, velocity)
        edges = move.time_at(begin) + duration * np.arange(n_samples + 1) / n_samples
        lag = self.scenario.spectroscopy.lag
        reading = self._take("sweep", edges, move, cell, _foil(where, foil), lag)
        data = columns("sweep", reading, scalar=False) | {
            "sweep_time": edges[1:].tolist(),
            "sweep_bragg": reading.bragg.tolist(),
            "sweep_direction": 1 if last > first else -1,
            "sweep_stamp_start": float(edges[0]),
            "sweep_stamp_end": float(edges[-1]),
        }
        self.scans.append((where, [data]))
        self.time += duration + 1.5
        self._n_turns += 1

    _n_turns: int = 0

    def _take(self, kind, edges, move, cell, foil, lag=0.0):
        self.n_taken += 1
        x, y = self.scenario.positions[cell - 1]
        gains = (GAINS.index(self.gain),) * 3
        axis = _Axis(move, self.scenario.spectroscopy.encoder)
        request = Request(kind, self.n_taken, edges, x, y, gains, foil, axis, self._n_turns, lag)
        return self.spectrometer.take(request)

    def take_back(self):
        """What was measured since the last time."""
        scans, self.scans = self.scans, []
        return scans

    # Documents.

    def measured(self, reduction=None, *, readings=None, **start):
        """Reduce what was measured since the last time, as one run."""
        scans = self.take_back()
        said = {**start, "reduction": {"method": "xanes", **(reduction or {})}}
        rows = rows_of(documents(scans, self._dark(), said, readings or {}))
        return Measured(rows, truth_lines(self.path / "truth.jsonl"))

    def _dark(self):
        settings = self.scenario.spectroscopy
        per_photon = self.spectrometer.counters.counts_per_photon(GAINS.index(self.gain))
        rate, elapsed = settings.dark_rates[GAINS.index(self.gain)], 100.0
        dark = {"dark": 0, "counters_elapsed": elapsed, "counters_if": 0.0}
        for channel in ("i0", "it", "ir"):
            dark[f"counters_{channel}"] = rate * elapsed
            dark[f"counts_per_photon_{channel}"] = per_photon
        dark["share_i0"] = settings.i0_efficiency
        dark["share_it"] = settings.transmission_efficiency
        dark["share_ir"] = settings.reference_efficiency * (1 - settings.transmission_efficiency)
        return dark | {"counts_per_photon_if": 1.0}


def _foil(edge, foil):
    return edge.element if foil is None else foil
