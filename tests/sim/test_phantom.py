"""What a cell's inside is at a state, found again in voxels and in shadows."""

import math

import numpy as np
import pytest

from battbeam.materials import FARADAY, molar_mass
from battbeam.sim.imaging import ImagingModel, View
from battbeam.sim.phantom import PhantomState, inside_of, volume_truth
from battbeam.sim.phantom_matter import Matter, active_matter, matter_of
from battbeam.sim.phantom_shapes import Ellipsoid, Grid
from battbeam.sim.phantom_wound import crack_place
from battbeam.sim.projection import projected
from battbeam.sim.scenario import Cell, Imaging, Scenario
from battbeam.sim.scenario_lithium import Plating, Symmetric
from battbeam.sim.scenario_phantom import (
    Coin,
    Cylinder,
    Layers,
    Particles,
    Sheet,
    Wound,
)

ENERGY = 28_000.0
SNO = {"chemistry": "sno", "initial_lithium_content": 0.05}
MNO2 = {"chemistry": "mno2", "initial_lithium_content": 0.02}
CELLS = {
    "coin": (Coin(), {}, 0.0065),
    "cylinder": (Cylinder(), {}, 0.0065),
    "particles": (Particles(), SNO, 0.0065),
    "wound": (Wound(), MNO2, 0.065),
    "layers": (Layers(layer_mean=0.016, layer_max=0.049), {"chemistry": "nmc811"}, 0.0015),
    "plating": (Plating(), {"chemistry": "lithium"}, 0.0004),
    "symmetric": (Symmetric(), {"chemistry": "lithium"}, 0.001),
}


def scenario_of(name, **imaging):
    part, cell, pixel = CELLS[name]
    return Scenario(
        cells=(Cell(phantom=part, **cell),), imaging=Imaging(pixel_size=pixel, **imaging)
    )


def state_of(scenario, *, content=None, areal_charge=0.0, largest=None):
    cell = scenario.cells[0]
    charge = areal_charge * cell.electrode_area / 3.6
    return PhantomState.of(cell, lithium_content=content, charge=charge, largest_content=largest)


def half_way(name):
    scenario = scenario_of(name)
    content = {"sno": 4.0, "mno2": 0.6}.get(scenario.cells[0].chemistry, 0.5)
    charge = {"plating": 1.2, "symmetric": 120.0}.get(name, 1.0)
    return scenario, state_of(scenario, content=content, areal_charge=charge)


def shadow_of_voxels(plane, omega, pixel):
    """Sums of a plane (z, x) of voxels along rays, each voxel shared among the columns it meets."""
    n, points = len(plane), 6
    place = (np.arange(n * points) + 0.5) / points - n / 2
    fine = np.repeat(np.repeat(plane, points, axis=0), points, axis=1) / points**2
    u = place[None, :] * math.cos(omega) + place[:, None] * math.sin(omega)
    edges = np.arange(n + 1) - n / 2
    sums, _ = np.histogram(u.ravel(), bins=edges, weights=fine.ravel())
    return sums * pixel


@pytest.mark.parametrize("name", CELLS)
def test_a_shadow_is_that_of_the_volume_turned_by_the_same_angle(name):
    scenario, state = half_way(name)
    pixel = scenario.imaging.pixel_size
    n, rows = 240, 3
    volume = volume_truth(scenario, state, energy=ENERGY, shape=(rows, n, n), points=6)
    edges = (np.arange(n + 1) - n / 2) * pixel
    where = Grid(edges, (np.arange(rows + 1) - rows / 2) * pixel)
    bodies = inside_of(scenario, state).bodies
    for degrees in (0.0, 25.0, 90.0, 130.0):
        found = 2 * projected(bodies, where, omega=degrees, energy=ENERGY).real
        for row in (0, 1):
            wanted = shadow_of_voxels(volume[row], math.radians(degrees), pixel)
            # voxels of six points an edge and six sub-columns blur an edge by a sixth of a column
            assert np.abs(found[row] - wanted).mean() < 0.01 * found.max(), degrees
            assert np.corrcoef(found[row], wanted)[0, 1] > 0.995


@pytest.mark.parametrize("content", [0.05, 1.0, 2.9, 4.0, 6.4])
def test_tin_of_particles_is_conserved_while_they_swell_and_crack(content):
    scenario = scenario_of("particles")
    inside = inside_of(scenario, state_of(scenario, content=content))
    first = inside_of(scenario, state_of(scenario, content=0.0))
    assert tin(inside) == pytest.approx(tin(first), rel=1e-9)


@pytest.mark.parametrize("content", [0.05, 1.0, 4.0, 6.4])
def test_lithium_of_particles_is_what_the_charge_has_brought(content):
    scenario = scenario_of("particles")
    state = state_of(scenario, content=content)
    inside = inside_of(scenario, state)
    grains = [body for body in inside.bodies if isinstance(body.shape, Ellipsoid)]
    background = dict(matter_of("electrolyte").amounts)["Li"]
    lithium = sum(volume(body) * dict(body.change.amounts).get("Li", 0.0) for body in grains)
    # what the electrolyte in their place would have had is counted as missing
    outer = sum(4 / 3 * math.pi * radius**3 for radius in inside.sizes["outer_radius"])
    displaced = (outer - inside.sizes["crack_volume"]) * background
    assert lithium + displaced == pytest.approx(content * tin(inside), rel=1e-9)


def tin(inside):
    return sum(
        volume(body) * dict(body.change.amounts).get("Sn", 0.0)
        for body in inside.bodies
        if isinstance(body.shape, Ellipsoid)
    )


def volume(body):
    return 4 / 3 * math.pi * math.prod(body.shape.semi_axes)


def test_particles_swell_from_outside_and_do_not_touch():
    scenario = scenario_of("particles")
    for content in (0.05, 3.0, 6.4):
        sizes = inside_of(scenario, state_of(scenario, content=content)).sizes
        reacted = content / 6.4
        first = np.array(sizes["first_radius"])
        assert sizes["volume_factor"] == pytest.approx(1 + 2 * reacted)
        np.testing.assert_allclose(sizes["core_radius"], first * (1 - reacted) ** (1 / 3))
        centres, outer = np.array(sizes["centre"]), np.array(sizes["outer_radius"])
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        gaps -= outer[:, None] + outer[None]
        assert gaps[~np.eye(len(outer), dtype=bool)].min() > 0


def test_a_crack_opens_at_its_state_and_stays():
    scenario = scenario_of("particles")
    before = inside_of(scenario, state_of(scenario, content=0.44 * 6.4)).sizes
    after = inside_of(scenario, state_of(scenario, content=0.46 * 6.4)).sizes
    back = inside_of(scenario, state_of(scenario, content=0.5, largest=0.46 * 6.4)).sizes
    assert (before["n_cracks"], after["n_cracks"]) == (0, 3)
    assert back["crack_volume"] == after["crack_volume"] > 0
    largest = sum(4 / 3 * math.pi * radius**3 for radius in after["first_radius"][:3])
    assert after["crack_volume"] == pytest.approx(
        largest * 0.04 * (0.5 + 0.5 * 0.01 / 0.55), rel=1e-6
    )


def test_a_crack_lies_in_the_shell_of_its_particle():
    scenario = scenario_of("particles")
    rng = np.random.default_rng(3)
    for place in (0.45, 0.7, 1.0):
        inside = inside_of(scenario, state_of(scenario, content=place * 6.4))
        sizes = inside.sizes
        cracks = [
            body.shape
            for body in inside.bodies
            if isinstance(body.shape, Ellipsoid) and len(set(body.shape.semi_axes)) > 1
        ]
        assert len(cracks) == 3
        for index, crack in enumerate(cracks):
            ball = rng.standard_normal((4000, 3))
            ball /= np.linalg.norm(ball, axis=1)[:, None]
            rim = ball * np.array(crack.semi_axes) @ np.array(crack.directions) + crack.centre
            far = np.linalg.norm(rim - np.array(sizes["centre"][index]), axis=1)
            assert sizes["core_radius"][index] < far.min()
            assert far.max() < sizes["outer_radius"][index]


def test_particles_that_do_not_fit_are_refused():
    scenario = Scenario(cells=(Cell(phantom=Particles(n_particles=150), **SNO),))
    with pytest.raises(ValueError, match="do not fit in a cylinder"):
        inside_of(scenario, state_of(scenario))


def test_a_crack_that_is_larger_than_its_shell_is_refused():
    part = Particles(crack_volume=0.09)
    scenario = Scenario(cells=(Cell(phantom=part, **SNO),))
    with pytest.raises(ValueError, match="for cracks to fit into the shells"):
        inside_of(scenario, state_of(scenario))


def test_an_electrode_that_grows_keeps_its_metal():
    scenario = scenario_of("coin")
    amounts = []
    for content in (0.98, 0.1):
        inside = inside_of(scenario, state_of(scenario, content=content))
        index = [layer.material for layer in Coin().layers].index("active")
        iron = dict(inside.bodies[index].change.amounts)["Fe"]
        amounts.append(iron * inside.sizes["thickness"][index])
    assert amounts[1] == pytest.approx(amounts[0], rel=1e-9)


def test_a_sheet_of_lithium_gains_what_a_charge_plates():
    scenario = scenario_of("coin")
    index = [layer.material for layer in Coin().layers].index("Li")
    sizes = inside_of(scenario, state_of(scenario, areal_charge=5.0)).sizes
    dense = 5.0 / FARADAY * molar_mass({"Li": 1}) / 0.534 * 10
    assert sizes["thickness"][index] - 0.15 == pytest.approx(dense, rel=2e-3)


def test_manganese_of_a_wound_sheet_is_conserved_while_it_grows():
    scenario = Scenario(cells=(Cell(phantom=Wound(crack_state=1.0), **MNO2),))
    found = []
    for content in (0.02, 0.3, 0.9):
        inside = inside_of(scenario, state_of(scenario, content=content))
        found.append(
            sum(
                math.copysign(body.shape.outline.radius**2, 1)
                * dict(body.change.amounts).get("Mn", 0.0)
                for body in inside.bodies
                if hasattr(body.shape.outline, "angle") and hasattr(body.shape.outline, "radius")
            )
        )
    np.testing.assert_allclose(found, found[0], rtol=1e-9)


def test_a_wound_sheet_thickens_as_its_lithium_shrinks():
    scenario = scenario_of("wound")
    first = inside_of(scenario, state_of(scenario, content=0.02)).sizes
    last = inside_of(scenario, state_of(scenario, content=1.0)).sizes
    assert last["sheet_thickness"] / first["sheet_thickness"] == pytest.approx(
        1.3 / (1 + 0.3 * 0.02)
    )
    lost = first["lithium_thickness"] - last["lithium_thickness"]
    assert lost == pytest.approx(last["sheet_thickness"] - first["sheet_thickness"])


@pytest.mark.parametrize("position", [2.0, 7.0, 20.0, 40.0])
def test_a_crack_lies_on_the_middle_line_where_the_arc_says(position):
    part = Wound(crack_position=position)
    line, x, gone = [], 0.0, 0.0
    for index in range(part.n_half_turns):
        radius = part.half_turn_radius(index)
        turn = np.linspace(0, math.pi, 20_001) + math.pi * (index % 2)
        middle = part.pitch / 2 * (index % 2)
        line.append(np.stack([middle + radius * np.cos(turn), radius * np.sin(turn)], axis=1))
    line = np.concatenate(line)
    steps = np.hypot(*np.diff(line, axis=0).T)
    assert steps.max() < 0.01
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    x, z, _ = crack_place(part)
    np.testing.assert_allclose([x, z], line[np.searchsorted(gone, position)], atol=0.01)


def test_a_wound_crack_is_a_gap_in_the_sheet_from_its_state_on():
    scenario = scenario_of("wound")
    part = scenario.cells[0].phantom
    x, z, _ = crack_place(part)
    for content, is_open in ((0.3, False), (0.6, True)):
        inside = inside_of(scenario, state_of(scenario, content=content))
        manganese = sum(
            dict(body.change.amounts).get("Mn", 0.0)
            for body in inside.bodies
            if body.shape.holds(np.array(x), np.array(0.0), np.array(z))
        )
        assert (manganese < 1e-12) == is_open


def test_an_aged_cathode_is_as_thick_as_its_cathode_and_layer():
    scenario = scenario_of("layers")
    part = scenario.cells[0].phantom
    volume = volume_truth(scenario, state_of(scenario), energy=ENERGY, shape=(1, 192, 192))
    aluminium = matter_of("Al").attenuation(ENERGY)
    strip = np.abs((np.arange(192) - 95.5) * 0.0015) < part.width / 2 - 0.0015
    x = (np.arange(192) - 95.5) * 0.0015
    begin = -(part.thickness + part.collector) / 2
    wide = (x > begin - 0.01) & (x < -begin)
    # what is not aluminium, from the free side to the other end of the collector
    plane = volume[0][strip][:, wide]
    metal = (np.abs(plane - aluminium) < 0.02 * aluminium).sum(axis=1) * 0.0015
    thickness = part.thickness + part.collector - metal
    assert thickness.max() == pytest.approx(0.158 + 0.049, abs=0.0025)
    assert thickness.mean() == pytest.approx(0.158 + 0.016, abs=0.0015)


def test_a_layer_that_is_larger_than_the_collector_is_refused():
    with pytest.raises(ValueError, match="less than the collector"):
        Layers(layer_mean=0.02, layer_max=0.08)


def test_a_front_of_lithium_holds_the_lithium_of_its_charge():
    scenario = scenario_of("plating")
    part = scenario.cells[0].phantom
    for charge in (0.01, 0.7, 2.0, 3.0):
        sizes = inside_of(scenario, state_of(scenario, areal_charge=charge)).sizes
        dense = charge * part.width * part.depth / 100 / FARADAY * 6.94 / 0.534 * 1e3
        assert sizes["lithium_volume"] == pytest.approx(dense, rel=1e-6)
        assert sizes["front"] == pytest.approx(part.width * min(charge / 2.0, 1.0))
        assert sizes["packing"] <= 1
        assert sizes["is_full"] == (charge >= 2.0)


def test_a_front_that_is_too_thin_for_its_lithium_is_refused():
    with pytest.raises(ValueError, match="to hold the lithium"):
        Plating(thickness=0.001)


def test_lithium_below_and_above_the_surface_has_the_volumes_of_its_charge():
    scenario = scenario_of("symmetric")
    lithium = matter_of("Li").attenuation(ENERGY)
    polymer = matter_of("polymer").attenuation(ENERGY)
    found = {}
    for charge in (0.0, 9.0, 84.0, 296.0):
        state = state_of(scenario, areal_charge=charge)
        sizes = inside_of(scenario, state).sizes
        voxels = volume_truth(
            scenario, state, energy=ENERGY, shape=(64, 224, 224), voxel=0.001, points=2
        )
        y = np.arange(64) - 31.5
        inner = np.hypot(*np.meshgrid(np.arange(224) - 111.5, np.arange(224) - 111.5)) < 105
        above = voxels[(y > sizes["interface"] * 1e3) & (y < 13)][:, inner]
        below = voxels[(y < sizes["interface"] * 1e3) & (y > -31)][:, inner]
        grown = ((above - polymer) / (lithium - polymer)).sum() * 1e-9
        dug = ((below - lithium) / (polymer - lithium)).sum() * 1e-9
        assert grown == pytest.approx(sizes["protruding_volume"], rel=0.03, abs=1e-8)
        assert dug == pytest.approx(sizes["subsurface_volume"], rel=0.03)
        found[charge] = sizes
    assert [found[charge]["is_short"] for charge in found] == [False, False, False, True]
    volumes = [found[charge]["protruding_volume"] for charge in found]
    assert volumes == sorted(volumes)
    assert volumes[0] == 0


@pytest.mark.parametrize("name", CELLS)
def test_whatever_sign_a_charge_has_a_cell_has_an_inside(name):
    scenario = scenario_of(name)
    for charge in (-50.0, 0.0, 50.0):
        inside = inside_of(scenario, state_of(scenario, areal_charge=charge))
        assert inside.reach > 0
        assert inside.heights[0] < 0 < inside.heights[1]


def test_the_handedness_of_a_turn_is_that_of_the_convention():
    part = Particles(n_particles=1, n_cracked=0, smallest=0.05, largest=0.05, tube_thickness=0)
    scenario = Scenario(cells=(Cell(phantom=part, **SNO),))
    inside = inside_of(scenario, state_of(scenario))
    ((x, _, z),) = inside.sizes["centre"]
    model = ImagingModel(scenario)
    for omega in (0.0, 40.0, 90.0, 200.0):
        view = View(0.0, 0.0, omega, omega, ENERGY)
        row = -np.log(model.transmission(view, inside)).sum(axis=0)
        peak = np.argmax(row - np.median(row))
        turn = math.radians(omega)
        wanted = model.axis(view, 1) + (x * math.cos(turn) + z * math.sin(turn)) / 0.0065
        assert peak == pytest.approx(wanted, abs=2)


def test_matter_adds_up():
    iron = Matter.of({"Fe": 1.0}, concentration=7.874 / molar_mass({"Fe": 1}))
    # NIST, mu/rho of iron at 20 keV is 25.68 cm2/g
    assert iron.attenuation(20_000.0) == pytest.approx(25.68 * 7.874 / 10, rel=0.02)
    assert (iron * 2 - iron).attenuation(20_000.0) == pytest.approx(iron.attenuation(20_000.0))


def test_a_decrement_is_that_of_a_published_table():
    # Henke et al.: silicon at 10 keV has delta = 4.89e-6; far above its edge dispersion is 2 %
    silicon = Matter.of({"Si": 1.0}, concentration=2.33 / molar_mass({"Si": 1}))
    assert silicon.decrement(10_000.0) == pytest.approx(4.89e-6, rel=0.02)


def test_active_matter_holds_as_many_formula_units_at_any_content():
    for content in (0.1, 0.9):
        amounts = dict(active_matter("nmc811", content).amounts)
        assert amounts["Li"] / amounts["Ni"] == pytest.approx(content / 0.8)
        assert amounts["Ni"] == pytest.approx(
            0.8 * 4.78 / molar_mass({"Li": 1, "Ni": 0.8, "Mn": 0.1, "Co": 0.1, "O": 2}), rel=0.01
        )


def test_a_sheet_of_an_unknown_material_is_refused():
    scenario = Scenario(
        cells=(Cell(phantom=Coin(layers=(Sheet(material="gold", thickness=0.1),))),)
    )
    with pytest.raises(ValueError, match="gold"):
        inside_of(scenario, state_of(scenario))
