"""Names for simulated beamlines that a test starts for itself."""

import itertools

_numbers = itertools.count(1)


def own_prefix() -> str:
    """A prefix of PV names that no other beamline of this process has.

    Channel Access clients of one process share their connections: of two servers with one name
    either may answer, also one that another test keeps running.
    """
    return f"OWN{next(_numbers)}:"
