"""Releases: what moved and why, refusals in one sentence, and nothing that is half made."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
import yaml
from helpers.fake_runs import CLICKS, METHODS, ORACLE, TITLES, edit, write_project
from helpers.projects import copy_project, without_pictures

from benchmark import plugin_folders
from benchmark.cli import main
from benchmark.config import Params
from benchmark.configuration import documents
from benchmark.execution.code import code_of
from benchmark.files import read_json, replacing_folder
from benchmark.registry import ROOT
from benchmark.releases import making
from benchmark.releases.making import Plan
from benchmark.reporting.published import Published
from benchmark.reporting.site import bibtex

COUNT = 4
CITATION = """cff-version: 1.2.0
title: Tiny
abstract: A tiny benchmark.
keywords: [tiny]
authors:
  - {family-names: Doe, given-names: Jo}
version: 1.0.0
date-released: 2025-01-01
license: MIT
"""
RUNS = Path("results/runs")


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    return done.stdout


def commit() -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message=work")


@contextmanager
def patched(folder: Path) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(plugin_folders.VARIABLE, json.dumps([str(folder / "own")]))
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "a")
            patch.setenv(f"GIT_{role}_EMAIL", "a@b")
        without_pictures(patch)
        yield patch


def change_params(**changes: object) -> Params:
    content = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    Path("params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Params.read()


def write_method(method: str, text: str) -> None:
    path = Path("own/methods", f"{method}.py")
    path.write_text(text, encoding="utf-8")
    for task in RUNS.glob(f"*/{method}/task.json"):
        edit(task, code=code_of(method))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of version 1.0.0 with the made-up results of four methods in it."""
    folder = write_project(tmp_path_factory.mktemp("release") / "project", 3, COUNT)
    copy_project(folder, [".gitignore"])
    with patched(folder):
        Path("own/methods").mkdir(parents=True)
        Path("pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1.0.0"\n')
        Path("CITATION.cff").write_text(CITATION)
        entry = bibtex(documents.parse(CITATION, "").plain())
        Path("README.md").write_text(f"```bibtex\n{entry}\n```\n")
        change_params(plugins=["own"])
        for method in METHODS[:COUNT]:
            write_method(method, "VALUE = 0\n")
        assert main(["report"]) == 0
        git("init", "--quiet", "--initial-branch=main")
        commit()
    return folder


@pytest.fixture
def project(published: Path, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    folder = tmp_path / "project"
    shutil.copytree(published, folder)
    with patched(folder) as patch:
        yield patch


def shift(dataset: str, method: str, by: float) -> None:
    for path in (RUNS / dataset / method / "default").glob("*.json"):
        test = {name: value + by for name, value in read_json(path)["test"].items()}
        edit(path, test=test)


def move_three() -> None:
    """Move a method by its code, one by the data of a setting and one by its protocol."""
    write_method(METHODS[2], "VALUE = 1\n")
    shift(ORACLE, METHODS[2], 0.1)
    edit(Path("data/processed", CLICKS, "schema.json"), fingerprint="others")
    for path in (RUNS / CLICKS).glob("*/**/*.json"):
        if "data" in read_json(path):
            edit(path, data="others")
    shift(CLICKS, METHODS[1], 0.1)
    params = change_params(protocol={"defaults": {METHODS[3]: {"learning_rate": 0.01}}})
    for task in RUNS.glob(f"*/{METHODS[3]}/task.json"):
        edit(task, protocol=params.protocol.of(METHODS[3]).identity)
    shift(ORACLE, METHODS[3], 0.2)


@pytest.mark.usefixtures("project")
def test_the_next_release_says_who_moved_and_what_moved_them() -> None:
    assert main(["release", "1.1.0"]) == 0
    move_three()
    assert main(["report"]) == 0
    commit()
    assert main(["release", "1.2.0"]) == 0
    text = Path("CHANGELOG.md").read_text(encoding="utf-8")
    entry = text.split("## [1.2.0]")[1].split("## [1.1.0]")[0]
    oracle, clicks = f"- Main leaderboard, {ORACLE}: ", f"- Main leaderboard, {CLICKS}: "
    means = r"\(0\.\d{4} to 0\.\d{4}\)"
    told = (
        rf"{oracle}{re.escape(TITLES[2])} moves from rank 3 to 2 {means}; its code changed\.",
        rf"{oracle}{TITLES[3]} moves from rank 4 to 1 {means}; the protocol changed\.",
        rf"{oracle}{TITLES[0]} moves from rank 1 to 3 .*; its result is the same, others moved\.",
        rf"{clicks}{TITLES[1]} .* {means}; the data changed\.",
    )
    for line in told:
        assert re.search(line, entry), entry
    assert "code" not in "".join(line for line in entry.splitlines() if TITLES[3] in line)


@pytest.mark.usefixtures("project")
def test_a_release_has_one_version_everywhere_and_an_archive_with_its_results() -> None:
    Path("CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n")
    commit()
    assert main(["release", "1.1.0"]) == 0
    assert git("status", "--porcelain") == ""
    assert git("describe", "--exact-match").strip() == "v1.1.0"
    folder = Path("dist/1.1.0")
    digest, name = (folder / "SHA256SUMS").read_text().split()
    assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    with tarfile.open(folder / name) as archive:
        archive.extractall("unpacked", filter="data")
    root = Path("unpacked", "tiny-1.1.0")
    assert tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"] == "1.1.0"
    cited = documents.read(root / "CITATION.cff").plain()
    assert (cited["version"], cited["date-released"][:2]) == ("1.1.0", "20")
    board = Published.model_validate_json((root / "results/leaderboard.json").read_text("utf-8"))
    assert board.version == "1.1.0"
    assert board.citation == bibtex(cited)
    for page in ("README.md", "results/index.html"):
        assert bibtex(cited) in (root / page).read_text("utf-8")
    assert "1.0.0" not in (root / "results/index.html").read_text("utf-8")
    frozen = json.loads((root / "results/releases/1.1.0.json").read_text("utf-8"))
    for path, expected in frozen["files"].items():
        assert hashlib.sha256((root / path).read_bytes()).hexdigest() == expected
    assert "results/records.parquet" in frozen["files"]
    codemeta, zenodo = map(read_json, (root / "codemeta.json", root / ".zenodo.json"))
    assert codemeta["author"] == [{"@type": "Person", "givenName": "Jo", "familyName": "Doe"}]
    assert zenodo["creators"] == [{"name": "Doe, Jo"}]
    assert codemeta["version"] == zenodo["version"] == "1.1.0"
    assert "codeRepository" not in codemeta, "no URL is known"
    assert "related_identifiers" not in zenodo
    text = (root / "CHANGELOG.md").read_text("utf-8")
    assert re.search(
        r"## \[Unreleased\]\n\n## \[1\.1\.0\] - \d{4}-\d\d-\d\d\n\n### Added\n\n- A thing\.\n\n"
        r"### Changed\n\n- The leaderboards are frozen for the first time",
        text,
    )


def edit_text(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


CASES = {
    "README.md differ from the last commit": lambda: edit_text("README.md", "Tiny", "Other"),
    f"{ORACLE}: {METHODS[0]} fitted by other code than that of this": lambda: edit_text(
        f"own/methods/{METHODS[0]}.py", "0", "2"
    ),
    f"{ORACLE}: {METHODS[0]}, .* of another protocol than": lambda: change_params(
        protocol={"batch_size": 7}
    ),
    f"{ORACLE}: {METHODS[COUNT]} not on record": lambda: change_params(
        methods=METHODS[: COUNT + 1]
    ),
    f"{CLICKS}: .* of other data than": lambda: edit(
        Path("data/processed", CLICKS, "schema.json"), fingerprint="others"
    ),
    "runs.csv differs from records.parquet in 1 value.s., first in code of": lambda: edit_text(
        "results/runs.csv", code_of(METHODS[0]), "0" * 16
    ),
    "leaderboard.csv differs from runs.csv in 1 mean.s.": lambda: edit_text(
        "results/leaderboard.csv", ",0.", ",1."
    ),
    "results has no records.parquet": Path("results/records.parquet").unlink,
    "the tag v1.1.0 is there already": lambda: git("tag", "v1.1.0"),
    "not the root of a Git repository": lambda: shutil.rmtree(".git"),
}


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("says", CASES)
def test_what_does_not_agree_is_refused_in_one_sentence(says: str) -> None:
    CASES[says]()
    found = [text for text in Plan("1.1.0", date(2026, 1, 2)).obstacles() if re.search(says, text)]
    assert len(found) == 1
    assert "\n" not in found[0]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1.0.0", "is not greater than 1.0.0"),
        ("1.0.0rc1", "is not greater than 1.0.0"),
        ("one", "no version as PEP 440"),
        ("1.1.0-rc.1", "write 1.1.0rc1"),
    ],
)
def test_only_a_greater_version_is_released(
    version: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["release", version]) == 1
    printed = capsys.readouterr()
    assert says in printed.out
    assert printed.out.count("\n") == 1
    assert "nothing was written" in printed.err


def state() -> tuple[str, ...]:
    dist = sorted(str(path) for path in Path("dist").rglob("*"))
    return (git("rev-parse", "HEAD"), git("tag"), git("status", "--porcelain"),
            git("worktree", "list"), *dist)  # fmt: skip


def stop_when_packing(patch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise OSError("no space")

    patch.setattr(Plan, "_pack", stop)


def stop_when_merging(patch: pytest.MonkeyPatch) -> None:
    real = making.git

    def stop(*words: str, **options: Path) -> str:
        if words[0] == "merge":
            raise ValueError("no merge")
        return real(*words, **options)

    patch.setattr(making, "git", stop)


def stop_at_the_end(patch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def stop(folder: Path) -> Iterator[Path]:
        with replacing_folder(folder) as temporary:
            yield temporary
            raise OSError("no space")

    patch.setattr(making, "replacing_folder", stop)


@pytest.mark.parametrize("stop", [stop_when_packing, stop_when_merging, stop_at_the_end])
def test_a_release_that_fails_leaves_nothing_behind(
    project: pytest.MonkeyPatch, stop: object
) -> None:
    before = state()
    assert callable(stop)
    stop(project)
    assert main(["release", "1.1.0"]) == 1
    assert state() == before


@pytest.mark.usefixtures("project")
def test_a_dry_run_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = state()
    assert main(["release", "1.1.0", "--dry-run"]) == 0
    assert state() == before
    assert "pyproject.toml" in capsys.readouterr().out


def test_the_readme_has_the_entry_of_the_citation_file() -> None:
    cited = documents.read(ROOT / "CITATION.cff").plain()
    assert bibtex(cited) in (ROOT / "README.md").read_text(encoding="utf-8")
