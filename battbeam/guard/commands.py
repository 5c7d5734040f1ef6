"""This file is where what clients put is read, checked against the owner, and answered.

Whatever a client sends, the answer is a `Result`; nothing here raises. The verbs are Validate,
Load, Start, Hold, Proceed, OpenCircuit and Reset; besides them there are owner, passport, settings,
policies, occasions and soft limits.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from battbeam.errors import GuardError, PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol
from battbeam.guard.core import Guard
from battbeam.guard.limits import SoftLimit
from battbeam.guard.ownership import Owner
from battbeam.guard.policy import Occasion, policies_from

#: Longest and shortest heartbeat time-out that an owner may ask for, wall s.
HEARTBEAT_TIMEOUTS = (0.2, 60.0)
#: Longest hold that an owner may ask for, s of cell time: a week.
LONGEST_HOLD = 7 * 86400.0

#: What a document of the right form and the wrong content can provoke on its way; a refusal, and
#: never the end of a guard.
CLIENTS_FAULTS = (GuardError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError)

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """The answer to one command.

    Attributes:
        id: As the client named it.
        verb: What was asked.
        ok: Whether it was done.
        error: Why not, in one line.
        faults: Every fault found, where there are several.
    """

    id: str
    verb: str
    ok: bool = True
    error: str = ""
    faults: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As published."""
        return json.dumps(asdict(self))


def carry_out(guard: Guard, verb: str, text: str, *, wall: float) -> Result:
    """Do what a client put to a verb, and say how it went; refusals are written down."""
    name = ""
    try:
        document = _document(text)
        name = str(document.get("id", ""))[:80]
        if verb not in WITHOUT_OWNER:
            guard.ownership.check(document.get("token"))
        VERBS[verb](guard, document, wall)
        result = Result(name, verb)
    except PreflightError as error:
        result = Result(name, verb, ok=False, error=str(error), faults=error.faults)
    except CLIENTS_FAULTS as error:
        result = Result(name, verb, ok=False, error=str(error) or type(error).__name__)
    guard.writer.line("command", verb=verb, id=name, ok=result.ok, error=result.error)
    if not result.ok:
        guard.standing.last_error = f"{verb}: {result.error}"
    return result


def set_soft_limit(guard: Guard, name: SoftLimit, value: float) -> Result:
    """Change one soft limit, inside the hard ones."""
    try:
        guard.limits.set_soft(name, float(value))
        soft = guard.limits.soft
        guard.change(soft=[soft.voltage_min, soft.voltage_max, soft.current_max])
        result = Result("", name)
    except CLIENTS_FAULTS as error:
        result = Result("", name, ok=False, error=str(error))
        guard.standing.last_error = result.error
    guard.writer.line("command", verb=f"soft {name}", id="", ok=result.ok, error=result.error)
    return result


def _document(text: str) -> Document:
    if not text.strip():
        raise GuardError('needs a JSON object such as {"id": "1", "token": "..."}, got nothing')
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise GuardError(f"not JSON: {error}") from None
    if not isinstance(document, dict):
        raise GuardError(f"needs a JSON object, got {type(document).__name__}")
    return document


def _validate(guard: Guard, document: Document, _wall: float) -> None:
    if faults := guard.faults(_protocol(document)):
        raise PreflightError("protocol", faults)


def _load(guard: Guard, document: Document, _wall: float) -> None:
    guard.load(_protocol(document))


def _protocol(document: Document) -> Protocol:
    protocol = document.get("protocol")
    if not isinstance(protocol, dict):
        raise PreflightError("protocol", ["protocol is missing: give it under the key 'protocol'"])
    return Protocol.read(protocol)


def _passport(guard: Guard, document: Document, _wall: float) -> None:
    if "passport" not in document:
        raise PreflightError(
            "cell passport", ["give it under the key 'passport', null to dismount"]
        )
    passport = document["passport"]
    if passport is None:
        guard.dismount()
    elif not isinstance(passport, dict):
        raise PreflightError("cell passport", [f"must be an object, got {passport!r}"])
    else:
        guard.mount(CellPassport.read(passport))


def _owner(guard: Guard, document: Document, wall: float) -> None:
    if document.get("release"):
        guard.release(document.get("token"))
    else:
        guard.acquire(Owner.from_document(document), wall=wall)


def _policies(guard: Guard, document: Document, _wall: float) -> None:
    policies = policies_from(document.get("policies"))
    guard.policies |= policies
    guard.change(policies={str(k): str(v) for k, v in guard.policies.items()})


def _occasion(guard: Guard, document: Document, _wall: float) -> None:
    known = [str(each) for each in Occasion if each is not Occasion.CLIENT_LOSS]
    if document.get("occasion") not in known:
        raise GuardError(f"occasion must be one of {', '.join(known)}")
    guard.carry_out(Occasion(document["occasion"]))


def _settings(guard: Guard, document: Document, _wall: float) -> None:
    low, high = HEARTBEAT_TIMEOUTS
    timeout = float(document.get("heartbeat_timeout", guard.ownership.timeout))
    hold = float(document.get("hold_maximum", guard.course.hold_maximum))
    if not low <= timeout <= high:
        raise GuardError(f"heartbeat_timeout must lie in {low:g} to {high:g} s, got {timeout:g}")
    if not 0 < hold <= LONGEST_HOLD:
        raise GuardError(f"hold_maximum must lie in 0 to {LONGEST_HOLD:g} s, got {hold:g}")
    guard.ownership.timeout, guard.course.hold_maximum = timeout, hold
    guard.change(heartbeat_timeout=timeout, hold_maximum=hold)


def _hold(guard: Guard, document: Document, _wall: float) -> None:
    maximum = document.get("maximum")
    if maximum is not None and not 0 < float(maximum) <= LONGEST_HOLD:
        raise GuardError(f"maximum must lie in 0 to {LONGEST_HOLD:g} s, got {maximum}")
    guard.hold(maximum=None if maximum is None else float(maximum))


def _open_circuit(guard: Guard, document: Document, _wall: float) -> None:
    guard.open_circuit(str(document.get("reason") or "asked")[:200])


#: By the name of the PV that takes it.
VERBS: Mapping[str, Callable[[Guard, Document, float], None]] = {
    "Validate": _validate,
    "Load": _load,
    "Start": lambda guard, _document, _wall: guard.start(),
    "Hold": _hold,
    "Proceed": lambda guard, _document, _wall: guard.proceed(),
    "OpenCircuit": _open_circuit,
    "Reset": lambda guard, _document, _wall: guard.reset(),
    "Owner": _owner,
    "Passport": _passport,
    "Policies": _policies,
    "Occasion": _occasion,
    "Settings": _settings,
}
#: What may be asked without owning the cell; the owner's own verbs check their token themselves.
WITHOUT_OWNER = frozenset({"Validate", "OpenCircuit", "Owner"})
