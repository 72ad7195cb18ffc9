"""What a release says of itself: version, citation, CodeMeta, Zenodo and the changelog."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from benchmark.configuration import documents
from benchmark.reporting.site import CITATION, bibtex

PYPROJECT, CHANGELOG = Path("pyproject.toml"), Path("CHANGELOG.md")
CODEMETA, ZENODO, README = Path("codemeta.json"), Path(".zenodo.json"), Path("README.md")
PAGES = ("leaderboard.json", "index.html")
HEAD = """# Changelog

All notable changes, in the form of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/).
Versions follow [PEP 440](https://peps.python.org/pep-0440/).
"""
UNRELEASED = "## [Unreleased]"


def bumped(version: str, day: date) -> dict[Path, str]:
    """Return ``pyproject.toml`` and ``CITATION.cff`` of a version.

    Raises:
        ValueError: one of them has no line to change.
    """
    changes = (
        (PYPROJECT, {r'^version = "[^"]*"$': f'version = "{version}"'}),
        (CITATION, {r"^version: .*$": f"version: {version}"}),
        (CITATION, {r"^date-released: .*$": f"date-released: {day.isoformat()}"}),
    )
    texts = {path: path.read_text(encoding="utf-8") for path in (PYPROJECT, CITATION)}
    for path, replaced in changes:
        for pattern, line in replaced.items():
            texts[path], count = re.subn(pattern, line, texts[path], count=1, flags=re.MULTILINE)
            if not count:
                raise ValueError(f"{path} has no line that begins with {line.split()[0]!r}; add it")
    return texts


def stamped(citation: str) -> dict[Path, str]:
    """Return the README and the published pages with the version and the entry of a citation.

    They have no other part that depends on the release.
    """
    old, new = _cited(CITATION.read_text(encoding="utf-8")), _cited(citation)
    versions = str(old["version"]), str(new["version"])
    plain = {
        bibtex(old): bibtex(new),
        f'"version":"{versions[0]}"': f'"version":"{versions[1]}"',
        f"Version {versions[0]}.": f"Version {versions[1]}.",
    }
    paths = [README, *(path for name in PAGES for path in Path("results").rglob(name))]
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(paths) if path.is_file()}
    return {path: _replaced(text, plain) for path, text in texts.items()}


def _replaced(text: str, changes: dict[str, str]) -> str:
    """Replace texts as they stand in Markdown, in HTML and in a string of JSON."""
    for old, new in changes.items():
        for written in (str, html.escape, _in_json):
            text = text.replace(written(old), written(new))
    return text


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _cited(text: str) -> dict[str, Any]:
    citation: dict[str, Any] = documents.parse(text, str(CITATION)).plain()
    return citation


def codemeta(citation: str) -> str:
    """Return ``codemeta.json`` as CodeMeta 3.0 asks for it; URLs only where the citation has."""
    known = _cited(citation)
    links = {
        "codeRepository": known.get("repository-code"),
        "url": known.get("url"),
        "identifier": known.get("doi"),
    }
    content = {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": known["title"],
        "description": known["abstract"],
        "version": str(known["version"]),
        "dateModified": str(known["date-released"]),
        "license": f"https://spdx.org/licenses/{known['license']}",
        "author": [_person(author) for author in known["authors"]],
        "keywords": known["keywords"],
        "programmingLanguage": "Python",
        **{key: value for key, value in links.items() if value},
    }
    return _json(content)


def zenodo(citation: str) -> str:
    """Return ``.zenodo.json``, the deposition's metadata."""
    known = _cited(citation)
    content: dict[str, Any] = {
        "title": known["title"],
        "description": known["abstract"],
        "upload_type": "software",
        "access_right": "open",
        "license": known["license"],
        "version": str(known["version"]),
        "publication_date": str(known["date-released"]),
        "creators": [_creator(author) for author in known["authors"]],
        "keywords": known["keywords"],
    }
    if source := known.get("repository-code"):
        related = {"identifier": source, "relation": "isSupplementTo", "resource_type": "software"}
        content["related_identifiers"] = [related]
    return _json(content)


def changelog(version: str, day: date, changes: Sequence[str], citation: str) -> str:
    """Return the changelog with an entry: what stood under "Unreleased", and the ``changes``."""
    text = CHANGELOG.read_text(encoding="utf-8") if CHANGELOG.is_file() else HEAD
    head, _, rest = text.partition(UNRELEASED)
    if not rest:  # no such heading: the entry goes before the newest one
        head, mark, rest = text.partition("\n## [")
        rest = "\n" + mark.lstrip("\n") + rest
    body, mark, earlier = rest.partition("\n## [")
    body = _with_changes(body.strip("\n"), changes)
    entry = f"{UNRELEASED}\n\n## [{version}] - {day.isoformat()}\n\n{body}\n"
    source = _cited(citation).get("repository-code")
    link = f"\n[{version}]: {source}/releases/tag/v{version}\n" if source else ""
    return f"{head.rstrip()}\n\n{entry}{mark}{earlier}{link}"


def _with_changes(body: str, changes: Sequence[str]) -> str:
    """Add lines to the section "Changed", which is made where there is none."""
    lines = "".join(f"- {text}\n" for text in changes)
    head, mark, rest = body.partition("### Changed\n")
    if not mark:
        return f"{body}\n\n### Changed\n\n{lines}".strip("\n")
    own, next_mark, others = rest.partition("\n### ")
    return f"{head}{mark}{own.rstrip()}\n{lines}{next_mark}{others}".strip("\n")


def _person(author: dict[str, str]) -> dict[str, str]:
    if "name" in author:
        return {"@type": "Organization", "name": author["name"]}
    names = {"givenName": author.get("given-names"), "familyName": author.get("family-names")}
    known = {"@id": author.get("orcid")} | names
    return {"@type": "Person"} | {key: value for key, value in known.items() if value}


def _creator(author: dict[str, str]) -> dict[str, str]:
    if "name" in author:
        return {"name": author["name"]}
    names = filter(None, (author.get("family-names"), author.get("given-names")))
    orcid = author.get("orcid", "").rpartition("/")[2]
    return {"name": ", ".join(names)} | ({"orcid": orcid} if orcid else {})


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
