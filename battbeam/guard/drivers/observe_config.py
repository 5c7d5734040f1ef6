"""This file is where it is said how a cycler is watched that somebody else's software runs."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from battbeam.experiment.cycler_log import LogStyle
from battbeam.experiment.local_time import DateOrder, time_zone


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnalogConfig(_Part):
    """Voltage and current that the beamline reads from the cycler's outputs.

    Attributes:
        voltage: PV.
        current: PV.
        voltage_scale: V of the cell per unit of the PV.
        current_scale: A of the cell per unit of the PV; negative where charging reads negative.
        voltage_offset: V, added.
        current_offset: A, added.
        interval: s of session clock between readings that are kept where there is no log.
        timeout: Wall s for a PV to answer.
    """

    voltage: str = Field(min_length=1)
    current: str = Field(min_length=1)
    voltage_scale: float = 1.0
    current_scale: float = 1.0
    voltage_offset: float = 0.0
    current_offset: float = 0.0
    interval: float = Field(default=1.0, gt=0)
    timeout: float = Field(default=2.0, gt=0)

    @model_validator(mode="after")
    def _scales(self) -> "AnalogConfig":
        if not self.voltage_scale or not self.current_scale:
            raise ValueError("voltage_scale and current_scale must not be 0: V and A per unit")
        return self


class LogConfig(_Part):
    """The log that the cycler's software writes.

    Attributes:
        format: ``mpt``, text of EC-Lab, or ``bdf``, the Battery Data Format.
        directory: Where it is seen from here.
        pattern: Of the names of this channel's files, as a shell has it.
        time_zone: IANA name of the zone of the computer that writes it.
        date_order: Of the parts of its dates; needed where a date can be misread.
        sign: -1 where its positive current discharges the cell.
        voltage_column: Its name, where it is none of the usual ones.
        current_column: Its name, likewise.
        interval: Wall s between looks at the files.
        latency: Wall s by which a row may come late into its file, on top of that.
    """

    format: Literal["mpt", "bdf"]
    directory: Path
    pattern: str = "*"
    time_zone: str
    date_order: DateOrder | None = None
    sign: Literal[1, -1] = 1
    voltage_column: str = ""
    current_column: str = ""
    interval: float = Field(default=0.5, gt=0)
    latency: float = Field(default=1.0, ge=0)

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        time_zone(name)
        return name

    def style(self, marker_column: str = "") -> LogStyle:
        """What the log does not say of itself."""
        return LogStyle(
            zone=time_zone(self.time_zone),
            order=self.date_order,
            sign=self.sign,
            voltage_column=self.voltage_column,
            current_column=self.current_column,
            marker_column=marker_column,
        )


class MarkerConfig(_Part):
    """What both sides see at one moment.

    Attributes:
        pv: On the beamline's side, a TTL line for instance; empty: the analog current's own edges.
        level: Above it the PV is high, in its unit.
        column: Of the log, an analog input for instance; empty: the edges of its current.
        column_level: Above it the column is high, in its unit.
        current_step: A by which the current jumps at an edge, where the current is the marker.
        uncertainty: s of session clock to which the PV's stamp is known.
        reach: s within which the two sides must agree, the clocks' coarse relation taken off.
    """

    pv: str = ""
    level: float = 0.5
    column: str = ""
    column_level: float = 1.0
    current_step: float = Field(default=1e-4, gt=0)
    uncertainty: float = Field(default=0.02, gt=0)
    reach: float = Field(default=30.0, gt=0)


class ObserveConfig(_Part):
    """A cycler that is watched and not commanded.

    Attributes:
        kind: ``observe``.
        name: What people call the channel.
        analog: Voltage and current over Channel Access, or none.
        log: The software's log, or none.
        marker: What ties the log's clock to the session's; none: when rows appear.
        rest_current: A below which no current counts as flowing.
        end_after: s of session clock without a row and without current after which the cycling
            counts as over.
    """

    kind: Literal["observe"] = "observe"
    name: str = "observed cycler"
    analog: AnalogConfig | None = None
    log: LogConfig | None = None
    marker: MarkerConfig | None = None
    rest_current: float = Field(default=1e-6, gt=0)
    end_after: float = Field(default=600.0, gt=0)

    @model_validator(mode="after")
    def _sources(self) -> "ObserveConfig":
        if self.analog is None and self.log is None:
            raise ValueError(
                "give analog (PVs of voltage and current), log (its directory), or both"
            )
        if self.marker is not None and self.log is None:
            raise ValueError("a marker ties a log's clock: give the log, or leave the marker out")
        if self.marker is not None and not self.marker.pv and self.analog is None:
            raise ValueError("marker.pv is empty and there is no analog current: nothing to see")
        return self
