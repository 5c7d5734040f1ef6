import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from battbeam.cli import app
from battbeam.errors import PreflightError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.experiment.cell_sheet import read_cell
from battbeam.experiment.protocol import Protocol

DOCS = Path(__file__).parents[2] / "docs" / "reference"
METHOD = [
    {"step": "open_circuit_voltage", "until_time_s": 60},
    {"step": "current_ramp", "start_rate_C": 0, "end_rate_C": 1, "until_time_s": 100},
    {"step": "constant_current", "rate_C": "D/2", "until_voltage_V": 2.6},
]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "protocol.yaml").write_text(
        yaml.safe_dump({"record": {"time_s": 10}, "method": METHOD})
    )
    (tmp_path / "cell.json").write_text(json.dumps(dict(EXAMPLE)))
    second = {**EXAMPLE, "cell": "second", "sample_uid": "second"}
    (tmp_path / "cells.json").write_text(json.dumps([dict(EXAMPLE), second]))
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_protocol_is_told_step_by_step(files):
    result = run("protocol", files / "protocol.yaml", "--passport", files / "cell.json")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("cell LFP-007: 3 steps, about 0.")
    assert lines[2].endswith("1  open_circuit_voltage, 60 s")
    assert lines[3].endswith("2  current_ramp 0 to 2.9 mA, 100 s")
    assert lines[4].endswith("3  constant_current -1.45 mA (-0.5 C), 2.6 V")


def test_a_protocol_is_written_and_what_is_lost_is_said(files):
    out = files / "out.json"
    words = ("protocol", files / "protocol.yaml", "--passport", files / "cell.json")
    result = run(*words, "--format", "pybamm", "--out", out)
    assert result.exit_code == 0
    assert len(json.loads(out.read_text())) == 22
    assert "written as a staircase" in result.stderr
    assert result.stdout == ""
    with pytest.raises(PreflightError, match="there is no ramp"):
        raise run(*words, "--format", "pybamm", "--exact").exception
    refused = run(*words, "--format", "arbin")
    assert refused.exit_code == 2
    assert "must be one of biologic, neware" in refused.stderr


def test_a_cell_is_chosen_out_of_a_sheet(files):
    assert read_cell(files / "cells.json", "second").cell == "second"
    assert read_cell(files / "cell.json").cell == "LFP-007"
    with pytest.raises(PreflightError, match=r"several cells: name one; cells: LFP-007, second"):
        read_cell(files / "cells.json")
    with pytest.raises(PreflightError, match="cell 'third' is not in"):
        read_cell(files / "cells.json", "third")
    words = ("protocol", files / "protocol.yaml", "--passport", files / "cells.json")
    assert "cell second" in run(*words, "--cell", "second").stdout


def test_a_sheet_is_checked(files):
    result = run("cells", files / "cells.json")
    assert result.stdout.splitlines()[1].startswith("second: LiFePO4, 17.67 mg, 1.767 cm2, 2.9 mAh")


def block(page, language):
    return (DOCS / page).read_text().split(f"```{language}\n")[1].split("```")[0]


def test_the_documented_protocol_and_sheet_are_taken(tmp_path):
    path = tmp_path / "cells.csv"
    path.write_text(block("cell-passport.md", "csv"))
    passport = read_cell(path)
    path = tmp_path / "protocol.yaml"
    path.write_text(block("protocol.md", "yaml"))
    assert len(Protocol.read(path).compile(passport).steps) == 1 + 2 * 4 + 40 + 20


def test_every_field_of_a_passport_is_documented():
    text = (DOCS / "cell-passport.md").read_text()
    assert [name for name in CellPassport.model_fields if f"`{name}`" not in text] == []


def test_every_step_and_its_fields_are_documented():
    from battbeam.experiment.protocol_faults import KINDS

    text = (DOCS / "protocol.md").read_text()
    for name, kind in KINDS.items():
        assert f"| `{name}`" in text or name in ("tag",)
        fields = set(kind.model_fields) - {"id", "step", "drift_correction", "amplitude_mA"}
        assert [field for field in fields if f"`{field}`" not in text] == []
