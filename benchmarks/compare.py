"""This file is where two ways of doing the same are timed in turn, and shown in one table.

The first way of a comparison is battbeam's own. All ways take turns (A, B, A, B ...), so that a busy machine slows
each of them; of every way the median counts. CPU time is that of all threads of the process.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Timing:
    """Medians of one way, s per turn."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Comparison:
    """One case of a benchmark.

    Attributes:
        case: Size or kind.
        ways: Timings by name, battbeam's own first; each of them as often as the case says.
        deviation: Largest deviation of battbeam's result from the reference's.
        bound: Largest deviation that is allowed.
        reference: What the deviation is of, and from.
        notes: More figures, by way.
    """

    case: str
    ways: Mapping[str, Timing]
    deviation: float
    bound: float
    reference: str
    notes: Mapping[str, str]

    @property
    def holds(self) -> bool:
        """Whether the deviation is within its bound; a NaN is not."""
        return bool(self.deviation <= self.bound)


def timed(call: Callable[[], object]) -> Timing:
    """Wall and CPU time of one call, s."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Timing(time.perf_counter() - wall, time.process_time() - cpu)


def in_turn(ways: Mapping[str, Callable[[], object]], *, n_turns: int) -> dict[str, Timing]:
    """Medians of each way over ``n_turns`` turns of all of them."""
    turns = [{name: timed(call) for name, call in ways.items()} for _ in range(n_turns)]
    return {name: median([turn[name] for turn in turns]) for name in ways}


def median(timings: Sequence[Timing]) -> Timing:
    """Of wall and of CPU time, each for itself."""
    return Timing(
        statistics.median(timing.wall for timing in timings),
        statistics.median(timing.cpu for timing in timings),
    )


def show(title: str, comparisons: Sequence[Comparison], console: Console) -> None:
    """One table: a line a way; ratios say how many times as long as battbeam it takes."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("case")
    table.add_column("way")
    for heading in ("wall ms", "CPU ms", "ratio wall", "ratio CPU"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("notes")
    table.add_column("largest deviation")
    for comparison in comparisons:
        own = next(iter(comparison.ways.values()))
        for name, timing in comparison.ways.items():
            is_own = timing is own
            table.add_row(
                comparison.case if is_own else "",
                name,
                f"{1e3 * timing.wall:.4g}",
                f"{1e3 * timing.cpu:.4g}",
                "" if is_own else _ratio(timing.wall, own.wall),
                "" if is_own else _ratio(timing.cpu, own.cpu),
                comparison.notes.get(name, ""),
                _deviation(comparison) if is_own else "",
            )
        table.add_section()
    console.print(table)


def _ratio(theirs: float, own: float) -> str:
    return f"{theirs / own:.3g}x" if own > 0 else "-"


def _deviation(comparison: Comparison) -> str:
    sign, colour = ("<=", "green") if comparison.holds else ("exceeds", "red")
    figures = f"{comparison.deviation:.2g} {sign} {comparison.bound:.2g}"
    return f"[{colour}]{figures}[/] {comparison.reference}"
