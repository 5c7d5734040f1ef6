"""Sweeps through the layers of a cell: as messages, in documents, and reduced."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from battbeam.callbacks.cell_columns import CELL_COLUMNS
from battbeam.callbacks.live_edxrd import LiveEdxrd, edxrd_columns
from battbeam.callbacks.live_run import reduced
from battbeam.callbacks.methods import LiveRuns
from battbeam.connection import BeamLight, WhiteBeamCalibration
from battbeam.devices.brightness import FLUX_MARGIN
from battbeam.devices.dose_meter import DoseMeter
from battbeam.devices.fake_edxrd import with_edxrd
from battbeam.devices.frames import FrameTrain
from battbeam.devices.sample_places import LayerPlaces, Place
from battbeam.errors import DeviceError, DoseError, PreflightError, ReductionError
from battbeam.experiment.dose import DoseBudget, DoseLedger
from battbeam.materials import structure
from battbeam.plans.calibrate_edxrd import calibrate_edxrd
from battbeam.plans.edxrd_layers import (
    edxrd_layers,
    edxrd_reduction,
    instruments_of,
    layer_sweep,
    sweep_warnings,
)
from battbeam.plans.experiment_faults import dose_faults, own_run_faults
from battbeam.plans.measurements import OwnRun
from tests.reduction.edxrd_generator import layer, spectrum, white

#: Of the graphite: collector to separator, mm.
ENDS = (-0.18, -0.09)
PLACES = np.linspace(*ENDS, 5)
NMC = {"name": "NMC811", "phase": "NMC811", "hkl": "003", "spacing": 4.78, "spread": 0.05}
FLUX = WhiteBeamCalibration(flux=[(e, white(e)) for e in (20e3, 30e3, 40e3, 50e3)])


def content(z):
    """What each layer holds: lithium per six carbon."""
    return 0.7 + 1.5 * (z - PLACES.mean())


def ceria(live):
    """Lines of the standard, as strong as they are."""
    strengths = {3: 3000, 4: 900, 8: 2000, 11: 1700, 12: 300, 16: 250}
    edge = structure("CeO2").lattice.a
    lines = [(edge / np.sqrt(square), live * each) for square, each in strengths.items()]
    return np.random.default_rng(1).poisson(spectrum(lines))


def counted(z, live):
    """Of a standard far from the cell, of a layer within it."""
    if z > 1:
        return ceria(live)
    rich = 2 * content(z) - 1
    expected = layer([("LiC6", 3.7, 1.0, rich), ("LiC12", 3.525, 0.5, 1 - rich)], 3e3 * live)
    return np.random.default_rng(int(1e4 * (z + 1))).poisson(expected)


@pytest.fixture
def beamline(fakes):
    return with_edxrd(fakes, counted, calibration=FLUX)


@pytest.fixture
def calibrated(beamline, engine, documents):
    engine(calibration_of(beamline))
    documents.clear()
    return beamline


def calibration_of(beamline):
    return calibrate_edxrd(
        beamline.energy_dispersive,
        beam=beamline.white_beam,
        standard="CeO2",
        positions=[(beamline.sample_stage.z, 5.0)],
        exposure=30.0,
        calibration=beamline.calibration / "edxrd.json",
    )


def layers(beamline, **options):
    mca, white_beam, stage = instruments_of(beamline)
    reduction = edxrd_reduction(beamline.calibration, mca)
    how = {"ends": ENDS, "exposure": 10.0, "reduction": reduction, "readables": [stage]}
    return edxrd_layers(mca, stage.z, beam=white_beam, clock=beamline.clock, **{**how, **options})


def rows_of(documents):
    found = reduced(LiveEdxrd, documents)
    return [doc["data"] for name, doc in found if name == "event"]


def test_a_calibration_is_kept_and_its_verdict_told(beamline, engine, documents):
    engine(calibration_of(beamline))
    (verdict,) = documents.events("calibration")
    assert verdict["calibration"] == str(beamline.calibration / "edxrd.json")
    said = json.loads(verdict["document"])
    assert said["spacing_error"] < 1e-3
    assert said["residual"] < 6
    (start,) = documents.of("start")
    assert (start["kind"], start["standard"], start["technique"]) == (
        "calibration",
        "CeO2",
        "EDXRD",
    )
    assert beamline.sample_stage.z.position == 0.0
    assert beamline.white_beam.shutter.position == 0


def test_a_standard_that_is_none_and_lines_that_are_not_its_are_refused(beamline, engine):
    with pytest.raises(PreflightError, match="standard 'Fe' is none of"):
        engine(
            calibrate_edxrd(
                beamline.energy_dispersive,
                beam=beamline.white_beam,
                standard="Fe",
                positions=(),
                exposure=1.0,
                calibration=beamline.calibration / "edxrd.json",
            )
        )
    with pytest.raises(ReductionError, match="CeO2"):
        engine(
            calibrate_edxrd(
                beamline.energy_dispersive,
                beam=beamline.white_beam,
                standard="CeO2",
                positions=(),
                exposure=1.0,
                calibration=beamline.calibration / "edxrd.json",
            )
        )
    assert beamline.white_beam.shutter.position == 0


def test_a_sweep_is_a_run_with_a_spectrum_a_layer(calibrated, engine, documents):
    engine(layers(calibrated))
    (start,) = documents.of("start")
    assert (start["plan_name"], start["technique"]) == ("edxrd_layers", "EDXRD")
    assert start["map"]["axes"] == ["sample_stage_z"]
    assert start["reduction"]["method"] == "edxrd"
    assert len(start["calibration"]["edxrd"]["sha256"]) == 64
    assert start["warnings"] == []
    events = documents.events()
    np.testing.assert_allclose([event["sample_stage_z"] for event in events], PLACES)
    assert {len(event["mca_spectrum"]) for event in events} == {4096}
    assert {(e["mca_real_time"], e["mca_live_time"]) for e in events} == {(10.0, 9.0)}
    stamps = [event["mca_stamp"] for event in events]
    np.testing.assert_allclose(np.diff(stamps), 10.0)
    # What counts frames has no part in it.
    assert not {"i0", "transmission_counts", "attenuator_transmission"} & set(events[0])
    stage = calibrated.sample_stage
    assert (stage.z.position, calibrated.white_beam.shutter.position) == (0.0, 0)
    assert calibrated.energy_dispersive.preset.get() == 1.0


def test_layers_are_reduced_to_their_own_lithium(calibrated, engine, documents):
    engine(layers(calibrated))
    rows = rows_of(documents)
    assert [row["layer"] for row in rows] == [0, 1, 2, 3, 4]
    assert all(row["valid"] for row in rows), [row["invalid_reason"] for row in rows]
    found, error = (
        np.array([row[name] for row in rows])
        for name in ("lithium_content_counter", "lithium_content_counter_error")
    )
    # 27 000 counts: 0.5 sqrt(f (1 - f) / N) is 0.0015.
    assert (error < 0.008).all()
    assert (np.abs(found - content(PLACES)) < 4 * error).all()
    for row in rows:
        assert row["d_LiC6"] == pytest.approx(3.7, abs=4 * row["d_LiC6_error"])
        assert row["d_LiC6_error"] < 0.003
        assert row["time_end"] - row["time_start"] == row["exposure"] == 10.0
        assert (row["live_time"], row["dead_time"]) == (9.0, pytest.approx(0.1))


def test_the_same_run_reduced_again_is_the_same_to_the_bit(calibrated, engine, documents):
    engine(layers(calibrated))
    assert LiveRuns.methods_of(documents.of("start")[0]) == (LiveEdxrd,)
    assert reduced(LiveEdxrd, documents) == reduced(LiveEdxrd, documents)


def test_lines_of_other_phases_have_columns_of_their_own():
    columns = edxrd_columns(["NMC811", "LiC6"])
    for name in ("d_NMC811", "d_LiC6_error", "area_NMC811_error", "lithium_content_counter"):
        assert name in columns
    assert columns["d_LiC6"] == ("number", "angstrom")


def test_a_point_without_its_spectrum_is_written_down_and_not_valid(calibrated, engine, documents):
    mca, count = calibrated.energy_dispersive, calibrated.energy_dispersive.start._put_func
    n_counted = []

    def fails(value, **how):
        n_counted.append(value)
        count(value, **how)
        # The second layer, and once more.
        mca.fault.sim_put("high voltage is off" if len(n_counted) in (2, 3) else "")

    mca.start.sim_set_putter(fails)
    engine(layers(calibrated))
    rows = rows_of(documents)
    assert [row["valid"] for row in rows] == [1, 0, 1, 1, 1]
    assert rows[1]["invalid_reason"] == "mca: high voltage is off"
    assert math.isnan(rows[1]["lithium_content_counter"])
    assert len(n_counted) == 6


def test_a_spectrum_with_the_shutter_closed_is_not_valid(calibrated, engine, documents):
    engine(layers(calibrated))
    for _, doc in documents:
        if "shutter" in doc.get("data", {}):
            doc["data"]["shutter"] = 0
    assert {row["invalid_reason"] for row in rows_of(documents)} == {"shutter closed"}


def test_without_a_calibration_nothing_moves(beamline, engine):
    with pytest.raises(PreflightError, match=r"calibration .*edxrd\.json: the file is missing"):
        engine(layers(beamline))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1, got 0"),
        ({"c_rate": 0.0}, "c_rate must be greater than 0, got 0"),
        ({"reduction": {"method": "xrd"}}, "reduction is by 'xrd', not by 'edxrd'"),
        ({"exposure": 0.0}, "exposure"),
    ],
)
def test_what_cannot_be_is_refused(calibrated, engine, options, told):
    with pytest.raises(PreflightError, match=told):
        engine(layers(calibrated, **options))


def test_a_sweep_in_which_the_cell_changes_too_much_is_warned_of(calibrated, engine, documents):
    # 5 layers in 72 s at 1C: 2 % of the capacity.
    assert sweep_warnings(5, 14.0, overhead=0.3, c_rate=1.0) == []
    assert sweep_warnings(5, 14.0, overhead=0.5, c_rate=1.0) == [
        "a sweep takes 72 s, in which 2.0 % of the capacity pass at 1 C, wanted 2 %: what fits is "
        "an exposure of 13.9 s"
    ]
    assert sweep_warnings(5, 14.0, overhead=0.5, c_rate=0.05) == []
    (told,) = sweep_warnings(5, 1.0, overhead=20.0, c_rate=1.0)
    assert told.endswith("what fits is fewer layers")
    engine(layers(calibrated, exposure=20.0))
    (warning,) = documents.of("start")[0]["warnings"]
    assert warning.startswith("a sweep takes 102 s")


def test_one_spectrum_a_point_is_all_it_counts(beamline):
    mca = beamline.energy_dispersive
    assert mca.train_faults(exposure=1.0, n_frames=3) == ["mca: one spectrum a point, got 3"]
    with pytest.raises(ValueError, match="one spectrum a point"):
        mca.prepare(FrameTrain(1.0, n_frames=2))
    mca.acquiring.sim_put(1)
    with pytest.raises(DeviceError, match="mca: already counting; stop it first"):
        mca.stage()


def test_a_spectrum_that_is_too_short_is_none(beamline):
    mca = beamline.energy_dispersive
    count = mca.start._put_func

    def short(value, **how):
        count(value, **how)
        mca.counted_real.sim_put(0.4)

    mca.start.sim_set_putter(short)
    with pytest.raises(DeviceError, match=r"mca: counted 0\.4 s of 1 s"):
        mca.trigger().wait(timeout=5)
    assert math.isnan(mca.read()["mca_stamp"]["value"])


def test_a_pause_breaks_off(beamline):
    mca = beamline.energy_dispersive
    mca.start.sim_set_putter(lambda *_, **__: None)
    mca.start.begin = lambda ended: None
    status = mca.trigger()
    mca.pause()
    status.wait(timeout=5)
    assert mca.halt.get() == 1
    mca.resume()


def test_a_rule_of_a_schedule_measures_a_sweep_where_its_cell_is(calibrated, engine, documents):
    sweep = layer_sweep(calibrated, ends=ENDS, exposure=10.0, spot=(0.5, 0.0), lines=[NMC])
    assert sweep.cost.duration == pytest.approx(5 * 10.3)
    assert calibrated.sample_stage.z in sweep.motors
    engine(sweep.plan({"rule": "charge", "cell_position": (0.0, 18.0)}))
    (start,) = documents.of("start")
    assert (start["rule"], start["plan_name"]) == ("charge", "edxrd_layers")
    assert {(e["sample_stage_x"], e["sample_stage_y"]) for e in documents.events()} == {(0.5, 18.0)}
    assert "d_NMC811" in rows_of(documents)[0]
    stage = calibrated.sample_stage
    assert (stage.x.position, stage.y.position) == (0.0, 0.0)


@pytest.fixture
def metered(calibrated, tmp_path):
    """Of a white beam of 1e9 photons/s at its fullest, 1 mm wide and 0.02 mm high."""
    shutter, clock = calibrated.white_beam.shutter, calibrated.clock
    shutter.command.sim_set_putter(
        lambda wanted, **_: shutter.status.sim_put(wanted, timestamp=clock.time)
    )
    light = BeamLight(
        photons_per_milliampere=1e7, ring_current_max=100.0, beam_size=(1.0, 0.02), energy=42e3
    )
    meter = DoseMeter(
        name="white_dose_meter",
        ledger=DoseLedger(tmp_path / "white_ledger.jsonl"),
        beam=calibrated.white_beam,
        monochromator=None,
        clock=clock,
        flux=light,
        places=LayerPlaces(calibrated.sample_stage, [Place(calibrated.potentiostat)]),
    )
    return replace(calibrated, white_dose_meter=meter)


def layer_fluence(beamline, z):
    meter = beamline.white_dose_meter
    uid, _, _ = meter.here()
    return meter.ledger.fluence(uid, 0.0, z, meter.flux.beam_size)


def test_light_of_the_white_beam_is_counted_at_the_depth_on_which_it_fell(
    metered, engine, documents
):
    engine(layers(metered))
    most = FLUX_MARGIN * 1e9 * 10.0
    assert [e["photons"] for e in documents.events()] == pytest.approx([most] * 5)
    assert [e["spot_y"] for e in documents.events()] == pytest.approx(PLACES)
    assert layer_fluence(metered, PLACES[1]) == pytest.approx(most / 0.02)
    assert layer_fluence(metered, 0.05) == 0.0
    assert metered.white_dose_meter.ledger.unsettled() == ()
    # Light goes on along a layer: one that was lit at another place is not fresh.
    metered.sample_stage.x.set(0.5).wait(timeout=5)
    assert layer_fluence(metered, PLACES[1]) == pytest.approx(most / 0.02)


def test_a_budget_of_the_white_beam_is_not_passed(metered, engine, documents):
    # Two sweeps fit: 10 s and 1 s of overhead are reserved, 10 s come.
    budget = DoseBudget(fluence=FLUX_MARGIN * 1e9 * 22.0 / 0.02, at_limit="stop")
    for _ in range(2):
        engine(layers(metered, budget=budget))
    n_events = len(documents.events())
    with pytest.raises(DoseError, match="dose limit"):
        engine(layers(metered, budget=budget))
    assert len(documents.events()) == n_events
    assert metered.white_beam.shutter.position == 0
    skipping = budget.model_copy(update={"at_limit": "skip"})
    engine(layers(metered, budget=skipping))
    assert all("dose limit" in e["fault"] for e in documents.events()[n_events:])


def test_a_budget_without_a_meter_is_refused(calibrated, engine):
    budget = DoseBudget(fluence=1e12, at_limit="stop")
    with pytest.raises(PreflightError, match="a dose budget needs a dose meter"):
        engine(layers(calibrated, budget=budget))


def test_an_experiments_budget_does_not_hold_for_another_beam_and_says_so(metered):
    budget = DoseBudget(fluence=1e12, at_limit="stop")
    metered.beam.dose_meter = metered.white_dose_meter  # any: there is one

    def faults(**own):
        sweep = layer_sweep(metered, ends=ENDS, exposure=10.0, **own)
        return dose_faults({"cell1": budget}, {"cell1": None}, {"layers": sweep}, metered.beam, 1)

    (fault,) = faults()
    assert "not that of white_beam, in which 'layers' is measured" in fault
    assert faults(budget=budget) == []


def test_a_sweep_that_cannot_be_made_is_refused_before_the_cell_begins(beamline):
    sweep = layer_sweep(beamline, ends=ENDS, exposure=0.0, spot=(900.0, 0.0))
    faults = own_run_faults(sweep)
    assert len(faults) == 3
    assert "edxrd.json: the file is missing; run calibrate_edxrd first" in faults[0]
    assert "exposure must be greater than 0 s" in faults[1]
    assert "900 mm is outside its limits" in faults[2]
    assert own_run_faults(OwnRun(lambda said: iter(()))) == []


def test_a_beamline_without_a_white_beam_says_so(fakes):
    with pytest.raises(DeviceError, match=r"an analyser \(Beamline.energy_dispersive\)"):
        layer_sweep(fakes, ends=ENDS, exposure=1.0)


def test_every_column_of_a_row_is_listed_with_its_unit():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "edxrd.md").read_text()
    part = page.split("## Reduced rows")[1].split("## Reducing by hand")[0]
    listed = {}
    for line in part.splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3:
            listed |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1])
    columns = edxrd_columns(["LiC6"])
    wanted = {name.replace("LiC6", "<line>"): unit for name, (_, unit) in columns.items()}
    assert listed == {name: u for name, u in wanted.items() if name not in CELL_COLUMNS}
