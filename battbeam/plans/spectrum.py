"""This file is where spectra are measured: dark, points or a sweep behind one opening of the shutter,
again until it is enough.
"""

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import bluesky.plan_stubs as bps
import numpy as np

from battbeam.devices.beam import CLOSED, OPEN
from battbeam.devices.counters import AMPLIFIED, Counters
from battbeam.devices.energy_sweep import EnergySweep, Sweep
from battbeam.devices.frames import FrameTrain
from battbeam.devices.spectrum_notes import DarkNotes, SpectraNotes, SpectrumNotes
from battbeam.devices.steady_light import SteadyLight
from battbeam.errors import DeviceError, DoseError
from battbeam.experiment.energy_grid import EnergyGrid
from battbeam.experiment.forecast_spectrum import Signal
from battbeam.plans.preflight import mounted_cell
from battbeam.plans.repeats import Course, Repeats
from battbeam.plans.spectrum_station import EdgeScan, Station
from battbeam.plans.stubs import Exposure, Plan, clear_of_top_up, wait_for_beam, within_budget

#: How often a point that was counted without beam, or behind a closed shutter, is counted again.
BEAM_RETAKES = 1


class _NoBeamError(DeviceError):
    """The beam has been away for too long."""


class SpectraRun:
    """The spectra of one run.

    Args:
        station: What they are measured with.
        scans: One an edge; of several the edges alternate.
        repeats: When it is enough.
        signal: What the noise is judged by.
    """

    def __init__(
        self, station: Station, scans: Sequence[EdgeScan], repeats: Repeats, signal: Signal
    ) -> None:
        self._station, self._signal = station, signal
        self._notes = SpectrumNotes(name="spectrum_notes")
        self._dark_notes = DarkNotes(name="dark_notes")
        self._ends = SpectraNotes(name="spectra_notes")
        self._light = SteadyLight(
            station.beam, station.clock, budget=station.budget, purpose="spectrum"
        )
        self._courses = [
            (scan, Course(repeats, scan.n_samples, station.clock, self._state_of_charge))
            for scan in scans
        ]
        self._point = self._spectrum = 0
        self._dark = -1
        self._gains: dict[str, float] = {}
        self._dark_rates: dict[str, float] = {}
        # What a point has taken beside its dwell at the most, s of session clock.
        self._beside = 0.0

    def measure(self) -> Plan:
        """Take spectra of every edge in turn until each has enough."""
        while active := [pair for pair in self._courses if not pair[1].stopped]:
            for scan, course in active:
                yield from self._take(scan, course)

    def _state_of_charge(self) -> float:
        potentiostat = self._station.potentiostat
        passport = None if potentiostat is None else mounted_cell(potentiostat)
        if potentiostat is None or passport is None:
            return math.nan
        return float(passport.state_of_charge_from_charge(float(potentiostat.charge.value_now())))

    # One spectrum.

    def _take(self, scan: EdgeScan, course: Course) -> Plan:
        station = self._station
        yield from self._set_up(scan)
        length = scan.length(station.clock.rate, self._beside)
        decision = yield from within_budget(
            Exposure((), station.beam, FrameTrain(length), budget=station.budget)
        )
        course.begin()
        self._light.duration = length
        first, broken = self._point, ""
        try:
            if not decision.is_made:
                broken = f"not exposed: {decision.reason}"
            elif isinstance(scan.how, EnergyGrid):
                yield from self._steps(scan, scan.how, course)
            elif station.energy_sweep is not None:
                yield from self._sweep(station.energy_sweep, scan, scan.how, course)
        except (DoseError, _NoBeamError) as error:
            # No more light may come, or none does: what was counted stays.
            broken = str(error)
        finally:
            # Without a message: the RunEngine may be closing this generator.
            station.beam.shutter.close()
        yield from self._end(scan, course, self._point - first, broken)

    def _set_up(self, scan: EdgeScan) -> Plan:
        """Foil and gains, and a dark where the gains are new."""
        station = self._station
        amplifiers = station.counters.amplifiers
        moves: list[Any] = []
        if station.foil is not None:
            moves += [station.foil, station.foil_for(scan.edge)]
        for channel, gain in scan.gains.items():
            moves += [amplifiers[channel], gain]
        yield from bps.checkpoint()
        if moves:
            yield from bps.mv(*moves)
        gains = station.counters.gains
        if gains != self._gains:
            self._gains = gains
            yield from self._count_dark(scan.longest)

    def _count_dark(self, dwell: float) -> Plan:
        """Count behind the closed shutter."""
        counters, shutter = self._station.counters, self._station.beam.shutter
        self._dark += 1
        yield from bps.checkpoint()
        yield from bps.mv(shutter, CLOSED)
        yield from bps.prepare(counters, dwell, wait=True)
        yield from _triggered(counters)
        per_photon = counters.counts_per_photon(self._gains)
        self._dark_notes.write(
            dark=self._dark,
            dwell=dwell,
            shutter=int(shutter.position),
            fault=counters.fault_now(dwell),
            **{f"gain_{channel}": self._gains[channel] for channel in AMPLIFIED},
            **{f"counts_per_photon_{channel}": number for channel, number in per_photon.items()},
            **{f"share_{channel}": share for channel, share in counters.shares().items()},
        )
        (reading,) = yield from _event("dark", self._dark_notes, counters)
        self._dark_rates = {
            channel: reading[counters.key(channel)]["value"] / dwell if reading else 0.0
            for channel in per_photon
        }

    def _end(self, scan: EdgeScan, course: Course, n_points: int, broken: str) -> Plan:
        """Close the shutter, settle the light, and write down that the spectrum has ended."""
        beam = self._station.beam
        yield from bps.mv(beam.shutter, CLOSED)
        if beam.dose_meter is not None:
            beam.dose_meter.settle()
        course.end(broken)
        start, end = course.span
        if n_points:
            self._beside = max(self._beside, scan.beside(end - start, n_points))
        self._ends.write(
            spectrum=self._spectrum,
            repeat=course.n_spectra - 1,
            edge=scan.edge.label,
            dark=self._dark,
            n_points=n_points,
            start=start,
            end=end,
            absorbance_error=course.absorbance_error,
            smear=course.smear,
            stopped=course.stopped,
        )
        meter = [] if beam.dose_meter is None else [beam.dose_meter]
        yield from _event("spectra", self._ends, beam.attenuator, *meter)
        self._spectrum += 1

    # Points.

    def _steps(self, scan: EdgeScan, grid: EnergyGrid, course: Course) -> Plan:
        for index, (energy, dwell) in enumerate(zip(grid.energies, grid.dwells, strict=True)):
            values = {"energy": float(energy), "dwell": float(dwell)}
            reading = yield from self._until_lit(
                lambda energy=float(energy), dwell=float(dwell): self._counted(energy, dwell),
                scan,
                course,
                **values,
            )
            self._point += 1
            self._judge(course, self._station.counters, index, reading, float(dwell))

    def _counted(self, energy: float, dwell: float) -> Plan:
        """Go there and count; what is wrong with the counts."""
        station, group = self._station, f"move-{uuid.uuid4().hex[:8]}"
        yield from self._clear(dwell)
        yield from bps.abs_set(station.monochromator, energy, group=group)
        yield from bps.prepare(station.counters, dwell, group=group)
        for detector in station.detectors:
            yield from bps.prepare(detector, FrameTrain(dwell), group=group)
        yield from bps.wait(group)
        yield from bps.mv(self._light, dwell)
        yield from _triggered(station.beam, station.counters, *station.detectors)
        return station.counters.fault_now(dwell)

    def _sweep(self, controller: EnergySweep, scan: EdgeScan, sweep: Sweep, course: Course) -> Plan:
        upward = course.n_spectra % 2 == 1
        way = sweep if upward else sweep.reversed
        sample = sweep.duration / sweep.n_samples
        reading = yield from self._until_lit(
            lambda: self._swept(controller, way), scan, course, energy=math.nan, dwell=sample
        )
        self._point += 1
        order = slice(None) if upward else slice(None, None, -1)
        self._judge(course, controller, order, reading, sample)

    def _swept(self, controller: EnergySweep, sweep: Sweep) -> Plan:
        """Sweep once; what is wrong with the counts."""
        station = self._station
        yield from self._clear(sweep.duration)
        # The way to the start is not lit.
        yield from bps.mv(station.monochromator, sweep.start)
        yield from bps.prepare(controller, sweep, wait=True)
        yield from bps.mv(self._light, sweep.duration)
        yield from _triggered(station.beam, controller)
        return controller.fault_now(sweep.duration)

    def _clear(self, duration: float) -> Plan:
        """Wait for the end of an injection, and close the shutter where its time is used up."""
        beam = self._station.beam
        yield from clear_of_top_up(beam, duration)
        if self._light.is_used_up(duration):
            yield from bps.mv(beam.shutter, CLOSED)

    def _until_lit(self, count: Any, scan: EdgeScan, course: Course, **values: float) -> Plan:
        """Count a point and write its event; once more if the beam was away or the shutter closed.

        Returns:
            Reading of what counted; None if it cannot be used.
        """
        beam = self._station.beam
        for _ in range(BEAM_RETAKES + 1):
            yield from bps.checkpoint()
            yield from self._wait_for_beam()
            fault = yield from count()
            shutter, lost = int(beam.shutter.position), beam.lost_since_trigger()
            if shutter != OPEN:
                fault = "; ".join(filter(None, (fault, "the shutter was closed")))
            self._notes.write(
                point=self._point,
                spectrum=self._spectrum,
                repeat=course.n_spectra - 1,
                edge=scan.edge.label,
                dark=self._dark,
                shutter=shutter,
                beam_lost=lost,
                fault=fault,
                **values,
            )
            reading = yield from self._primary(isinstance(scan.how, Sweep))
            if not lost and not beam.shutter.was_closed:
                break
        return None if lost or fault else reading

    def _wait_for_beam(self) -> Plan:
        """Behind the closed shutter, where the plan is not suspended meanwhile.

        Raises:
            _NoBeamError: If it takes longer than the station's patience.
        """
        station, beam = self._station, self._station.beam
        if station.suspend or not beam.why_down():
            return
        yield from bps.mv(beam.shutter, CLOSED)
        has_beam = yield from wait_for_beam(beam, station.clock, patience=station.patience)
        if not has_beam:
            raise _NoBeamError(f"no beam for {station.patience:g} s: {beam.why_down()}")

    def _primary(self, is_sweep: bool) -> Plan:
        station, beam = self._station, self._station.beam
        counted = station.energy_sweep if is_sweep else station.counters
        also = [] if beam.top_up is None else [beam.top_up]
        (reading, *_) = yield from _event(
            "primary",
            self._notes,
            counted,
            station.monochromator,
            beam.ring_current,
            *also,
            *station.detectors,
            *station.readables,
        )
        return reading

    def _judge(
        self,
        course: Course,
        counted: Counters | EnergySweep,
        points: Any,
        reading: Mapping[str, Any] | None,
        dwell: float,
    ) -> None:
        """Add up the photons of points, for the noise."""
        if not reading:
            return
        per_photon = self._station.counters.counts_per_photon(self._gains)
        after = "it" if self._signal == "transmission" else "if"
        photons = []
        for channel in ("i0", after):
            counts = np.asarray(reading[counted.key(channel)]["value"])
            light = counts - self._dark_rates[channel] * dwell
            photons.append(light / (per_photon[channel] if per_photon[channel] > 0 else 1.0))
        course.count(points, *photons)


def _triggered(*devices: Any) -> Plan:
    """Count on all of them together."""
    group = f"count-{uuid.uuid4().hex[:8]}"
    for device in devices:
        yield from bps.trigger(device, group=group)
    yield from bps.wait(group)


def _event(stream: str, notes: Any, *devices: Any) -> Plan:
    """One event; the readings of the devices, None where nobody reads."""
    yield from bps.create(name=stream)
    yield from bps.read(notes)
    readings = []
    for device in devices:
        readings.append((yield from bps.read(device)))
    yield from bps.save()
    yield from bps.checkpoint()
    return readings
