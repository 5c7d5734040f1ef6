"""This file is where it is known which sample is in the beam."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from battbeam.devices.layer_stage import LayerStage
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.sample_stage import SampleStage


@dataclass(frozen=True)
class Place:
    """Where a cell is mounted.

    Attributes:
        guard: Knows its passport.
        position: (x, y) of the sample stage with the cell's middle in the beam, mm.
        radius: About it, what belongs to the cell, mm.
    """

    guard: Potentiostat
    position: tuple[float, float] = (0.0, 0.0)
    radius: float = 9.0


class SamplePlaces:
    """The cells on a sample stage.

    Args:
        stage: Moves them across the beam.
        places: Of each.
    """

    def __init__(self, stage: SampleStage, places: Sequence[Place]) -> None:
        self.stage, self.places = stage, tuple(places)
        self._passports: dict[str, tuple[str, str]] = {}

    def here(self) -> tuple[str, float, float]:
        """Sample in the beam, ``none`` where there is no cell, and the spot in its frame, mm."""
        x, y = self.stage.x.position, self.stage.y.position
        for place in self.places:
            inside = (x - place.position[0], y - place.position[1])
            if math.hypot(*inside) <= place.radius:
                return self._sample_uid(place.guard), *inside
        return "none", x, y

    def position_of(self, spot: tuple[float, float]) -> tuple[float, float]:
        """Of the sample stage, mm, with another spot of the cell that is in the beam there."""
        _, x, y = self.here()
        return (
            self.stage.x.position + spot[0] - x,
            self.stage.y.position + spot[1] - y,
        )

    def _sample_uid(self, guard: Potentiostat) -> str:
        """Of the passport on a guard; the last one known while it does not answer."""
        known, uid = self._passports.get(guard.name, ("", f"no passport on {guard.prefix}"))
        text = str(guard.passport.value_now()) if guard.connected else known
        if text != known:
            passport = json.loads(text) or {}
            uid = str(passport.get("sample_uid") or passport.get("cell") or uid)
            self._passports[guard.name] = (text, uid)
        return uid


class LayerPlaces(SamplePlaces):
    """Cells that stand edge-on in a beam along their layers.

    Where a layer is lit is not told apart: light goes on along it. A spot is (0, z) of its depth.
    """

    def __init__(self, stage: LayerStage, places: Sequence[Place]) -> None:
        super().__init__(stage, places)
        self._depth = stage.z

    def here(self) -> tuple[str, float, float]:
        """Sample in the beam, ``none`` where there is no cell, 0 and the depth that is lit, mm."""
        uid, _, _ = super().here()
        return uid, 0.0, self._depth.position
