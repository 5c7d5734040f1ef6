"""This file is where the catalogue's server is: tiled, embedded, on loopback, over SQLite.

Under the catalogue's directory lie ``catalog.db`` (what there is), ``tables.db`` (rows),
``arrays/`` (patterns) and ``api_key``, readable by its owner alone. Its root holds two catalogues
of runs, ``raw`` and ``reduced``. Frames stay where the detector wrote them and are read from there.
"""

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.processes import free_port

#: Takes the place of the key file where a site keeps its secrets elsewhere.
KEY_VARIABLE = "BATTBEAM_CATALOG_KEY"
#: The two catalogues of runs.
RAW, REDUCED = "raw", "reduced"
_SPEC = {"name": "CatalogOfBlueskyRuns", "version": "3.0"}


def catalog_key(connection: Connection) -> str:
    """The key that the catalogue asks for.

    Raises:
        StorageError: If there is none, or if others may read its file.
    """
    from_environment = os.environ.get(KEY_VARIABLE)
    if from_environment:
        return from_environment
    path = connection.catalog_key_file
    if not path.exists():
        raise StorageError(
            f"no key of the catalogue: {path} is missing and {KEY_VARIABLE} is not set"
        )
    if path.stat().st_mode & 0o077:
        raise StorageError(
            f"{path} can be read by others; chmod 600 it, or remove it for a new key"
        )
    return path.read_text().strip()


def make_catalog_key(connection: Connection) -> None:
    """Write a new key for the catalogue where it has none."""
    path = connection.catalog_key_file
    if os.environ.get(KEY_VARIABLE) or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        # Letters and digits only: tiled takes no other key.
        file.write(secrets.token_hex(32))


def choose_address(connection: Connection) -> str:
    """The address at which the catalogue will answer, on a loopback port that is free now."""
    make_catalog_key(connection)
    return f"http://127.0.0.1:{free_port()}/api/v1"


def make_database(directory: Path) -> None:
    """Make the catalogue's database, with its two catalogues of runs, where it is missing.

    In this process: tiled's own way takes a process of its own and some six seconds, each time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / "catalog.db").exists():
        return
    scratch = directory / "catalog.new"
    for left_over in directory.glob("catalog.new*"):
        left_over.unlink()
    asyncio.run(_make_database(scratch))
    with closing(sqlite3.connect(directory / "tables.db")) as tables:
        # Kept in the file: readers are not locked out while rows are written.
        tables.execute("PRAGMA journal_mode=WAL")
    scratch.rename(directory / "catalog.db")


async def _make_database(path: Path) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from tiled.catalog import orm
    from tiled.catalog.core import REQUIRED_REVISION, initialize_database
    from tiled.structures.core import StructureFamily

    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    await initialize_database(engine)
    async with AsyncSession(engine) as database:
        await database.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        )
        await database.execute(
            text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REQUIRED_REVISION}
        )
        for key in (RAW, REDUCED):
            database.add(
                orm.Node(
                    key=key,
                    parent=0,
                    metadata_={},
                    structure_family=StructureFamily.container,
                    specs=[_SPEC],
                )
            )
        await database.commit()
    await engine.dispose()


def configuration(connection: Connection) -> dict[str, Any]:
    """What tiled is told, in the words of its configuration file."""
    directory = connection.catalog.resolve()
    arrays = directory / "arrays"
    arrays.mkdir(parents=True, exist_ok=True)
    connection.frames.mkdir(parents=True, exist_ok=True)
    tables = "battbeam.storage.tables"
    return {
        "trees": [
            {
                "path": "/",
                "tree": "catalog",
                "args": {
                    "uri": f"sqlite+aiosqlite:///{directory / 'catalog.db'}",
                    "init_if_not_exists": False,
                    # SQLite: DuckDB, the default, answers 500 to simultaneous reads of a table.
                    "writable_storage": [str(arrays), f"sqlite:///{directory / 'tables.db'}"],
                    "readable_storage": [
                        str(path.resolve()) for path in (connection.frames, connection.volumes)
                    ],
                    "adapters_by_mimetype": {"application/x-tiled-sql-table": f"{tables}:RowTable"},
                },
            }
        ],
        "authentication": {
            "single_user_api_key": catalog_key(connection),
            "allow_anonymous_access": False,
        },
        "expose_raw_assets": False,
        "media_types": {
            "BlueskyRun": {
                "application/json-seq": "battbeam.storage.json_documents:documents_in_order"
            }
        },
        "routers": ["bluesky_tiled_plugins.routers.validator:router"],
    }


def serve(connection: Connection, *, when_ready: Callable[[], None]) -> None:
    """Serve the catalogue at the connection's address until SIGTERM.

    Args:
        when_ready: Called once it answers.

    Raises:
        StorageError: If no address was chosen, or it is not on loopback.
    """
    address = urlparse(connection.catalog_uri)
    if address.hostname not in ("127.0.0.1", "localhost", "::1") or address.port is None:
        raise StorageError(
            f"the catalogue is served on loopback only, not {connection.catalog_uri!r}"
        )
    import uvicorn
    from tiled.server.app import build_app_from_config

    from battbeam.storage.tables import use_row_storage

    make_database(connection.catalog)
    use_row_storage()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            when_ready()

    application = build_app_from_config(configuration(connection))
    Server(
        uvicorn.Config(
            application,
            host=address.hostname,
            port=address.port,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=2,
        )
    ).run()
