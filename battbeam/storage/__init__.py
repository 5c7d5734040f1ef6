"""Documents on disk first, then in the catalogue."""
