"""This file is where the photon energy is chosen, in eV, by Bragg's law."""

import math
from collections.abc import Sequence
from typing import Any

from ophyd import Component as Cpt
from ophyd import Device
from ophyd.signal import DerivedSignal

from battbeam.devices.motor import Motor
from battbeam.devices.signals import Described, Note
from battbeam.devices.status import TimedStatus
from battbeam.units import HC

#: Largest relative distance of the d-spacing from what hkl and lattice say; cold silicon: 3e-4.
D_SPACING_TOLERANCE = 1e-3


def energy_from_bragg(*, bragg: float, d_spacing: float) -> float:
    """Photon energy in eV reflected at a Bragg angle in degree by planes at a distance in angstrom.

    >>> round(energy_from_bragg(bragg=30.0, d_spacing=1.0), 2)
    12398.42
    """
    sine = math.sin(math.radians(bragg))
    return HC / (2 * d_spacing * sine) if sine > 0 else math.nan


def bragg_from_energy(*, energy: float, d_spacing: float) -> float:
    """Bragg angle in degree at which planes at a distance in angstrom reflect an energy in eV.

    Raises:
        ValueError: If the planes reflect it at no angle.
    """
    if not energy > HC / (2 * d_spacing):
        raise ValueError(
            f"{energy:g} eV is not reflected by planes {d_spacing:g} angstrom apart, "
            f"which need more than {HC / (2 * d_spacing):.1f} eV"
        )
    return math.degrees(math.asin(HC / (2 * d_spacing * energy)))


class _Energy(Described, DerivedSignal):  # type: ignore[misc]
    """The energy at the Bragg angle that a sibling tells."""

    def __init__(self, *, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent.bragg.readback, parent=parent, write_access=False, **kwargs)

    def inverse(self, value: float) -> float:
        """eV at a reading of the Bragg axis in degree."""
        return float(self.parent.energy_at(float(value)))


class Monochromator(Device):  # type: ignore[misc]
    """A crystal monochromator, moved in eV.

    Args:
        d_spacing: Of the reflecting planes, angstrom.
        hkl: Of the reflection.
        lattice_parameter: Of the (cubic) crystal, angstrom; 5.4310 for silicon.
        offset: True Bragg angle minus the axis' reading, degree; from a calibrated edge.
        limits: Lowest and highest energy, eV.

    Raises:
        ValueError: If d_spacing is not that of hkl in this lattice.

    >>> RE(bps.mv(monochromator, 22163.0))  # doctest: +SKIP
    """

    bragg = Cpt(
        Motor, "BRAGG", units="degree", tolerance=2e-5, kind="normal", doc="crystal angle, degree"
    )
    energy = Cpt(_Energy, units="eV", kind="hinted", doc="photon energy, eV")
    d_spacing = Cpt(Note, units="angstrom", kind="config", doc="of the reflecting planes")
    offset = Cpt(Note, units="degree", kind="config", doc="true angle minus the axis' reading")
    egu = "eV"

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        d_spacing: float,
        hkl: Sequence[int],
        lattice_parameter: float,
        offset: float = 0.0,
        limits: tuple[float, float] = (4000.0, 40000.0),
        **kwargs: Any,
    ) -> None:
        expected = lattice_parameter / math.sqrt(sum(index**2 for index in hkl))
        if abs(d_spacing / expected - 1) > D_SPACING_TOLERANCE:
            raise ValueError(
                f"{name}: d_spacing {d_spacing:g} angstrom is not that of {tuple(hkl)} in a "
                f"lattice of {lattice_parameter:g} angstrom, which is {expected:.5f} angstrom"
            )
        self.limits = limits
        self._geometry = (d_spacing, offset)
        super().__init__(prefix, name=name, **kwargs)
        self.d_spacing.put(float(d_spacing))
        self.offset.put(float(offset))

    def energy_at(self, axis: float) -> float:
        """eV at a reading of the Bragg axis in degree."""
        d_spacing, offset = self._geometry
        return energy_from_bragg(bragg=axis + offset, d_spacing=d_spacing)

    @property
    def position(self) -> float:
        """Photon energy now, eV."""
        return self.energy_at(self.bragg.position)

    def axis_at(self, energy: float) -> float:
        """Where the Bragg axis stands at an energy in eV, degree.

        Raises:
            ValueError: If it is not reflected.
        """
        d_spacing, offset = self._geometry
        return bragg_from_energy(energy=energy, d_spacing=d_spacing) - offset

    def check_value(self, energy: float) -> None:
        """Refuse an energy outside the limits, or one that its axis does not reach.

        Raises:
            ValueError: Outside, or not a number.
        """
        low, high = self.limits
        if not low <= energy <= high:
            raise ValueError(
                f"{self.name}: {energy:g} eV is outside its limits, {low:g} to {high:g} eV"
            )
        self.bragg.check_value(self.axis_at(energy))

    def set(self, energy: float, *, timeout: float | None = None) -> TimedStatus:
        """Move to an energy in eV.

        Raises:
            ValueError: If it is outside the limits or not reflected.
        """
        self.check_value(energy)
        status: TimedStatus = self.bragg.set(self.axis_at(energy), timeout=timeout)
        return status
