"""This file is where the mass spectrometer of a scenario is described."""

from pydantic import Field, model_validator

from battbeam.sim.scenario_part import Part


class MassSpectrometer(Part):
    """A mass spectrometer behind a capillary, in whose helium gas comes from a heated cell.

    Attributes:
        lag: Time through the capillary, s.
        mixing: Time constant of the volume before the spectrometer, s.
        period: From one cycle over all masses to the next at the start, s.
        masses: Whose ion currents a cycle holds, m/z.
        background: Ion current of each of them without gas from the cell, A.
        sensitivity: Ion current for gas that comes at 1 mol/s, A.
        noise: Standard deviation of one ion current, A.
        argon: Flow through the valve of the pulse while it is open, mol/s.
    """

    lag: float = Field(default=12.0, ge=0)
    mixing: float = Field(default=4.0, gt=0)
    period: float = Field(default=2.0, gt=0)
    masses: tuple[int, ...] = (2, 28, 32, 36, 44)
    background: tuple[float, ...] = (2e-11, 6e-10, 2e-10, 5e-11, 4e-11)
    sensitivity: float = Field(default=0.02, gt=0)
    noise: float = Field(default=1e-11, ge=0)
    argon: float = Field(default=3e-8, gt=0)

    @model_validator(mode="after")
    def _each_mass_has_a_background(self) -> "MassSpectrometer":
        if len(self.masses) != len(self.background):
            raise ValueError(
                f"background must have a value for each of {len(self.masses)} masses, got "
                f"{len(self.background)}"
            )
        return self
