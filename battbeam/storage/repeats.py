"""This file is where the rows of an exposure by result are put together."""

import xarray as xr


def last_repeats(rows: xr.Dataset) -> xr.Dataset:
    """The valid rows of each ``measurement``, from its last ``repeat`` 0 on, in their order.

    What was measured before that was measured behind less absorber, and a pixel was full.

    Args:
        rows: As `battbeam.storage.catalog.Catalog.reduced` gives them; those of no measurement (-1)
            are left out.
    """
    columns = (rows[name].to_numpy().tolist() for name in ("measurement", "repeat", "valid"))
    kept: dict[int, list[int]] = {}
    for row, (measurement, repeat, valid) in enumerate(zip(*columns, strict=True)):
        if measurement < 0:
            continue
        if repeat == 0:
            kept[measurement] = []
        if valid == 1:
            kept.setdefault(measurement, []).append(row)
    return rows.isel(time=sorted(row for each in kept.values() for row in each))
