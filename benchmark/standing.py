"""What is there already, and whether it is still what the params, the code and the data ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from benchmark import parquet
from benchmark.data.prepare import Draw
from benchmark.execution.provenance import describe, environment
from benchmark.execution.tasks import Cell
from benchmark.registry import PluginError
from benchmark.schema import SPLITS, Schema
from benchmark.studies import Setting, Workspace


def schema_of(setting: Setting) -> Schema | None:
    """Return the schema of a setting's splits, None where there is none that can be read."""
    try:
        return setting.schema
    except ValueError:
        return None


def damage(folder: Path) -> str | None:
    """Return which file of processed splits cannot be read or lacks rows, None if none does.

    Only the ends of the files are read, since large ones take minutes: training looks at the rest.
    """
    try:
        schema = Schema.read(folder)
    except FileNotFoundError:
        return None
    except ValueError:
        return "schema.json"
    rows = {f"{split}.parquet": schema.rows.get(split) for split in SPLITS}
    if schema.has_oracle:
        rows |= {f"{split}.oracle.parquet": schema.rows.get(split) for split in SPLITS[1:]}
    return next((file for file, count in rows.items() if _rows(folder / file) != count), None)


def _rows(path: Path) -> int | None:
    """Return the number of rows that the end of a Parquet file tells, None if it is unreadable."""
    try:
        count: int = parquet.scan(path).select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError):
        return None
    return count


class Standing:
    """Tells what `python -m benchmark data` and `run` would leave as it is, and asks once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._current = dict[Path, bool]()
        launch, protocol = workspace.params.launch, workspace.params.protocol
        # What the workers of a cluster have cannot be asked from here.
        self._where: dict[str, Any] = environment(protocol.device) if launch.on == "local" else {}

    def is_processed(self, setting: Setting) -> bool:
        """Tell whether all splits of a setting come from today's options, code and raw files."""
        return not any(self.pending(setting))

    def pending(self, setting: Setting) -> Iterator[Draw]:
        """Yield the draws of a setting that `python -m benchmark data` would make."""
        return (draw for draw in self._draws(setting) if not self._is_current(draw))

    def damaged(self, setting: Setting) -> Iterator[Path]:
        """Yield a file of each draw that counts as made, but on which nothing can be trained."""
        for draw in self._draws(setting):
            if (file := damage(draw.processed)) and self._is_current(draw):
                yield draw.processed / file

    def is_over(self, cell: Cell) -> bool:
        """Tell whether a task is on record under today's key, was skipped, or is left out."""
        try:
            kind = cell.kind
        except (LookupError, PluginError):
            return True
        if not (cell.folder / "task.json").is_file() or not self.is_processed(cell.setting):
            return False
        try:
            task = describe(cell.schema, cell.method, kind, cell.protocol, self._where)
        except (AttributeError, LookupError):  # the class lacks what its record has to name
            return True
        return cell.is_finished(task)

    def _draws(self, setting: Setting) -> Iterator[Draw]:
        params, raw = self._workspace.params, self._workspace.raw / setting.dataset
        asked_for = setting.draws(params.replicates, self._workspace.tuning_draws)
        for processed, options in asked_for:
            yield Draw(setting.processed.name, setting.dataset, options, raw, processed)

    def _is_current(self, draw: Draw) -> bool:
        if draw.processed not in self._current:
            self._current[draw.processed] = _is_current(draw)
        return self._current[draw.processed]


def _is_current(draw: Draw) -> bool:
    """Tell whether a draw stays as it is; one of an adapter that cannot be imported does not."""
    try:
        return draw.is_current()
    except (LookupError, PluginError):
        return False
