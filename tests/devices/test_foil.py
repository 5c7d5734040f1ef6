import pytest

from battbeam.devices.fake_spectroscopy import ready_foil
from battbeam.devices.fakes import fake
from battbeam.devices.foil import Foil


@pytest.fixture
def foil():
    return ready_foil(fake(Foil, name="foil"))


def test_a_foil_is_put_in_by_its_element_and_taken_out_again(foil):
    foil.set("Ni").wait(timeout=1)
    assert foil.position == "Ni"
    assert foil.read()["foil_element"]["value"] == "Ni"
    assert foil.read()["foil_is_in"]["value"] == 1
    foil.set("").wait(timeout=1)
    assert foil.position == ""


def test_a_foil_that_is_out_is_none_whatever_its_name(foil):
    foil.element.sim_put("Ni")
    assert foil.position == ""


def test_a_foil_that_there_is_not_is_refused(foil):
    with pytest.raises(ValueError, match="foil: no foil of 'Pt'; there are Mn, Fe, Co, Ni, Cu"):
        foil.set("Pt")
