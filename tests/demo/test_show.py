"""How a demo is shown, whatever it is about: with a beamline that is only said to be there."""

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from event_model import compose_run
from rich.console import Console

from battbeam.connection import FILE_NAME, Connection
from battbeam.demo import show as showing
from battbeam.demo.asked import Asked
from battbeam.demo.checks import Check
from battbeam.demo.show import Demo, prepare_directory, show
from battbeam.errors import PreflightError
from battbeam.sim.scenario import Scenario
from battbeam.storage.spool import Spool

RIGHT, WRONG = Check("sum", 2.0, 2.0, 0.0), Check("product", 3.0, 4.0, 0.5)


@dataclass
class Bench:
    """Remembers what became of a demo."""

    happened: list[str]
    screen: StringIO

    def demo(self, out, *found):
        def measure(session):
            self.happened.append(f"measured at {session.beamline}")
            return "operando-1"

        def read(connection, operando):
            self.happened.append(f"read {operando} of {connection}")
            return 2.0

        def judge(connection, left):
            self.happened.append(f"judged {left:g} of {connection}")
            return list(found)

        def draw(left):
            self.happened.append("drawn")
            return out / "picture.png"

        return Demo(
            options=Asked(seed=3, out=out),
            about="arithmetic",
            scenario=Scenario(),
            measure=measure,
            read=read,
            judge=judge,
            draw=draw,
        )

    def show(self, demo):
        return show(demo, Console(file=self.screen, width=200))


@pytest.fixture
def bench(monkeypatch):
    made = Bench([], StringIO())

    @contextmanager
    def there(name, thing):
        made.happened.append(f"{name} starts")
        try:
            yield thing
        finally:
            made.happened.append(f"{name} ends")

    def wait_published(timeout):
        made.happened.append("published")

    simulated = SimpleNamespace(start=lambda: "connection")
    services = SimpleNamespace(wait_published=wait_published)
    session = SimpleNamespace(beamline="beamline")
    monkeypatch.setattr(
        showing, "SimulatedBeamline", lambda scenario, out: there("beamline", simulated)
    )
    monkeypatch.setattr(showing, "Services", lambda connection: there("services", services))
    monkeypatch.setattr(showing, "open_session", lambda out: nullcontext(session))
    monkeypatch.setattr(showing.report, "progress", lambda beamline, screen: nullcontext())
    return made


def test_a_demo_is_read_while_the_catalogue_serves_and_judged_when_all_is_over(bench, tmp_path):
    assert bench.show(bench.demo(tmp_path / "out", RIGHT))
    assert bench.happened == [
        "beamline starts",
        "services starts",
        "measured at beamline",
        "published",
        "read operando-1 of connection",
        "services ends",
        "beamline ends",
        "judged 2 of connection",
        "drawn",
    ]


def test_one_check_that_fails_fails_the_demo_and_all_is_written_down(bench, tmp_path):
    out = tmp_path / "out"
    assert not bench.show(bench.demo(out, RIGHT, WRONG))
    result = json.loads((out / "result.json").read_text())
    assert [check["passed"] for check in result["checks"]] == [True, False]
    assert (result["passed"], result["operando"]) == (False, "operando-1")
    assert result["options"] == {"seed": "3", "speed": "60.0", "out": str(out)}
    said = bench.screen.getvalue()
    for part in ("battbeam demo: arithmetic, seed 3, 60x", "FAILS", "picture.png", "result.json"):
        assert part in said


def test_a_demo_without_a_single_check_has_shown_nothing(bench, tmp_path):
    assert not bench.show(bench.demo(tmp_path / "out"))


def test_counts_of_numpy_are_numbers_in_the_result(bench, tmp_path):
    out = tmp_path / "out"
    assert bench.show(bench.demo(out, Check("frames", np.int64(4), np.int64(4), 0.0)))
    (check,) = json.loads((out / "result.json").read_text())["checks"]
    assert check["recovered"] == 4


def test_the_result_is_json_that_a_strict_parser_takes(bench, tmp_path):
    """JSON knows neither NaN nor infinity."""

    def refused(constant):
        pytest.fail(f"{constant} is no JSON")

    out = tmp_path / "out"
    missing = Check("axis", np.float32("nan"), np.float64(2.0), float("inf"), sigma=np.float64(0.5))
    assert not bench.show(bench.demo(out, RIGHT, missing))
    result = json.loads((out / "result.json").read_text(), parse_constant=refused)
    first, second = result["checks"]
    assert (first["recovered"], first["sigma"]) == (2.0, None)
    values = [second[name] for name in ("recovered", "truth", "tolerance", "sigma", "passed")]
    assert values == [None, 2.0, None, 0.5, False]


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_demo_that_is_broken_off_says_what_is_stored(bench, tmp_path, has_begun):
    out = tmp_path / "out"
    whole, open_one = (compose_run(metadata={"reduction": {"method": "xrd"}}) for _ in range(2))

    def measure(session):
        if has_begun:
            connection = Connection(directory=out, simulated=True, guards={})
            connection.write()
            with Spool(connection.spool) as spool:
                for run in (whole, open_one):
                    spool("start", run.start_doc)
                spool("stop", whole.compose_stop())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.show(replace(bench.demo(out, RIGHT), measure=measure))
    assert bench.happened[-2:] == ["services ends", "beamline ends"]
    assert not (out / "result.json").exists()
    said = bench.screen.getvalue()
    if has_begun:
        assert f"runs stored in {out / 'spool'}: 1, of them not reduced yet: 1" in said
        assert f"battbeam serve {out}" in said
    else:
        assert "broken off; nothing was stored" in said


def test_a_directory_that_holds_something_else_is_left_alone(bench, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(PreflightError, match="holds something else; name a new or empty directory"):
        bench.show(bench.demo(tmp_path, RIGHT))
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"
    assert bench.happened == []


def test_an_older_demo_is_emptied(tmp_path):
    for name in (FILE_NAME, "result.json"):
        (tmp_path / name).write_text("old")
    prepare_directory(tmp_path)
    assert list(tmp_path.iterdir()) == []
