import pytest
from typer.testing import CliRunner

from battbeam.cli import app
from battbeam.demo.ni_rich import NiRichOptions
from battbeam.demo.options import DemoOptions, hidden_truth, passport, protocol
from battbeam.demo.plating import PlatingDemoOptions
from battbeam.demo.three_techniques import ThreeTechniquesOptions
from battbeam.demo.tomography import TomographyDemoOptions
from battbeam.demo.two_cells import ScheduleOptions
from battbeam.demo.xanes import XanesDemoOptions
from battbeam.errors import PreflightError
from battbeam.experiment.cell import CellPassport
from battbeam.experiment.protocol import Protocol


def test_every_wrong_option_is_named_at_once():
    options = DemoOptions(
        chemistry="nmc811", solid_solution=True, frame_size=10, distance=5, speed=0, seed=-1
    )
    with pytest.raises(PreflightError, match="5 fault") as refused:
        options.check()
    assert "distance must lie in 40 to 473 mm, got 5 mm" in str(refused.value)


def test_another_seed_is_another_cell_and_the_same_seed_the_same():
    one, same, other = (hidden_truth(DemoOptions(seed=seed)) for seed in (1, 1, 2))
    assert one == same
    assert one.cells != other.cells
    assert one.detector != other.detector


@pytest.mark.parametrize("chemistry", ["lfp", "nmc811"])
def test_the_demo_protocol_stays_inside_its_own_passport(chemistry):
    options = DemoOptions(chemistry=chemistry)
    believed = CellPassport.read(passport(options, hidden_truth(options)))
    assert Protocol.read(protocol(options)).faults(believed, believed.window) == []


def test_the_detector_keeps_its_sensor_whatever_the_number_of_pixels():
    for size in (256, 512, 1024):
        detector = hidden_truth(DemoOptions(frame_size=size)).detector
        assert detector.n_columns * detector.pixel_size == pytest.approx(88.064)


@pytest.mark.parametrize("option", [("--chemistry", "nmc811"), ("--frame-size", "512")])
def test_an_option_of_another_demo_is_refused_not_left_aside(tmp_path, option):
    ran = CliRunner().invoke(app, ["demo", "plating", *option, "--out", str(tmp_path / "out")])
    assert ran.exit_code == 2
    assert option[0] in ran.output
    assert "is an option of" in ran.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("passed", [True, False])
@pytest.mark.parametrize(
    ("name", "run", "wanted"),
    [
        ("xrd", "run.run_demo", DemoOptions),
        ("schedule", "two_cells_run.run_schedule_demo", ScheduleOptions),
        ("xanes", "xanes_run.run_xanes_demo", XanesDemoOptions),
        ("tomography", "tomography_run.run_tomography_demo", TomographyDemoOptions),
        (
            "three-techniques",
            "three_techniques_run.run_three_techniques_demo",
            ThreeTechniquesOptions,
        ),
        ("plating", "plating_run.run_plating_demo", PlatingDemoOptions),
        ("ni-rich", "ni_rich_run.run_ni_rich_demo", NiRichOptions),
    ],
)
def test_a_demo_is_run_as_asked_and_its_verdict_is_the_exit_status(
    tmp_path, monkeypatch, name, run, wanted, passed
):
    asked = []
    monkeypatch.setattr(f"battbeam.demo.{run}", lambda options: asked.append(options) or passed)
    ran = CliRunner().invoke(app, ["demo", name, "--seed", "7", "--out", str(tmp_path)])
    assert ran.exit_code == (0 if passed else 1)
    assert asked == [wanted(seed=7, out=tmp_path.resolve())]


def test_a_demo_that_there_is_not_is_refused_with_those_that_there_are():
    ran = CliRunner().invoke(app, ["demo", "neutrons"])
    assert ran.exit_code == 2
    told = " ".join(ran.output.replace("│", " ").split())
    assert "must be xrd, schedule, xanes, tomography, three-techniques, plating or ni-rich" in told
