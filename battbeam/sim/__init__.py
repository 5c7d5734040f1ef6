"""The simulated beamline: models and the Channel Access servers that play them."""
