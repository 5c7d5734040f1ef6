import csv
import json

import pytest
import yaml

from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, FULL_EXAMPLE, CellPassport
from battbeam.experiment.cell_sheet import read_cells


def flat(document, prefix=""):
    found = {}
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for name, value in pairs:
        if isinstance(value, dict | list):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)
    return found


def cell(name, **changes):
    return {**EXAMPLE, "cell": name, "sample_uid": f"uid-{name}", **changes}


def sheet(path, *rows, delimiter=",", encoding="utf-8"):
    rows = [flat(row) for row in rows]
    header = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, header, restval="", delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def faults(path):
    with pytest.raises(PreflightError) as refusal:
        read_cells(path)
    return refusal.value.faults


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")]
)
def test_a_csv_file_holds_every_field_of_every_cell(tmp_path, delimiter, encoding):
    full = {**FULL_EXAMPLE, "cell": "full", "sample_uid": "uid-full"}
    path = sheet(tmp_path / "c.csv", full, cell("b"), delimiter=delimiter, encoding=encoding)
    assert read_cells(path) == {
        "full": CellPassport.read(full),
        "b": CellPassport.read(cell("b")),
    }


def test_a_yaml_file_holds_a_list_or_an_object_of_passports(tmp_path):
    wanted = {name: CellPassport.read(cell(name)) for name in ("a", "b")}
    documents = json.loads(json.dumps([cell("a"), cell("b")]))
    listed = tmp_path / "listed.yaml"
    listed.write_text(yaml.safe_dump(documents))
    assert read_cells(listed) == wanted
    named = tmp_path / "named.yml"
    without = [{k: v for k, v in each.items() if k != "cell"} for each in documents]
    named.write_text(yaml.safe_dump(dict(zip(("a", "b"), without, strict=True))))
    assert read_cells(named) == wanted
    path = tmp_path / "listed.json"
    path.write_text(json.dumps(documents))
    assert read_cells(path) == wanted


def test_every_fault_comes_with_its_row_and_column(tmp_path):
    wrong = cell("b", active_mass=-1, limits={**EXAMPLE["limits"], "voltage_max": "high"})
    bare = {key: value for key, value in cell("c").items() if key != "electrolyte"}
    found = faults(sheet(tmp_path / "c.csv", cell("a"), wrong, bare))
    assert len(found) == 3
    assert found[0].startswith("row 3 (b), column active_mass: Input should be greater than 0")
    assert found[1].startswith("row 3 (b), column limits.voltage_max: Input should be a valid num")
    assert found[2].startswith("row 4 (c), column electrolyte: electrolyte is missing; for example")


def test_two_cells_of_one_name_are_refused(tmp_path):
    found = faults(sheet(tmp_path / "c.csv", cell("a"), cell("b", sample_uid="uid-a"), cell("a")))
    assert "column cell: 'a' stands in row 2 (a) and row 4 (a)" in found
    assert "column sample_uid: 'uid-a' stands in row 2 (a) and row 3 (b) and row 4 (a)" in found


def test_decimal_commas_are_named(tmp_path):
    path = sheet(tmp_path / "c.csv", cell("a", active_mass="17,67"), delimiter=";")
    (found,) = faults(path)
    assert "column active_mass: '17,67' has a decimal comma; write 17.67" in found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "has no header"),
        ("cell,active_mass\n", "holds no cell"),
        ("cell,cell\na,b\n", "column 'cell' stands twice"),
        ("cell,colour\na,blue\n", "column 'colour' is not a field of a passport"),
        ("limits,limits.voltage_max\n1,2\n", "column 'limits' stands beside columns limits"),
        ("cell,active_mass\na,1,2\n", "3 fields where the header has 2"),
    ],
)
def test_a_sheet_that_cannot_be_read_says_why(tmp_path, text, fault):
    path = tmp_path / "cells.csv"
    path.write_text(text)
    assert fault in faults(path)[0]


def test_files_that_are_no_sheet_say_why(tmp_path):
    assert "the file is missing" in faults(tmp_path / "none.csv")[0]
    latin = tmp_path / "latin.csv"
    latin.write_bytes("cell\nZelle \xfc\n".encode("latin-1"))
    assert "save it as CSV UTF-8" in faults(latin)[0]
    path = tmp_path / "cells.yaml"
    path.write_text("3")
    assert "must hold a list of passports, holds int" in faults(path)[0]
    path.write_text("[3]")
    assert "entry 1, must be a passport, got 3" in faults(path)[0]
    path.write_text(yaml.safe_dump({"a": json.loads(json.dumps(cell("b")))}))
    assert "'b' stands under the name 'a'" in faults(path)[0]
