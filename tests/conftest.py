"""What tests of every room share: one simulated beamline for a whole session of tests.

`./run test` has two workers: one takes every test through the wire, one beamline after the other,
and the other, with less priority, those that only compute.

Tests compute in one thread, as every process of battbeam does: threads that wait for each other
while a beamline has the other core make small products of matrices ten times slower.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from battbeam.connection import Connection
from battbeam.processes import ONE_THREAD
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Detector, Scenario

# Libraries that are loaded, and those that will be, here and in processes of the tests.
threadpool_limits(limits=1)
os.environ.update(ONE_THREAD)

# How long an example takes, or is drawn for, says nothing on a machine that also has a beamline.
settings.register_profile("battbeam", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("battbeam")

#: Half as many pixels of twice the size: the same angles, a quarter of the work.
SMALL_DETECTOR = Detector(
    n_rows=256, n_columns=256, pixel_size=0.344, centre_row=125.65, centre_column=131.35
)


TOP = Path(__file__).parent.parent
BEGUN = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One of two workers has the wire, from the start; without workers the wire comes last."""
    if has_workers():
        items.sort(key=lambda item: not speaks_to_a_beamline(item.nodeid))
    else:
        items.sort(key=lambda item: item.get_closest_marker("ioc") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A worker that begins with tests that only compute gives way to the one that has the wire."""
    if has_workers() and BEGUN not in item.config.stash:
        item.config.stash[BEGUN] = True
        if not speaks_to_a_beamline(item.nodeid):
            os.nice(10)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All files with tests through the wire are one piece of work, every other one its own."""
    from xdist.scheduler import LoadScopeScheduling

    class OneWire(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return "wire" if speaks_to_a_beamline(nodeid) else nodeid.split("::")[0]

    return OneWire(config, log)


def has_workers() -> bool:
    """Whether this is one of several processes that share the tests."""
    return "PYTEST_XDIST_WORKER" in os.environ


def speaks_to_a_beamline(nodeid: str) -> bool:
    """Whether a test's file holds tests through the wire."""
    return file_speaks_to_a_beamline(nodeid.split("::")[0])


@functools.cache
def file_speaks_to_a_beamline(name: str) -> bool:
    return "pytest.mark.ioc" in (TOP / name).read_text()


@pytest.fixture(scope="session")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedBeamline]:
    """A running simulated beamline, started by the first test that asks for it.

    Tests share it: leave motors, shutter and cell as they were found. A test that needs another
    scenario, or kills a process, starts its own.
    """
    scenario = Scenario(name="tests", rate=60.0, detector=SMALL_DETECTOR)
    with SimulatedBeamline(scenario, tmp_path_factory.mktemp("beamline")) as running:
        running.start().use()
        yield running


@pytest.fixture(scope="session")
def connection(beamline: SimulatedBeamline) -> Connection:
    """The addresses of the shared beamline."""
    if beamline.connection is None:
        pytest.fail("the shared beamline was stopped by a test")
    return beamline.connection
