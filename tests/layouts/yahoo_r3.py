"""Yahoo! R3: two lists of ratings."""

from raw_logs_random import read_songs as read
from raw_logs_random import write_songs as write

__all__ = ["read", "write"]
