"""A dose meter on a fake beamline, with a beam of 2e8 photons/s at 100 mA."""

from battbeam.connection import FluxCalibration
from battbeam.devices.dose_meter import DoseMeter
from battbeam.devices.sample_places import Place, SamplePlaces


def metered(fakes, ledger, *, beam_size=(0.3, 0.2), **options):
    """The meter, which the fake shutter asks from now on; its only place is that of the fake cell."""
    flux = FluxCalibration(
        photons_per_count=100.0,
        photons_per_milliampere=2e6,
        ring_current_max=100.0,
        beam_size=beam_size,
        energy=22163.0,
    )
    return DoseMeter(
        name="dose_meter",
        ledger=ledger,
        beam=fakes.beam,
        monochromator=fakes.monochromator,
        clock=fakes.clock,
        flux=flux,
        places=SamplePlaces(fakes.sample_stage, [Place(fakes.potentiostat)]),
        **options,
    )
