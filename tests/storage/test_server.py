import stat

import httpx
import pytest

from battbeam.connection import Connection
from battbeam.errors import StorageError
from battbeam.storage.catalog import Catalog
from battbeam.storage.server import (
    KEY_VARIABLE,
    catalog_key,
    configuration,
    make_catalog_key,
    serve,
)


@pytest.fixture
def connection(tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    return Connection(directory=tmp_path, simulated=True)


def test_the_key_is_its_owners_alone_and_made_once(connection):
    make_catalog_key(connection)
    key = catalog_key(connection)
    make_catalog_key(connection)
    assert stat.S_IMODE(connection.catalog_key_file.stat().st_mode) == 0o600
    assert catalog_key(connection) == key
    assert len(key) == 64


def test_a_key_that_others_can_read_is_refused(connection):
    make_catalog_key(connection)
    connection.catalog_key_file.chmod(0o644)
    with pytest.raises(StorageError, match="can be read by others"):
        catalog_key(connection)


def test_a_missing_key_says_where_it_belongs(connection):
    with pytest.raises(StorageError, match="no key of the catalogue"):
        catalog_key(connection)


def test_the_key_may_come_from_the_environment(connection, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "0123")
    make_catalog_key(connection)
    assert catalog_key(connection) == "0123"
    assert not connection.catalog_key_file.exists()


def test_no_file_is_handed_out_and_only_frames_and_volumes_are_read(connection):
    make_catalog_key(connection)
    told = configuration(connection)
    assert told["expose_raw_assets"] is False
    assert told["authentication"]["allow_anonymous_access"] is False
    readable = [str(connection.frames), str(connection.volumes)]
    assert told["trees"][0]["args"]["readable_storage"] == readable


def test_the_catalogue_is_served_on_loopback_only(connection):
    connection.catalog_uri = "http://192.0.2.1:8000/api/v1"
    with pytest.raises(StorageError, match="on loopback only"):
        serve(connection, when_ready=lambda: None)


def test_a_catalogue_that_does_not_run_says_so(connection):
    with pytest.raises(StorageError, match="no catalogue running"):
        Catalog(connection)
    make_catalog_key(connection)
    connection.catalog_uri = "http://127.0.0.1:9/api/v1"
    with pytest.raises(StorageError, match="does not answer"):
        Catalog(connection)


def test_without_the_key_nothing_is_shown_and_the_key_is_in_no_log(services):
    answer = httpx.get(f"{services.connection.catalog_uri}/metadata/raw")
    assert answer.status_code == 401
    key = catalog_key(services.connection)
    for log in (services.connection.directory / "log").glob("*.log"):
        assert key not in log.read_text()
