"""Ophyd classes, one instrument a file."""
