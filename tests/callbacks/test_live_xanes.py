"""Spectra are reduced when they have ended, whole or not at all."""

import math

import numpy as np
import pytest

from battbeam.callbacks.live_xanes import LiveXanes
from battbeam.callbacks.spectrum_events import Axis, Scan, spectrum_of
from battbeam.scattering_paths import scattering_path
from battbeam.units import HC

D_SPACING, E0 = 3.1356, 8333.0
ENERGIES = E0 + np.concatenate(
    [np.arange(-150, -20, 10), np.arange(-20, 40, 0.5), np.arange(40, 250, 10)]
)


def bragg(energy):
    return float(np.degrees(np.arcsin(HC / (2 * D_SPACING * energy))))


def absorbance(energy, centre=E0):
    return 0.6 + 1.0 * (np.arctan((energy - centre) / 1.5) / np.pi + 0.5)


def point_data(number, energy, *, spectrum=0, rng, edge="Ni K", dwell=1.0, **more):
    i0 = rng.poisson(2e7 * dwell)
    passed = np.exp(-absorbance(energy, E0 + 8.0))
    data = {
        "point": number,
        "spectrum": spectrum,
        "repeat": spectrum,
        "edge": edge,
        "dark": 0,
        "counters_i0": i0 + 50.0 * dwell,
        "counters_it": rng.poisson(2e7 * dwell * passed) + 50.0 * dwell,
        "counters_ir": rng.poisson(2e7 * dwell * passed * np.exp(-absorbance(energy)))
        + 50.0 * dwell,
        "counters_bragg": bragg(energy),
        "counters_elapsed": dwell,
        "counters_stamp": 1000.0 + 2.0 * number + dwell,
    }
    return data | more


def documents(spectra, *, ended=True, reduction=None):
    """Of spectra, each the data of its points."""
    configuration = {"m": {"data": {"monochromator_d_spacing": D_SPACING}}}
    edges = [{"element": "Ni", "edge": "K", "energy": E0}]
    yield (
        "start",
        {
            "uid": "raw",
            "time": 999.0,
            "edges": edges,
            "reduction": reduction or {"method": "xanes"},
        },
    )
    for name in ("dark", "primary", "spectra"):
        yield (
            "descriptor",
            {"uid": name, "name": name, "data_keys": {}, "configuration": configuration},
        )
    dark = {
        "dark": 0,
        "counters_elapsed": 10.0,
        "counters_i0": 500.0,
        "counters_it": 500.0,
        "counters_ir": 500.0,
    }
    yield "event", {"descriptor": "dark", "data": dark}
    for number, points in enumerate(spectra):
        for data in points:
            yield "event", {"descriptor": "primary", "data": data}
        if ended:
            end = {"spectrum": number, "repeat": number, "edge": "Ni K", "fluence": 5.0}
            yield "event", {"descriptor": "spectra", "data": end}
    yield "stop", {"time": 2000.0, "exit_status": "success", "reason": ""}


def spectrum(rng, number=0):
    first = number * len(ENERGIES)
    return [
        point_data(first + k, energy, spectrum=number, rng=rng) for k, energy in enumerate(ENERGIES)
    ]


def sweep_data(number, *, rng, lag, speed=100.0, n=2500):
    """Up, down, up ... over 250 eV in 2.5 s; counters show what the axis saw a lag before."""
    time = 5000.0 + 4.0 * number + np.arange(1, n + 1) * 250 / speed / n
    # In the middle of each gate, where encoder and counts are taken to be.
    way = (time - time[0] + 125 / speed / n) * speed
    seen = way - lag * speed
    up = number % 2 == 0
    energy = E0 - 120 + way if up else E0 + 130 - way
    then = E0 - 120 + seen if up else E0 + 130 - seen
    passed, foil = np.exp(-absorbance(then, E0 + 8.0)), np.exp(-absorbance(then))
    return {
        "point": number,
        "spectrum": number,
        "repeat": number,
        "edge": "Ni K",
        "dark": 0,
        "sweep_time": time.tolist(),
        "sweep_bragg": np.degrees(np.arcsin(HC / (2 * D_SPACING * energy))).tolist(),
        "sweep_i0": (rng.poisson(2e5, n) + 0.05).tolist(),
        "sweep_it": (rng.poisson(2e5 * passed) + 0.05).tolist(),
        "sweep_ir": (rng.poisson(2e5 * passed * foil) + 0.05).tolist(),
        "sweep_direction": 1 if up else -1,
        "sweep_stamp_start": float(time[0]),
        "sweep_stamp_end": float(time[-1]),
    }


def sweeps(lag, n=4):
    rng = np.random.default_rng(8)
    docs = list(documents([[sweep_data(k, rng=rng, lag=lag)] for k in range(n)]))
    grid = {"start": E0 - 115, "stop": E0 + 125, "duration": 2.5, "n_samples": 2500}
    docs[0][1].update(mode="sweep", grids={"Ni K": grid})
    docs[0][1]["reduction"] = {"method": "xanes"}
    return docs


def rows(docs):
    found = []
    live = LiveXanes(lambda name, doc: found.append((name, doc)))
    for name, doc in docs:
        live(name, doc)
    live.finish()
    return [doc["data"] for name, doc in found if name == "event"]


def test_a_spectrum_becomes_a_row_with_its_own_times_and_edge():
    (row,) = rows(documents([spectrum(np.random.default_rng(1))]))
    assert row["valid"] == 1, row["invalid_reason"]
    assert row["time_start"] == 1000.0
    assert row["time_end"] == 1000.0 + 2.0 * (len(ENERGIES) - 1) + 1.0
    assert row["edge"] == "Ni K"
    assert row["fluence"] == 5.0
    # The arctangent's tails, 1 % of the step at 50 eV, are taken for part of the lines beside it.
    assert row["edge_step"] == pytest.approx(1.0, abs=0.05)
    assert row["edge_position"] == pytest.approx(E0 + 8.0, abs=0.3)


def test_a_point_that_was_taken_twice_counts_once():
    rng = np.random.default_rng(2)
    points = spectrum(rng)
    again = point_data(40, ENERGIES[40], rng=rng)
    points.insert(41, {**again, "counters_it": 3.0e7})
    points.insert(42, again)
    (row,) = rows(documents([points]))
    assert row["n_points"] == len(ENERGIES)
    assert row["valid"] == 1


def test_points_without_beam_are_left_out():
    points = spectrum(np.random.default_rng(3))
    points[50] = points[50] | {"beam_lost": "ring current 0 mA", "counters_it": 0.0}
    (row,) = rows(documents([points]))
    assert "ring current 0 mA" in row["flags"]
    energies = np.array(row["energy"])
    assert np.isfinite(energies).sum() == len(ENERGIES) - 1


def test_a_spectrum_that_was_broken_off_is_written_as_invalid():
    points = spectrum(np.random.default_rng(4))[:60]
    (row,) = rows(documents([points], ended=False))
    assert row["valid"] == 0
    assert "broken off after 60 points" in row["invalid_reason"]
    assert math.isnan(row["edge_position"])


def test_spectra_are_reduced_alike_whether_live_or_afterwards():
    docs = list(documents([spectrum(np.random.default_rng(5), n) for n in range(2)]))
    found = []
    live = LiveXanes(lambda name, doc: found.append((name, doc)))
    for name, doc in docs:
        live(name, doc, wall=0.0)
        live.poll(wall=0.0)
    assert [doc["data"] for name, doc in found if name == "event"] == rows(docs)


def test_a_run_at_an_energy_without_a_name_is_refused_with_its_reason():
    docs = list(documents([spectrum(np.random.default_rng(6))]))
    docs[0][1]["edges"] = [{"element": "", "edge": "", "energy": 8333.0}]
    found = []
    live = LiveXanes(lambda name, doc: found.append((name, doc)))
    for name, doc in docs:
        live(name, doc)
    live.finish()
    assert found[-1][1]["exit_status"] == "fail"
    assert "reduced at named edges, got 8333 eV" in found[-1][1]["reason"]


def test_absorbance_is_the_samples_where_the_staff_know_what_chambers_detect():
    docs = list(documents([spectrum(np.random.default_rng(1))]))
    (bare,) = rows(docs)
    dark = next(doc for name, doc in docs if name == "event")["data"]
    dark.update(share_i0=0.02, share_it=0.04, share_ir=math.nan)
    (row,) = rows(docs)
    moved = np.array(row["absorbance"]) - np.array(bare["absorbance"])
    # Of 100 photons 2 are counted before the sample, and of 100 that pass it 4.
    assert moved[np.isfinite(moved)] == pytest.approx(np.log(2.0))
    assert row["absorbance_error"] == pytest.approx(bare["absorbance_error"], nan_ok=True)
    for name in ("edge_position", "edge_position_error", "counts", "n_flagged"):
        assert row[name] == pytest.approx(bare[name], rel=1e-9)


def test_the_encoder_becomes_energies_by_braggs_law():
    scan = Scan(0, "Ni K", 0)
    rng = np.random.default_rng(7)
    scan.points = {k: point_data(k, energy, rng=rng) for k, energy in enumerate(ENERGIES)}
    found = spectrum_of(scan, Axis(D_SPACING, 0.0))
    np.testing.assert_allclose(found.energy, ENERGIES, atol=1e-6)


def test_sweeps_are_corrected_by_the_lag_that_their_first_pair_shows():
    found = rows(sweeps(lag=0.012))
    assert [row["direction"] for row in found] == [1, -1, 1, -1]
    assert all(row["valid"] == 1 for row in found), found[0]["invalid_reason"]
    # row B15: within 1 ms
    assert found[0]["lag"] == pytest.approx(0.012, abs=1e-3)
    edges = [row["edge_position"] for row in found]
    # 1 ms is 0.1 eV at this speed, of which half is each direction's
    assert np.ptp(edges) < 0.05
    assert found[0]["flags"] == ""


def test_sweeps_taken_without_their_lag_part_by_twice_of_it():
    # the foil lags like the sample, so that it is the encoder's energies that part
    found = rows(_with_lag(sweeps(lag=0.012), 0.0))
    shifts = [row["energy_shift"] for row in found]
    assert shifts[1] - shifts[0] == pytest.approx(2 * 1.2, abs=0.1)


def _with_lag(docs, lag):
    docs[0][1]["reduction"]["lag"] = lag
    return docs


def test_a_single_sweep_says_that_its_lag_is_not_known():
    (row,) = rows(sweeps(lag=0.0, n=1))
    assert "no sweep went back" in row["flags"]


def wiggly(energy):
    """The edge with six oxygen neighbours at 2.05 angstrom."""
    path = scattering_path("Ni", "O")
    k = np.sqrt(0.26246842 * np.maximum(energy - E0, 1e-3))
    scattered = np.interp(k, path.k, path.amplitude) * np.exp(
        1j * (2 * k * 2.05 + np.interp(k, path.k, path.phase))
        - 2 * k**2 * 0.006
        - 2 * 2.05 / np.interp(k, path.k, path.mean_free_path)
    )
    chi = 6 * 0.85 * scattered.imag / (k * 2.05**2) / (1 + np.exp(-(k - 2.5) * 6))
    return absorbance(energy) + np.where(energy > E0, chi, 0.0)


def test_neighbours_are_fitted_where_they_are_asked_for():
    rng = np.random.default_rng(9)
    k = np.arange(2.3, 13, 0.05)
    energies = np.unique([*ENERGIES[ENERGIES < E0 + 20], *(E0 + k**2 / 0.26246842)])
    points = []
    for number, energy in enumerate(energies):
        passed = np.exp(-wiggly(np.array([energy]))[0])
        data = point_data(number, energy, rng=rng)
        points.append(data | {"counters_it": rng.poisson(2e7 * passed) + 50.0})
    shells = [{"neighbour": "O", "number": 5, "distance": 2.0}]
    asked = {"k_range": [3, 12], "r_range": [1.0, 2.2], "edge_energy": E0, "shells": shells}
    (row,) = rows(documents([points], reduction={"method": "xanes", "exafs": asked}))
    # Row B14; without a foil the encoder's energies are believed, which are right here.
    assert row["distance_O"] == pytest.approx(2.05, abs=0.01)
    # The arctangent's tails make the step 3 % too small, which disorder and number share.
    assert row["sigma_squared_O"] == pytest.approx(0.006, abs=1e-3)
    assert row["peak_oxygen"] == pytest.approx(1.5, abs=0.15)
    assert np.isfinite(row["chi"]).sum() > 200


def test_exafs_that_cannot_be_had_is_a_flag_and_the_edge_stays_valid():
    asked = {"k_range": [3, 12]}
    docs = documents(
        [spectrum(np.random.default_rng(1))], reduction={"method": "xanes", "exafs": asked}
    )
    (row,) = rows(docs)
    assert row["valid"] == 1
    assert "ends at k = 7." in row["flags"]
