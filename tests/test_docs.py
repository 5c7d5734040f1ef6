"""Whatever has a name for users stands in the documentation, and the documentation names nothing else."""

import json
import re
from pathlib import Path

import pytest
import typer
from typer.core import TyperOption

from battbeam import materials
from battbeam.callbacks.frame_checks import COLUMNS
from battbeam.callbacks.xrd_row import RowSchema
from battbeam.cli import app
from battbeam.connection import Connection
from battbeam.demo import checks
from battbeam.guard.config import GuardConfig
from battbeam.guard.record import GuardRecord
from battbeam.reduction.xrd import ScatteringPhase, XrdOptions

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = typer.main.get_command(app).commands


def rows(page):
    """What stands in a page's tables: name and second column of each, several names a line apart."""
    found = {}
    for line in (DOCS / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) > 1:
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1])
    return found


def section(command):
    """What commands.md says of one command."""
    parts = re.split(r"^## ", (DOCS / "reference" / "commands.md").read_text(), flags=re.MULTILINE)
    (found,) = [part for part in parts if re.match(rf"`battbeam {command}\b", part)]
    return found


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_explained_with_its_arguments_and_options(name):
    explained = section(name)
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, TyperOption):
            assert [each for each in parameter.opts if f"`{each}`" in explained], parameter.opts
        else:
            assert parameter.name.upper() in explained


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_explained_without_options_that_it_does_not_have(name):
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert set(re.findall(r"`(--[a-z-]+)`", section(name))) <= known


def test_every_command_has_a_section_and_every_section_a_command():
    text = (DOCS / "reference" / "commands.md").read_text()
    assert sorted(re.findall(r"^## `battbeam (\w+)", text, flags=re.MULTILINE)) == sorted(COMMANDS)


def test_every_pv_of_the_guard_has_a_line_and_every_line_a_pv():
    documented = rows("reference/pvs.md")
    assert set(documented) == {each.pvspec.name for each in GuardRecord._pvs_.values()}


def test_units_of_the_guards_pvs_are_those_of_the_record():
    documented = rows("reference/pvs.md")
    for each in GuardRecord._pvs_.values():
        unit = each.pvspec.cls_kwargs.get("units")
        assert unit is None or documented[each.pvspec.name] == unit, each.pvspec.name


def generic(column):
    """The name of a column for any phase: two_theta_NMC811_003 is two_theta_<phase>_<hkl>."""
    for phase in sorted(materials.PHASES, key=len, reverse=True):
        column = re.sub(rf"_{phase}(?=_|$)", "_<phase>", column)
    column = re.sub(r"^lattice_<phase>_[abc]\b", "lattice_<phase>_<edge>", column)
    column = re.sub(r"^lattice_<phase>_[abc]_", "lattice_<phase>_<edge>_", column)
    column = re.sub(r"^(end_member_\w+)_charged", r"\1_<name>", column)
    return re.sub(r"^(two_theta|intensity)_<phase>_\d+", r"\1_<phase>_<hkl>", column)


def test_every_column_of_a_reduced_row_is_listed_with_its_unit():
    schema = RowSchema(
        [ScatteringPhase(name) for name in materials.PHASES],
        reflections=XrdOptions().reflections,
        n_bins=3,
        positions={"sample_stage_x": "mm", "sample_stage_y": "mm"},
        free={"Al": ("111",)},
        end_members=("charged",),
        checks=COLUMNS,
    )
    wanted = {generic(name): key["units"] for name, key in schema.data_keys().items()}
    assert rows("reference/results.md") == wanted


def test_what_is_promised_is_what_the_demo_checks():
    text = (DOCS / "explanations" / "accuracy.md").read_text()
    promised = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", text, flags=re.MULTILINE))
    numbers = [
        float(re.findall(r"[\d.]+", value)[-1]) for value in promised.values() if value[0].isdigit()
    ]
    assert numbers == [
        checks.FRACTION,
        checks.MEAN_FRACTION,
        100 * checks.ACTIVE_AMOUNT,
        checks.ANGLE,
        checks.ANGLE,
        checks.EDGE["a"],
        checks.EDGE["c"],
        checks.MAP_SLOPE,
        checks.MAP_INTERCEPT,
        checks.MAP_RMS,
        checks.STATE_OF_CHARGE,
    ]
    low, high = checks.PULL_WIDTH
    assert f"mean 0 +- {checks.PULL_MEAN:g} and standard deviation {low:g} to {high:g}" in text


def test_the_files_of_an_own_beamline_are_as_the_programs_want_them():
    text = (DOCS / "how-to" / "own-beamline.md").read_text()
    guard, connection = (
        json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S)
    )
    guarded, connected = GuardConfig.model_validate(guard), Connection.model_validate(connection)
    address = connected.guards[guarded.identity]
    assert (address.prefix, address.log) == (guarded.prefix, guarded.log)
    assert not connected.simulated
    assert connected.clock == ""


def test_links_between_pages_lead_somewhere():
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
