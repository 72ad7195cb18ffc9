"""What a killed run of DVC leaves unreadable, removed so that the next one can begin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

RWLOCK, LOCKFILE = Path(".dvc/tmp/rwlock"), Path("dvc.lock")
COMMAND = "dvc"


def unreadable(root: Path) -> list[Path]:
    """Return which of DVC's own files are empty, cut off or of another form: it refuses to run."""
    checks: dict[Path, Callable[[str], object]] = {RWLOCK: json.loads, LOCKFILE: _checked_lockfile}
    return [root / name for name, check in checks.items() if _is_damaged(root / name, check)]


def recovered(root: Path) -> Iterator[tuple[str, bool]]:
    """Remove what is unreadable, unless DVC is at work there; yield a sentence and whether it is.

    Nothing is lost: DVC makes both files anew, and a stage repeats no work that is on record.
    """
    for path in unreadable(root):
        if (pid := _at_work(root)) is not None:
            yield f"{path} is not whole, but process {pid} works with it: wait until it ends", False
            continue
        path.unlink(missing_ok=True)
        yield f"{path} was left unreadable by a killed run and is removed", True


def _is_damaged(path: Path, check: Callable[[str], object]) -> bool:
    try:
        check(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (ValueError, YAMLError):
        return True
    return False


def _checked_lockfile(text: str) -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # noqa: PLC0415 (half a second)
    from voluptuous import Invalid  # noqa: PLC0415

    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe", pure=True).load(text))
    except Invalid as error:
        raise ValueError(str(error)) from error


def _at_work(root: Path) -> int | None:
    """Return a process of DVC in a folder, None if there is none."""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words, folder = process.info["cmdline"] or (), process.info["cwd"]
        if COMMAND not in {Path(word).name for word in words[:3]} or not folder:
            continue
        if Path(folder).resolve().is_relative_to(root.resolve()):
            return int(process.pid)
    return None
