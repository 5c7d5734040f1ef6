"""This file is where a metal foil is put behind the sample, against which energies are calibrated."""

from typing import Any

from ophyd import Component as Cpt
from ophyd import Device

from battbeam.devices.signals import Setting, put_new
from battbeam.devices.status import TimedStatus, already_done

OUT = ""


class Foil(Device):  # type: ignore[misc]
    """A wheel of reference foils; it is set to an element, or to nothing.

    Args:
        elements: Symbols of the foils that there are.

    >>> RE(bps.mv(foil, "Ni"))  # doctest: +SKIP
    """

    element = Cpt(Setting, "NAME", dtype="string", kind="normal", doc="symbol; empty: none")
    is_in = Cpt(Setting, "IN", dtype="integer", kind="normal", doc="1 in the beam")
    egu = ""

    def __init__(
        self,
        prefix: str,
        *,
        name: str,
        elements: tuple[str, ...] = ("Mn", "Fe", "Co", "Ni", "Cu"),
        **kwargs: Any,
    ) -> None:
        self.elements = elements
        super().__init__(prefix, name=name, **kwargs)

    @property
    def position(self) -> str:
        """Symbol of the foil in the beam; empty: none."""
        return str(self.element.value_now()) if int(self.is_in.value_now()) == 1 else OUT

    def check_value(self, element: str) -> None:
        """Refuse a foil that there is none of.

        Raises:
            ValueError: Naming those that there are.
        """
        if element not in (OUT, *self.elements):
            known = ", ".join(self.elements)
            raise ValueError(f"{self.name}: no foil of {element!r}; there are {known}")

    def set(self, element: str) -> TimedStatus:
        """Put a foil in by its symbol, or take it out (empty).

        Raises:
            ValueError: If there is none.
            TimeoutError: If its server does not answer.
        """
        self.check_value(element)
        if element:
            put_new(self.element, element)
        put_new(self.is_in, int(bool(element)))
        return already_done()
