"""This file is where one run's documents go into the catalogue, each exactly once.

However often a run is begun again, after a crash of this process or of the server: what is there is
attached to, rows are numbered by their place among the stream's events in the spool, and those that
the catalogue holds are passed over. So ``seq_num`` in the catalogue is the number of the row, from
1; the RunEngine's own, which a rewind repeats, stays in the spool.

It builds on the private ``_RunWriter`` of bluesky-tiled-plugins 2.0.12 (the layout of a run,
external files); the stock writer refuses a run that it finds half written, and may append a row
twice.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pyarrow  # type: ignore[import-untyped]
from bluesky_tiled_plugins.utils import truncate_json_overflow
from bluesky_tiled_plugins.writing.consolidators import consolidator_factory
from bluesky_tiled_plugins.writing.tiled_writer import JSON_TO_NUMPY_DTYPE, _RunWriter
from event_model import unpack_event_page
from tiled.structures.core import Spec, StructureFamily
from tiled.structures.data_source import DataSource
from tiled.structures.table import TableStructure

from battbeam.errors import StorageError
from battbeam.storage.routes import coerced

Document = Mapping[str, Any]

#: Rows a request; the cost of a request is that of about 60 rows.
BATCH_ROWS = 1000
#: Names that the table keeps for itself.
_RESERVED = {"time": "time_", "seq_num": "seq_num_"}
_TABLE = "internal"
_COLUMN_TYPES = {
    "number": pyarrow.float64(),
    "integer": pyarrow.int64(),
    "boolean": pyarrow.bool_(),
}


class RunPublisher(_RunWriter):  # type: ignore[misc]
    """One run into the catalogue.

    Call it with the run's documents from the start document on. After any exception throw it away
    and begin again with a new one.

    Args:
        catalog: The client of the catalogue of runs, with data sources.
    """

    def __init__(self, catalog: Any) -> None:
        super().__init__(catalog, batch_size=BATCH_ROWS, max_array_size=0)
        self._n_rows: dict[str, int] = {}
        self._n_stored: dict[str, int] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dirty_frames: dict[int, str] = {}
        self._is_complete = False

    @property
    def n_pending(self) -> int:
        """Rows and files that were handed in and are not in the catalogue yet."""
        rows = sum(len(rows) for rows in self._internal_data_cache.values())
        return rows + len(self._dirty_frames)

    def start(self, doc: Document) -> None:
        """Open the run, or attach to what is there of it."""
        try:
            super().start(dict(doc))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
            self.root_node = self.client[doc["uid"]]
            there = self.root_node.metadata
            if there["start"].get("time") != doc["time"]:
                raise StorageError(
                    f"run {doc['uid']} of the catalogue is another one: started at "
                    f"{there['start'].get('time')}, in the spool at {doc['time']}"
                ) from error
            self._is_complete = "stop" in there

    def descriptor(self, doc: Document) -> None:
        """Open the stream, or attach to what is there of it."""
        if self._is_complete:
            return
        declared = _declared(doc)
        stream = declared["name"]
        if stream in self._desc_nodes:
            self._update_configuration(declared)
            return
        node = self._stream_node(declared)
        self._desc_nodes[doc["uid"]] = self._desc_nodes[stream] = node
        self._n_rows.setdefault(stream, 0)
        internal = {
            key: column for key, column in declared["data_keys"].items() if "external" not in column
        }
        self.data_keys.update(declared["data_keys"])
        self._types[stream] = {key: column["dtype"] for key, column in internal.items()}
        for key, column in internal.items():
            # Tables of SQLite hold no arrays: each gets an array node that grows with the rows.
            if column["dtype"] == "array":
                self._int_array_keys[stream].add(key)
                self._shapes[f"{stream}/{key}"] = tuple(column["shape"])

    def event(self, doc: Document) -> None:
        """Take one row; it is written with its batch."""
        if self._is_complete:
            return
        stream = self._desc_nodes[doc["descriptor"]].item["id"]
        self._n_rows[stream] += 1
        number = self._n_rows[stream]
        if number <= self._n_stored.get(stream, 0):
            return
        row = {"seq_num": number, "time": doc["time"]}
        for key, value in doc["data"].items():
            row[_RESERVED.get(key, key)] = value
        for key, value in doc["timestamps"].items():
            row[f"ts_{_RESERVED.get(key, key)}"] = value
        rows = self._internal_data_cache[stream]
        rows.append(row)
        if len(rows) >= BATCH_ROWS:
            self.flush()

    def event_page(self, doc: Document) -> None:
        """Take several rows."""
        for event in unpack_event_page(doc):
            self.event(event)

    def stream_resource(self, doc: Document) -> None:
        """Take note of a file of frames."""
        if self._is_complete:
            return
        parameters = dict(doc["parameters"])
        frame = self.data_keys[doc["data_key"]]["shape"]
        if len(frame) == len(parameters.get("chunk_shape", ())):
            # A train: its frames lie one after the other in the file, not in an axis of their own.
            parameters["join_method"] = "concat"
        super().stream_resource({**doc, "parameters": parameters})

    def stream_datum(self, doc: Document) -> None:
        """Take note of frames in a file."""
        if self._is_complete:
            return
        node, consolidator, _ = self._update_consolidator(doc)
        self._consolidators[doc["stream_resource"]] = consolidator
        self._sres_nodes[doc["stream_resource"]] = node
        self._dirty_frames[id(consolidator)] = doc["stream_resource"]

    def stop(self, doc: Document) -> None:
        """Write what waits and close the run."""
        if self._is_complete:
            return
        self.flush()
        self.root_node.update_metadata(
            metadata={"stop": truncate_json_overflow(dict(doc))}, drop_revision=True
        )
        self._is_complete = True

    def flush(self) -> None:
        """Write what waits: files, arrays, then rows, so that a row that is seen is whole."""
        for resource in list(self._dirty_frames.values()):
            self._update_data_source_for_node(
                self._sres_nodes[resource], self._consolidators[resource].get_data_source()
            )
        self._dirty_frames.clear()
        for stream, rows in self._internal_data_cache.items():
            if rows:
                node = self._desc_nodes[stream]
                for key in self._int_array_keys[stream]:
                    self._write_array(node, stream, key, rows)
                self._write_rows(node, stream, rows)
                self._n_stored[stream] = rows[-1]["seq_num"]
                rows.clear()

    def get_sres_node(self, sres_uid: str, desc_uid: str | None = None) -> Any:
        """The node of a file of frames; one that is there is attached to."""
        resource = self._stream_resource_cache.get(sres_uid)
        if resource is not None and sres_uid not in self._sres_nodes and desc_uid is not None:
            stream_node = self._desc_nodes[desc_uid]
            full_key = f"{stream_node.item['id']}_{resource['data_key']}"
            if full_key not in self._sres_nodes and resource["data_key"] in stream_node:
                node = stream_node[resource["data_key"]]
                self._sres_nodes[full_key] = self._sres_nodes[sres_uid] = node
                consolidator = consolidator_factory(resource, stream_node.metadata)
                self._consolidators[full_key] = self._consolidators[sres_uid] = consolidator
        return super().get_sres_node(sres_uid, desc_uid)

    def _stream_node(self, declared: dict[str, Any]) -> Any:
        stream = declared["name"]
        run = self.root_node.base
        metadata = {
            key: value
            for key, value in declared.items()
            if key not in {"name", "object_keys", "run_start"}
        }
        try:
            return run.create_container(
                key=stream,
                metadata=truncate_json_overflow(metadata),
                specs=[Spec("BlueskyEventStream", version="3.0"), Spec("composite")],
            ).base
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.CONFLICT:
                raise
        node = run[stream].base
        if _TABLE in node:
            table = node[_TABLE]
            self._internal_tables[stream] = table
            self._n_stored[stream] = len(table["seq_num"].read())
        return node

    def _update_configuration(self, declared: dict[str, Any]) -> None:
        """A second descriptor of a stream: only its configuration is new."""
        node = self._desc_nodes[declared["name"]]
        self._desc_nodes[declared["uid"]] = node
        updates = list(node.metadata.get("_config_updates", []))
        if node.metadata["uid"] == declared["uid"]:
            return
        if all(update["uid"] != declared["uid"] for update in updates):
            update = {key: declared[key] for key in ("uid", "time")}
            updates.append({**update, "configuration": declared.get("configuration", {})})
            node.update_metadata(
                metadata={"_config_updates": truncate_json_overflow(updates)}, drop_revision=True
            )

    def _write_array(self, node: Any, stream: str, key: str, rows: list[dict[str, Any]]) -> None:
        """Write one array a row at the rows' own places, so that a second time changes nothing."""
        shape = self._shapes[f"{stream}/{key}"] or np.shape(rows[0][key])
        values = np.full((len(rows), *shape), np.nan)
        for i, row in enumerate(rows):
            value = np.asarray(row.pop(key), dtype=float)
            if value.shape != shape:
                raise StorageError(
                    f"{key} of row {row['seq_num']} in stream {stream} has the shape "
                    f"{value.shape}, its descriptor declares {shape}"
                )
            values[i] = value
        name = f"{stream}/{key}"
        if name not in self._internal_arrays and key in node:
            self._internal_arrays[name] = node[key]
        array = self._internal_arrays.get(name)
        if array is None:
            self._internal_arrays[name] = node.write_array(
                values,
                key=key,
                metadata=truncate_json_overflow(self.data_keys[key]),
                dims=self._internal_dims(stream, values.shape),
            )
        else:
            array.patch(values, offset=(rows[0]["seq_num"] - 1,), extend=True)

    def _write_rows(self, node: Any, stream: str, rows: list[dict[str, Any]]) -> None:
        types = {
            key: kind
            for key, kind in self._types[stream].items()
            if key not in self._int_array_keys[stream]
        }
        schema = _schema(types, self._int_array_keys[stream])
        columns = {
            field.name: [
                _cell(row.get(field.name), types.get(field.name, "number")) for row in rows
            ]
            for field in schema
        }
        table = self._internal_tables.get(stream)
        if table is None:
            table = self._internal_tables[stream] = node.new(
                StructureFamily.table,
                [
                    DataSource(
                        structure=TableStructure.from_schema(schema, 1),
                        structure_family=StructureFamily.table,
                        mimetype="application/x-tiled-sql-table",
                    )
                ],
                key=_TABLE,
                metadata={},
                specs=[],
            )
        table.append_partition(0, pyarrow.table(columns, schema=schema))


def _declared(doc: Document) -> dict[str, Any]:
    """A descriptor with every column's machine type, and no column named as the table's own."""
    data_keys = {
        _RESERVED.get(key, key): {
            **column,
            "shape": column.get("shape") or [],
            "dtype_numpy": column.get("dtype_numpy") or JSON_TO_NUMPY_DTYPE[column["dtype"]],
        }
        for key, column in doc["data_keys"].items()
    }
    for name, keys in (doc.get("object_keys") or {}).items():
        for key in keys:
            if key in data_keys:
                data_keys[key]["object_name"] = name
    return {**doc, "data_keys": data_keys}


def _schema(types: Mapping[str, str], array_keys: set[str]) -> pyarrow.Schema:
    """The table's columns: the row's number and time, values, and when each was read."""
    values = [(key, _COLUMN_TYPES.get(kind, pyarrow.string())) for key, kind in types.items()]
    stamps = [(f"ts_{key}", pyarrow.float64()) for key in [*types, *sorted(array_keys)]]
    own = [("seq_num", pyarrow.int64()), ("time", pyarrow.float64())]
    return pyarrow.schema([*own, *values, *stamps])


def _cell(value: Any, declared: str) -> Any:
    """A value of the declared type; nothing where it has none, never a rounded number."""
    if value is None:
        return None
    if declared == "integer":
        whole = coerced(value, declared)
        return whole if isinstance(whole, int) else None
    if declared == "string":
        return str(value)
    return coerced(value, declared)
