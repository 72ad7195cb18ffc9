"""Metrics, each on a named population, exact and without torch."""
