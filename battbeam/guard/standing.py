"""This file is where it is kept how a cell stands: which cell it is, in which state, whether its
cycler answers; every change is written down.
"""

from battbeam.errors import GuardError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.guard_state import UNDER_WAY, GuardState
from battbeam.guard.runner import Runner
from battbeam.guard.writer import Writer


class Standing:
    """How one cell stands.

    Attributes:
        state: What the guard has it do.
        passport: Of the mounted cell, or None.
        cell_run: Uid of the cell run; empty without a cell.
        is_reachable: Whether the cycler answers.
        last_error: The last refusal or fault.
    """

    def __init__(self, writer: Writer, runner: Runner) -> None:
        self._writer = writer
        self._runner = runner
        self.state = GuardState.OPEN_CIRCUIT
        self.passport: CellPassport | None = None
        self.cell_run = ""
        self.is_reachable = True
        self.last_error = ""

    @property
    def flows(self) -> bool:
        """Whether current may flow."""
        return self.state in UNDER_WAY

    @property
    def shown_state(self) -> GuardState:
        """The state as it is published."""
        if not self.is_reachable:
            return GuardState.UNREACHABLE
        is_bare = self.passport is None and self.state is GuardState.OPEN_CIRCUIT
        return GuardState.UNMOUNTED if is_bare else self.state

    def enter(self, state: GuardState, reason: str) -> None:
        """Change the state, or the step, and write it down."""
        self.state = state
        runner = self._runner
        self._writer.state(self.shown_state, reason, runner.step, runner.step_count, kept=state)

    def enter_unless_tripped(self, state: GuardState, reason: str) -> None:
        """The same; a trip stays."""
        if self.state is not GuardState.TRIPPED:
            self.enter(state, reason)

    def report(self, text: str) -> None:
        """Write down a fault."""
        self.last_error = text
        self._writer.line("error", text=text)

    def notice(self, *, is_reachable: bool, name: str) -> None:
        """The cycler called ``name`` answers, or does not."""
        if is_reachable != self.is_reachable:
            self.is_reachable = is_reachable
            text = f"cycler {name} {'answers again' if is_reachable else 'is lost'}"
            self.report(text)
            self.enter(self.state, text)

    def set_passport(self, passport: CellPassport | None, cell_run: str) -> None:
        """Whose cell it is, without a word in the log."""
        self.passport = self._writer.passport = passport
        self.cell_run = cell_run

    def mounted(self) -> CellPassport:
        """The passport of the mounted cell.

        Raises:
            GuardError: If there is none.
        """
        if self.passport is None:
            raise GuardError("no cell is mounted: without a passport no current flows")
        return self.passport

    def refuse_while_current_flows(self, what: str) -> None:
        """Let nothing pass that needs a cell at rest.

        Raises:
            GuardError: If current may flow.
        """
        if self._runner.is_active or self.flows:
            raise GuardError(f"{what} while the cell is {self.state}: open the circuit first")
