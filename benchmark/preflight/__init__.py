"""What `check` finds before anything starts: mistakes, missing data, memory, disk and time."""
