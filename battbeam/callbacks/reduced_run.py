"""This file is where reduced rows become the documents of a run of their own.

Every uid and every time follows from the raw run, so that the same raw run reduced again by the
same program with the same parameters gives the same documents, to the bit.
"""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from event_model import compose_run, compose_stream_resource

#: Takes a document's name and the document.
Publish = Callable[[str, dict[str, Any]], None]

#: What a reduced run repeats of its raw run's start document.
KEPT = (
    *("cell", "guard", "operando", "plan_name", "scan_id", "simulated", "technique", "energy"),
    *("sentinel", "label", "edges", "tomography", "radiography"),
)
#: Of uids that follow from others.
_NAMESPACE = uuid.UUID("5f0b1c4e-3f0f-5d53-9b1c-0c9a4f1b7e25")
STREAM = "primary"


def program_version() -> str:
    """Of battbeam; of a checkout that is not installed, ``0+checkout``."""
    try:
        return metadata.version("battbeam")
    except metadata.PackageNotFoundError:
        return "0+checkout"


def derived_uid(*parts: object) -> str:
    """The uid that follows from these; JSON-ready."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps(parts, sort_keys=True)))


@dataclass
class _Stream:
    compose_event: Any
    columns: list[str]
    descriptor: dict[str, Any]
    n_rows: int = 0


class ReducedRun:
    """Composes the documents of one reduced run.

    Args:
        raw: Start document of the raw run.
        parameters: Everything besides the raw run that decides on the result, JSON-ready.
        publish: Takes each document.
    """

    def __init__(
        self, raw: Mapping[str, Any], parameters: Mapping[str, Any], publish: Publish
    ) -> None:
        self._publish = publish
        self._raw_time = float(raw["time"])
        version = program_version()
        self.uid = derived_uid(raw["uid"], version, parameters)
        self._bundle = compose_run(
            uid=self.uid,
            time=self._raw_time,
            metadata={
                **{name: raw[name] for name in KEPT if name in raw},
                "kind": "reduced",
                "analysis_of": raw["uid"],
                "program": "battbeam",
                "version": version,
                "parameters": dict(parameters),
                "raw_reduction": dict(raw.get("reduction", {})),
            },
        )
        self._streams: dict[str, _Stream] = {}
        publish("start", dict(self._bundle.start_doc))

    @property
    def is_described(self) -> bool:
        """Whether the columns of the rows are known."""
        return STREAM in self._streams

    def describe(
        self,
        data_keys: Mapping[str, Any],
        configuration: Mapping[str, tuple[Any, str]],
        *,
        stream: str = STREAM,
    ) -> None:
        """Say what the rows hold.

        Args:
            data_keys: Columns; those that are ``external`` lie in files.
            configuration: What is the same for every row: a value and its unit by name.
            stream: Of the rows; those of another than ``primary`` stand beside the result.
        """
        described = self._bundle.compose_descriptor(
            name=stream,
            data_keys={key: dict(value) for key, value in data_keys.items()},
            object_keys={"reduction": list(data_keys)},
            configuration={"reduction": self._configuration(configuration)},
            hints={"reduction": {"fields": []}},
            time=self._raw_time,
            uid=derived_uid(self.uid, stream),
        )
        columns = [key for key, value in data_keys.items() if "external" not in value]
        document = dict(described.descriptor_doc)
        self._streams[stream] = _Stream(described.compose_event, columns, document)
        self._publish("descriptor", document)

    def _configuration(self, given: Mapping[str, tuple[Any, str]]) -> dict[str, Any]:
        keys = {name: _described(value, unit) for name, (value, unit) in given.items()}
        return {
            "data": {name: value for name, (value, _) in given.items()},
            "timestamps": dict.fromkeys(given, self._raw_time),
            "data_keys": keys,
        }

    def add(
        self,
        time: float,
        row: Mapping[str, Any],
        *,
        stream: str = STREAM,
        files: Mapping[str, Path] | None = None,
    ) -> None:
        """One row at the middle of its exposure, s since the Unix epoch.

        Args:
            time: Of the row.
            row: Values of its columns.
            stream: That it belongs to.
            files: HDF5 file of each external column: dataset ``/<column>``, whose first axis has
                this row alone; it must be whole.

        Raises:
            ValueError: If the row has other columns than were described.
        """
        to = self._streams[stream]
        if set(row) != set(to.columns):
            differing = sorted(set(row) ^ set(to.columns))
            raise ValueError(f"row and descriptor differ in {', '.join(differing)}")
        for key, path in (files or {}).items():
            self._file(to, key, path)
        to.n_rows += 1
        event = to.compose_event(
            data={name: row[name] for name in to.columns},
            timestamps=dict.fromkeys(to.columns, time),
            uid=derived_uid(self.uid, to.descriptor["name"], to.n_rows),
            time=time,
            # The columns were compared above; the schema cannot say more about numbers.
            validate=False,
        )
        self._publish("event", dict(event))

    def _file(self, stream: _Stream, key: str, path: Path) -> None:
        shape = stream.descriptor["data_keys"][key]["shape"]
        bundle = compose_stream_resource(
            mimetype="application/x-hdf5",
            uri=f"file://localhost{quote(str(path.resolve()))}",
            data_key=key,
            parameters={"dataset": f"/{key}", "chunk_shape": [1, *shape], "swmr": False},
            uid=derived_uid(self.uid, stream.descriptor["name"], key, stream.n_rows),
            start=self._bundle.start_doc,
        )
        self._publish("stream_resource", dict(bundle.stream_resource_doc))
        datum = bundle.compose_stream_datum(
            indices={"start": 0, "stop": 1},
            seq_nums={"start": stream.n_rows + 1, "stop": stream.n_rows + 2},
            descriptor=stream.descriptor,
        )
        self._publish("stream_datum", dict(datum))

    def stop(self, time: float, exit_status: str, reason: str) -> None:
        """End the run at the raw run's end."""
        doc = self._bundle.compose_stop(
            exit_status=exit_status, reason=reason, time=time, uid=derived_uid(self.uid, "stop")
        )
        self._publish("stop", dict(doc))


def _described(value: Any, unit: str) -> dict[str, Any]:
    shape = [len(value)] if isinstance(value, list) else []
    dtype = "array" if shape else "string" if isinstance(value, str) else "number"
    return {"source": "battbeam", "dtype": dtype, "shape": shape, "units": unit}
