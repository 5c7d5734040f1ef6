"""This file is where the columns of EXAFS are, in the rows of spectra that it is asked of."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from battbeam.callbacks.cell_columns import NUMBER, array_key, scalar_keys
from battbeam.reduction.exafs_reducer import ExafsRequest, ExafsResult

_UNITS = {"number": "1", "distance": "angstrom", "sigma_squared": "angstrom^2"}
_ONE = {
    "peak_oxygen": (NUMBER, "angstrom"),
    "peak_metal": (NUMBER, "angstrom"),
    "exafs_energy_offset": (NUMBER, "eV"),
    "exafs_energy_offset_error": (NUMBER, "eV"),
    "exafs_r_factor": (NUMBER, "1"),
}


class ExafsColumns:
    """Columns of one run.

    Args:
        requests: By the edge's name; arrays are as long as those of the longest.
    """

    def __init__(self, requests: Mapping[str, ExafsRequest]) -> None:
        self._longest_k = max((one.k for one in requests.values()), key=len, default=None)
        self._longest_r = max((one.r for one in requests.values()), key=len, default=None)
        self._shells = sorted({s.label for one in requests.values() for s in one.shells})

    def axes(self) -> dict[str, tuple[Any, str]]:
        """For the descriptor's configuration."""
        if self._longest_k is None or self._longest_r is None:
            return {}
        return {
            "k": (self._longest_k.tolist(), "1/angstrom"),
            "r": (self._longest_r.tolist(), "angstrom"),
        }

    def keys(self) -> dict[str, dict[str, Any]]:
        """For the descriptor."""
        if self._longest_k is None or self._longest_r is None:
            return {}
        columns = dict(_ONE)
        for shell in self._shells:
            for name, unit in _UNITS.items():
                columns[f"{name}_{shell}"] = columns[f"{name}_{shell}_error"] = (NUMBER, unit)
        return scalar_keys(columns) | {
            "chi": array_key([len(self._longest_k)], "1", ["k"]),
            "chi_r": array_key([len(self._longest_r)], "1/angstrom^3", ["r"]),
        }

    def values(self, result: ExafsResult | None) -> dict[str, Any]:
        """Of one row."""
        if self._longest_k is None or self._longest_r is None:
            return {}
        found: dict[str, Any] = dict.fromkeys(self.keys(), math.nan)
        chi, chi_r = np.full(len(self._longest_k), np.nan), np.full(len(self._longest_r), np.nan)
        if result is not None:
            chi[: len(result.chi)] = result.chi
            chi_r[: len(result.chi_r)] = result.chi_r
            found |= {f"peak_{kind}": result.peak_of(kind) for kind in ("oxygen", "metal")}
        if result is not None and result.fit is not None:
            fit = result.fit
            for shell, values in fit.values.items():
                for name, value in values.items():
                    found[f"{name}_{shell}"] = value
                    found[f"{name}_{shell}_error"] = fit.errors[shell][name]
            found["exafs_energy_offset"] = fit.energy_offset
            found["exafs_energy_offset_error"] = fit.energy_offset_error
            found["exafs_r_factor"] = fit.r_factor
        return found | {"chi": chi.tolist(), "chi_r": chi_r.tolist()}
