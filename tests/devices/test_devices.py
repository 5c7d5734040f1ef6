import threading

import pytest

from battbeam.connection import Connection
from battbeam.devices.beam import Beam
from battbeam.devices.beamline import load_beamline
from battbeam.devices.detector import AreaDetector
from battbeam.devices.fakes import fake_beamline
from battbeam.devices.heartbeat import Heartbeat
from battbeam.devices.monochromator import Monochromator
from battbeam.devices.motor import Motor
from battbeam.devices.notes import RuleNotes
from battbeam.devices.potentiostat import Potentiostat
from battbeam.devices.sample_stage import SampleStage
from battbeam.errors import DeviceError

CLASSES = (AreaDetector, Beam, Monochromator, Motor, Potentiostat, SampleStage)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_read_has_a_word_of_documentation(cls):
    undocumented = [
        name
        for name in cls.component_names
        if getattr(cls, name).doc is None or "Component attribute" in getattr(cls, name).doc
    ]
    assert undocumented == []


def test_every_number_in_an_event_has_a_unit_or_counts(tmp_path):
    held = fake_beamline(tmp_path)
    keys = {}
    for device in held.devices.values():
        keys |= device.describe()
    unnamed = [name for name, key in keys.items() if key["dtype"] == "number" and not key["units"]]
    assert unnamed == []


def test_a_declaration_that_is_missing_is_named(tmp_path):
    connection = Connection(directory=tmp_path, simulated=True)
    with pytest.raises(DeviceError, match=r"declaration .*none.py is missing"):
        load_beamline(tmp_path / "none.py", connection)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1", "has no function declare"),
        ("def declare(connection): return 3", "returned int, not a Beamline"),
    ],
)
def test_a_declaration_that_declares_nothing_is_refused(tmp_path, text, fault):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(DeviceError, match=fault):
        load_beamline(tmp_path / "mine.py", Connection(directory=tmp_path, simulated=True))


def test_devices_are_found_by_name(tmp_path):
    assert set(fake_beamline(tmp_path).devices) == {
        "potentiostat",
        "sample_stage",
        "rotation_stage",
        "monochromator",
        "beam",
        "detector",
        "camera",
        "pulses",
        "fly_camera",
        "burst_camera",
        "map_pulses",
        "fly_detector",
        "tilt_stage",
    }


def test_notes_forget_what_is_not_written_again():
    notes = RuleNotes("", name="rules")
    notes.write(rule="a", index=3)
    notes.write(rule="b")
    assert notes.read()["rules_index"]["value"] == -1


def test_notes_refuse_what_they_have_no_place_for():
    with pytest.raises(AttributeError, match="rules has no place for ruel"):
        RuleNotes("", name="rules").write(ruel="a")


class StuckLoop:
    def call_soon_threadsafe(self, callback):
        pass


class LivingLoop:
    def call_soon_threadsafe(self, callback):
        callback()


def test_the_heart_beats_while_the_loop_answers(monkeypatch):
    monkeypatch.setattr("battbeam.devices.heartbeat.INTERVAL", 0.01)
    enough, counts = threading.Event(), []

    def beat(count):
        counts.append(count)
        if count == 3:
            enough.set()

    heart = Heartbeat(LivingLoop(), beat)
    heart.start()
    assert enough.wait(2)
    heart.stop()
    assert counts[:3] == [1, 2, 3]


def test_the_heart_stops_when_the_loop_hangs(monkeypatch):
    monkeypatch.setattr("battbeam.devices.heartbeat.INTERVAL", 0.01)
    monkeypatch.setattr("battbeam.devices.heartbeat.SILENCE", -1.0)
    heart = Heartbeat(StuckLoop(), lambda count: pytest.fail("beat"))
    heart.start()
    heart.stop()
    assert heart.count == 0
