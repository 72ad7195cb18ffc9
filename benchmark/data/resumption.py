"""Intermediate files that outlive a killed process, and nothing else."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmark import registry
from benchmark.code_keys import code_key
from benchmark.data.dataset import Dataset
from benchmark.data.fetching.raw import MANIFEST
from benchmark.data.full_disk import DiskFullError
from benchmark.files import fingerprint, read_record, sha256, write_json

HERE = Path(__file__).parent


@contextmanager
def resumable(dataset: Dataset, raw: Path, processed: Path) -> Iterator[Path]:
    """Yield the dataset's scratch folder, with what a killed process left for the same inputs.

    The same inputs are: options, the code that reads, and raw files of equal names, sizes and
    times. After success or an error, nothing is left; an interrupt, like a kill or a full disk,
    leaves what is whole.
    """
    scratch = processed.with_name(f".{processed.name}.scratch")
    now, record = inputs(dataset, raw), scratch / "inputs.json"
    if read_record(record) != now:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        write_json(record, now)
    _sweep(scratch)
    try:
        with dataset.working_in(scratch):
            yield scratch
    except DiskFullError:  # with room made, the next run goes on
        _sweep(scratch)
        raise
    except Exception:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(scratch, ignore_errors=True)


def _sweep(scratch: Path) -> None:
    """Delete what a killed process left unfinished, or no other can use: names with a dot first."""
    for path in sorted(scratch.rglob(".*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def inputs(dataset: Dataset, raw: Path) -> str:
    """Return a hash of what processed data are made from: options, code and raw files."""
    adapter = Path(inspect.getfile(type(dataset)))
    bases = (registry.path_of("datasets", name) for name in dataset.depends_on[1:])
    files = sorted(path for path in raw.rglob("*") if path.is_file())
    return fingerprint(
        [
            repr(dataset.options),
            code_key(adapter, HERE / "preprocess.py", *bases),
            *map(_state, files),
        ]
    )


def _state(path: Path) -> str:
    """Return what tells a raw file from another one; the manifest is written anew at each fetch."""
    if path.name == MANIFEST:
        return f"{path} {sha256(path)}"
    return f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}"
