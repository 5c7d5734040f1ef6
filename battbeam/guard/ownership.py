"""This file is where it is decided whose cell it is, and noticed when its owner is gone.

Channel Access does not authenticate: this protects from mistakes, the hard limits from the rest.
Times are wall seconds of a monotonic clock, passed in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from battbeam.errors import GuardError
from battbeam.experiment.guard_state import OwnerState

#: Wall s in which beats that wait in a socket are heard by a guard that runs again.
LISTENING = 0.5


@dataclass(frozen=True)
class Owner:
    """A session that commands a cell.

    Attributes:
        host: Its computer.
        pid: Its process.
        session: Uid of the session.
        token: Random; in every command; never published.
    """

    host: str
    pid: int
    session: str
    token: str

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Owner":
        """The owner that a client named.

        Raises:
            GuardError: If its token is missing or too short to be random.
        """
        token = document.get("token")
        if not isinstance(token, str) or len(token) < 8:
            raise GuardError("an owner needs a token, a random string of at least 8 characters")
        pid = document.get("pid")
        return cls(
            host=str(document.get("host", "?"))[:80],
            pid=pid if isinstance(pid, int) else -1,
            session=str(document.get("session", "?"))[:80],
            token=token,
        )

    def __str__(self) -> str:
        return f"session {self.session} (process {self.pid} on {self.host})"

    def to_document(self) -> dict[str, Any]:
        """What may be published."""
        return {"host": self.host, "pid": self.pid, "session": self.session}


class Ownership:
    """Who owns the cell; it lapses when the heartbeat's count no longer changes."""

    def __init__(self, *, timeout: float) -> None:
        self.timeout = timeout
        self.owner: Owner | None = None
        self.state = OwnerState.NONE
        self._count: str = ""
        self._last_beat = 0.0
        self._believed_from = 0.0

    def acquire(self, owner: Owner, *, wall: float) -> None:
        """Make ``owner`` the owner; asking twice is no fault.

        Raises:
            GuardError: If another has it.
        """
        if self.owner is not None and self.owner.token != owner.token:
            raise GuardError(
                f"the cell is owned by {self.owner}; end that session, or wait for it to lapse"
            )
        self.owner, self.state, self._last_beat = owner, OwnerState.OWNED, wall

    def release(self, token: object) -> None:
        """Give the cell back."""
        self.check(token)
        self.owner, self.state = None, OwnerState.NONE

    def check(self, token: object) -> None:
        """Let only the owner pass.

        Raises:
            GuardError: Saying who owns the cell.
        """
        if self.owner is None:
            raise GuardError("nobody owns the cell: acquire it first")
        if token != self.owner.token:
            raise GuardError(f"the cell is owned by {self.owner}, not by who sent this")

    def beat(self, text: str, *, wall: float) -> None:
        """Take a heartbeat ``<token> <count>``; a count that stands still is none."""
        token, _, count = text.strip().rpartition(" ")
        if self.owner is not None and token == self.owner.token and count != self._count:
            self._count, self._last_beat = count, wall

    def overslept(self, *, since: float, wall: float) -> None:
        """Nobody has looked since then, because the machine kept the guard itself from running: an
        owner that seems silent only now is listened for a moment longer, for its beats may wait.
        """
        if since - self._last_beat <= self.timeout:
            self._believed_from = wall + LISTENING

    def has_lapsed(self, *, wall: float) -> bool:
        """Whether the owner was lost just now; says so once."""
        if self.owner is None or wall - self._last_beat <= self.timeout:
            return False
        if wall < self._believed_from:
            return False
        self.owner, self.state = None, OwnerState.LAPSED
        return True
