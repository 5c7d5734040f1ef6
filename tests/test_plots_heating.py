"""The picture of heated cathodes has everything on it that was found."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from battbeam.plots_heating import HeatingPicture, _phases, heated_cathodes
from battbeam.reduction.gas import Capillary, GasSignal
from battbeam.reduction.heating import OXYGEN, gas_of_heating, heated_cathode

WIDTH, RAMP = 10.0, 5.0 / 60


def turned(temperature, half):
    return 1 / (1 + np.exp((half - temperature) / WIDTH))


def picture(name, spinel, rock_salt, *, with_gas):
    time = np.arange(60.0) * 60.0
    temperature = 100.0 + time * RAMP
    first, second = turned(temperature, spinel), turned(temperature, rock_salt)
    error = np.full(60, 0.01)
    shares = {"layered": 1 - first, "spinel": first * (1 - second), "rock_salt": first * second}
    cathode = heated_cathode(
        time=time,
        temperature=temperature,
        layered=shares["layered"],
        layered_error=error,
        rock_salt=shares["rock_salt"],
        rock_salt_error=error,
    )
    fractions = {role: (values, error) for role, values in shares.items()}
    if not with_gas:
        return HeatingPicture(name, temperature, fractions, cathode)
    rng, fine = np.random.default_rng(1), np.arange(0.0, 3540.0, 2.0)
    at = 100.0 + fine * RAMP
    rate = np.gradient(turned(at, spinel) + turned(at, rock_salt))
    current = 1e-9 * rate / rate.max() + rng.normal(0, 1e-11, len(fine))
    gas = gas_of_heating(
        time=fine,
        currents=current[:, None],
        masses=np.array([OXYGEN]),
        furnace_time=fine,
        temperature=at,
        cathode=cathode,
        capillary=Capillary(0.0, 0.1, 1e-6, 0.0, 0.0, 0.1),
        of=(OXYGEN,),
    )
    signal = GasSignal(fine, current, np.full(len(fine), 1e-11))
    return HeatingPicture(
        name, temperature, fractions, cathode, {OXYGEN: signal}, {OXYGEN: at}, gas, shares
    )


def test_two_cathodes_stand_side_by_side_with_their_gas(tmp_path):
    drawn = [
        picture("NCA", 190.0, 275.0, with_gas=True),
        picture("NMC622", 200.0, 320.0, with_gas=True),
    ]
    path = heated_cathodes(drawn, path=tmp_path / "both.png", title="heated")
    pixels = imread(path)[..., :3]
    assert pixels.shape[1] > 1.5 * pixels.shape[0]
    # Blue, orange, purple and red of phases and gas are all there, in either half.
    for half in np.array_split(pixels, 2, axis=1):
        for color in ("0072B2", "E69F00", "CC79A7", "D55E00"):
            wanted = np.array([int(color[k : k + 2], 16) for k in (0, 2, 4)]) / 255
            assert (np.abs(half - wanted).max(axis=2) < 0.02).sum() > 50, color


def test_a_cathode_without_gas_is_one_picture(tmp_path):
    one = picture("HEC", 230.0, 305.0, with_gas=False)
    path = heated_cathodes(one, path=tmp_path / "one.png")
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("with_gas", [True, False])
@pytest.mark.parametrize("n_cathodes", [1, 2])
def test_the_legend_lies_within_the_picture_and_over_no_axes(
    tmp_path, monkeypatch, with_gas, n_cathodes
):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path: kept.append(figure))
    heated_cathodes([picture("HEC", 230.0, 305.0, with_gas=with_gas)] * n_cathodes, path=tmp_path)
    (figure,) = kept
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert not [axes for axes in figure.axes if axes.get_window_extent().overlaps(box)]
    assert (box.x0 >= 0, box.x1 <= figure.bbox.width, box.y0 >= 0) == (True, True, True)
    gas = ["O$_2$", "hidden truth"] if with_gas else []
    told = [text.get_text() for text in legend.get_texts()]
    assert sorted(told) == sorted(["layered", "spinel", "rock salt", *gas])


def test_temperatures_of_transitions_that_are_close_are_both_read():
    name = "a nickel-rich oxide, charged to 4.4 V, washed, dried and sealed in a capillary"
    figure = Figure(figsize=(5.2, 3.8))
    axes = figure.subplots()
    _phases(axes, picture(name, 230.0, 245.0, with_gas=False))
    figure.draw_without_rendering()
    first, second = (text.get_window_extent() for text in axes.texts)
    assert not first.overlaps(second)
    title = axes.title.get_window_extent()
    assert (title.x0 >= 0, title.x1 <= figure.bbox.width) == (True, True)
