"""Which epoch and which trial is kept."""
