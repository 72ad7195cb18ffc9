"""Logs of which the truth is known: simulated, or made from real ones."""
