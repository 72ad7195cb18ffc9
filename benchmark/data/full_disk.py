"""A full disk is reported in one sentence, whatever polars or the system say of it."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark.data.dataset import DataError

NUMBERS = (errno.ENOSPC, errno.EDQUOT)
WORDS = re.compile(rf"os error ({'|'.join(map(str, NUMBERS))})\b")  # those of polars
NOTHING = 1 << 20  # bytes: less than a buffer


class DiskFullError(DataError):
    """There is no room for what preprocessing writes; what it wrote is kept."""


def is_full(error: BaseException) -> bool:
    """Return whether an error is that a disk or a quota is full."""
    number = error.errno if isinstance(error, OSError) else None
    return number in NUMBERS or WORDS.search(str(error)) is not None


@contextmanager
def raise_on_full_disk(folder: Path) -> Iterator[None]:
    """Turn an error in the block into a sentence where the disk of a folder is full.

    Raises:
        DiskFullError: it is.
    """
    try:
        yield
    except Exception as error:
        free = shutil.disk_usage(folder).free
        if not is_full(error) and (free > NOTHING or isinstance(error, DataError)):
            raise
        raise DiskFullError(
            f"the disk of {folder.parent} is full, {free:,} bytes are left now; make room and run "
            f"this again: what {folder} holds is not made anew"
        ) from error
