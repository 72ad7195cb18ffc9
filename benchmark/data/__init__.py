"""From raw logs to processed splits."""
