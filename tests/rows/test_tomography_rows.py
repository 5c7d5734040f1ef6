"""Tomograms of things that stand still, through the wire (rows A9 and B2)."""

import numpy as np
import pytest

from battbeam.errors import PreflightError
from battbeam.plans.fields import Fields
from battbeam.plans.tomography import tomography
from battbeam.reduction.segmentation import otsu_thresholds, segment, thresholds_between
from battbeam.reduction.thickness import layer_map
from tests.rows.imaging import (
    OUT,
    Reduced,
    Truth,
    beamline_of,
    options,
    places,
    recorded,
    scenario,
)

pytestmark = [pytest.mark.ioc, pytest.mark.acceptance]

# A9: steps and a turn give one volume, whose axis is where it is.

#: Root mean square difference of the volumes of steps and of a turn, over the spread of their voxels.
ALIKE = 0.02
#: Pixels by which the axis may be off.
AXIS = 0.25


@pytest.mark.parametrize(
    ("offset", "seed", "energy", "phantom"),
    # What is round tells nothing of angles; a stack of layers does: half a degree is too much.
    [(3.3, 1, 22163.0, {}), (-6.7, 2, 24000.0, {"kind": "coin"})],
)
def test_steps_and_a_turn_give_the_same_volume_about_the_axis_that_is_there(
    tmp_path, offset, seed, energy, phantom
):
    hidden = scenario(
        "tomography",
        phantom=phantom,
        beam={"energy": energy},
        imaging={"axis_offset": offset, "n_rows": 24, "photon_rate": 2.0e7, "gain": 0.02},
        rate=20.0,
        seed=seed,
    )
    with beamline_of(hidden, tmp_path) as session:
        b = session.beamline
        how = options(b, exposure=0.1, n_projections=181, readables=())
        how["fields"] = Fields(flat_offset=OUT, n_darks=20, n_flats=40, max_age=1e9)
        (flown,) = session.run(tomography(b.fly_camera, period=0.4, **how))
        (stepped,) = session.run(tomography(b.fly_camera, mode="step", **how))
        runs = [recorded(session, uid) for uid in (flown, stepped)]
        for missing in ("n_darks", "n_flats"):
            without = Fields(flat_offset=OUT, **{missing: 0})
            refused = tomography(b.fly_camera, **{**how, "fields": without})
            with pytest.raises(PreflightError, match=f"{missing} must be at least 1"):
                session.run(refused)
    turned, still = (Reduced(run, tmp_path / f"volumes{k}") for k, run in enumerate(runs))
    true = (hidden.imaging.n_columns - 1) / 2 + offset
    for found in (turned, still):
        (row,) = found.rows()
        print(row["axis"], row["noise"])
        assert row["valid"], row["invalid_reason"]
        assert row["axis"] == pytest.approx(true, abs=AXIS)
        assert Truth(tmp_path).middle(row)["axis"] == pytest.approx(true, abs=1e-6)
    one, other = turned.volume, still.volume
    unlike = float(np.sqrt(np.mean((one - other) ** 2)) / np.ptp(np.percentile(other, [0.1, 99.9])))
    print(f"NRMSE {unlike:.4f}")
    assert unlike <= ALIKE


# B2: a cathode before and after ageing.

#: um by which a mean and the largest thickness may be off.
MEAN, MOST = 1.5, 2.0
#: Share of voxels from which on a class is a material and no edge.
LEAST = 0.01


@pytest.mark.parametrize(
    ("seed", "energy", "imaging"), [(1, 22163.0, {}), (2, 25500.0, {"axis_offset": -5.2})]
)
def test_an_aged_cathode_is_thicker_and_its_extra_layer_has_grown_into_the_collector(
    tmp_path, seed, energy, imaging
):
    hidden = scenario(
        "aged_cathode", rate=60.0, seed=seed, beam={"energy": energy}, imaging=imaging
    )
    volumes = []
    with beamline_of(hidden, tmp_path) as session:
        b = session.beamline
        how = options(b, exposure=0.09, n_projections=361, period=0.2, readables=())
        for number, place in enumerate(hidden.positions):
            (uid,) = session.run(tomography(b.fly_camera, position=place, **how))
            volumes.append(Reduced(recorded(session, uid), tmp_path / f"volume{number}"))
    truth = Truth(tmp_path)
    sizes = [truth.middle(found.rows()[0])["sizes"] for found in volumes]
    for found in volumes:
        assert found.rows()[0]["valid"], found.rows()[0]["invalid_reason"]
    profiles = [thickness_of(found) for found in volumes]
    for profile, size in zip(profiles, sizes, strict=True):
        print(f"mean {profile.mean() * 1e3:.2f} um, {size['mean_thickness'] * 1e3:g} are there")
        assert profile.mean() == pytest.approx(size["mean_thickness"], abs=MEAN * 1e-3)
    # The layer is what the aged cathode has more than the fresh one, line by line.
    extra = (profiles[1] - profiles[0].mean()).max()
    growth = profiles[1].mean() - profiles[0].mean()
    print(f"layer up to {extra * 1e3:.2f} um, {growth * 1e3:.2f} um on average")
    assert (sizes[1]["layer_max"], sizes[1]["mean_thickness"]) == (0.049, 0.174)
    assert extra == pytest.approx(sizes[1]["layer_max"], abs=MOST * 1e-3)
    assert growth < 0.5 * extra


def thickness_of(found):
    """Of cathode and layer along the strip, mm: mean over the rows."""
    row, volume = found.rows()[0], found.volume
    size = row["voxel_size"]
    height, _ = places(volume, size)
    along = (np.arange(volume.shape[1]) - (volume.shape[1] - 1) / 2) * size
    # The strip is 90 um high and 240 um long: its ends are not looked at.
    part = volume[np.abs(height) < 0.03][:, np.abs(along) < 0.114].mean(axis=0)
    # Air, aluminium, the layer if there is one, cathode.
    found = segment(part, otsu_thresholds(part, n_classes=4))
    air, foil, layer, cathode = found.means
    inner = layer if found.fractions[2] > LEAST else cathode
    low = tuple(float(thresholds_between(pair)[0]) for pair in ((air, cathode), (foil, inner)))
    return layer_map(part, low=low, axis=1, voxel_size=size).thickness
