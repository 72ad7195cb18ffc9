"""The few questions and commands that a release has for Git."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


def git(*words: str, folder: Path = Path()) -> str:
    """Run a command in a folder and return what it printed.

    Raises:
        ValueError: Git refuses, with its reason.
    """
    command = ["git", "-C", str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise ValueError(f"`git {words[0]}` failed: {reason[-1]}")
    return done.stdout.rstrip()


def is_root(folder: Path) -> bool:
    """Tell whether a folder is the root of a repository with a commit."""
    try:
        return Path(git("rev-parse", "--show-toplevel", folder=folder)).samefile(folder)
    except (ValueError, OSError):
        return False


def changed() -> list[str]:
    """Return the files that differ from the last commit, or are not in it and not ignored."""
    return [line[3:] for line in git("status", "--porcelain").splitlines()]


def has_tag(name: str) -> bool:
    """Tell whether there is a tag."""
    return bool(git("tag", "--list", name))


@contextmanager
def elsewhere() -> Iterator[Path]:
    """Yield a second working tree of the last commit, which is gone afterwards."""
    with TemporaryDirectory() as outside:
        folder = Path(outside, "tree")
        git("worktree", "add", "--quiet", "--detach", str(folder))
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))
