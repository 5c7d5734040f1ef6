"""This file is where a run that is written a second time continues where its file ends.

A reduction that was interrupted is replayed from its raw run's beginning; it comes to the same
documents in the same order, so those that the file holds already are passed over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from battbeam.errors import StorageError
from battbeam.storage.tail import documents

Document = Mapping[str, Any]


def set_aside_torn_line(path: Path) -> int:
    """Move the half line at the end of a file, which a crash left, to ``<name>.torn``.

    Returns:
        Bytes set aside; 0 where the file ends with a whole line.
    """
    content = path.read_bytes()
    n_whole = content.rfind(b"\n") + 1
    torn = content[n_whole:]
    if torn:
        with path.with_suffix(".torn").open("ab") as aside:
            aside.write(torn + b"\n")
        with path.open("r+b") as file:
            file.truncate(n_whole)
    return len(torn)


class Replay:
    """The documents of one run that come a second time.

    Attributes:
        n_present: Lines that the file holds.
    """

    def __init__(self, path: Path) -> None:
        set_aside_torn_line(path)
        self.path = path
        lines = documents(path)
        self.n_present = len(lines)
        self._present = [(line.name, str(line.doc.get("uid", ""))) for line in lines]
        self._n_seen = 0
        self._descriptor: dict[str, str] = {}

    def passed(self, name: str, doc: Document) -> Document | None:
        """The document as it continues the file; None where the file holds it already.

        Descriptors of the second pass have other uids than those in the file: what refers to them
        is led to the ones in the file.

        Raises:
            StorageError: If the second pass comes to other documents than the first.
        """
        if self._n_seen < self.n_present:
            old_name, old_uid = self._present[self._n_seen]
            if old_name != name:
                raise StorageError(
                    f"{self.path}: line {self._n_seen} is a {old_name}, replayed it is a {name}"
                )
            self._n_seen += 1
            if name == "descriptor":
                self._descriptor[doc["uid"]] = old_uid
            return None
        if "descriptor" in doc:
            return {**doc, "descriptor": self._descriptor.get(doc["descriptor"], doc["descriptor"])}
        return doc
