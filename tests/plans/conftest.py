import pytest
from bluesky import RunEngine

from battbeam.devices.fakes import fake_beamline


class Documents(list):
    """Documents as (name, document), and short ways to them."""

    __hash__ = object.__hash__

    def __call__(self, name, document):
        self.append((name, document))

    def of(self, name):
        return [document for each, document in self if each == name]

    def events(self, stream="primary"):
        uids = {d["uid"] for d in self.of("descriptor") if d["name"] == stream}
        return [d["data"] for d in self.of("event") if d["descriptor"] in uids]


@pytest.fixture
def fakes(tmp_path):
    return fake_beamline(tmp_path)


@pytest.fixture
def documents():
    return Documents()


@pytest.fixture
def engine(documents):
    made = RunEngine({}, context_managers=[])
    made.subscribe(documents)
    return made


@pytest.fixture
def reduction(tmp_path):
    """A reduction whose files are there."""
    geometry = tmp_path / "detector.poni"
    keys = ("Distance", "Poni1", "Poni2", "Rot1", "Rot2", "Rot3", "Wavelength")
    geometry.write_text("poni_version: 2.1\n" + "".join(f"{key}: 1e-10\n" for key in keys))
    instrument = tmp_path / "detector.json"
    instrument.write_text("{}")
    return {
        "geometry": str(geometry),
        "instrument": str(instrument),
        "phases": [{"phase": "LiFePO4"}],
    }
