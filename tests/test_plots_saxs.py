"""The picture of small-angle scattering: laws lie where they hold, on the curves."""

import numpy as np
import pytest
from matplotlib.image import imread

from battbeam.plots_saxs import laws_of, small_angle_series
from battbeam.reduction.saxs_model import guinier_radius_of, spheres

Q = np.geomspace(0.004, 0.5, 120)
WIDTH, FLAT = 0.2, 1e-4


def row(radius, *, charge=0.0, surface=np.nan, **values):
    curve = spheres(Q, radius=radius, width=WIDTH) / spheres(Q[:1], radius=radius, width=WIDTH)
    return {
        "valid": 1,
        "state_of_charge": charge,
        "q": Q,
        "intensity": curve + FLAT + np.nan_to_num(surface) * Q**-4,
        "intensity_error": 0.01 * curve + 1e-5,
        "guinier_radius": guinier_radius_of(radius=radius, width=WIDTH),
        "guinier_radius_error": 0.3,
        "radius": radius,
        "radius_error": 0.5,
        "porod_constant": float(np.mean((curve * Q**4)[-40:])),
        "background": FLAT,
        "surface": surface,
        **values,
    }


@pytest.mark.parametrize("surface", [np.nan, 1e-8])
def test_laws_lie_on_the_curve_of_spheres_where_they_hold(surface):
    """Guinier's leaves spheres by a term in q^4: 3 % at q Rg = 1.3; Porod's is their mean at large q."""
    one = row(40.0, surface=surface)
    (near, guinier), (far, porod) = laws_of(one)
    assert near[-1] * one["guinier_radius"] < 1.3
    assert far[0] * one["guinier_radius"] > 5
    seen = one["intensity"]
    np.testing.assert_allclose(guinier, seen[: len(near)], rtol=0.03)
    assert np.mean(porod / seen[-len(far) :]) == pytest.approx(1.0, abs=0.1)


def test_a_curve_that_is_guiniers_law_gives_it_back():
    one = row(40.0)
    law = 7.0 * np.exp(-((Q * one["guinier_radius"]) ** 2) / 3) + FLAT
    (near, guinier), _ = laws_of({**one, "intensity": law})
    np.testing.assert_allclose(guinier, law[: len(near)], rtol=1e-12)


def test_what_shows_no_law_is_drawn_without_one():
    lost = {"guinier_radius": np.nan, "porod_constant": np.nan, "background": np.nan}
    assert [len(q) for q, _ in laws_of(row(40.0, **lost))] == [0, 0]
    assert len(laws_of(row(800.0))[0][0]) == 0


def test_a_series_is_drawn_with_its_charge_and_invalid_rows_are_left_out(tmp_path):
    charges = np.linspace(0, 1, 9)
    rows = [row(35.0 + 5 * charge, charge=charge) for charge in charges]
    wrong = row(1e3, charge=9.0, valid=0)
    pictures = [
        small_angle_series(drawn, path=tmp_path / "new" / f"{len(drawn)}.png", title="saxs")
        for drawn in (rows, [*rows, wrong])
    ]
    first, second = (imread(path) for path in pictures)
    np.testing.assert_array_equal(first, second)
    # Both ends of the colours of charge are there.
    for color in ("440154", "fde725"):
        wanted = np.array([int(color[k : k + 2], 16) for k in (0, 2, 4)]) / 255
        assert (np.abs(first[..., :3] - wanted).max(axis=2) < 0.02).sum() > 200, color
    for one in (wrong, row(35.0, charge=np.nan)):
        with pytest.raises(ValueError, match="no row is valid and of a known state of charge"):
            small_angle_series([one], path=tmp_path / "none.png")


def test_rows_without_a_radius_are_curves_alone(tmp_path):
    lost = dict.fromkeys(("guinier_radius", "radius", "porod_constant", "background"), np.nan)
    path = small_angle_series([row(35.0) | lost], path=tmp_path / "one.png")
    assert path.stat().st_size > 10_000
