"""This file is where it is said what every demo is asked, and what no demo can do."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from battbeam.errors import PreflightError


@dataclass(frozen=True)
class Asked:
    """What a demo was asked.

    Attributes:
        seed: Of the hidden truth and of every random number.
        speed: s of cell time per s.
        out: Where everything is written.
    """

    seed: int = 1
    speed: float = 60.0
    out: Path = Path("demo-output")

    #: As it is typed.
    command: ClassVar[str] = "battbeam demo"
    #: The highest speed that it takes, s of cell time per s.
    fastest: ClassVar[float] = 600.0

    def faults(self) -> list[str]:
        """Everything that is wrong with these options."""
        found = []
        if not 1 <= self.speed <= self.fastest:
            found.append(f"speed must lie in 1 to {self.fastest:g}, got {self.speed:g}")
        if self.seed < 0:
            found.append(f"seed must not be negative, got {self.seed}")
        return found

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            PreflightError: With every fault.
        """
        if found := self.faults():
            raise PreflightError(self.command, found)
