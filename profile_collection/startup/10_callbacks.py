"""What is shown while a plan runs. It reads documents; the spool has them already."""

from bluesky.callbacks.best_effort import BestEffortCallback

best_effort = BestEffortCallback()
best_effort.disable_plots()
RE.subscribe(best_effort)
