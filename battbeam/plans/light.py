"""This file is where a dose budget is asked before a measurement, and what it decides is done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp

from battbeam.devices.beam import Beam
from battbeam.experiment.cost import Cost, Spot
from battbeam.experiment.dose import Decision, DoseBudget, LightOnSamples
from battbeam.plans.stubs import Plan


@dataclass(frozen=True)
class DoseControl:
    """A dose budget with what it needs to know.

    Attributes:
        budget: The limit and what is done there.
        ledger: What fell on samples already.
        flux: Photons per s on the sample at the present transmission.
        size: Of the beam, width and height, mm.
        energy: eV.
        transmissions: That the attenuator can be set to, 1.
    """

    budget: DoseBudget
    ledger: LightOnSamples
    flux: Callable[[], float]
    size: tuple[float, float]
    energy: float
    transmissions: Sequence[float] = ()

    def decide(self, sample_uid: str, cost: Cost, transmission: float) -> Decision:
        """What becomes of a measurement: what becomes of the worst of its exposures.

        Exposures on the same spot count together. A measurement of several spots is moved as a
        whole, so that its first spot lies on the fresh one.
        """
        decisions = [self._decide(sample_uid, spot, transmission) for spot in _by_place(cost.spots)]
        if not decisions:
            return Decision("expose", (0.0, 0.0), transmission)
        worst = max(decisions, key=lambda each: (_WORSE.index(each.action), -each.transmission))
        if worst.action == "move" and len(decisions) > 1:
            return Decision(
                "skip",
                worst.spot,
                transmission,
                f"{worst.reason}; a measurement of several spots is not moved",
            )
        return worst

    def _decide(self, sample_uid: str, spot: Spot, transmission: float) -> Decision:
        return self.budget.decide(
            self.ledger,
            sample_uid,
            (spot.x, spot.y),
            self.flux() * spot.exposure,
            size=self.size,
            energy=self.energy,
            transmissions=self.transmissions,
            transmission=transmission,
        )


_WORSE = ("expose", "move", "attenuate", "skip", "stop")


def _by_place(spots: Sequence[Spot]) -> list[Spot]:
    """One spot a place, in order, with all its exposure."""
    total: dict[tuple[float, float], float] = {}
    for spot in spots:
        place = (spot.x, spot.y)
        total[place] = total.get(place, 0.0) + spot.exposure
    return [Spot(x, y, exposure) for (x, y), exposure in total.items() if exposure > 0]


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
