"""The RunEngine's own time for a point, against ``bp.scan`` over the same instruments.

The instruments are battbeam's classes on signals that only remember: they answer at once, so what is left is what
messages, statuses and documents cost. `battbeam.plans.xrd_map` checks everything beforehand, opens and closes the
shutter around every point, watches the beam and asks whether every frame has arrived; ``bp.scan`` moves, triggers
and reads. A ratio below 1 is the price of that, to be held against the exposure. The deviation is the largest
difference of a position between the two, or infinite where an event is missing.
"""

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bluesky.plans as bp
from bluesky import RunEngine

from battbeam.devices.fakes import fake_beamline
from battbeam.plans.xrd_map import xrd_map
from benchmarks.compare import Comparison, Timing, in_turn

TITLE = "Acquisition: a point without its exposure"
#: Positions are sent and read back as they are.
BOUND = 0.0


def run(*, small: bool = False) -> list[Comparison]:
    """One line of points."""
    n_points, n_turns = (3, 1) if small else (50, 5)
    with TemporaryDirectory(prefix="battbeam-bench-") as directory:
        return [_compared(n_points, n_turns, Path(directory))]


def _compared(n_points: int, n_turns: int, directory: Path) -> Comparison:
    beamline = fake_beamline(directory)
    stage, beam, detector = beamline.sample_stage, beamline.beam, beamline.detector
    read = [stage, beamline.potentiostat]

    def mapped() -> Any:
        line = (stage.x, -1.0, 1.0, n_points)
        options = {"beam": beam, "clock": beamline.clock, "exposure": 1.0}
        return xrd_map([detector], *line, readables=read, **options)

    def scanned() -> Any:
        return bp.scan([detector, beam, *read], stage.x, -1.0, 1.0, n_points)

    engine = RunEngine({}, context_managers=[])
    ways = {
        "battbeam xrd_map": _running(engine, mapped),
        "bp.scan": _running(engine, scanned),
    }
    own, theirs = (way() for way in ways.values())
    timings = in_turn(ways, n_turns=n_turns)
    notes = {name: f"{n_points / timing.wall:.0f} points/s" for name, timing in timings.items()}
    return Comparison(
        case=f"{n_points} points, whole plan, per point",
        ways={
            name: Timing(timing.wall / n_points, timing.cpu / n_points)
            for name, timing in timings.items()
        },
        deviation=_difference(own, theirs, n_points),
        bound=BOUND,
        reference="mm, position of a point, from bp.scan",
        notes=notes,
    )


def _running(engine: RunEngine, plan: Callable[[], Any]) -> Callable[[], list[float]]:
    """Runs a plan; the positions in its primary events."""

    def run_once() -> list[float]:
        positions: list[float] = []

        def keep(name: str, document: Any) -> None:
            if name == "event" and "sample_stage_x" in document["data"]:
                positions.append(document["data"]["sample_stage_x"])

        engine(plan(), keep)
        return positions

    return run_once


def _difference(own: list[float], theirs: list[float], n_points: int) -> float:
    if not len(own) == len(theirs) == n_points:
        return math.inf
    return max(abs(a - b) for a, b in zip(own, theirs, strict=True))
