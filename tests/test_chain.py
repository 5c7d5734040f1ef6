"""The whole chain on one machine: frames, spool, reducer, catalogue, and the hidden truth behind it."""

import numpy as np
import pytest

from battbeam.callbacks.live_xrd import reduce_run
from battbeam.demo.experiment import INERT
from battbeam.demo.replay import rows_of
from battbeam.demo.truth import Truth
from battbeam.experiment.cell import EXAMPLE
from battbeam.experiment.control_spot import ControlSpot
from battbeam.plans.operando import identity
from battbeam.plans.stubs import mounted
from battbeam.plans.xrd_series import xrd_reduction, xrd_series
from battbeam.serve import Services
from battbeam.session import Session, example_path
from battbeam.storage.catalog import Catalog
from battbeam.storage.tail import documents

pytestmark = [pytest.mark.ioc]

SPOTS = ControlSpot(exposed=(0, 0), control=(2, 0), rate_of_interest=1e-13)


@pytest.fixture(scope="module")
def measured(beamline):
    """A series of three patterns, calibrated, reduced live and published."""
    connection = beamline.connection
    with Services(connection) as services, Session(connection) as session:
        here = session.beamline
        session.run_recipe(example_path("plans/calibrate.py"))

        def plan():
            yield from mounted(here.potentiostat, EXAMPLE)
            return (
                yield from xrd_series(
                    [here.detector],
                    beam=here.beam,
                    clock=here.clock,
                    exposure=20.0,
                    n_points=3,
                    readables=[here.potentiostat, here.sample_stage],
                    reduction=xrd_reduction(here.calibration, ("LiFePO4", "FePO4", *INERT)),
                    md={
                        **identity(here.potentiostat),
                        "energy": here.monochromator.position,
                        "sentinel": SPOTS.model_dump(mode="json"),
                    },
                )
            )

        (uid,) = session.run(plan())
        services.wait_published(timeout=60)
        rows = Catalog(connection).reduced(uid)
        damage = Catalog(connection).beam_damage([uid])
        here.potentiostat.dismount().wait(timeout=10)
    # Nothing was measured at the control.
    assert damage.reason.startswith("0 comparison(s)")
    return connection, uid, rows


def test_every_frame_is_reduced_and_valid(measured):
    _, _, rows = measured
    assert rows["invalid_reason"].to_numpy().tolist() == ["", "", ""]
    assert rows["valid"].to_numpy().tolist() == [1, 1, 1]


def test_a_row_says_what_light_its_spot_had(measured):
    connection, _, rows = measured
    truth = Truth(connection.directory / "sim" / "truth.jsonl")
    assert np.abs(rows["spot_x"].to_numpy()).max() < 0.01
    frames = zip(rows["frame_file"].to_numpy(), rows["frame_index"].to_numpy(), strict=True)
    fell = truth.column([(str(file), int(index)) for file, index in frames], "photons") / 0.3**2
    # What falls while the shutter opens and closes is in the row and not in the frame.
    more = np.diff(rows["fluence"].to_numpy()) / fell[1:]
    assert np.all((more > 0.99) & (more < 2))
    assert np.all(rows["measurement"].to_numpy() == -1)


def test_what_is_recovered_is_the_hidden_truth(measured):
    connection, _, rows = measured
    truth = Truth(connection.directory / "sim" / "truth.jsonl")
    frames = [
        (str(file), int(index))
        for file, index in zip(
            rows["frame_file"].to_numpy(), rows["frame_index"].to_numpy(), strict=True
        )
    ]
    fraction = rows["phase_fraction_FePO4"].to_numpy()
    error = rows["phase_fraction_FePO4_error"].to_numpy()
    assert np.all(error < 0.01)
    apart = fraction - truth.column(frames, "phase_fraction", "FePO4")
    assert np.all(np.abs(apart) < 5 * error)
    angle = rows["two_theta_LiFePO4_311"].to_numpy()
    assert np.abs(angle - truth.column(frames, "two_theta", "LiFePO4", "311")).max() < 0.005


def test_live_and_replayed_agree_to_the_bit(measured):
    connection, uid, rows = measured
    lines = documents(connection.spool / f"{uid}.jsonl")
    again = rows_of(reduce_run([(line.name, line.doc) for line in lines]))
    for name in ("phase_fraction_FePO4", "lattice_LiFePO4_a", "state_of_charge", "residual"):
        np.testing.assert_array_equal(again[name].to_numpy(), rows[name].to_numpy())
    np.testing.assert_array_equal(again["intensity"].to_numpy(), rows["intensity"].to_numpy())
