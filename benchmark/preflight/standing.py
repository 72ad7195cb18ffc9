"""What is there already, and whether it is still what the params, the code and the data ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmark.data.prepare import Draw
from benchmark.execution.provenance import describe, environment
from benchmark.execution.tasks import Cell
from benchmark.files import DamagedError
from benchmark.registry import PluginError
from benchmark.schema import Schema
from benchmark.studies import Setting, Workspace


def known_schema(setting: Setting) -> Schema | None:
    """Return the schema of a setting's splits, None where there is none that can be read."""
    try:
        return setting.schema
    except DamagedError:
        return None


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

    def is_over(self, cell: Cell) -> bool:
        """Tell whether a task is on record under today's key, was skipped, or is left out."""
        try:
            kind = cell.kind
            if not (cell.folder / "task.json").is_file() or not self.is_processed(cell.setting):
                return False
            task = describe(cell.schema, cell.method, kind, cell.protocol, self._where)
        except (AttributeError, LookupError, PluginError):  # no class, or one without name or paper
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
