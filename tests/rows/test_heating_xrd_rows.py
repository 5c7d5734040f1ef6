"""Rows B17 and B18: charged cathodes that are heated while diffraction, and a mass spectrometer, look on."""

import math
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from battbeam.callbacks.channels import ChannelRecord, channel_of
from battbeam.callbacks.methods import reduced_again
from battbeam.plans.measure_lag import capillary_in
from battbeam.plots_heating import HeatingPicture, heated_cathodes
from battbeam.processes import wait_for
from battbeam.reduction.gas import Capillary, corrected
from battbeam.reduction.heating import (
    CARBON_DIOXIDE,
    OXYGEN,
    GasOfHeating,
    HeatedCathode,
    gas_of_heating,
    heated_cathode,
)
from battbeam.session import example_path
from battbeam.storage.tail import documents
from tests.own import own_prefix
from tests.rows.spectra import scenario, truth_lines
from tests.rows.wire import session_on

CURRENTS = "mass_spectrometer_ion_current"
NAMES = {"hec": "HEC", "nmc811": "NMC811", "nca": "NCA", "nmc622": "NMC622"}
#: K/min, K, s of a pattern: row B17.
RAMP, STEP, EXPOSURE = 5.0, 5.0, 10.0
#: K and s: rows B17 and B18.
HALF, STAMPED, LAG, PEAK = 5.0, 1.0, 2.0, 3.0
#: s of the session's clock a wall second: 10 ms of a busy machine are 0.4 s of it.
RATE = 40.0


@dataclass(frozen=True)
class Heated:
    """What became of one cathode.

    Attributes:
        chemistry: Of the scenario.
        laws: True transitions.
        rows: Reduced.
        truths: Of each row's frame.
        cathode: Its transitions as found.
        furnace: The sample's temperature.
        currents: Of the mass spectrometer.
        capillary: As measured; None if it was not.
    """

    chemistry: str
    laws: tuple
    rows: list
    truths: list
    cathode: HeatedCathode
    furnace: ChannelRecord
    currents: ChannelRecord
    capillary: Capillary | None

    def of(self, name):
        """A column, one number a row."""
        return np.array([row[name] for row in self.rows], dtype=float)

    def fraction(self, phase):
        """Of a phase, and its error."""
        return self.of(f"phase_fraction_{phase}"), self.of(f"phase_fraction_{phase}_error")

    @property
    def fractions(self):
        """By role."""
        phases = {"layered": NAMES[self.chemistry], "spinel": "spinel", "rock_salt": "rock_salt"}
        return {role: self.fraction(phase) for role, phase in phases.items()}

    @property
    def true_fractions(self):
        """The same of the truth."""
        names = (NAMES[self.chemistry], "spinel", "rock_salt")
        roles = ("layered", "spinel", "rock_salt")
        return {
            role: np.array([line["phase_fraction"].get(name, 0.0) for line in self.truths])
            for role, name in zip(roles, names, strict=True)
        }

    @property
    def gas(self) -> GasOfHeating:
        """Where it left fastest."""
        return gas_of_heating(
            time=self.currents.time,
            currents=self.currents.values,
            masses=self.currents.configuration["mass_spectrometer_masses"],
            furnace_time=self.furnace.time,
            temperature=self.furnace.values,
            cathode=self.cathode,
            capillary=self.capillary,
        )


def hidden(chemistry, *, seed, rate=RATE):
    return scenario(
        "heated_cathode", cell={"chemistry": chemistry}, seed=seed, rate=rate, prefix=own_prefix()
    )


def heated(chemistry, directory, *, start, stop, seed, with_gas=False, pause=None):
    """Calibrate, warm up, and run the recipe; the furnace warms up fast to where it begins."""
    world = hidden(chemistry, seed=seed)
    with session_on(world, directory) as session:
        b = session.beamline
        session.run_recipe(example_path("plans/calibrate.py"), exposure=10.0, n_frames=1)
        b.furnace.ramp.put(60.0, wait=True)
        # The sample is behind the programme as far as it will be before the first pattern.
        session.run(warmed(b.furnace, start - 8.0))
        recipe = {"oxide": NAMES[chemistry], "start": start, "stop": stop, "lag": with_gas}
        recipe |= {"ramp": RAMP, "step": STEP, "exposure": EXPOSURE}
        uid = run(session, recipe, pause)
        capillary = capillary_in(b.calibration) if with_gas else None
        spooled = session.connection.spool / f"{uid}.jsonl"
        written = [(line.name, line.doc) for line in documents(spooled)]
        found = reduced_again(written, session.connection.directory / "volumes")
        lines = truth_lines(session.connection.directory / "sim" / "truth.jsonl")
    rows = [doc["data"] for name, doc in found if name == "event"]
    beside = {(line["file"].rsplit("/", 1)[-1], line["index"]): line for line in lines}
    return Heated(
        chemistry,
        world.cells[0].heating.transitions(chemistry),
        rows,
        [beside[row["frame_file"], row["frame_index"]] for row in rows],
        cathode_of(rows, NAMES[chemistry]),
        channel_of(written, "furnace"),
        channel_of(written, CURRENTS),
        capillary,
    )


def warmed(furnace, temperature):
    import bluesky.plan_stubs as bps

    yield from bps.mv(furnace, temperature)


def run(session, recipe, pause):
    """The recipe, paused for a while where that is asked; the uid of its last run."""
    path = example_path("plans/heated_cathodes.py")
    if pause is None:
        return session.run_recipe(path, **recipe)[-1]
    session.is_interactive = True
    threading.Thread(target=pause, args=(session,), daemon=True).start()
    with pytest.raises(RunEngineInterrupted):
        session.run_recipe(path, **recipe)
    clock, b = session.beamline.clock, session.beamline
    held, begin = b.furnace.position, clock.now()
    wait_for(lambda: clock.now() > begin + 60.0, timeout=60, what="a pause of a minute")
    # The ramp stands: within what the sample lags behind the programme.
    assert b.furnace.position == pytest.approx(held, abs=1.5)
    assert b.beam.shutter.position == 0
    uid = session.RE.resume()[-1]
    session.is_interactive = False
    return uid


def cathode_of(rows, oxide):
    def column(name):
        return np.array([row[name] for row in rows], dtype=float)

    return heated_cathode(
        time=column("time_start"),
        temperature=column("temperature"),
        layered=column(f"phase_fraction_{oxide}"),
        layered_error=column(f"phase_fraction_{oxide}_error"),
        rock_salt=column("phase_fraction_rock_salt"),
        rock_salt_error=column("phase_fraction_rock_salt_error"),
    )


def judge(found, *, n_rows):
    """Half temperatures, stamps of temperatures, errors of fractions."""
    name, rows = found.chemistry, found.rows
    assert len(rows) == n_rows
    assert all(row["valid"] for row in rows), [row["invalid_reason"] for row in rows]
    for law, true in zip((found.cathode.spinel, found.cathode.rock_salt), found.laws, strict=True):
        print(f"{name}: half at {law.half:.2f} +- {law.half_error:.2f} degC, true {true.half:g}")
        assert law.half == pytest.approx(true.half, abs=HALF)
        # One in ten thousand beyond four; what the mean temperature of an exposure leaves is 0.1 K.
        assert abs(law.half - true.half) < 4 * math.hypot(law.half_error, 0.1)
    # Of a logistic function 5 % are over ln(19) widths before half of it is.
    first, spinel = found.laws[0], found.cathode.spinel
    onset = first.half - math.log(19) * first.width
    print(f"{name}: onset at {spinel.onset:.2f} +- {spinel.onset_error:.2f} degC, true {onset:.2f}")
    assert found.cathode.onset == pytest.approx(onset, abs=HALF)
    assert abs(spinel.onset - onset) < 4 * math.hypot(spinel.onset_error, 0.1)
    # The sample is heated all the time, so the highest temperature is the present one.
    off = found.of("temperature") - np.array([line["heated_to"] for line in found.truths])
    late = np.abs(off) / (RAMP / 60)
    print(f"{name}: temperatures are off by {late.max():.2f} s of the ramp at most")
    assert late.max() < STAMPED
    pulls = []
    for role, (values, errors) in found.fractions.items():
        pulls += ((values - found.true_fractions[role]) / errors).tolist()
    pulls = np.array(pulls)
    print(f"{name}: pulls of fractions {pulls.mean():+.2f} +- {pulls.std():.2f}")
    assert np.abs(pulls).max() < 5
    assert 0.7 < np.sqrt(np.mean(pulls**2)) < 1.4


def judge_order(found):
    """Layered goes, spinel comes and goes, rock salt comes: each is most in its turn."""
    temperature = found.of("temperature")
    most = [temperature[np.argmax(values)] for values, _ in found.fractions.values()]
    begin, end = ([float(v[k]) for v, _ in found.fractions.values()] for k in (0, -1))
    assert most[1] > found.cathode.spinel.half
    assert most[1] < found.cathode.rock_salt.half < most[2]
    assert np.argmax(begin) == 0
    assert np.argmax(end) == 2


def judge_gas(found, lag):
    """Lag of the capillary, and the temperatures at which gas leaves fastest."""
    capillary = found.capillary
    print(
        f"{found.chemistry}: lag {capillary.lag:.2f} +- {capillary.lag_error:.2f} s, mixing "
        f"{capillary.mixing:.2f} +- {capillary.mixing_error:.2f} s"
    )
    assert capillary.lag == pytest.approx(lag, abs=LAG)
    assert abs(capillary.lag - lag) < 4 * capillary.lag_error
    gas = found.gas
    assert gas.faults == ()
    for mass in (OXYGEN, CARBON_DIOXIDE):
        true = dict(zip(("spinel", "rock_salt"), found.laws, strict=True))
        assert set(gas.peaks[mass]) == set(true)
        for name, peak in gas.peaks[mass].items():
            law = getattr(found.cathode, name)
            print(f"m/z {mass} at {name}: {peak.temperature:.2f} +- {peak.temperature_error:.2f}")
            assert peak.temperature == pytest.approx(law.half, abs=PEAK)
            assert peak.temperature == pytest.approx(true[name].half, abs=PEAK)
            # Nor is it farther than chance: a lag that is forgotten makes 1.3 K.
            sigma = math.hypot(peak.temperature_error, law.half_error, 0.1)
            assert abs(peak.temperature - law.half) < 4 * sigma


def picture_of(found):
    """As a group would draw it."""
    gases, at = {}, {}
    if found.capillary is not None:
        masses = list(found.currents.configuration["mass_spectrometer_masses"])
        for mass in (OXYGEN, CARBON_DIOXIDE):
            signal = found.currents.values[:, masses.index(mass)]
            gases[mass] = corrected(
                found.currents.time,
                signal,
                np.full(len(signal), 1e-11),
                capillary=found.capillary,
                width=12.0,
            )
            at[mass] = np.interp(gases[mass].time, found.furnace.time, found.furnace.values)
    return HeatingPicture(
        NAMES[found.chemistry],
        found.of("temperature"),
        found.fractions,
        found.cathode,
        gases,
        at,
        found.gas if gases else None,
        found.true_fractions,
    )


@pytest.mark.ioc
@pytest.mark.acceptance
def test_a_high_entropy_cathode_turns_later_than_nmc811(tmp_path):
    """Row B17."""
    entropy = heated("hec", tmp_path / "hec", start=200.0, stop=335.0, seed=171)
    nickel = heated("nmc811", tmp_path / "nmc811", start=120.0, stop=270.0, seed=172)
    judge(entropy, n_rows=28)
    judge(nickel, n_rows=31)
    for found in (entropy, nickel):
        judge_order(found)
    assert entropy.cathode.spinel.half == pytest.approx(230.0, abs=HALF)
    assert entropy.cathode.rock_salt.half == pytest.approx(305.0, abs=HALF)
    assert nickel.cathode.spinel.half < entropy.cathode.spinel.half
    assert nickel.cathode.rock_salt.half < entropy.cathode.rock_salt.half
    heated_cathodes(
        [picture_of(entropy), picture_of(nickel)],
        path=tmp_path / "b17.png",
        title="Charged cathodes, heated: phases by diffraction, simulated (B17)",
    )


@pytest.mark.ioc
@pytest.mark.acceptance
def test_nca_and_nmc_set_oxygen_free_as_they_turn(tmp_path):
    """Row B18; the ramp of NCA is paused once, before anything turns."""

    def pause(session):
        furnace = session.beamline.furnace
        wait_for(lambda: 162.0 < furnace.position < 170.0, timeout=300, what="the ramp")
        session.RE.request_pause()

    aluminium = heated(
        "nca", tmp_path / "nca", start=160.0, stop=310.0, seed=181, with_gas=True, pause=pause
    )
    manganese = heated(
        "nmc622", tmp_path / "nmc622", start=170.0, stop=355.0, seed=182, with_gas=True
    )
    judge(aluminium, n_rows=31)
    judge(manganese, n_rows=38)
    for found in (aluminium, manganese):
        judge_order(found)
        judge_gas(found, 12.0)
    print(f"onsets {aluminium.cathode.onset:.1f} and {manganese.cathode.onset:.1f} degC")
    assert manganese.cathode.onset > aluminium.cathode.onset
    # The spectrometer went at its own pace: every cycle is there but those of the pause.
    (gap,) = aluminium.currents.gaps(period=2.0)
    # Its clock and the session's agree within as much.
    assert gap[1] - gap[0] > 60.0 - STAMPED
    assert manganese.currents.gaps(period=2.0) == []
    assert np.diff(manganese.currents.time) == pytest.approx(2.0, abs=1e-3)
    heated_cathodes(
        [picture_of(aluminium), picture_of(manganese)],
        path=tmp_path / "b18.png",
        title="Charged cathodes, heated: phases by diffraction, gas by mass spectrometry, simulated (B18)",
    )
