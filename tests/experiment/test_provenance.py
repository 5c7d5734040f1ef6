import hashlib
import json
import time
from importlib.metadata import distributions

from battbeam.experiment.provenance import (
    calibration_record,
    file_record,
    installed_sha256,
    time_zone,
    versions,
)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_versions_of_what_is_not_there_are_said_to_be_missing():
    found = versions(("numpy", "no-such-program"))
    assert found["numpy"][0].isdigit()
    assert found["no-such-program"] == "not installed"


def test_the_hash_is_that_of_the_list_of_what_is_installed():
    lines = {
        f"{each.metadata['Name'].lower().replace('_', '-')}=={each.version}\n"
        for each in distributions()
    }
    assert installed_sha256() == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def test_the_time_zone_is_the_machines(monkeypatch):
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    try:
        assert time_zone() == {"name": "CET", "utc_offset": 3600}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_file_that_changes_has_another_hash(tmp_path):
    path = tmp_path / "detector.poni"
    path.write_text("Distance: 0.1\n")
    first = file_record(path)
    assert first == {"file": str(path), "sha256": sha256(path)}
    path.write_text("Distance: 0.2 \n")
    assert file_record(path)["sha256"] == sha256(path) != first["sha256"]
    assert file_record(tmp_path / "none")["reason"] == "No such file or directory"


def test_a_calibration_is_its_files_its_standard_and_its_date(tmp_path):
    names = {"geometry": "d.poni", "dark": "dark.npz", "mask": "mask.npz", "flat": "flat.npz"}
    for name in names.values():
        (tmp_path / name).write_text(name)
    instrument = tmp_path / "d.json"
    instrument.write_text(json.dumps({"calibrant": "LaB6", "time": 1.7e9, "energy": 22163.0}))
    reduction = {key: str(tmp_path / name) for key, name in names.items()}
    found = calibration_record({**reduction, "instrument": str(instrument), "method": "xrd"})
    assert {key: found[key]["sha256"] for key in names} == {
        key: sha256(tmp_path / name) for key, name in names.items()
    }
    assert (found["calibrant"], found["time"], found["energy"]) == ("LaB6", 1.7e9, 22163.0)
    instrument.write_text("[1]")
    bare = calibration_record({"geometry": None, "dark": None, "instrument": str(instrument)})
    assert list(bare) == ["instrument"]
    assert calibration_record({"instrument": str(tmp_path / "none")})["instrument"]["reason"]
