"""Row B16: sixty spectra of a lithium-rich oxide while it cycles, and the three that they are made of."""

from dataclasses import replace

import numpy as np
import pytest

from battbeam.experiment.absorption_edge import AbsorptionEdge
from battbeam.plans.repeats import Repeats
from battbeam.plans.spectrum_station import Station
from battbeam.plans.stubs import finished, mounted
from battbeam.plans.xanes import quick_xanes
from battbeam.reduction.curve_resolution import resolve
from battbeam.reduction.normalization import NormalizationOperator
from battbeam.reduction.unmixing import spectra_rank
from battbeam.sim.absorption import FoilAbsorption, SampleAbsorption, SampleState
from tests.rows.spectra import Offline, gains, scenario, swept
from tests.rows.wire import measured, passport, runs_of, session_on

NICKEL = "Ni K"
N_SPECTRA = 60
#: Of the normalized absorbance in a bin; of shares.
NOISE, SHARE = 2e-3, 0.02
SERIES = {"duration": 60.0, "ends": (-150.0, 150.0), "n_samples": 2000}
#: Within which spectra differ, eV from the edge.
DIFFER = np.arange(-5.0, 40.0, 0.5)
COMPONENTS = ("Ni2+", "Ni3+", "Ni4+")


def true_foil(scenario, edge):
    """A foil's curve from a library, on the tabulated scale."""
    where = AbsorptionEdge.of(edge)
    energy = where.energy + np.arange(-60.0, 100.0, 0.25)
    settings = scenario.spectroscopy
    foil = FoilAbsorption.of(
        where.element, thickness=settings.foil_thickness, resolution=settings.resolution
    )
    return {
        "name": "foil",
        "energy": energy.tolist(),
        "absorbance": foil.absorbance(energy).tolist(),
        "edge_position": where.energy,
    }


def end_members(scenario, energy):
    """What the pure components would look like in this cell, normalized as it is; no cell reaches
    the middle one.
    """
    settings = scenario.spectroscopy
    sample = SampleAbsorption.of(scenario, 1, resolution=settings.resolution)
    half, whole = np.array([0.5]), np.ones(1)
    states = {
        name: table.state(half, whole, valence_change=0.0, disorder=0.0)
        for name, table in sample.tables.items()
    }
    edge = AbsorptionEdge.of(NICKEL).energy
    operator = NormalizationOperator(energy, edge_energy=edge)
    pure = []
    for index in range(len(COMPONENTS)):
        weights = np.eye(len(COMPONENTS))[index]
        only = {**states, "Ni": replace(states["Ni"], weights=weights)}
        pure.append(operator.normalized(sample.absorbance(energy, SampleState(1.0, 0.5, only))))
    return np.array(pure)


def on_grid(row, name, energy):
    """A curve of a row at energies, eV."""
    own, values = np.array(row["energy"]), np.array(row[name])
    good = np.isfinite(own) & np.isfinite(values)
    return np.interp(energy, own[good], values[good])


def judge_series(rows, scenario):
    """Three spectra, one after the other, and how much of each."""
    assert rows.of("valid").all(), [row["invalid_reason"] for row in rows.rows]
    assert len(rows) == N_SPECTRA
    energy = AbsorptionEdge.of(NICKEL).energy + DIFFER
    spectra = np.array([on_grid(row, "normalized_absorbance", energy) for row in rows.rows])
    errors = np.array([on_grid(row, "normalized_absorbance_error", energy) for row in rows.rows])
    truth = np.array(
        [[line["fractions"][name] for name in COMPONENTS] for line in rows.lines_at_edge()]
    )
    print(f"shares from {truth.min(axis=0).round(2)} to {truth.max(axis=0).round(2)}")
    assert np.all(np.ptp(truth, axis=0) > 0.5)
    # Shares add up to 1: about their mean, three spectra leave two dimensions.
    rank = spectra_rank(spectra - spectra.mean(axis=0))
    values = rank.singular_values
    print(f"noise {np.median(errors):.1e}; gaps {(values[:5] / values[1:6]).round(1)}")
    assert np.median(errors) < NOISE
    assert rank.by_gap + 1 == len(COMPONENTS)
    own = np.array(rows.rows[0]["energy"])
    own = own[np.isfinite(own)]
    pure = [np.interp(energy, own, each) for each in end_members(scenario, own)]
    found = resolve(spectra, initial=np.array(pure))
    wrong = found.concentrations - truth
    print(f"shares off by {np.sqrt((wrong**2).mean(axis=0)).round(4)} rms")
    assert np.sqrt((wrong**2).mean()) < SHARE
    assert found.concentrations.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    # From the purest spectra of the series alone the answer is not unique, and says so.
    blind = resolve(spectra, n_components=len(COMPONENTS))
    print(f"without end members a band of {blind.ambiguity.round(2)}")
    assert blind.ambiguity.max() > 0.1
    assert blind.concentrations.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
    order = [int(np.argmax(np.corrcoef(each, truth.T)[0, 1:])) for each in blind.concentrations.T]
    assert sorted(order) == [0, 1, 2]
    ordered = truth[:, order]
    # What counting leaves besides, two standard deviations of a share.
    inside = (ordered > blind.lowest - SHARE) & (ordered < blind.highest + SHARE)
    print(f"{100 * inside.mean():.1f} % of the shares in their band")
    assert inside.mean() > 0.9


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.acceptance)])
def test_a_lithium_rich_oxide_is_three_spectra(tmp_path, seed):
    rich = scenario("lithium_rich_xanes", seed=seed, beam={"flux": 2e10})
    period = 200.0
    turn, end = N_SPECTRA * period / 2, N_SPECTRA * period
    history = ((0.0, 0.97, 0.0), (turn, 0.03, 0.5), (end, 0.97, 1.0))
    offline = Offline(rich, tmp_path, (history,), gain="1e6")
    for number in range(N_SPECTRA):
        offline.time = 10.0 + number * period
        low, high = SERIES["ends"][:: 1 - 2 * (number % 2)]
        offline.sweep(NICKEL, low, high, duration=60.0, n_samples=SERIES["n_samples"])
    asked = {"foil": true_foil(rich, NICKEL), "lag": rich.spectroscopy.lag}
    judge_series(offline.measured(asked, mode="sweep", grids=swept(NICKEL, SERIES)), rich)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_sixty_spectra_of_a_cycling_lithium_rich_cell(tmp_path):
    """Row B16."""
    rich = scenario("lithium_rich_xanes", seed=81, prefix="B16:", beam={"flux": 2e10})
    believed = passport(rich)
    # Half a cycle takes 3300 s; sixty sweeps of a minute take that at least, more on a busy machine.
    steps = [
        {
            "step": "constant_current",
            "rate_C": sign * 1.0,
            "until_charge_fraction": 0.93,
            "until_voltage_V": voltage,
        }
        for sign, voltage in ((1, 4.85), (-1, 2.1))
    ]
    with session_on(rich, tmp_path) as session:
        b = session.beamline
        asked = {"foil": true_foil(rich, NICKEL), "lag": rich.spectroscopy.lag}

        def plan():
            guard = b.potentiostat
            yield from mounted(guard, believed)
            yield from finished(guard.declare({"plan_end": "open_circuit"}))
            yield from finished(guard.load({"record": {"time_s": 10}, "method": steps * 4}))
            yield from finished(guard.start())
            yield from quick_xanes(
                NICKEL,
                replace(Station.of(b), potentiostat=None),
                gains=gains(1e6),
                repeats=Repeats(n_max=N_SPECTRA),
                reduction={"edges": {NICKEL: {"foil": asked["foil"]}}, "lag": asked["lag"]},
                **SERIES,
            )

        session.run(plan())
        judge_series(measured(session, *runs_of(session, "quick_xanes")), rich)
