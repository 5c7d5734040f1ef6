"""Volumes lie in files of their own and are read through the catalogue."""

import json
import uuid

import numpy as np
import pytest

from battbeam.callbacks.cell_columns import NUMBER, array_key, scalar_keys
from battbeam.callbacks.reduced_run import ReducedRun
from battbeam.callbacks.volume_file import write_volume
from battbeam.errors import StorageError
from battbeam.storage.spool import Spool

SHAPE = (3, 8, 8)


def stored(connection, n_rows):
    """A reduced run of volumes in the spool; its uid, and the volumes."""
    raw = {"uid": str(uuid.uuid4()), "time": 1000.0}
    rng = np.random.default_rng(3)
    volumes = [rng.normal(size=SHAPE).astype("<f4") for _ in range(n_rows)]
    key = array_key(list(SHAPE), "1/mm", ["row", "z", "x"])
    with Spool(connection.reduced_spool) as spool:
        run = ReducedRun(raw, {"method": "tomography"}, spool)
        keys = scalar_keys({"voxel_size": (NUMBER, "mm"), "state_of_charge": (NUMBER, "1")})
        keys["volume"] = {**key, "dtype_numpy": "<f4", "external": "STREAM:"}
        run.describe(keys, {})
        for number, volume in enumerate(volumes):
            path = connection.volumes / run.uid / f"volume_{number}.h5"
            write_volume(path, {"volume": volume})
            row = {"voxel_size": 0.01, "state_of_charge": 0.1 * number}
            run.add(1000.0 + number, row, files={"volume": path})
        run.stop(2000.0, "success", "")
    return run.uid, volumes


def test_each_row_has_its_volume_with_axes_in_mm(services, catalog):
    uid, volumes = stored(services.connection, 3)
    services.wait_published(timeout=20)
    for number, wanted in enumerate(volumes):
        found = catalog.volume(uid, number)
        np.testing.assert_array_equal(found.to_numpy(), wanted)
        assert found.attrs["state_of_charge"] == pytest.approx(0.1 * number)
    assert found.dims == ("row", "z", "x")
    np.testing.assert_allclose(found["x"].to_numpy()[[0, -1]], [-0.035, 0.035])
    json.dumps(found.attrs)


def test_a_volume_that_is_not_there_is_named(services, catalog):
    uid, _ = stored(services.connection, 1)
    services.wait_published(timeout=20)
    with pytest.raises(StorageError, match="has no volume 1"):
        catalog.volume(uid, 1)
