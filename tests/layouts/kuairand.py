"""KuaiRand: the standard log and the random one, videos and users."""

from raw_logs_random import read_feed as read
from raw_logs_random import write_feed as write

__all__ = ["read", "write"]
