"""Frozen releases: checked results, an archive, metadata, and what moved since the last one."""
