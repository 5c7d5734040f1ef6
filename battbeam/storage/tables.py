"""This file is where the catalogue's server keeps growing tables and arrays: each row once.

Two adapters of tiled, changed where the stock ones do not hold what is promised of the catalogue.
They run inside the server's process only.
"""

import copy
from contextlib import closing
from typing import Any

import zarr
from adbc_driver_manager import Error as DatabaseError
from tiled.adapters.sql import SQLAdapter, is_unique_violation
from tiled.adapters.zarr import ZarrArrayAdapter
from tiled.catalog.adapter import STORAGE_ADAPTERS_BY_MIMETYPE
from tiled.utils import Conflicts, path_from_uri

TABLE_MIMETYPE = "application/x-tiled-sql-table"
ARRAY_MIMETYPE = "application/x-zarr"
#: The column that numbers the rows of a stream from 1; see `RunPublisher`.
ROW_COLUMN = "seq_num"
#: Rows a chunk of an array that grows row by row; the stock adapter takes the size of the first
#: write, which is one row for a run that is watched while it grows, and one file a row.
CHUNK_ROWS = 64


class RowTable(SQLAdapter):  # type: ignore[misc]
    """A table in which each (dataset, row number) stands once, whoever sends it again.

    The stock adapter names its indices alike for every table, so that only the first table of a
    database gets them; and a request that was given up by its sender may still be carried out.
    """

    @classmethod
    def init_storage(
        cls, storage: Any, data_source: Any, path_parts: list[str] | None = None
    ) -> Any:
        """Make the table where it is missing, and its index."""
        prepared = super().init_storage(storage, data_source, path_parts)
        if ROW_COLUMN in prepared.structure.columns:
            name = prepared.parameters["table_name"]
            with closing(storage.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(
                    f'CREATE UNIQUE INDEX IF NOT EXISTS "{name}_rows" '
                    f'ON "{name}"(_dataset_id, {ROW_COLUMN})'
                )
                connection.commit()
        return prepared

    def append_partition(self, partition: int, data: Any) -> None:
        """Append rows, all of them or none.

        Raises:
            Conflicts: If one of them is there already; the client sees 409.
        """
        try:
            super().append_partition(partition, data)
        except DatabaseError as error:
            if is_unique_violation(error):
                raise Conflicts(f"rows of {self.table_name} are there already") from error
            raise


class RowArray(ZarrArrayAdapter):  # type: ignore[misc]
    """An array that grows along its first axis in chunks of many rows."""

    @classmethod
    def init_storage(cls, storage: Any, data_source: Any, path_parts: list[str]) -> Any:
        """Make the array on disk."""
        declared = copy.deepcopy(data_source)
        rows, *rest = declared.structure.chunks
        declared.structure.chunks = ((CHUNK_ROWS,), *rest)
        prepared = super().init_storage(storage, declared, path_parts)
        # The stock adapter makes whole chunks: cut it to the rows that are about to come.
        array = zarr.open_array(path_from_uri(prepared.assets[-1].data_uri))
        array.resize((sum(rows), *array.shape[1:]))
        prepared.structure.chunks = (rows, *rest)
        return prepared


def use_row_storage() -> None:
    """Let this process's tiled server keep tables and arrays as above."""
    for mimetype, adapter in ((TABLE_MIMETYPE, RowTable), (ARRAY_MIMETYPE, RowArray)):
        STORAGE_ADAPTERS_BY_MIMETYPE.set(mimetype, lambda adapter=adapter: adapter)
