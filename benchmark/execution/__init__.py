"""Runs tasks: jobs, workers, records and where they came from."""
