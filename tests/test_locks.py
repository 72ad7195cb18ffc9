"""The locks: each package pinned with hashes, none missing that another needs; their audit."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import requires

import pytest
from helpers import audit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmark.registry import ROOT

LOCKS = tuple(f"requirements{part}.lock" for part in ("", "-torch", "-docs", "-mutants"))
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
    mutants = {Requirement(one).name for one in declared("mutants")}  # most have none of it
    assert mutants <= set(pins("requirements-mutants.lock"))
    without = {name: version for name, version in known.items() if name != "aiohttp"}
    assert missing(declared(), without), "what is lacking is seen"
    assert missing(["numpy>=3"], known) == {"numpy>=3"}


def test_the_lock_of_pytorch_has_it_and_what_it_needs_for_gpus_alone() -> None:
    own = pins("requirements-torch.lock")
    assert own["torch"] == str(Requirement(declared()[0]).specifier).removeprefix("==")
    assert not {name for name in own if not re.match(r"torch$|triton$|nvidia-|cuda-", name)}
    assert not own.keys() & pins("requirements.lock").keys()


def package(name: str, **more: object) -> dict[str, object]:
    return {"name": name, "version": "1.0", "vulns": [], **more}


def test_an_audit_without_a_database_does_not_pass_for_one_that_found_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = {"name": "torch", "skip_reason": "not found"}
    for answer in ("", "[]", "no JSON", json.dumps({"dependencies": [unknown]})):
        monkeypatch.setattr(audit, "ask", lambda _, answer=answer: answer)
        assert audit.main() == 0
        said = "not audited: the database of vulnerabilities cannot be had here\n"
        assert capsys.readouterr().out == f"{audit.LOCKS[0]}: {said}"


def test_an_audit_names_what_is_known_and_counts_what_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"id": "CVE-1", "fix_versions": ["1.1"], "aliases": []}
    answers = {lock: [package("a")] for lock in audit.LOCKS}
    answers[audit.LOCKS[1]] += [package("b", vulns=[known]), {"name": "c", "skip_reason": "x"}]
    monkeypatch.setattr(audit, "ask", lambda lock: json.dumps({"dependencies": answers[lock]}))
    assert audit.main() == 1
    first, second, *others = (LOCKS[1], LOCKS[0], *LOCKS[2:])
    assert capsys.readouterr().out == (
        f"{first}: 1 packages audited, 0 known vulnerabilities\n"
        f"{second}: 2 packages audited, 1 known vulnerabilities; nothing is known of 1 others\n"
        "  b 1.0: CVE-1, mended in 1.1\n"
        + "".join(f"{lock}: 1 packages audited, 0 known vulnerabilities\n" for lock in others)
    )
