"""This file is where the curves that spectra of all runs are compared with are kept: foils, and spectra
of known compounds.

A file holds one `Standard` as `Standard.document` has it, and can be written by hand.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from battbeam.errors import ReductionError
from battbeam.reduction.sweeps import rebin
from battbeam.reduction.xanes import Spectrum, Standard, XanesReducer
from battbeam.units import FloatArray

_FOIL, _COMPOUND = "foil", "standard"


@dataclass(frozen=True)
class StoredCurves:
    """The curves of a beamline, a file each: ``foil_Ni_K.json``, ``standard_NiO_Ni_K.json``.

    Attributes:
        directory: That they are in; it is made when the first is written.
    """

    directory: Path

    def foil(self, edge: str) -> Path:
        """Where the foil of an edge is, or would be.

        >>> StoredCurves(Path("calibration")).foil("Ni K").as_posix()
        'calibration/foil_Ni_K.json'
        """
        return self.directory / f"{_FOIL}_{_plain(edge)}.json"

    def compound(self, name: str, edge: str) -> Path:
        """Where the spectrum of a compound is, or would be."""
        return self.directory / f"{_COMPOUND}_{_plain(name)}_{_plain(edge)}.json"

    def compounds(self, edge: str) -> list[Path]:
        """Of every compound that was measured at an edge, by name."""
        return sorted(self.directory.glob(f"{_COMPOUND}_*_{_plain(edge)}.json"))

    def write(self, path: Path, curve: Standard) -> Path:
        """Keep a curve, whole or not at all; an older one of that name is gone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(curve.document()) + "\n")
        scratch.replace(path)
        return path


def read_curve(path: Path) -> Standard:
    """A curve from its file.

    Raises:
        ReductionError: If it is missing, or no curve.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise ReductionError(f"standard {path}: {fault}") from fault
    return Standard.read(document)


def foil_curve(spectra: list[Spectrum], edges: FloatArray, reducer: XanesReducer) -> Standard:
    """The foil of several scans as one curve, on the tabulated edge or where a stored one is.

    Args:
        spectra: Of one edge.
        edges: Of the bins that their points are added up in, eV, shape (n_bins + 1,).
        reducer: Of that edge; it is used up.

    Raises:
        ReductionError: If no foil is seen.
    """
    result = reducer.reduce(rebin(spectra, edges))
    if result.flags or reducer.foil is None:
        raise ReductionError(f"{reducer.element} {reducer.edge}: {'; '.join(result.flags)}")
    good = np.isfinite(result.reference_absorbance)
    good &= np.isfinite(result.reference_absorbance_error)
    return Standard(
        name=f"{reducer.element} foil",
        energy=result.energy[good],
        absorbance=result.reference_absorbance[good],
        absorbance_error=result.reference_absorbance_error[good],
        edge_position=reducer.tabulated_energy,
        edge_position_error=reducer.foil.edge_position_error,
    )


def compound_curve(
    spectra: list[Spectrum],
    edges: FloatArray,
    reducer: XanesReducer,
    *,
    name: str,
    oxidation_state: float | None = None,
) -> Standard:
    """Several scans of one compound as one normalized curve.

    Args:
        spectra: Of one edge.
        edges: Of the bins that their points are added up in, eV, shape (n_bins + 1,).
        reducer: Of that edge; it is used up.
        name: Of the compound.
        oxidation_state: Of the absorbing element in it; None: not known.

    Raises:
        ReductionError: If it cannot be reduced.
    """
    result = reducer.reduce(rebin(spectra, edges))
    if not result.valid:
        raise ReductionError(f"{name}: {result.reason}")
    good = np.isfinite(result.normalized_absorbance)
    curve = Standard(
        name=name,
        energy=result.energy[good],
        absorbance=result.normalized_absorbance[good],
        absorbance_error=result.normalized_absorbance_error[good],
        edge_position=result.edge_position,
        edge_position_error=result.edge_position_error,
    )
    return replace(curve, oxidation_state=oxidation_state)


def bins_about(energy: FloatArray) -> FloatArray:
    """Edges of bins with one energy of a scan in each: half way to the neighbours.

    >>> bins_about(np.array([1.0, 2.0, 4.0])).tolist()
    [0.5, 1.5, 3.0, 5.0]
    """
    ascending = np.sort(energy[np.isfinite(energy)])
    middles = (ascending[1:] + ascending[:-1]) / 2
    first, last = 2 * ascending[0] - middles[0], 2 * ascending[-1] - middles[-1]
    return np.concatenate([[first], middles, [last]])


def _plain(name: str) -> str:
    """Fit for a file's name.

    >>> _plain("Ni K"), _plain("LiNiO2 (ref. 3)")
    ('Ni_K', 'LiNiO2_ref._3')
    """
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", name).strip("_")
