"""Bluesky plans that keep X-ray measurements in step with the cell."""
