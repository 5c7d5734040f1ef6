"""This file is where the simulation's hidden truth is read; nothing but the verdict may.

One record a frame, found again by the file it lies in and its index there.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from battbeam.errors import StorageError
from battbeam.units import FloatArray


class Truth:
    """The hidden truth of every frame."""

    def __init__(self, path: Path) -> None:
        self._frames: dict[tuple[str, int], dict[str, Any]] = {}
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if "file" not in record:
                continue
            self._frames[(Path(record["file"]).name, int(record["index"]))] = record

    def __len__(self) -> int:
        return len(self._frames)

    def of(self, file: str, index: int) -> dict[str, Any]:
        """The truth of one frame.

        Raises:
            StorageError: If the simulation never made that frame.
        """
        try:
            return self._frames[(Path(file).name, int(index))]
        except KeyError:
            raise StorageError(f"the simulation has no frame {index} of {file}") from None

    def column(self, frames: Sequence[tuple[str, int]], *keys: str) -> FloatArray:
        """One quantity of several frames, NaN where a frame has none, e.g. ("phase_fraction", "FePO4")."""
        return np.array([_dig(self.of(*frame), keys) for frame in frames], dtype=float)


def _dig(record: dict[str, Any], keys: tuple[str, ...]) -> float:
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return float("nan") if value is None else float(value)
