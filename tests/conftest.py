"""What tests of every room share: one simulated beamline for a whole session of tests.

Tests compute in one thread, as every process of battbeam does: threads that wait for each other
while a beamline has the other core make small products of matrices ten times slower.
"""

import os
from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from battbeam.connection import Connection
from battbeam.processes import ONE_THREAD
from battbeam.sim.run import SimulatedBeamline
from battbeam.sim.scenario import Detector, Scenario

# Libraries that are loaded, and those that will be, here and in processes of the tests.
threadpool_limits(limits=1)
os.environ.update(ONE_THREAD)

#: Half as many pixels of twice the size: the same angles, a quarter of the work.
SMALL_DETECTOR = Detector(
    n_rows=256, n_columns=256, pixel_size=0.344, centre_row=125.65, centre_column=131.35
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests through the wire come last: no beamline runs beside those that only compute."""
    items.sort(key=lambda item: item.get_closest_marker("ioc") is not None)


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
