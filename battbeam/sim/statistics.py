"""This file is where the simulated detector's statistics are: the ``STATS1:`` records of NDPluginStats.

Not imitated: regions, centroids, histograms, time series.
"""

from typing import Any

import numpy as np
from caproto import ChannelType
from caproto.server import PVGroup

from battbeam.sim.records import choice, setting, shown
from battbeam.sim.shots import Shot


class Statistics(PVGroup):  # type: ignore[misc]
    """One statistics plugin behind the camera."""

    PluginType_RBV = shown("NDPluginStats ver1.13.0", dtype=ChannelType.STRING)
    NDArrayPort, NDArrayPort_RBV = setting("CAM", dtype=ChannelType.STRING)
    EnableCallbacks, EnableCallbacks_RBV = choice("Enable", "Disable")
    BlockingCallbacks, BlockingCallbacks_RBV = choice("Yes", "No")
    ComputeStatistics, ComputeStatistics_RBV = choice("Yes", "No")
    ArrayCounter, ArrayCounter_RBV = setting(0)
    UniqueId_RBV = shown(0)
    MinValue_RBV = shown(0.0, units="count")
    MaxValue_RBV = shown(0.0, units="count")
    MeanValue_RBV = shown(0.0, units="count", precision=4)
    Total_RBV = shown(0.0, units="count")

    async def show(self, shot: Shot, stamp: float) -> None:
        """Publish the statistics of a frame."""
        frame = shot.frame
        values: tuple[tuple[Any, float], ...] = (
            (self.MinValue_RBV, float(frame.min())),
            (self.MaxValue_RBV, float(frame.max())),
            (self.MeanValue_RBV, float(frame.mean())),
            (self.Total_RBV, float(frame.sum(dtype=np.float64))),
        )
        for record, value in values:
            await record.write(value, timestamp=stamp)
        await self.UniqueId_RBV.write(shot.request.number, timestamp=stamp)
        await self.ArrayCounter.write(self.ArrayCounter.value + 1)
