"""What a run asks of the reduction of its frames: by itself from the passport, and by options."""

import math

import numpy as np
import pytest

from battbeam.callbacks.frame_checks import AskedChecks
from battbeam.callbacks.xrd_phases import (
    cell_optical_depth,
    optical_depth,
    scattering_phases,
    share_behind,
)
from battbeam.callbacks.xrd_request import Choices, XrdRequest
from battbeam.callbacks.xrd_row import RowSchema
from battbeam.errors import ReductionError
from battbeam.experiment.cell import EXAMPLE, CellPassport
from battbeam.materials import COUNTER_PHASES
from battbeam.plans.xrd_series import xrd_reduction
from battbeam.reduction.xrd import (
    EndMemberResult,
    FatiguedResult,
    PhaseResult,
    ScatteringPhase,
    XrdOptions,
    XrdResult,
)

ENERGY = 22_163.0
POUCH = [
    ("Kapton", 0.1),
    ("Cu", 0.01),
    ("counter", 0.114),
    ("plated", 0.001),
    ("polyethylene", 0.025),
    ("active", 0.111),
    ("Al", 0.02),
    ("Kapton", 0.1),
]
OXIDE = [{"phase": "NMC811"}, {"phase": "Al"}, {"phase": "Cu"}]


def pouch(stack=POUCH, **more) -> CellPassport:
    return CellPassport.read(
        {
            **EXAMPLE,
            "chemistry": "NMC811",
            "nominal_capacity": 2.5,
            "counter_electrode": {"material": "graphite", "capacity": 3.4},
            "stack": [{"material": name, "thickness": t} for name, t in stack],
            **more,
        }
    )


def placed(asked=OXIDE, passport=None) -> dict[str, ScatteringPhase]:
    found = scattering_phases(asked, passport or pouch(), ENERGY, cell_moves=True)
    assert len({phase.phase for phase in found}) == len(found)
    return {phase.phase: phase for phase in found}


def start(directory, reduction, passport=None):
    for name in ("detector.poni", "detector.json", "blank.npz", "charged.npz"):
        (directory / name).write_text("Wavelength: 5.5941e-11\n")
    files = {"geometry": "detector.poni", "instrument": "detector.json"}
    asked = {name: str(directory / file) for name, file in files.items()}
    cell = None if passport is None else passport.model_dump(mode="json")
    return {"uid": "u", "cell": cell, "reduction": {"method": "xrd", **asked, **reduction}}


def test_a_cell_with_graphite_asks_for_its_stages_and_for_lithium_on_it():
    found = placed()
    assert set(found) == {"NMC811", "Al", "Cu", "Li", *COUNTER_PHASES}
    for phase in COUNTER_PHASES:
        assert found[phase].depth == pytest.approx(-0.1385)
    assert found["Li"].depth == pytest.approx(-0.081)
    assert found["Cu"].downstream > found["LiC6"].downstream > found["Al"].downstream > 0


def test_lithium_without_a_layer_of_its_own_lies_on_graphites_face():
    stack = [layer for layer in POUCH if layer[0] != "plated"]
    assert placed(passport=pouch(stack))["Li"].depth == pytest.approx(-0.0805)
    turned = placed(passport=pouch(stack[::-1]))
    assert turned["Li"].depth == pytest.approx(+0.0805)


def test_what_was_asked_for_is_not_asked_for_twice():
    asked = [*OXIDE, {"phase": "LiC6", "depth": -0.3}, {"phase": "Li"}]
    found = placed(asked)
    assert found["LiC6"].depth == -0.3
    assert found["Li"].depth == pytest.approx(-0.081)


def test_a_half_cell_has_no_graphite_and_its_lithium_is_the_electrode():
    passport = CellPassport.read(EXAMPLE)
    found = placed([{"phase": "LiFePO4"}, {"phase": "Li"}], passport)
    assert set(found) == {"LiFePO4", "Li"}
    assert found["Li"].depth == -0.27


def test_aluminium_in_the_electrodes_plane_is_the_reference_of_displacement():
    found = placed()
    assert [name for name, phase in found.items() if phase.reference] == ["Al"]
    assert {name for name, phase in found.items() if phase.moves} == {"NMC811", "Al"}
    coin = placed([{"phase": "LiFePO4"}, {"phase": "Al"}], CellPassport.read(EXAMPLE))
    assert coin["Al"].reference


def test_a_cell_that_stands_still_needs_no_reference(tmp_path):
    still, moves = (
        XrdRequest.of_start(start(tmp_path, {"phases": OXIDE, "options": options}, pouch()))
        for options in ({}, {"displacement": 0.1})
    )
    assert not any(phase.reference for phase in still.phases)
    assert [phase.phase for phase in moves.phases if phase.reference] == ["Al"]


def test_aluminium_elsewhere_is_no_reference_and_one_in_the_plane_is_preferred():
    bag = ("Al", 0.04)
    elsewhere = [bag if layer[0] == "Al" else layer for layer in POUCH]
    elsewhere.insert(-2, ("polyethylene", 0.1))
    assert not placed(passport=pouch(elsewhere))["Al"].reference
    both = placed(passport=pouch([bag, *POUCH]))["Al"]
    assert both.reference
    assert both.depth == pytest.approx(0.0655)


def test_reference_and_motion_can_be_said():
    asked = [{"phase": "NMC811"}, {"phase": "Al", "reference": False, "moves": False}]
    assert not placed(asked)["Al"].reference
    assert not placed(asked)["Al"].moves
    (alone,) = scattering_phases([{"phase": "Al", "reference": True}], None, None)
    assert alone.reference


def test_graphite_absorbs_by_its_mass_or_by_its_layer():
    by_layer = optical_depth(pouch().stack[2], pouch(), ENERGY)
    weighed = pouch(
        counter_electrode={"material": "graphite", "capacity": 3.4, "active_mass": 30.0}
    )
    # 0.40 cm2/g of carbon at 22 keV, 1.5 g/cm3 of a coating and its 114 um.
    assert by_layer == pytest.approx(0.40 * 1.5 * 0.0114, rel=0.15)
    by_mass = optical_depth(weighed.stack[2], weighed, ENERGY)
    assert by_mass / by_layer == pytest.approx(0.03 / EXAMPLE["electrode_area"] / (1.5 * 0.0114))
    assert 0 < share_behind(2, pouch(), ENERGY) < 1


def test_a_cell_absorbs_as_its_passport_says_unless_the_run_says_otherwise(tmp_path):
    depth = cell_optical_depth(pouch(), ENERGY)
    assert depth == pytest.approx(sum(optical_depth(x, pouch(), ENERGY) for x in pouch().stack))
    by_itself = XrdRequest.of_start(start(tmp_path, {"phases": OXIDE}, pouch()))
    assert by_itself.options.optical_depth == pytest.approx(depth, rel=1e-3)
    said = {"phases": OXIDE, "options": {"optical_depth": 0.3}}
    assert XrdRequest.of_start(start(tmp_path, said, pouch())).options.optical_depth == 0.3
    alone = XrdRequest.of_start(start(tmp_path, {"phases": OXIDE}))
    assert alone.options.optical_depth is None


def test_options_of_a_plan_reach_the_reducer_and_files_count_by_what_they_hold(tmp_path):
    options = {
        "references": {"charged": str(tmp_path / "charged.npz")},
        "blank": str(tmp_path / "blank.npz"),
        "fatigued_lithium_content": [0.25, 0.03],
        "free_intensities": ["Al"],
        "dark_max_age": 600.0,
    }
    document = start(tmp_path, {"phases": OXIDE, "options": options}, pouch())
    request = XrdRequest.of_start(document)
    assert request.options.references == {"charged": tmp_path / "charged.npz"}
    assert request.options.blank == tmp_path / "blank.npz"
    assert request.options.fatigued_lithium_content == (0.25, 0.03)
    assert request.options.free_intensities == ("Al",)
    before = request.parameters
    for name in ("blank.npz", "charged.npz"):
        (tmp_path / name).write_text("another")
        after = XrdRequest.of_start(document).parameters
        assert after != before
        before = after
    assert str(tmp_path) not in repr(before)


def test_checks_of_a_plan_reach_the_reduction_or_are_refused_in_words(tmp_path):
    asked = xrd_reduction(tmp_path, ["NMC811"], checks={"powder": True, "lag": [0.05, 40.0]})
    request = XrdRequest.of_start(start(tmp_path, asked))
    assert request.checks == AskedChecks(powder=True, lag_fraction=0.05, lag_time=40.0)
    plain = XrdRequest.of_start(start(tmp_path, xrd_reduction(tmp_path, ["NMC811"])))
    assert plain.checks == AskedChecks()
    assert plain.parameters != request.parameters
    asked["checks"] = {"powder": "false"}
    with pytest.raises(ReductionError, match="malformed: powder of checks must be true or false"):
        XrdRequest.of_start(start(tmp_path, asked))


def test_end_members_alone_are_enough(tmp_path):
    options = {"references": {"charged": str(tmp_path / "charged.npz")}}
    request = XrdRequest.of_start(start(tmp_path, {"options": options}))
    assert request.phases == ()


def test_a_dark_says_when_it_was_taken(tmp_path):
    np.savez(tmp_path / "dark.npz", counts=np.ones((2, 2)), exposure=30.0, time=1.75e9)
    document = start(tmp_path, {"phases": OXIDE, "dark": str(tmp_path / "dark.npz")})
    assert XrdRequest.of_start(document).read_dark().time == 1.75e9
    np.savez(tmp_path / "dark.npz", counts=np.ones((2, 2)), exposure=30.0)
    assert math.isnan(XrdRequest.of_start(document).read_dark().time)
    other = Choices(overrides={"options": {"dark_max_age": 60.0}})
    assert XrdRequest.of_start(document, other).options == XrdOptions(dark_max_age=60.0)


def phase_result(amount, error, **more):
    values = {"lattice": {"a": 2.8, "c": 14.2}, "lattice_error": {"a": 1e-4, "c": 1e-3}} | more
    return PhaseResult(
        fraction=1.0,
        fraction_error=0.0,
        amount=amount,
        amount_error=error,
        two_theta={},
        two_theta_error={},
        lithium_content=0.5,
        lithium_content_error=0.01,
        **values,
    )


def row_of(result, phases, **schema):
    made = RowSchema(
        [ScatteringPhase(phase) for phase in phases],
        reflections=("003",),
        n_bins=2,
        positions={},
        **schema,
    )
    keys = made.data_keys()
    values = made._phases.values(result)
    assert set(values) <= set(keys)
    return values


def result_of(phases, **more):
    nothing = np.zeros(2)
    return XrdResult(
        valid=True,
        reason="",
        intensity=nothing,
        intensity_error=nothing,
        model=nothing,
        background=nothing,
        phases=phases,
        **more,
    )


def test_lithium_metal_is_counted_by_the_known_moles_of_the_cathode():
    """0.02 of the oxide's moles, of which 1 is 4 mAh/cm2; 3 % and 1 % make 3.2 % together."""
    phases = {"NMC811": phase_result(5.0, 0.05), "Li": phase_result(0.1, 0.003)}
    result = result_of(phases, active_amount=5.0, active_amount_error=0.05)
    row = row_of(result, phases, full_areal_capacity=4.0)
    assert row["plated_areal_capacity"] == pytest.approx(0.08)
    assert row["plated_areal_capacity_error"] == pytest.approx(0.08 * math.hypot(0.03, 0.01))
    assert math.isnan(row_of(result, phases)["plated_areal_capacity"])


def test_fatigued_grains_intensities_and_end_members_have_columns():
    stopped = FatiguedResult(
        fraction=0.15,
        fraction_error=0.01,
        lattice={"a": 2.82, "c": 14.4},
        lattice_error={"a": 1e-3, "c": 2e-3},
        lithium_content=0.25,
        lithium_content_error=0.01,
    )
    oxide = phase_result(1.0, 0.1, fatigued=stopped)
    metal = phase_result(1.0, 0.1, intensity={"111": 2.0}, intensity_error={"111": 0.1})
    members = {"charged": EndMemberResult(0.7, 0.02, 0.69, 0.01)}
    result = result_of({"NMC90": oxide, "Al": metal}, end_members=members)
    row = row_of(result, ("NMC90", "Al"), free={"Al": ("111",)}, end_members=("charged",))
    assert row["fatigued_fraction_NMC90"] == 0.15
    assert row["lattice_NMC90_c_fatigued"] == 14.4
    assert row["lattice_NMC90_c_fatigued_error"] == 2e-3
    assert (row["intensity_Al_111"], row["intensity_Al_111_error"]) == (2.0, 0.1)
    assert row["end_member_amount_charged"] == 0.7
    assert row["end_member_fraction_charged_error"] == 0.01
    fresh = row_of(result_of({"NMC90": phase_result(1.0, 0.1)}), ("NMC90",))
    assert math.isnan(fresh["fatigued_fraction_NMC90"])
