"""Row B19: nickel and cobalt of a charged cathode, alternately, while it is heated in steps."""

import bluesky.plan_stubs as bps
import numpy as np
import pytest
from scipy.optimize import curve_fit

from battbeam.experiment.energy_grid import EnergyGrid, Region
from battbeam.plans.energy_standards import calibrate_energy, xanes_reduction
from battbeam.plans.spectrum_station import Station
from battbeam.plans.xanes import multi_edge_xas
from tests.rows.spectra import Offline, scenario
from tests.rows.wire import measured, session_on

NICKEL, COBALT = "Ni K", "Co K"
#: eV per valence, of the scenario's materials.
SLOPES = {NICKEL: 1.8, COBALT: 1.2}
#: degC.
TEMPERATURES = np.arange(140.0, 341.0, 25.0)
#: K and 1: row B19.
HALF, AMPLITUDE = 5.0, 0.10
#: eV, to which the monochromator returns to each edge: row B19.
RETURN = 0.02


def grid(edge, *, dwell, fine):
    """Some 40 energies: foil and oxide both rise within 27 eV."""
    regions = [
        Region(-85, -35, 10.0, dwell),
        Region(-15, -5, 5.0, dwell),
        Region(-5, 22, fine, dwell),
        Region(22, 50, 7.0, dwell),
        Region(50, 150, 25.0, dwell),
    ]
    return EnergyGrid.of(edge, regions)


def law(temperature, start, amplitude, half, width):
    """Edge in eV: a logistic function of the temperature."""
    return start - amplitude / (1 + np.exp((half - temperature) / width))


def fitted(rows):
    """Parameters of the law, and their errors."""
    temperature, edge = rows.of("temperature"), rows.of("edge_position")
    middle = temperature[np.argmin(np.abs(edge - (edge[0] + edge[-1]) / 2))]
    begin = (edge[0], edge[0] - edge[-1], middle, 12.0)
    found, covariance = curve_fit(law, temperature, edge, p0=begin)
    return found, np.sqrt(np.diag(covariance))


def calibrated_energies(rows):
    """What the foil-corrected energies of a row are off from the true ones, mean, eV, a row each."""
    off = []
    for row in rows.rows:
        lines = rows.lines_of(row)
        true = np.array([line["energy"] - line["nominal_energy"] for line in lines])
        off.append(row["energy_shift"] - true.mean())
    return np.array(off)


def judge(rows, heating):
    """Nickel first; cobalt at a higher temperature and less."""
    found = {}
    for edge in (NICKEL, COBALT):
        part = rows.where(edge=edge)
        assert part.of("valid").all(), [row["invalid_reason"] for row in part.rows]
        found[edge], errors = fitted(part)
        print(f"{edge}: {found[edge].round(3)} +- {errors.round(3)}")
        returns = calibrated_energies(part)
        print(f"{edge}: energies return within {np.ptp(returns) / 2:.4f} eV")
        # About what they share: the first foil's own place.
        assert np.abs(returns - np.median(returns)).max() < RETURN
    true = heating.cobalt.half - heating.nickel.half
    assert found[COBALT][2] - found[NICKEL][2] == pytest.approx(true, abs=HALF)
    ratio = found[COBALT][1] / SLOPES[COBALT] / (found[NICKEL][1] / SLOPES[NICKEL])
    print(f"ratio of amplitudes {ratio:.3f}")
    assert ratio == pytest.approx(
        heating.cobalt.amplitude / heating.nickel.amplitude, rel=AMPLITUDE
    )


def judge_errors(rows):
    """What a spectrum's error says beyond what all share is what it is off the law."""
    for edge in (NICKEL, COBALT):
        part = rows.where(edge=edge)
        parameters, _ = fitted(part)
        shared = part.of("edge_position_shared_error")
        own = np.sqrt(part.of("edge_position_error") ** 2 - shared**2)
        off = part.of("edge_position") - law(part.of("temperature"), *parameters)
        reduced = np.sum((off / own) ** 2) / (len(own) - len(parameters))
        print(f"{edge}: each +- {np.median(own):.4f} eV of its own, chi squared {reduced:.2f}")
        # Of five degrees of freedom: once in a hundred beyond either.
        assert 0.11 < reduced < 3.0


#: As in the file, and another law.
LAWS = [
    (1, {}),
    (
        2,
        {
            "heating": {
                "nickel": {"half": 215.0, "width": 10.0, "amplitude": 0.6},
                "cobalt": {"half": 255.0, "width": 12.0, "amplitude": 0.4},
            }
        },
    ),
]


@pytest.mark.parametrize(("seed", "cell"), LAWS)
def test_nickel_is_reduced_before_cobalt_and_by_more(tmp_path, seed, cell):
    heated = scenario("heated_nca", seed=seed, cell=cell, beam={"flux": 1e9})
    offline, readings = Offline(heated, tmp_path, gain="1e7"), {}
    furnace = offline.spectrometer.furnace
    for temperature in TEMPERATURES:
        furnace.set(heated.start + offline.time, setpoint=float(temperature))
        offline.time += abs(temperature - 25.0) / 5.0 * 60.0 + 200.0
        for edge in (NICKEL, COBALT):
            now = furnace.temperature_at(heated.start + offline.time)
            readings[len(offline.scans)] = {"furnace": now}
            offline.steps(grid(edge, dwell=2.0, fine=0.9))
    judge(offline.measured(readings=readings), heated.cells[0].heating)


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_charged_cathode_heated_in_steps(tmp_path):
    """Row B19."""
    heated = scenario("heated_nca", seed=51, prefix="B19:", rate=120.0, beam={"flux": 1e9})
    grids = [grid(edge, dwell=2.0, fine=0.9) for edge in (NICKEL, COBALT)]
    gains = {edge: {"i0": 1e7, "it": 1e7, "ir": 1e7} for edge in (NICKEL, COBALT)}
    with session_on(heated, tmp_path) as session:
        b = session.beamline
        furnace = b.furnace
        station = Station.of(b, potentiostat=None, readables=(furnace,))

        def heat(temperature):
            yield from bps.mv(furnace.ramp, 20.0)
            yield from bps.mv(furnace, temperature)

        session.run(
            calibrate_energy(
                grids, station, calibration=b.calibration, compound="unheated", gains=gains
            )
        )
        reduction, uids = xanes_reduction(b.calibration, [NICKEL, COBALT]), []
        for temperature in TEMPERATURES:
            session.run(heat(float(temperature)))
            uids += session.run(multi_edge_xas(grids, station, gains=gains, reduction=reduction))
        rows = measured(session, *uids)
    judge(rows, heated.cells[0].heating)
    judge_errors(rows)
