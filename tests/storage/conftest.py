import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from event_model import compose_run

from battbeam.connection import Connection, GuardAddress

# The catalogue is loaded by the tests' own waiting, never by tiled's.
os.environ.setdefault("TILED_RETRY_ATTEMPTS", "1")

Named = tuple[str, dict]


def scan_documents(
    n_events: int = 5,
    *,
    uid: str | None = None,
    points: list[int] | None = None,
    **metadata: object,
) -> list[Named]:
    """The documents of a small measurement: numbers, a text, a pattern of 350 values a row."""
    run = compose_run(uid=uid or str(uuid.uuid4()), time=1000.0, metadata=metadata, validate=False)
    columns = {
        "point": ("integer", []),
        "voltage": ("number", []),
        "note": ("string", []),
        "intensity": ("array", [350]),
    }
    keys = {
        key: {"dtype": dtype, "shape": shape, "source": "test", "units": "V"}
        for key, (dtype, shape) in columns.items()
    }
    stream = run.compose_descriptor(name="primary", data_keys=keys, validate=False)
    documents: list[Named] = [("start", run.start_doc), ("descriptor", stream.descriptor_doc)]
    for row, point in enumerate(points or range(n_events)):
        data = {
            "point": point,
            "voltage": 3.0 + row,
            "note": f"row {row}",
            "intensity": (np.arange(350.0) + row).tolist(),
        }
        event = stream.compose_event(
            data=data,
            timestamps=dict.fromkeys(data, 1000.0 + row),
            seq_num=row + 1,
            time=1000.0 + row,
            validate=False,
        )
        documents.append(("event", event))
    return [*documents, ("stop", run.compose_stop(time=2000.0))]


@pytest.fixture(scope="session")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Connection:
    directory = tmp_path_factory.mktemp("beamline")
    log = directory / "guard" / "cell1" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    return Connection(
        directory=directory,
        simulated=True,
        guards={"cell1": GuardAddress(prefix="SIM:CELL1:", log=log)},
    )


@pytest.fixture(scope="session")
def services(beamline: Connection) -> Iterator[object]:
    from battbeam.serve import Services

    with Services(beamline, reduce=False) as running:
        yield running


@pytest.fixture
def spool_directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"
