"""This file is where the runs that measure foils and known compounds become the curves that spectra of
all other runs are compared with.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from battbeam.callbacks.live_run import Document
from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.reduced_run import Publish
from battbeam.callbacks.spectrum_events import Scan
from battbeam.errors import ReductionError
from battbeam.reduction.spectrum import Spectrum
from battbeam.reduction.stored_curves import StoredCurves, bins_about, compound_curve, foil_curve
from battbeam.reduction.xanes import Standard, XanesReducer
from battbeam.units import FloatArray


class Curves(LiveXanes):
    """Collects the spectra of one run, whole ones only, instead of reducing each.

    Args:
        publish: Of a reduced run; nothing but its start and stop are published.
    """

    noun: ClassVar[str] = "spectrum"

    def __init__(self, publish: Publish) -> None:
        super().__init__(publish)
        self._collected: dict[str, list[Spectrum]] = {}

    def _reduce(self, item: Scan) -> None:
        if item.end:
            self._collected.setdefault(item.edge, []).append(self._spectrum(item))

    @property
    def fault(self) -> str:
        """Why the run cannot be reduced; empty if it can."""
        return self._fault

    @property
    def edges(self) -> list[str]:
        """That have spectra, in their order."""
        return list(self._collected)

    def foil(self, edge: str) -> Standard:
        """The foil of an edge.

        Raises:
            ReductionError: If no foil is seen.
        """
        return foil_curve(self._collected[edge], self._bins(edge), self._reducer(edge))

    def compound(self, edge: str, name: str, oxidation_state: float | None) -> Standard:
        """The spectrum of a known compound.

        Raises:
            ReductionError: If it cannot be reduced.
        """
        return compound_curve(
            self._collected[edge],
            self._bins(edge),
            self._reducer(edge),
            name=name,
            oxidation_state=oxidation_state,
        )

    def _bins(self, edge: str) -> FloatArray:
        """Those of sweeps, or one about each energy of the first scan."""
        swept = self._request.bins.get(edge)
        return bins_about(self._collected[edge][0].energy) if swept is None else swept

    def _reducer(self, edge: str) -> XanesReducer:
        return XanesReducer(self._request.options[edge], *self._request.edges[edge])


def collected(documents: Iterable[tuple[str, Document]]) -> Curves:
    """The spectra of a recorded run.

    Raises:
        ReductionError: If the run has none, or they cannot be read.
    """
    curves = Curves(lambda *_: None)
    for name, doc in documents:
        curves(name, doc)
    curves.finish()
    if curves.fault or not curves.edges:
        raise ReductionError(curves.fault or "the run has no whole spectrum")
    return curves


def keep_curves(
    documents: Iterable[tuple[str, Document]], keeps: Mapping[str, Any], directory: Path
) -> tuple[Path, ...]:
    """Store what a run measured for others, every edge of it.

    Args:
        documents: Of the run, in their order.
        keeps: As its start document's ``keeps``: ``foil`` is whether the foil is kept, ``compound``
            the name of what was in the beam (empty: nothing), ``oxidation_states`` by edge.
        directory: Of the beamline's calibration.

    Returns:
        The files, written only once all curves were found.

    Raises:
        ReductionError: If a curve cannot be had; nothing is written then.
    """
    curves, stored = collected(documents), StoredCurves(directory)
    name, states = str(keeps.get("compound", "")), keeps.get("oxidation_states") or {}
    found: list[tuple[Path, Standard]] = []
    for edge in curves.edges:
        if keeps.get("foil"):
            found.append((stored.foil(edge), curves.foil(edge)))
        if name:
            curve = curves.compound(edge, name, states.get(edge))
            found.append((stored.compound(name, edge), curve))
    return tuple(stored.write(path, curve) for path, curve in found)
