"""This file is where a dose budget is asked before a measurement, and what it decides is done."""

from collections.abc import Sequence

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.beam import Beam
from battbeam.devices.dose_meter import DoseMeter
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.dose import Decision, DoseBudget
from battbeam.plans.stubs import Plan


def decided(budget: DoseBudget, beam: Beam, sample_uid: str, cost: Cost) -> Decision:
    """What becomes of a measurement: what becomes of the worst of its exposures.

    Exposures on the same spot count together, each with the most that it can bring. A measurement
    of several spots is not moved: nobody knows whether the others would be fresh too.
    """
    meter = beam.dose_meter
    places = _by_place(cost.spots)
    if meter is None or not places:
        return Decision("expose", (0.0, 0.0), 1.0)
    decisions = [_decided(budget, beam, meter, sample_uid, *each) for each in places.items()]
    worst = max(decisions, key=lambda each: (_WORSE.index(each.action), -each.transmission))
    if worst.action != "move" or len(decisions) == 1:
        return worst
    reason = f"{worst.reason}; a measurement of several spots is not moved"
    return Decision("skip", worst.spot, worst.transmission, reason)


def _decided(
    budget: DoseBudget,
    beam: Beam,
    meter: DoseMeter,
    sample_uid: str,
    place: tuple[float, float],
    exposures: Sequence[float],
) -> Decision:
    """What becomes of exposures on one place, each an opening of the shutter of its own."""
    each = [meter.most(exposure) for exposure in exposures]
    most = each[0]
    return budget.decide(
        meter.ledger,
        sample_uid,
        place,
        sum(light.photons for light in each),
        size=most.size,
        energy=most.energy,
        transmissions=beam.attenuator.transmissions,
        transmission=beam.attenuator.position,
    )


_WORSE = ("expose", "move", "attenuate", "skip", "stop")


def _by_place(spots: Sequence[Spot]) -> dict[tuple[float, float], list[float]]:
    """The exposures on each place, in order, s."""
    found: dict[tuple[float, float], list[float]] = {}
    for spot in spots:
        if spot.exposure > 0:
            found.setdefault((spot.x, spot.y), []).append(spot.exposure)
    return found


def attenuated(plan: Plan, beam: Beam, transmission: float | None) -> Plan:
    """Run a plan behind an attenuator that is put back afterwards; None leaves it alone."""
    if transmission is None:
        return (yield from plan)
    found = beam.attenuator.position

    def measured() -> Plan:
        yield from bps.mv(beam.attenuator, transmission)
        return (yield from plan)

    def put_back() -> Plan:
        yield from bps.mv(beam.attenuator, found)

    return (yield from bpp.finalize_wrapper(measured(), put_back))


def limited(plan: Plan, beam: Beam, budget: DoseBudget | None) -> Plan:
    """Run a plan in which the shutter itself refuses what would pass a budget.

    What was decided before holds for what was planned; a point that is taken again, or a run of its
    own that exposes longer than it said, meets the limit at the shutter.
    """
    meter = beam.dose_meter
    if meter is None or budget is None:
        return (yield from plan)
    found, meter.budget = meter.budget, budget
    try:
        return (yield from plan)
    finally:
        meter.budget = found
