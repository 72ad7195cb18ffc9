"""The published tables with the records that they were made from, as Git has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import parquet
from benchmark.execution.archive import FILE, SCHEMA
from benchmark.reporting.site import MAIN, title
from benchmark.studies import STUDIES, Workspace


@dataclass(frozen=True)
class Published:
    """The results of the benchmark or of a study, and its records by their paths."""

    workspace: Workspace
    rows: Mapping[str, str]

    @classmethod
    def read(cls, workspace: Workspace) -> Published:
        """Read the records, of which there are none without their file."""
        path = workspace.results / FILE
        return cls(workspace, dict(parquet.read(path).iter_rows()) if path.is_file() else {})

    @property
    def title(self) -> str:
        """What pages call it."""
        return title(self.workspace.study) if self.workspace.study else MAIN

    @cached_property
    def tasks(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What the results of each setting and method depend on, widened references included."""
        return {
            (setting, method): json.loads(text)
            for path, text in self.rows.items()
            for setting, method, *rest in [path.split("/")[:3]]
            if rest == ["task.json"]
        }

    def record(self, *parts: str) -> dict[str, Any]:
        """Return a record by the parts of its path; nothing where there is none."""
        record: dict[str, Any] = json.loads(self.rows.get("/".join(parts), "{}"))
        return record

    def schema(self, setting: str) -> dict[str, Any]:
        """Return the schema of the data of a setting; nothing where it was not published."""
        return self.record(setting, SCHEMA)

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table that was published as CSV; None where there is none."""
        path = self.workspace.results / name
        if not path.is_file():
            return None
        with path.open(encoding="utf-8") as stream:
            return pd.read_table(stream, sep=",", float_precision="round_trip")


def published() -> Iterator[Published]:
    """Yield the results of the benchmark and of all studies that have some."""
    folders = sorted(path.name for path in Path("results", STUDIES).glob("*/"))
    known = [name for name in folders if (STUDIES / name / "params.yaml").is_file()]
    for study in (None, *known):
        yield Published.read(Workspace(study))
