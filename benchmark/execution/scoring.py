"""Metrics computed again from predictions and data alone, and compared with what is on record."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.execution import predictions
from benchmark.files import sha256
from benchmark.metrics.evaluation import evaluate
from benchmark.schema import Schema
from benchmark.sealing import read_whole
from benchmark.splits import check_whole, schema_of
from benchmark.studies import STUDIES, Setting, Workspace
from benchmark.training.trainer import read_labels

TOLERANCE = 1e-9  # relative: sums of other processors and libraries round otherwise


@dataclass(frozen=True)
class Scored:
    """The metrics of a file of predictions, and where they contradict its record, in sentences.

    ``recorded`` is None where there is no record beside the file.
    """

    path: Path
    metrics: dict[str, float]
    recorded: dict[str, float] | None
    faults: tuple[str, ...]


def score(
    path: Path, workspace: Workspace, setting: str | None = None, replicate: int | None = None
) -> Iterator[Scored]:
    """Yield the metrics of a file of predictions, or of all in a folder, on the prepared data.

    Study, setting and replicate follow from the place of a file below ``results/runs`` or a
    study's, unless they are named.

    Raises:
        FileNotFoundError: there is no such file, or the data were not prepared.
        LookupError: there is no such setting.
        PredictionsError: a file does not have a prediction of every row.
        ValueError: the setting is not named, or the record was edited.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there")
    if path.is_file() and path.suffix != predictions.SUFFIX:
        raise ValueError(f"{path} holds no predictions, which a file *{predictions.SUFFIX} does")
    files = sorted(path.rglob(f"*{predictions.SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(
            f"{path} holds no predictions, files *{predictions.SUFFIX}; published records come "
            "without any, and `python -m benchmark verify` makes their fits again"
        )
    for file in files:
        yield _scored(file, *_origin(file, workspace, setting, replicate))


def _origin(
    file: Path, workspace: Workspace, setting: str | None, replicate: int | None
) -> tuple[Setting, int]:
    if workspace.study is None:
        workspace = Workspace(_study(file), workspace.changes)
    runs = workspace.runs.resolve()
    if setting is None and file.resolve().is_relative_to(runs):
        setting = file.resolve().relative_to(runs).parts[0]
        if replicate is None and not file.stem.isdecimal():
            raise ValueError(f"{file} is not named by its replicate: name that with --replicate")
        replicate = int(file.stem) if replicate is None else replicate
    if setting is None:
        raise ValueError(
            f"{file} does not lie in {workspace.runs}: name its setting with --setting, and its "
            "replicate with --replicate if that is not 0"
        )
    known = {at.name: at for at in workspace.settings()}
    if setting not in known:
        raise LookupError(f"params.yaml has no setting {setting!r}; it has {', '.join(known)}")
    return known[setting], replicate or 0


def _study(file: Path) -> str | None:
    """Return the study in whose results a file lies."""
    folder = (Path("results") / STUDIES).resolve()
    within = file.resolve().is_relative_to(folder)
    return file.resolve().relative_to(folder).parts[0] if within else None


def _scored(file: Path, setting: Setting, replicate: int) -> Scored:
    folder = setting.replicate(replicate)
    schema = prepared(folder)
    labels = read_labels(folder, "test", schema)
    metrics = evaluate(labels, predictions.read(file, schema.rows["test"]))
    record = file.with_suffix(".json")
    if not record.is_file():
        return Scored(file, metrics, None, ())
    content = read_whole(record)
    recorded: dict[str, float] = content.get("test", {})
    return Scored(file, metrics, recorded, tuple(_faults(file, content, metrics, schema)))


def prepared(folder: Path) -> Schema:
    """Return the schema of prepared data.

    Raises:
        FileNotFoundError: they are not there.
    """
    if not (folder / "schema.json").is_file():
        raise FileNotFoundError(f"{folder} is not prepared; run `python -m benchmark data`")
    check_whole(folder)
    return schema_of(folder)


def _faults(
    file: Path, record: dict[str, Any], metrics: dict[str, float], schema: Schema
) -> Iterator[str]:
    if record.get("data") not in ("", None, schema.fingerprint):
        yield "the record is of other data than are now prepared"
    if record.get("predictions") != sha256(file):
        yield "the file is not the one whose SHA-256 is on record"
    for name, value in record.get("test", {}).items():
        if name in metrics and not math.isclose(metrics[name], value, rel_tol=TOLERANCE):
            yield f"{name} is {metrics[name]:.6g}; on record is {value:.6g}"


def described(scored: Scored) -> str:
    """Return the metrics as lines, and what contradicts the record."""
    lines = [f"{scored.path}:"]
    width = max(map(len, scored.metrics), default=0)
    lines += [f"  {name:{width}} {value:.6f}" for name, value in sorted(scored.metrics.items())]
    if scored.recorded is None:
        lines.append("  no record beside it to compare with")
    elif not scored.faults:
        missing = sorted(set(scored.recorded) - set(scored.metrics))
        same = len(scored.recorded) - len(missing)
        lines.append(f"  equal to the record in all {same} metrics")
        if missing:
            lines.append(f"  not computed, as they need estimates: {', '.join(missing)}")
    return "\n".join([*lines, *(f"  CONTRADICTS the record: {fault}" for fault in scored.faults)])
