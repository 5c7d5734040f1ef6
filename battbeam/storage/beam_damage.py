"""This file is where reduced runs of one cell are asked whether the beam damages it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from battbeam.errors import StorageError
from battbeam.experiment.control_spot import ControlSpot
from battbeam.experiment.sentinel import Damage


def damage_of_cell(reduced: Sequence[xr.Dataset], spots: ControlSpot | None = None) -> Damage:
    """What the rows of all runs together say of exposed and control spot.

    Args:
        reduced: As `Catalog.reduced` gives them, all of one cell.
        spots: Which they are; by default as the first run says that does.

    Raises:
        StorageError: If the runs are of several cells, say nothing of a control spot, or lack a column.
    """
    samples = {str((rows.attrs.get("cell") or {}).get("sample_uid", "")) for rows in reduced}
    if len(samples) != 1:
        named = ", ".join(sorted(samples)) or "none"
        raise StorageError(f"beam damage is looked for on one cell; these runs are of {named}")
    said = [rows.attrs["sentinel"] for rows in reduced if rows.attrs.get("sentinel")]
    if spots is None and not said:
        raise StorageError("these runs say nothing of a control spot; give spots, a ControlSpot")
    spots = spots or ControlSpot.model_validate(said[0])
    columns = {}
    for name in (*spots.columns, "valid"):
        if not all(name in rows for rows in reduced):
            raise StorageError(f"a reduction has no column {name!r}; reduce its run again")
        columns[name] = np.concatenate([rows[name].to_numpy() for rows in reduced])
    try:
        return spots.verdict(columns)
    except ValueError as fault:
        raise StorageError(str(fault)) from fault
