import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from battbeam.cli import app
from battbeam.errors import StorageError
from battbeam.storage.export import export_patterns
from battbeam.storage.spool import Spool
from battbeam.units import q_from_two_theta, wavelength_from_energy

ENERGY = 22163.0
UID = "0123456789abcdef"
TWO_THETA = np.linspace(5.0, 36.0, 8)


def reduced(n_rows=3, **columns):
    """Rows as the catalogue gives them."""
    intensity = 1e9 * (1 + np.arange(n_rows)[:, None] + TWO_THETA / 100)
    given = {
        "intensity": (("time", "two_theta"), intensity),
        "intensity_error": (("time", "two_theta"), np.sqrt(intensity)),
        "n_saturated": ("time", [0] * n_rows),
        "voltage": ("time", 3.5 + np.arange(n_rows)),
        "temperature": ("time", np.full(n_rows, np.nan)),
        "lattice_NMC811_a": ("time", np.full(n_rows, 2.87)),
        "lattice_NMC811_a_error": ("time", np.full(n_rows, 1e-4)),
        "valid": ("time", [1] * n_rows),
        "invalid_reason": ("time", [""] * n_rows),
    }
    rows = xr.Dataset(
        given | {name: ("time", values) for name, values in columns.items()},
        coords={
            "time": 1000.0 + np.arange(n_rows),
            "two_theta": TWO_THETA,
            "q": ("two_theta", q_from_two_theta(two_theta=TWO_THETA, energy=ENERGY)),
        },
    )
    phases = [{"phase": "NMC811"}, {"phase": "Al"}]
    rows.attrs = {"uid": UID, "analysis_of": "raw", "parameters": {"phases": phases}}
    return rows


def said(path):
    """The header lines of a file that have a name."""
    lines = [line[2:] for line in path.read_text().splitlines() if line.startswith("# ")]
    return dict(line.split(": ", 1) for line in lines if ": " in line)


def test_a_file_holds_what_was_reduced_and_says_what_it_is(tmp_path):
    rows = reduced()
    first, second, third = export_patterns(rows, tmp_path / "made")
    assert [each.name for each in (first, second, third)] == [
        f"01234567_{number:04d}.xy" for number in range(3)
    ]
    table = np.loadtxt(second)
    wanted = [TWO_THETA, rows["intensity"][1], rows["intensity_error"][1]]
    np.testing.assert_allclose(table, np.column_stack(wanted), rtol=1e-6)
    header = said(second)
    assert float(header["wavelength"].split()[0]) == pytest.approx(
        wavelength_from_energy(ENERGY), abs=1e-8
    )
    assert header["phases"] == "NMC811 Al"
    assert header["uid"] == UID
    assert header["row"] == "1"
    assert header["time"] == "1001.000000 s"
    assert header["voltage"] == "4.5 V"
    assert header["lattice_NMC811_a"] == "2.870000 +- 0.000100 angstrom"
    assert header["columns"] == "two_theta (degree), intensity, intensity_error"
    assert "temperature" not in header


def test_bins_without_a_pixel_are_left_out(tmp_path):
    rows = reduced(1)
    rows["intensity"][0, 2] = np.nan
    rows["intensity_error"][0, 5] = 0.0
    (path,) = export_patterns(rows, tmp_path)
    np.testing.assert_allclose(np.loadtxt(path)[:, 0], np.delete(TWO_THETA, [2, 5]), atol=1e-6)


def test_rows_that_are_not_valid_are_left_out_and_the_others_keep_their_numbers(tmp_path):
    written = export_patterns(reduced(valid=[1, 0, 1]), tmp_path)
    assert [said(each)["row"] for each in written] == ["0", "2"]
    assert [each.name[-7:] for each in written] == ["0000.xy", "0002.xy"]


def empty_row():
    rows = reduced()
    rows["intensity"][2] = np.nan
    return rows


def without_uid():
    rows = reduced()
    del rows.attrs["uid"]
    return rows


REFUSED = {
    "no valid row among 2; the first is not because: no beam": lambda: reduced(
        2, valid=[0, 0], invalid_reason=["no beam", "no beam"]
    ),
    "no valid row among 0; there is nothing": lambda: reduced(3).isel(time=slice(0, 0)),
    "without a photon energy": lambda: reduced().drop_vars("q"),
    "wavelength of nan angstrom": lambda: reduced().assign_coords(
        q=("two_theta", np.full(len(TWO_THETA), np.nan))
    ),
    "has no diffraction patterns": lambda: reduced().drop_vars("intensity_error"),
    "row 2 of reduced run 0123456789abcdef is valid and has no bin": empty_row,
    "rows to export are those that Catalog.reduced gives": without_uid,
}


@pytest.mark.parametrize("reason", list(REFUSED))
def test_what_cannot_be_a_pattern_is_refused_and_nothing_is_written(reason, tmp_path):
    with pytest.raises(StorageError, match=reason):
        export_patterns(REFUSED[reason](), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_files_that_are_there_are_not_written_over(tmp_path):
    (tmp_path / "01234567_0002.xy").write_text("mine")
    with pytest.raises(StorageError, match=r"holds 01234567_0002\.xy already \(1 of 3 files\)"):
        export_patterns(reduced(), tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["01234567_0002.xy"]
    assert (tmp_path / "01234567_0002.xy").read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written into"):
        export_patterns(reduced(), tmp_path / "file" / "made")


def exported(*words):
    return CliRunner().invoke(app, ["export", *(str(word) for word in words)])


def test_a_run_is_exported_by_the_first_characters_of_its_uid(services, scan, tmp_path):
    documents = scan(n_events=3, analysis_of="raw", kind="reduced")
    descriptor, *events = (doc for name, doc in documents if name in ("descriptor", "event"))
    key = descriptor["data_keys"]["intensity"]
    descriptor["data_keys"]["intensity_error"] = {**key}
    configuration = descriptor["configuration"]["reduction"]
    axis = np.array(configuration["data"]["two_theta"])
    q = q_from_two_theta(two_theta=axis, energy=ENERGY)
    configuration["data"]["q"] = q.tolist()
    configuration["timestamps"]["q"] = 0.0
    configuration["data_keys"]["q"] = configuration["data_keys"]["two_theta"]
    for event in events:
        event["data"] |= {"intensity_error": [1.0] * 350, "valid": int(event["seq_num"] != 2)}
        event["timestamps"]["intensity_error"] = event["time"]
    with Spool(services.connection.reduced_spool) as writer:
        for name, doc in documents:
            writer(name, doc)
    services.wait_published(timeout=60)
    uid = documents[0][1]["uid"]
    place = ["--directory", services.connection.directory]
    answer = exported(uid[:8], "--out", tmp_path, *place)
    assert answer.exit_code == 0, answer.output
    assert "2 patterns in" in answer.output
    assert "1 rows are not valid" in answer.output
    written = sorted(tmp_path.iterdir())
    assert [each.name for each in written] == [f"{uid[:8]}_000{n}.xy" for n in (0, 2)]
    np.testing.assert_allclose(np.loadtxt(written[1])[:, 1], np.arange(350) + 2.0)
    assert said(written[0])["wavelength"] == f"{wavelength_from_energy(ENERGY):.8f} angstrom"
    again = exported(uid[:8], "--out", tmp_path, *place)
    assert isinstance(again.exception, StorageError)
    other = exported(uid[:8], "--out", tmp_path, "--format", "nexus", *place)
    assert other.exit_code == 2
    assert "must be xy" in other.output
