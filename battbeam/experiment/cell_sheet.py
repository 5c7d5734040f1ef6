"""This file is where a sheet of cells is read: one row a cell, a sheet as a laboratory keeps it.

In a .csv file a nested field is a column with a dotted name: ``limits.voltage_max``,
``electrolyte.composition``, ``formulation.PVDF``, ``people.0.orcid``. An empty field is left out. A
.yaml or .json file holds a list of passports, or an object of passports by name.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport, cell_faults
from battbeam.experiment.document import read_values

#: Between the fields of a row; the one that the header has most of.
_DELIMITERS = ",;\t"
_SUBJECT = "sheet of cells"


@dataclass(frozen=True)
class _Row:
    """One cell of a sheet.

    Attributes:
        place: Where it stands, for people.
        document: What stands there.
        faults: What is wrong with its form.
    """

    place: str
    document: Mapping[str, Any]
    faults: tuple[str, ...] = ()


def read_cells(path: Path | str) -> dict[str, CellPassport]:
    """The passports of a sheet, by the cell's name.

    Raises:
        PreflightError: With every fault of every cell, each with its row and column.
    """
    path = Path(path)
    rows = list(_csv_rows(path) if path.suffix.lower() == ".csv" else _document_rows(path))
    faults = [f"{row.place}, {fault}" for row in rows for fault in row.faults]
    for row in rows:
        found = cell_faults(row.document) if not row.faults else []
        faults += [f"{row.place}, {_column(name, sentence)}" for name, sentence in found]
    faults += _repeated(rows, "cell") + _repeated(rows, "sample_uid")
    if not rows:
        faults.append(f"{path}: holds no cell")
    if faults:
        raise PreflightError(_SUBJECT, faults)
    passports = [CellPassport.read(row.document) for row in rows]
    return {passport.cell: passport for passport in passports}


def read_cell(path: Path | str, name: str | None = None) -> CellPassport:
    """The passport in a file of its own, or the one of that name in a sheet.

    Raises:
        PreflightError: With every fault, or if there is no such cell in the sheet.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        values = read_values(path, "cell passport")
        if isinstance(values, Mapping) and "cell" in values:
            passport = CellPassport.read(values)
            return _chosen({passport.cell: passport}, name or passport.cell, path)
    cells = read_cells(path)
    return _chosen(cells, name or (next(iter(cells)) if len(cells) == 1 else ""), path)


def _chosen(cells: Mapping[str, CellPassport], name: str, path: Path) -> CellPassport:
    if name in cells:
        return cells[name]
    fault = f"cell {name!r} is not in {path}" if name else f"{path} holds several cells: name one"
    raise PreflightError(_SUBJECT, [f"{fault}; cells: {', '.join(cells)}"])


def _column(name: str, sentence: str) -> str:
    return f"column {name}: {sentence.removeprefix(f'{name}: ')}" if name else sentence


def _repeated(rows: Sequence[_Row], field: str) -> list[str]:
    """A name that two cells have cannot tell them apart."""
    places: dict[str, list[str]] = {}
    for row in rows:
        if row.document.get(field):
            places.setdefault(str(row.document[field]), []).append(row.place)
    return [
        f"column {field}: {name!r} stands in {' and '.join(found)}"
        for name, found in places.items()
        if len(found) > 1
    ]


def _csv_rows(path: Path) -> Iterator[_Row]:
    text = _text(path)
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    header = [name.strip() for name in next(lines, [])]
    if faults := _header_faults(header):
        raise PreflightError(_SUBJECT, [f"{path}: {fault}" for fault in faults])
    for fields in lines:
        values = [field.strip() for field in fields]
        if not any(values):
            continue
        place = f"row {lines.line_num}"
        if len(values) > len(header):
            fault = f"{len(values)} fields where the header has {len(header)}: quote text with {delimiter!r}"
            yield _Row(place, {}, (fault,))
            continue
        pairs = [(n, v) for n, v in zip(header, values, strict=False) if v and n]
        document = _nested(pairs)
        name = document.get("cell")
        yield _Row(f"{place} ({name})" if name else place, document, _comma_faults(pairs))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PreflightError(_SUBJECT, [f"{path}: the file is missing"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PreflightError(
            _SUBJECT, [f"{path}: cannot be read ({error}); save it as CSV UTF-8"]
        ) from error


def _header_faults(header: Sequence[str]) -> list[str]:
    names = [name for name in header if name]
    faults = [
        f"column {name!r} stands twice" for name in dict.fromkeys(names) if names.count(name) > 1
    ]
    branches = {name.rpartition(".")[0] for name in names} - {""}
    faults += [
        f"column {name!r} stands beside columns {name}.*: take one of both"
        for name in names
        if name in branches and name != "counter_electrode"
    ]
    known = ", ".join(CellPassport.model_fields)
    faults += [
        f"column {name!r} is not a field of a passport ({known}); call it notes.{name}"
        for name in names
        if name.split(".")[0] not in CellPassport.model_fields
    ]
    return faults or ([] if names else ["has no header"])


def _comma_faults(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Numbers with a decimal comma, as spreadsheets of some countries write them."""
    return tuple(
        f"column {name}: {value!r} has a decimal comma; write {value.replace(',', '.')}"
        for name, value in pairs
        if value.count(",") == 1 and value.replace(",", "").lstrip("+-").isdigit()
    )


def _nested(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Dotted names as objects in objects; numbers in a name count the entries of a list."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        *parents, last = name.split(".")
        here = found
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(each) for name, each in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def _document_rows(path: Path) -> Iterator[_Row]:
    values = read_values(path, _SUBJECT)
    if isinstance(values, Mapping):
        entries = [(f"cell {name}", entry, {"cell": str(name)}) for name, entry in values.items()]
    elif isinstance(values, list):
        entries = [(f"entry {index}", entry, {}) for index, entry in enumerate(values, start=1)]
    else:
        fault = f"{path}: must hold a list of passports, holds {type(values).__name__}"
        raise PreflightError(_SUBJECT, [fault])
    for place, entry, named in entries:
        if not isinstance(entry, Mapping):
            yield _Row(place, {}, (f"must be a passport, got {entry!r}",))
            continue
        own = entry.get("cell", named.get("cell"))
        if named and own != named["cell"]:
            yield _Row(
                place, {}, (f"column cell: {own!r} stands under the name {named['cell']!r}",)
            )
            continue
        yield _Row(place if named or not own else f"{place} ({own})", {**named, **entry})
