import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from event_model import compose_run

from battbeam.connection import Connection, GuardAddress
from battbeam.serve import Services
from battbeam.storage.catalog import Catalog

sys.path.insert(0, str(Path(__file__).parent))

# Tests wait by themselves for what they want to see; tiled's client would for 45 s a request.
os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")

Named = tuple[str, dict]


def scan_documents(
    n_events: int = 5,
    *,
    points: list[int] | None = None,
    n_frames: int = 1,
    began: float = 1000.0,
    **metadata: object,
) -> list[Named]:
    """The documents of a small measurement: numbers, a text, a pattern of 350 values a row."""
    run = compose_run(uid=str(uuid.uuid4()), time=began, metadata=metadata, validate=False)
    columns = {
        "point": ("integer", []),
        "frame": ("integer", []),
        "voltage": ("number", []),
        "valid": ("integer", []),
        "note": ("string", []),
        "intensity": ("array", [350]),
    }
    keys = {
        key: {"dtype": dtype, "shape": shape, "source": "test", "units": "V"}
        for key, (dtype, shape) in columns.items()
    }
    keys["intensity"]["dims"] = ["two_theta"]
    stream = run.compose_descriptor(
        name="primary",
        data_keys=keys,
        configuration={
            "reduction": {
                "data": {"two_theta": np.linspace(5.0, 20.0, 350).tolist()},
                "timestamps": {"two_theta": 0.0},
                "data_keys": {
                    "two_theta": {"dtype": "array", "shape": [350], "source": "test"},
                },
            }
        },
        validate=False,
    )
    documents: list[Named] = [("start", run.start_doc), ("descriptor", stream.descriptor_doc)]
    for row, point in enumerate(points or range(n_events)):
        data = {
            "point": point,
            "frame": row % n_frames,
            "voltage": 3.0 + row,
            "valid": 1,
            "note": f"row {row}",
            "intensity": (np.arange(350.0) + row).tolist(),
        }
        event = stream.compose_event(
            data=data,
            timestamps=dict.fromkeys(data, 1000.0 + row),
            seq_num=point + 1,
            time=1000.0 + row,
            validate=False,
        )
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop(time=2000.0))]


@pytest.fixture(scope="session")
def scan() -> Callable[..., list[Named]]:
    return scan_documents


def place_at(directory: Path) -> Connection:
    log = directory / "guard" / "cell1" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    guards = {"cell1": GuardAddress(prefix="SIM:CELL1:", log=log)}
    return Connection(directory=directory, simulated=True, guards=guards)


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A catalogue and its publisher, shared by every test that only adds runs of its own."""
    with Services(place_at(tmp_path_factory.mktemp("served")), reduce=False) as running:
        yield running


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[Services]:
    """The same for one test that kills or stops them."""
    with Services(place_at(tmp_path), reduce=False) as running:
        yield running


@pytest.fixture
def catalog(services: Services) -> Catalog:
    return Catalog(services.connection)


@pytest.fixture
def spool_directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"
