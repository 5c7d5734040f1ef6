"""This file is where it is said what every part of a scenario is."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a scenario; it takes no field that it does not know, and no number without end."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
