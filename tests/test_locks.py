"""The locks: each package pinned with its hashes, and none missing that another one needs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmark.registry import ROOT

LOCKS = ("requirements.lock", "requirements-torch.lock", "requirements-docs.lock")
ENTRY = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[^ ]+)(?: ; (?P<marker>[^\n]+))?"
    r"(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
)


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock."""
    entries = ENTRY.finditer((ROOT / lock).read_text(encoding="utf-8"))
    return {canonicalize_name(entry["name"]): entry["version"] for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_has_one_version_with_hashes(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert ENTRY.sub("", text) == ""
    assert len(pins(lock)) == len(ENTRY.findall(text)) > 15


def needed(requirements: Iterable[str], extras: Iterable[str]) -> Iterator[Requirement]:
    """Yield the requirements that hold on this machine, with the extras that were asked for."""
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def missing(roots: Iterable[str], known: dict[str, str]) -> set[str]:
    """Return what is needed, however indirectly, and is not pinned to a version that will do."""
    waiting, seen, found = [*needed(roots, ())], set[str](), set[str]()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in known or not one.specifier.contains(known[name], prereleases=True):
            found.add(str(one))
        elif (key := f"{name}{sorted(one.extras)}") not in seen:
            seen.add(key)
            waiting += needed(requires(name) or (), one.extras)
    return found


def declared(*groups: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    own = [] if groups else project["project"]["dependencies"]
    return [*own, *(one for group in groups for one in project["dependency-groups"][group])]


def test_the_locks_have_all_that_is_needed_as_pip_looks_for_nothing_more() -> None:
    known = pins("requirements.lock") | pins("requirements-torch.lock")
    assert not missing([*declared(), *declared("dev")], known)
    assert not missing(declared("docs"), pins("requirements-docs.lock"))
    without = {name: version for name, version in known.items() if name != "aiohttp"}
    assert missing(declared(), without), "what is lacking is seen"
    assert missing(["numpy>=3"], known) == {"numpy>=3"}


def test_the_lock_of_pytorch_has_it_and_what_it_needs_for_gpus_alone() -> None:
    own = pins("requirements-torch.lock")
    assert own["torch"] == str(Requirement(declared()[0]).specifier).removeprefix("==")
    assert not {name for name in own if not re.match(r"torch$|triton$|nvidia-|cuda-", name)}
    assert not own.keys() & pins("requirements.lock").keys()
