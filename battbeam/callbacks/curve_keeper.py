"""This file is where a session stores what its calibration runs measured, as soon as each has ended, so
that the next run of the same plan is compared with it.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from battbeam.errors import BattbeamError

_log = logging.getLogger(__name__)


class CurveKeeper:
    """Takes the documents of a RunEngine; those of runs that say ``keeps`` become stored curves.

    A run that failed, or of which no curve can be had, stores nothing; the RunEngine swallows what
    a subscriber raises, so the reason waits in `faults`.

    Args:
        directory: Where curves are stored if a run does not say it.

    Attributes:
        faults: Why curves could not be had, one sentence a run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        self._descriptors: dict[str, str] = {}
        self.faults: list[str] = []

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Take one document."""
        if name == "start":
            if doc.get("keeps"):
                self._runs[doc["uid"]] = [(name, dict(doc))]
            return
        run = doc.get("run_start") or self._descriptors.get(str(doc.get("descriptor")), "")
        if run not in self._runs:
            return
        if name == "descriptor":
            self._descriptors[doc["uid"]] = run
        self._runs[run].append((name, dict(doc)))
        if name == "stop":
            self._store(run, self._runs.pop(run))

    def taken_faults(self) -> list[str]:
        """Those since the last time."""
        found, self.faults = self.faults, []
        return found

    def _store(self, run: str, documents: list[tuple[str, Mapping[str, Any]]]) -> None:
        keeps, stop = documents[0][1]["keeps"], documents[-1][1]
        if stop.get("exit_status") != "success":
            return
        # Tables of edges take a while to load, and most sessions never calibrate.
        from battbeam.callbacks.calibration_curves import keep_curves

        directory = Path(keeps.get("directory") or self._directory)
        try:
            for path in keep_curves(documents, keeps, directory):
                _log.info("stored %s", path)
        except (BattbeamError, OSError) as fault:
            self.faults.append(f"run {run}: {fault}")
            _log.error("nothing of run %s is stored: %s", run, fault)
