"""How a release is made: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from packaging.version import InvalidVersion, Version

from benchmark.files import replacing_folder, sha256
from benchmark.release import release
from benchmark.releases import metadata
from benchmark.releases.agreement import faults, missing_variants, notes
from benchmark.releases.git import changed, elsewhere, git, has_tag, is_root
from benchmark.releases.standings import FOLDER, Release, latest, moves, standings
from benchmark.releases.tables import Published, published
from benchmark.reporting.site import CITATION

TARGET = Path("dist")
FIRST = "The leaderboards are frozen for the first time, so that nothing is compared."


@dataclass(frozen=True)
class Plan:
    """A release that was not made yet."""

    version: str
    day: date

    @property
    def tag(self) -> str:
        """The name of its tag."""
        return f"v{self.version}"

    @cached_property
    def tables(self) -> list[Published]:
        """The published tables."""
        return list(published())

    def obstacles(self) -> Iterator[str]:
        """Yield a sentence for everything that stands against the release."""
        if not is_root(Path()):
            yield "this folder is not the root of a Git repository, from which releases are made"
            return
        if paths := changed():
            more = f" and {len(paths) - 1} more" if paths[1:] else ""
            yield f"{paths[0]}{more} differ from the last commit; commit or remove what changed"
        yield from self._not_greater()
        if has_tag(self.tag):
            yield f"the tag {self.tag} is there already; choose a greater version"
        known = {table.workspace.study for table in self.tables}
        for table in self.tables:
            yield from faults(table)
            yield from missing_variants(table, known)

    def _not_greater(self) -> Iterator[str]:
        try:
            wanted = Version(self.version)
        except InvalidVersion:
            yield f"{self.version!r} is no version as PEP 440 has them, such as 0.2.0"
            return
        if str(wanted) != self.version:
            yield f"{self.version!r} is not how PEP 440 writes it; write {wanted}"
        before = latest()
        known = [named[1] for named in [release(Path())] if named]
        known += [before.version] if before else []
        newest = max(map(Version, known), default=None)
        if newest is not None and wanted <= newest:
            yield f"version {self.version} is not greater than {newest}, which is the last one"

    @cached_property
    def changes(self) -> list[str]:
        """What moved on the leaderboards since the last release, a sentence each."""
        before = latest()
        moved = [FIRST] if before is None else list(moves(before, self._frozen({})))
        return [*moved, *(text for table in self.tables for text in notes(table))]

    def texts(self) -> dict[Path, str]:
        """Return every file that the release changes, by its path, with the new content."""
        texts = metadata.bumped(self.version, self.day)
        citation = texts[CITATION]
        texts |= metadata.stamped(citation) | {
            metadata.CODEMETA: metadata.codemeta(citation),
            metadata.ZENODO: metadata.zenodo(citation),
            metadata.CHANGELOG: metadata.changelog(self.version, self.day, self.changes, citation),
        }
        return texts

    def _frozen(self, files: dict[str, str]) -> Release:
        tables = {table.title: frozen for table in self.tables if (frozen := standings(table))}
        day = self.day.isoformat()
        return Release(version=self.version, date=day, tables=tables, files=files)

    def make(self) -> Path:
        """Commit and tag the release, and write its archive with checksums; return their folder.

        If anything fails, the working tree, the branch, the tags and the folder are as before.

        Raises:
            ValueError: Git refuses.
        """
        folder = TARGET / self.version
        with ExitStack() as undo, elsewhere() as tree:
            for path, text in self.texts().items():
                _write(tree / path, text)
            _write(tree / FOLDER / f"{self.version}.json", self._frozen(_sums(tree)).text())
            git("add", "--all", folder=tree)
            git("commit", "--quiet", f"--message=Release {self.version}", folder=tree)
            commit = git("rev-parse", "HEAD", folder=tree)
            with replacing_folder(folder) as temporary:
                self._pack(commit, temporary)
                git("tag", "--annotate", f"--message=Release {self.version}", self.tag, commit)
                undo.callback(git, "tag", "--delete", self.tag)
                git("merge", "--quiet", "--ff-only", commit)
                undo.callback(git, "reset", "--quiet", "--hard", f"{commit}^")
            undo.pop_all()
        return folder

    def _pack(self, commit: str, folder: Path) -> None:
        """Write the archive of a commit, which holds the published results, and its checksum."""
        named = release(Path())
        stem = f"{named[0] if named else Path().resolve().name}-{self.version}"
        path = folder / f"{stem}.tar.gz"
        output = f"--output={path.resolve()}"
        git("archive", "--format=tar.gz", f"--prefix={stem}/", output, commit)
        (folder / "SHA256SUMS").write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")


def _sums(tree: Path) -> dict[str, str]:
    """Return the SHA-256 of all published results but the releases, by path."""
    paths = sorted(path for path in (tree / "results").rglob("*") if path.is_file())
    names = {path.relative_to(tree): path for path in paths}
    return {
        name.as_posix(): sha256(path)
        for name, path in names.items()
        if not name.is_relative_to(FOLDER)
    }


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
