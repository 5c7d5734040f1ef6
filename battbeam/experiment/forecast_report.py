"""This file is where a forecast becomes a table that a visitor reads."""

import math

from battbeam.experiment.forecast_result import CellForecast, Forecast
from battbeam.experiment.forecast_spectrum import SpectrumForecast

#: Spots that are printed; a map has many, and the brightest matter.
MAX_SPOTS = 5


def text_of(forecast: Forecast) -> str:
    """The whole forecast in lines of up to some hundred characters."""
    site = forecast.site
    lines = [
        f"beamline: {site.name}, {site.beam.flux:.3g} photons/s on {site.beam.size[0]:g} x "
        f"{site.beam.size[1]:g} mm at {site.beam.energy:.0f} eV, {site.overhead:g} s beside each point"
    ]
    if not math.isnan(forecast.duration):
        lines += [
            f"duration {_hours(forecast.duration)}, {forecast.n_frames} frames, "
            f"{_bytes(forecast.n_bytes)} before compression; the beamline is busy "
            f"{forecast.busy * 100:.0f} % of the time"
        ]
    for cell in forecast.cells:
        lines += ["", *_cell(cell)]
    if forecast.remarks:
        lines += ["", "rests on", *(f"  - {remark}" for remark in forecast.remarks)]
    if forecast.faults:
        lines += ["", "REFUSED", *(f"  - {fault}" for fault in forecast.faults)]
    return "\n".join(lines)


def _cell(cell: CellForecast) -> list[str]:
    first, low, high, last = cell.state_of_charge
    lines = [f"{cell.cell}: {cell.ended}, {_hours(cell.duration)}"]
    if not math.isnan(first):
        lines.append(
            f"  state of charge {first:.3f} -> {last:.3f}, between {low:.3f} and {high:.3f}; "
            f"lithium content {cell.lithium_content[0]:.3f} -> {cell.lithium_content[1]:.3f}; "
            f"{cell.throughput:.3g} mAh passed"
        )
    if not math.isnan(cell.transmission[0]):
        bright = cell.brightest_pixel
        pixel = "" if math.isnan(bright) else f"; about {bright:.2g} counts in the brightest pixel"
        lines.append(
            f"  transmission {cell.transmission[0]:.3f} -> {cell.transmission[1]:.3f}{pixel}"
        )
    lines += [_spectrum(each) for each in cell.spectra]
    lines += [f"  remark: {each}" for spectrum in cell.spectra for each in spectrum.remarks]
    lines.append(_row("measure", "made", "missed", "frames", "exposure", "photons", "smear"))
    for kind in cell.measurements:
        lines.append(
            _row(
                kind.measure,
                str(kind.n_served),
                str(kind.n_missed + kind.n_refused),
                str(kind.n_frames),
                f"{kind.exposure:.0f} s",
                f"{kind.photons:.3g}",
                f"{kind.smear_mean:.2g} (max {kind.smear_max:.2g})",
            )
        )
    late = cell.lateness
    if late.n_served and late.maximum > 0:
        lines.append(f"  lateness {late.mean:.1f} s on average, {late.maximum:.1f} s at the most")
    lines += [f"  missed: {missed}" for missed in cell.missed]
    lines += [f"  limit: {limit}" for limit in cell.limits]
    return lines + _spots(cell)


def _spectrum(found: SpectrumForecast) -> str:
    return (
        f"  {found.edge}: absorbance {found.absorbance:.2f} just above the edge, edge step "
        f"{found.edge_step:.2f}, transmission {found.transmission:.3f}; {found.n_points} points in "
        f"{found.duration:.0f} s, counting error of the absorbance {found.absorbance_error:.1g}"
    )


def _spots(cell: CellForecast) -> list[str]:
    brightest = sorted(cell.spots, key=lambda spot: -spot.fluence)
    lines = []
    for spot in brightest[:MAX_SPOTS]:
        dose = "" if math.isnan(spot.dose) else f", {spot.dose:.3g} Gy"
        lines.append(f"  spot ({spot.x:g}, {spot.y:g}) mm: {spot.fluence:.3g} photons/mm2{dose}")
    if len(brightest) > MAX_SPOTS:
        lines.append(f"  and {len(brightest) - MAX_SPOTS} more spots with less")
    return lines


def _row(*cells: str) -> str:
    name, *numbers = cells
    return (
        f"  {name:<16}" + "".join(f"{number:>11}" for number in numbers[:-1]) + f"   {numbers[-1]}"
    )


def _hours(seconds: float) -> str:
    if math.isnan(seconds) or seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.2f} h ({seconds:.0f} s)"


def _bytes(n: float) -> str:
    return f"{n / 1e9:.2f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
