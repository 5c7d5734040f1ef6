"""Protects one cell: limits, policies, watchdog, ownership and a log of every sample."""
