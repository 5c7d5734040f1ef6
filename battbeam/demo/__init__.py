"""The demo: a whole experiment on the simulated beamline, and what it recovered against the hidden truth."""
