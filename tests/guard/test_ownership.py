import itertools

import pytest

from battbeam.errors import GuardError
from battbeam.experiment.guard_state import OwnerState
from battbeam.guard.ownership import Owner, Ownership


def owner(token="a-long-token"):
    return Owner("host", 7, "session", token)


def test_a_token_that_is_not_random_is_refused():
    with pytest.raises(GuardError, match="at least 8 characters"):
        Owner.from_document({"token": "short"})
    with pytest.raises(GuardError, match="at least 8 characters"):
        Owner.from_document({"token": 12345678})


def test_the_token_is_never_published():
    document = {"host": "h", "pid": 3, "session": "s", "token": "a-long-token"}
    assert Owner.from_document(document).to_document() == {"host": "h", "pid": 3, "session": "s"}


def test_nobody_may_command_a_cell_that_is_not_owned():
    with pytest.raises(GuardError, match="nobody owns the cell"):
        Ownership(timeout=2).check("a-long-token")


def test_asking_twice_is_no_fault():
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=0)
    ownership.acquire(owner(), wall=1)
    assert ownership.state is OwnerState.OWNED


def test_only_the_owner_releases():
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=0)
    with pytest.raises(GuardError, match="not by who sent this"):
        ownership.release("another-token")
    ownership.release("a-long-token")
    assert ownership.state is OwnerState.NONE


def test_acquiring_counts_as_a_beat_and_a_lapse_is_said_once():
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=10)
    assert not ownership.has_lapsed(wall=12)
    assert ownership.has_lapsed(wall=12.01)
    assert not ownership.has_lapsed(wall=13)
    assert ownership.state is OwnerState.LAPSED


def test_an_owner_is_listened_for_once_the_guard_itself_runs_again():
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=10)
    ownership.overslept(since=10.1, wall=13)
    assert not ownership.has_lapsed(wall=13)
    # The beats of three seconds lay in a socket.
    ownership.beat("a-long-token 6", wall=13.1)
    assert not ownership.has_lapsed(wall=15)
    assert ownership.has_lapsed(wall=15.2)


def test_an_owner_that_is_gone_is_lost_however_often_the_guard_oversleeps():
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=10)
    looks, lost = [10.1, 13.0, 13.4, 14.1], []
    for since, wall in itertools.pairwise(looks):
        ownership.overslept(since=since, wall=wall)
        lost.append(ownership.has_lapsed(wall=wall))
    assert lost == [False, False, True]


@pytest.mark.parametrize(
    ("beat", "lapses"),
    [("a-long-token 1", False), ("another-token 1", True), ("", True), ("nonsense", True)],
)
def test_only_the_owners_beats_count(beat, lapses):
    ownership = Ownership(timeout=2)
    ownership.acquire(owner(), wall=0)
    ownership.beat(beat, wall=1.9)
    assert ownership.has_lapsed(wall=3) is lapses
