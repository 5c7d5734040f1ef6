"""This file is where the order of loops is chosen: spots, energies or angles, cells.

A result needs a *complete set*: all energies of one spot make a spectrum, all angles a tomogram, all
spots at one energy a map. How long one takes depends on what is looped over within it. Every order
is tried, there are few; what was given up for the one that is taken is said.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from battbeam.experiment.dose import DoseBudget, FluenceMap, Light


@dataclass(frozen=True)
class Loop:
    """One thing that is looped over.

    Attributes:
        name: ``spots``, ``energies``, ``angles``, ``cells``.
        n: Of its values.
        move: s from one to the next.
        back: s from the last to the first; None is as long as all moves there.
        of_set: Whether a complete set holds all of its values.
        moves_open: Whether the shutter stays open while it moves as the innermost loop, as a
            flyer's does.
        changes_spot: Whether another value is another place of the sample: light is spread over it.
    """

    name: str
    n: int
    move: float
    back: float | None = None
    of_set: bool = False
    moves_open: bool = False
    changes_spot: bool = False

    @property
    def return_time(self) -> float:
        """s from the last value to the first."""
        return self.move * (self.n - 1) if self.back is None else self.back


@dataclass(frozen=True)
class Order:
    """One nesting of the loops, and what comes of it.

    Attributes:
        loops: Names, the outermost first.
        duration: s, of everything.
        set_duration: s from the first exposure of a complete set to the end of its last, the longest.
        smear: Change of the state of charge in that time, 1.
        n_moves: Of all loops.
        open_time: s of open shutter on one spot.
        fluence: Photons per mm2 on one spot.
    """

    loops: tuple[str, ...]
    duration: float
    set_duration: float
    smear: float
    n_moves: int
    open_time: float
    fluence: float

    @property
    def sentence(self) -> str:
        """``for each spot: for each energy``, the outermost first."""
        return " > ".join(self.loops)


@dataclass(frozen=True)
class LoopOrder:
    """The order that was chosen, and all that were tried.

    Attributes:
        chosen: The fastest that keeps both budgets; None if there is none.
        orders: All, the fastest first.
        smear_max: Budget of smear in a complete set, 1; infinite without one.
        fluence_max: Budget of light on a spot, photons per mm2; infinite without one.
        c_rate: 1/h, at which smear was worked out.
        exposure: s of one exposure.
    """

    chosen: Order | None
    orders: tuple[Order, ...]
    smear_max: float
    fluence_max: float
    c_rate: float
    exposure: float

    def faults(self) -> list[str]:
        """Why no order keeps the budgets, and what would fit; empty if one does."""
        if self.chosen is not None:
            return []
        faults = []
        least = min(self.orders, key=lambda order: order.smear)
        if least.smear > self.smear_max:
            fitting = self.c_rate * self.smear_max / least.smear
            faults.append(
                f"smear in a complete set is {least.smear:.3g} at the least ({least.sentence}, "
                f"{least.set_duration:.4g} s at {self.c_rate:g} 1/h), budget {self.smear_max:g}: "
                f"what fits is a rate of at most {fitting:.3g} 1/h, or a set of at most "
                f"{self.smear_max * 3600 / self.c_rate:.4g} s"
            )
        darkest = min(self.orders, key=lambda order: order.fluence)
        if darkest.fluence > self.fluence_max:
            share = self.fluence_max / darkest.fluence
            faults.append(
                f"fluence on a spot is {darkest.fluence:.3g} photons/mm2 at the least "
                f"({darkest.sentence}), budget {self.fluence_max:.3g}: what fits is a transmission "
                f"or an exposure of {share:.3g} of what is asked"
            )
        if not faults:
            faults.append("no order keeps smear and dose within their budgets at once")
        return faults

    def report(self) -> str:
        """What was chosen and what was traded for it, a line an order."""
        lines = [
            f"{'order, outermost first':40} {'time':>9} {'set':>9} {'smear':>8} {'photons/mm2':>12}"
        ]
        for order in self.orders:
            mark = "*" if order == self.chosen else " "
            lines.append(
                f"{mark} {order.sentence:38} {order.duration:8.0f}s {order.set_duration:8.0f}s "
                f"{order.smear:8.4f} {order.fluence:12.3g}{self._broken(order)}"
            )
        return "\n".join([*lines, *(self.faults() or [self._traded()])])

    def _broken(self, order: Order) -> str:
        broken = ["smear"] if order.smear > self.smear_max else []
        broken += ["dose"] if order.fluence > self.fluence_max else []
        return f"  breaks {' and '.join(broken)}" if broken else ""

    def _traded(self) -> str:
        """What the chosen order costs against the fastest, and gains."""
        chosen, fastest = self.chosen, self.orders[0]
        if chosen is None or chosen == fastest:
            return "the fastest order keeps every budget; nothing was traded"
        gained = [
            f"{name} {before:.3g} instead of {after:.3g}"
            for name, before, after in (
                ("smear", chosen.smear, fastest.smear),
                ("photons/mm2", chosen.fluence, fastest.fluence),
            )
            if before < after
        ]
        return (
            f"traded: {chosen.duration - fastest.duration:.0f} s more than {fastest.sentence} for "
            + ", ".join(gained)
        )


def loop_order(
    loops: Sequence[Loop],
    *,
    exposure: float,
    c_rate: float,
    flux: float = 0.0,
    beam_size: tuple[float, float] = (1.0, 1.0),
    energy: float = math.nan,
    smear_max: float = math.inf,
    budget: DoseBudget | None = None,
) -> LoopOrder:
    """The fastest nesting of loops that keeps smear in a complete set and dose within budget.

    Args:
        loops: In any order; at least one belongs to the set.
        exposure: s at each combination.
        c_rate: Of the cell meanwhile, 1/h.
        flux: Photons per s on the sample.
        beam_size: Full width and height, mm.
        energy: eV, for a budget in gray.
        smear_max: Largest change of the state of charge in a complete set, 1.
        budget: Of light on a spot that is fresh.

    Raises:
        ValueError: With everything that is wrong.
    """
    faults = _faults(loops, exposure, c_rate)
    if faults:
        raise ValueError("; ".join(faults))
    fluence_max = math.inf
    if budget is not None:
        room = budget.room(FluenceMap(), "", (0.0, 0.0), size=beam_size, energy=energy)
        fluence_max = Light(0.0, 0.0, beam_size, room, energy).fluence
    area = beam_size[0] * beam_size[1]
    tried = [
        _order(nesting, exposure, c_rate, flux / area) for nesting in itertools.permutations(loops)
    ]
    orders = sorted(tried, key=lambda order: (order.duration, order.set_duration, order.n_moves))
    fitting = [
        order for order in orders if order.smear <= smear_max and order.fluence <= fluence_max
    ]
    return LoopOrder(
        chosen=fitting[0] if fitting else None,
        orders=tuple(orders),
        smear_max=smear_max,
        fluence_max=fluence_max,
        c_rate=c_rate,
        exposure=exposure,
    )


def _faults(loops: Sequence[Loop], exposure: float, c_rate: float) -> list[str]:
    faults = [
        f"loop {loop.name!r}: n must be at least 1 and move not negative, got {loop.n} and "
        f"{loop.move:g} s"
        for loop in loops
        if loop.n < 1 or not loop.move >= 0
    ]
    names = [loop.name for loop in loops]
    if len(set(names)) < len(names):
        faults.append(f"loops must have names of their own, got {', '.join(names)}")
    if not any(loop.of_set for loop in loops):
        faults.append("one loop at least must be of_set: what a complete set holds")
    if not exposure > 0:
        faults.append(f"exposure must be greater than 0 s, got {exposure:g} s")
    if not c_rate >= 0:
        faults.append(f"c_rate must not be negative, got {c_rate:g} 1/h")
    return faults


def _order(nesting: Sequence[Loop], exposure: float, c_rate: float, flux: float) -> Order:
    duration, longest_set = exposure, exposure
    n_moves, open_time = 0, exposure
    # From the innermost loop out: what is within one value of the next.
    for loop in reversed(nesting):
        inner = [other for other in nesting[nesting.index(loop) + 1 :] if other.n > 1]
        # The loops within go back to their first value for each value of this one; at once, all.
        step = max([loop.move, *(other.return_time for other in inner)])
        if loop.of_set:
            longest_set = (loop.n - 1) * (duration + step) + longest_set
        n_moves = loop.n * n_moves + (loop.n - 1) * (1 + len(inner))
        duration = loop.n * duration + (loop.n - 1) * step
        is_flown = loop.moves_open and loop is nesting[-1]
        if not loop.changes_spot:
            open_time = loop.n * open_time + (loop.n - 1) * (step if is_flown else 0.0)
    return Order(
        loops=tuple(loop.name for loop in nesting),
        duration=duration,
        set_duration=longest_set,
        smear=c_rate * longest_set / 3600,
        n_moves=n_moves,
        open_time=open_time,
        fluence=flux * open_time,
    )
