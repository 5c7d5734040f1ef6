"""This file is where a cell is looked at before current may flow through it."""

from battbeam.experiment.cell import Window
from battbeam.guard.driver import Live


def cell_faults(live: Live | None, window: Window, *, cycler: str) -> list[str]:
    """Why no current may flow through the cell as it is now.

    Args:
        live: The newest reading; None if the cycler does not answer.
        window: Where the open-circuit voltage must lie.
        cycler: What people call the channel.
    """
    if live is None:
        return [f"cycler {cycler} does not answer: the cell's voltage is not known"]
    if live.voltage < 0 <= window.voltage_min:
        return [f"open-circuit voltage {live.voltage:.4f} V: the polarity is wrong, swap the leads"]
    if not window.voltage_min <= live.voltage <= window.voltage_max:
        allowed = f"{window.voltage_min:.4f} to {window.voltage_max:.4f} V"
        return [
            f"open-circuit voltage {live.voltage:.4f} V is outside {allowed}: wrong cell, or none"
        ]
    return []


def window_faults(window: Window, hard: Window) -> list[str]:
    """Why a cell of this window cannot be guarded within the hard limits."""
    both = window.within(hard)
    if both.voltage_min < both.voltage_max:
        return []
    return [f"its {window} shares nothing with the hard limits, {hard}"]
