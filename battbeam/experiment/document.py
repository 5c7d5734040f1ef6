"""This file is where what people write by hand is read: JSON or YAML, one object a file."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from battbeam.errors import PreflightError

#: Endings of a file's name that mean YAML; everything else is JSON.
YAML_SUFFIXES = (".yaml", ".yml")
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Plain values only, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As the safe loader does it, but a repeated key is an error and not the last one's."""
        keys = [key for key, _ in node.value if key.tag != _MERGE]
        _refuse_repeated(self.construct_object(key, deep=True) for key in keys)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


def read_values(path: Path, subject: str) -> Any:
    """What a .json, .yaml or .yml file holds, as plain values.

    Args:
        path: The file.
        subject: What it is for; named in the error.

    Raises:
        PreflightError: If there is no such file, or it cannot be read as its ending says.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PreflightError(subject, [f"{path}: the file is missing"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PreflightError(subject, [f"{path}: cannot be read ({error})"]) from error
    is_yaml = path.suffix.lower() in YAML_SUFFIXES
    try:
        return yaml.load(text, _Loader) if is_yaml else json.loads(text, object_pairs_hook=_object)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        language = "YAML" if is_yaml else "JSON"
        raise PreflightError(subject, [f"{path}: not {language} ({error})"]) from error


def read_document(path: Path, subject: str) -> Mapping[str, Any]:
    """The one object that a file holds.

    Raises:
        PreflightError: Besides what `read_values` says, if it holds anything else.
    """
    document = read_values(path, subject)
    if not isinstance(document, Mapping):
        raise PreflightError(
            subject, [f"{path}: must hold an object, holds {type(document).__name__}"]
        )
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeated(key for key, _ in pairs)
    return dict(pairs)


def _refuse_repeated(keys: Iterable[Any]) -> None:
    seen: list[Any] = []
    for key in keys:
        if key in seen:
            raise ValueError(f"{key!r} stands twice in one object")
        seen.append(key)
