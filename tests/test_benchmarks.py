"""Benchmarks run, and their results are right; how fast they are is not tested."""

import importlib
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

ROOT = Path(__file__).parents[1]
NAMES = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py") if path.stem != "compare"
)


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_deviates_from_its_reference_by_no_more_than_it_says(name):
    benchmark = importlib.import_module(f"benchmarks.{name}")
    comparisons = benchmark.run(small=True)
    assert comparisons
    for comparison in comparisons:
        assert comparison.deviation <= comparison.bound, comparison.case
        assert len(comparison.ways) > 1
        assert all(np.isfinite([each.wall, each.cpu]).all() for each in comparison.ways.values())
        assert next(iter(comparison.ways)).startswith("battbeam")


def test_every_benchmark_can_be_named():
    assert sorted(importlib.import_module("benchmarks.__main__").NAMES) == NAMES


def compared(deviation, seconds):
    compare = importlib.import_module("benchmarks.compare")
    ways = {
        "battbeam": compare.Timing(wall=seconds, cpu=seconds),
        "plain": compare.Timing(wall=0.003, cpu=0.001),
    }
    return compare.Comparison("one case", ways, deviation, 1e-6, "of nothing", notes={})


@pytest.mark.parametrize(("deviation", "status"), [(1e-7, 0), (1e-5, 1), (float("nan"), 1)])
@pytest.mark.parametrize("seconds", [0.0005, 50.0])
def test_the_exit_status_is_about_the_deviation_and_never_about_speed(
    monkeypatch, capsys, deviation, status, seconds
):
    rules = importlib.import_module("benchmarks.rules")
    monkeypatch.setattr(rules, "run", lambda small: [compared(deviation, seconds)])
    assert importlib.import_module("benchmarks.__main__").main(["rules"]) == status
    assert ("beyond its bound: rules, one case" in capsys.readouterr().out) == bool(status)


def test_ratios_say_how_many_times_as_long_the_other_way_takes():
    console = Console(width=200, file=io.StringIO())
    importlib.import_module("benchmarks.compare").show("one", [compared(0.0, 0.001)], console)
    shown = console.file.getvalue()
    assert "3x" in shown
    assert "1x" in shown


def test_the_rules_benchmark_sees_a_condition_that_is_late_or_missing():
    rules = importlib.import_module("benchmarks.rules")
    readings = rules._readings(5000)
    found = rules._evaluated(readings)
    assert {due.rule for due in found} == {"slope", "charge", "clock"}
    late = [type(due)(**{**vars(due), "due": due.due + 0.5}) for due in found]
    assert rules._difference(late, readings) == pytest.approx(0.5)
    assert rules._difference(found[:-1], readings) == np.inf


def test_the_spool_benchmark_sees_a_document_that_is_missing(tmp_path):
    spool = importlib.import_module("benchmarks.spool")
    documents = spool._documents(3)
    path = tmp_path / "run.jsonl"
    lines = [{"name": name, "doc": document} for name, document in documents]
    path.write_text("".join(f"{spool.json.dumps(line)}\n" for line in lines[:-1]))
    assert spool._n_differing(path, documents) == 1
