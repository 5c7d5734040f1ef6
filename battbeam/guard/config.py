"""This file is where a guard's own configuration is read: only there its hard limits are set."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from battbeam.errors import PreflightError
from battbeam.experiment.cell import Window
from battbeam.guard.drivers.observe_config import ObserveConfig
from battbeam.guard.policy import DEFAULT_POLICIES, Occasion, Policy


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HardLimits(_Part):
    """Limits that nobody changes over the network.

    Attributes:
        voltage_min: V.
        voltage_max: V.
        current_max: Largest magnitude, A.
    """

    voltage_min: float
    voltage_max: float
    current_max: float = Field(gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> "HardLimits":
        if not self.voltage_min < self.voltage_max:
            raise ValueError(
                f"voltage_min {self.voltage_min} V must be below voltage_max {self.voltage_max} V"
            )
        return self

    @property
    def window(self) -> Window:
        """The same as a plain value."""
        return Window(self.voltage_min, self.voltage_max, self.current_max)


class EclabConfig(_Part):
    """A channel of a BioLogic potentiostat behind EPICS-ECLab.

    Attributes:
        kind: ``eclab``.
        prefix: Of the IOC's PVs, with the closing colon.
        channel: Number in ``C<channel>:``.
        file_prefix: What FILEPREFIX is set to, as the instrument's computer sees it: directory and
            start of the name.
        data_directory: Where the same files are seen from here; none when they cannot be read.
        impedance: Whether the channel has what a spectrum of impedance takes; not every board has.
        timeout: Wall s for one PV to answer.
    """

    kind: Literal["eclab"] = "eclab"
    prefix: str
    channel: int = Field(default=1, ge=0)
    file_prefix: str
    data_directory: Path | None = None
    impedance: bool = True
    timeout: float = Field(default=2.0, gt=0)


class ThermostatConfig(_Part):
    """What keeps the cell's temperature, or only measures it.

    Attributes:
        readback: PV of the cell's temperature, degC.
        setpoint: PV that takes the temperature asked for; none where it is only measured.
        timeout: Wall s for one PV to answer.
    """

    readback: str
    setpoint: str | None = None
    timeout: float = Field(default=2.0, gt=0)


class GuardConfig(_Part):
    """One guard of one cell.

    Attributes:
        identity: What the cell's position is called, ``cell1``.
        prefix: Of the guard's own PVs, with the closing colon.
        log: The append-only log.
        hard_limits: Read-only over Channel Access.
        driver: How to reach the cycler.
        clock: PV prefix of a simulated clock server; empty for the wall clock.
        simulated: Whether cell and cycler are a simulation.
        heartbeat_timeout: Wall s after which an owner that no longer beats has lost the cell.
        hold_maximum: s of cell time that a hold lasts before the circuit is opened.
        policies: What is done on each occasion until an owner declares otherwise.
        thermostat: Of the cell; without one, temperatures are neither set nor guarded.
    """

    identity: str = "cell1"
    prefix: str
    log: Path
    hard_limits: HardLimits
    driver: EclabConfig | ObserveConfig = Field(discriminator="kind")
    clock: str = ""
    simulated: bool = False
    heartbeat_timeout: float = Field(default=2.0, ge=0.2, le=60)
    hold_maximum: float = Field(default=3600.0, gt=0)
    policies: dict[Occasion, Policy] = Field(default_factory=lambda: dict(DEFAULT_POLICIES))
    thermostat: ThermostatConfig | None = None

    @field_validator("driver", mode="before")
    @classmethod
    def _eclab_unless_said(cls, driver: Any) -> Any:
        return {"kind": "eclab", **driver} if isinstance(driver, dict) else driver

    @field_validator("policies")
    @classmethod
    def _complete(cls, policies: dict[Occasion, Policy]) -> dict[Occasion, Policy]:
        return {**DEFAULT_POLICIES, **policies}

    @classmethod
    def read(cls, path: Path) -> "GuardConfig":
        """The configuration in a .json file.

        Raises:
            PreflightError: With every fault found.
        """
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            raise PreflightError(f"guard configuration {path}", ["the file is missing"]) from None
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
            ]
            raise PreflightError(f"guard configuration {path}", faults) from error
