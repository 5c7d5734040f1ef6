"""This file is where a cell that stands edge-on is looked at layer by layer, with a white beam.

A sweep is a map along one axis (`battbeam.plans.xrd_map`) whose detector counts a spectrum at each layer.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bluesky.plan_stubs as bps

from battbeam.devices.beamline import Beamline
from battbeam.devices.energy_dispersive import EnergyDispersive
from battbeam.devices.layer_stage import LayerStage
from battbeam.devices.motor import Motor
from battbeam.devices.white_beam import WhiteBeam
from battbeam.errors import DeviceError
from battbeam.experiment.clock import Clock
from battbeam.experiment.cost import Cost
from battbeam.experiment.description import SiteFacts, light_of
from battbeam.experiment.dose import DoseBudget
from battbeam.experiment.provenance import file_record
from battbeam.plans.exposure import exposure_faults
from battbeam.plans.measurements import OwnRun
from battbeam.plans.preflight import position_faults, refuse
from battbeam.plans.preprocessors import positions_put_back
from battbeam.plans.stubs import Plan
from battbeam.plans.xrd_map import xrd_map
from battbeam.plans.xrd_series import PATIENCE

_log = logging.getLogger(__name__)

#: Share of the capacity that may pass in one sweep: layers seen at other states of the cell are no
#: gradient. What the review of such experiments asks for.
RESOLUTION = 0.02
#: Bytes of a channel in a document.
_CHANNEL_BYTES = 8


def edxrd_reduction(
    calibration: Path,
    mca: EnergyDispersive,
    *,
    lines: Sequence[Mapping[str, Any]] = (),
    stages: bool = True,
) -> dict[str, Any]:
    """How spacings and lithium are made of spectra, with what `calibrate_edxrd` left.

    Parameters
    ----------
    calibration : Path
        Directory with ``edxrd.json``.
    mca : EnergyDispersive
        Whose white beam the staff have measured.
    lines : list of dict
        Single lines of other phases, each with ``name``, ``phase``, ``hkl``, ``spacing`` and ``spread``
        in angstrom, as `battbeam.reduction.stages.Line`.
    stages : bool
        Whether graphite and its stages are fitted.
    """
    return {
        "method": "edxrd",
        "calibration": str(calibration / "edxrd.json"),
        "flux": [list(each) for each in mca.calibration.flux],
        "lines": [dict(line) for line in lines],
        "stages": stages,
    }


def edxrd_layers(
    mca: EnergyDispersive,
    axis: Motor,
    *,
    ends: tuple[float, float],
    n_layers: int = 5,
    beam: WhiteBeam,
    clock: Clock,
    exposure: float,
    c_rate: float = 1.0,
    readables: Sequence[Any] = (),
    reduction: Mapping[str, Any] | None = None,
    suspend: bool = True,
    patience: float = PATIENCE,
    budget: DoseBudget | None = None,
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """One spectrum in each layer of a cell, and back.

    Parameters
    ----------
    mca : EnergyDispersive
        Counts.
    axis : Motor
        Across the layers; it is put back at the end.
    ends : tuple of float
        Middle of the first and of the last layer, mm.
    n_layers : int
        How many, evenly spaced; numbered from 0.
    beam : WhiteBeam
        Its shutter is open only while counting.
    clock : Clock
        The session's.
    exposure : float
        Of one spectrum, s of real time.
    c_rate : float
        Largest at which the cell is driven: a sweep in which more than 2 % of its capacity pass is
        warned of, in the log and in the start document.
    readables : list of Readable
        What else stands in every event.
    reduction : dict, optional
        As `edxrd_reduction` makes it.
    suspend : bool
        Suspend the plan while there is no beam.
    patience : float
        s that a layer waits for beam when the plan is not suspended.
    budget : DoseBudget, optional
        Limit of the white beam's light on each layer, wherever along it that falls.
    md : dict, optional
        What else a later reader needs.

    Returns
    -------
    str
        The uid of the run.
    """
    refuse("edxrd_layers", layers_faults(n_layers, c_rate, reduction))
    warnings = sweep_warnings(n_layers, exposure, overhead=beam.point_overhead, c_rate=c_rate)
    for warning in warnings:
        _log.warning("edxrd_layers: %s", warning)
    said: dict[str, Any] = {
        "plan_name": "edxrd_layers",
        "technique": "EDXRD",
        "c_rate": c_rate,
        "warnings": warnings,
    }
    if reduction is not None:
        said["reduction"] = dict(reduction)
        said["calibration"] = {"edxrd": file_record(Path(reduction["calibration"]))}
    return (
        yield from xrd_map(
            [mca],
            axis,
            *ends,
            n_layers,
            beam=beam,
            clock=clock,
            exposure=exposure,
            readables=readables,
            suspend=suspend,
            patience=patience,
            budget=budget,
            md={**said, **(md or {})},
        )
    )


def layers_faults(n_layers: int, c_rate: float, reduction: Mapping[str, Any] | None) -> list[str]:
    """What is wrong with a sweep, one sentence each."""
    faults = [] if n_layers >= 1 else [f"n_layers must be at least 1, got {n_layers}"]
    if not c_rate > 0:
        faults.append(f"c_rate must be greater than 0, got {c_rate:g}")
    if reduction is None:
        return faults
    if reduction.get("method") != "edxrd":
        return [*faults, f"reduction is by {reduction.get('method')!r}, not by 'edxrd'"]
    path = Path(str(reduction.get("calibration") or ""))
    if not path.is_file():
        faults.append(f"calibration {path}: the file is missing; run calibrate_edxrd first")
    return faults


def sweep_warnings(n_layers: int, exposure: float, *, overhead: float, c_rate: float) -> list[str]:
    """Whether the cell changes too much from the first layer to the last.

    Args:
        n_layers: Of one sweep.
        exposure: Of each, s.
        overhead: s that each takes besides.
        c_rate: At which the cell is driven.

    >>> sweep_warnings(5, 10.0, overhead=1.0, c_rate=1.0)
    []
    """
    length = n_layers * (exposure + overhead)
    passed = length * c_rate / 3600
    if passed <= RESOLUTION:
        return []
    fits = RESOLUTION / c_rate * 3600 / n_layers - overhead
    return [
        f"a sweep takes {length:.0f} s, in which {100 * passed:.1f} % of the capacity pass at "
        f"{c_rate:g} C, wanted {100 * RESOLUTION:g} %: what fits is "
        + (f"an exposure of {fits:.1f} s" if fits > 0 else "fewer layers")
    ]


def edxrd_layers_cost(site: SiteFacts, *, exposure: float, n_layers: int = 5) -> Cost:
    """What a sweep costs; the white beam's light is no part of a forecast.

    >>> edxrd_layers_cost(SiteFacts(overhead=1.0), exposure=10.0).duration
    55.0
    """
    light = light_of(exposure, n_layers)
    return Cost(
        duration=light + n_layers * site.overhead,
        n_bytes=n_layers * 4096 * _CHANNEL_BYTES,
        span=light + n_layers * site.overhead,
    )


def layer_sweep(
    beamline: Beamline,
    *,
    ends: tuple[float, float],
    n_layers: int = 5,
    exposure: float,
    c_rate: float = 1.0,
    spot: tuple[float, float] = (0.0, 0.0),
    lines: Sequence[Mapping[str, Any]] = (),
    budget: DoseBudget | None = None,
) -> OwnRun:
    """A sweep as what a rule of a schedule measures.

    Args:
        beamline: With an analyser, a white beam and a stage that goes across the layers; calibrated.
        ends: Middle of the first and of the last layer, mm.
        n_layers: How many.
        exposure: Of one spectrum, s.
        c_rate: Largest at which the cell is driven.
        spot: (x, y) in the cell's frame, mm.
        lines: Of other phases, see `edxrd_reduction`.
        budget: Limit of light on each layer; an experiment's own ``dose`` does not count this beam.

    Raises:
        DeviceError: If the beamline has not got all of that.
    """
    mca, white, stage = instruments_of(beamline)

    def measure(said: Mapping[str, Any]) -> Plan:
        x, y = said.get("cell_position", (0.0, 0.0))
        place = ((stage.x, float(x) + spot[0]), (stage.y, float(y) + spot[1]))
        reduction = edxrd_reduction(beamline.calibration, mca, lines=lines)
        refuse(
            "layer_sweep",
            layers_faults(n_layers, c_rate, reduction),
            mca.train_faults(exposure=exposure),
            position_faults([*place, *((stage.z, end) for end in ends)]),
            exposure_faults(white, budget, None),
        )

        def there() -> Plan:
            for motor, position in place:
                yield from bps.mv(motor, position)
            return (
                yield from edxrd_layers(
                    mca,
                    stage.z,
                    ends=ends,
                    n_layers=n_layers,
                    beam=white,
                    clock=beamline.clock,
                    exposure=exposure,
                    c_rate=c_rate,
                    readables=(beamline.potentiostat, stage),
                    reduction=reduction,
                    # An experiment is not suspended: without beam the layers wait.
                    suspend=False,
                    budget=budget,
                    md=said,
                )
            )

        return (yield from positions_put_back(there(), [stage.x, stage.y]))

    duration = n_layers * (exposure + white.point_overhead)
    cost = Cost(duration=duration, n_bytes=n_layers * 4096 * _CHANNEL_BYTES, span=duration)
    return OwnRun(
        measure,
        motors=(stage.x, stage.y, stage.z),
        cost=cost,
        may_be_asked=True,
        unlimited="" if budget is not None else str(white.name),
    )


def instruments_of(beamline: Beamline) -> tuple[EnergyDispersive, WhiteBeam, LayerStage]:
    """What energy-dispersive diffraction is measured with.

    Raises:
        DeviceError: If the beamline has not got all of it.
    """
    mca, white, stage = (
        beamline.energy_dispersive,
        beamline.white_beam,
        beamline.sample_stage,
    )
    if mca is None or white is None or not isinstance(stage, LayerStage):
        raise DeviceError(
            "energy-dispersive diffraction needs an analyser (Beamline.energy_dispersive), a white beam "
            "(Beamline.white_beam) and a sample stage that is a LayerStage"
        )
    return mca, white, stage
