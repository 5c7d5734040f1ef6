"""This file is where amplifiers and foils of the counters are set: their records."""

from typing import Any

from caproto import ChannelType, SkipWrite
from caproto.server import PVGroup, pvproperty

from battbeam.sim.counters import CHAMBERS, GAINS
from battbeam.sim.in_beam import FOILS

#: Gain at the start: `Spectroscopy.counts_per_photon` holds there.
_FIRST_GAIN = "1e8"


class Amplifier(PVGroup):  # type: ignore[misc]
    """The amplifier of one ionization chamber."""

    Gain = pvproperty(
        value=_FIRST_GAIN, name="GAIN", enum_strings=GAINS, dtype=ChannelType.ENUM, doc="V/A"
    )

    @property
    def index(self) -> int:
        """Of the gain in `GAINS`."""
        return GAINS.index(str(self.Gain.value))


async def _put_name(wheel: "FoilWheel", _instance: Any, value: Any) -> str:
    name = _text(value).strip()
    if name and name not in FOILS:
        raise SkipWrite
    return name


class FoilWheel(PVGroup):  # type: ignore[misc]
    """The reference foils behind the sample. A name of which there is none is not taken."""

    Name = pvproperty(
        value="", name="NAME", dtype=ChannelType.STRING, put=_put_name, doc="element; empty: none"
    )
    IsIn = pvproperty(
        value="Out", name="IN", enum_strings=("Out", "In"), dtype=ChannelType.ENUM, doc="in beam"
    )

    @property
    def in_beam(self) -> str:
        """Element of the foil in the beam; empty: none."""
        return _text(self.Name.value) if str(self.IsIn.value) == "In" else ""


def _text(value: Any) -> str:
    """A string, however Channel Access brings it."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    return first.decode("latin-1") if isinstance(first, bytes) else str(first or "")


class CountingPanel:
    """Amplifiers and foils together.

    Args:
        prefix: Of the beamline.
    """

    def __init__(self, prefix: str) -> None:
        self.amplifiers = {name: Amplifier(f"{prefix}AMP_{name}:") for name in CHAMBERS}
        self.wheel = FoilWheel(f"{prefix}FOIL:")

    @property
    def groups(self) -> tuple[PVGroup, ...]:
        """Of records."""
        return (*self.amplifiers.values(), self.wheel)

    @property
    def gains(self) -> tuple[int, int, int]:
        """Index of each chamber's gain."""
        i0, transmitted, reference = (self.amplifiers[name].index for name in CHAMBERS)
        return i0, transmitted, reference

    @property
    def foil(self) -> str:
        """Element of the foil in the beam; empty: none."""
        return self.wheel.in_beam
