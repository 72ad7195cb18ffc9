"""Whether published tables, their records, and the code and params of this checkout agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from benchmark import registry
from benchmark.config import Params
from benchmark.configuration import documents
from benchmark.execution.archive import FILE
from benchmark.execution.code import code_of
from benchmark.references import MARK, is_widened, own_protocol
from benchmark.releases.tables import Published
from benchmark.reporting.leaderboard import RUNS
from benchmark.studies import Setting

KEYS = ("key", "code", "data", "commit")


def faults(published: Published) -> Iterator[str]:
    """Yield a sentence for everything in which results do not agree, with what to do."""
    workspace = published.workspace
    option = f" --study {workspace.study}" if workspace.study else ""
    report = f"`python -m benchmark report{option}`"
    remedy = f"run `python -m benchmark run{option}` and {report}"
    if not published.rows:
        yield f"{workspace.results} has no {FILE}, so that nothing of it can be checked; {remedy}"
        return
    for setting in workspace.settings():
        params = workspace.params_of(setting)
        for reason, methods in _by_reason(published, setting, params).items():
            yield f"{workspace.results}, {setting.name}: {', '.join(methods)} {reason}; {remedy}"
    for reason in _differences(published):
        yield f"{workspace.results}/{reason}; run {report}"


def missing_variants(published: Published, known: set[str | None]) -> Iterator[str]:
    """Yield a sentence for each study that a table of published values needs and that has none."""
    path = published.workspace.folder / "published.yaml"
    variants = documents.read(path).plain()["variants"].values() if path.is_file() else ()
    for study in sorted({variant["study"] for variant in variants} - known):
        yield (
            f"{published.workspace.results} compares the study {study}, which has no results; run "
            f"`python -m benchmark run --study {study}` and "
            f"`python -m benchmark report --study {study}`"
        )


def notes(published: Published) -> Iterator[str]:
    """Yield which records were kept over a change of code, which readers must know."""
    tasks = {m: task for (_, m), task in published.tasks.items() if not is_widened(m)}
    kept = {m: task["adopted"] for m, task in tasks.items() if task.get("adopted")}
    if kept:
        fits = sum(adopted["fits"] for adopted in kept.values())
        yield (
            f"{published.title}: the records of {len(kept)} methods are of earlier code; "
            f"{fits} of their fits, made again by code before this release, gave the same numbers."
        )


def _by_reason(published: Published, setting: Setting, params: Params) -> dict[str, list[str]]:
    """Return the methods whose records may not stand in the table, by the reason.

    Widened references count as those of today's reference alone: a table reads no others.
    """
    methods = dict[str, list[str]]()
    ours = f"{params.leaderboard.reference}{MARK}"
    widened = (name for at, name in published.tasks if at == setting.name and name.startswith(ours))
    for method in (*params.methods, *widened):
        if reason := _reason(published, setting, params, (setting.name, method)):
            methods.setdefault(reason, []).append(method)
    return methods


def _reason(
    published: Published, setting: Setting, params: Params, cell: tuple[str, str]
) -> str | None:
    if (task := published.tasks.get(cell)) is None:
        return "not on record"
    method, schema = task["method"], published.schema(setting.name)
    if not registry.path_of("methods", method).is_file():
        return "whose file is not here"
    if task["protocol"] != own_protocol(params.protocol, cell[1], task["protocol"]).identity:
        return "of another protocol than that of the params"
    if task["code"] != code_of(method) and not published.record(*cell, "skipped.json"):
        return "fitted by other code than that of this checkout"
    if not _of_the_data(task, schema, setting):
        return "of other data than those of the params"
    return None


def _of_the_data(task: dict[str, Any], schema: dict[str, Any], setting: Setting) -> bool:
    """Tell whether records are of the data on record, made with the options of the params."""
    here = setting.schema
    if here is not None and here.fingerprint != task["data"]:
        return False
    if not schema:
        return True
    known = registry.path_of("datasets", setting.dataset).is_file()
    made_so = not known or schema["options"] == setting.options
    return bool(schema["fingerprint"] == task["data"]) and made_so


def _differences(published: Published) -> Iterator[str]:
    """Yield what the tables say other than the records, in the order in which it is found."""
    runs, means = published.table("runs.csv"), published.table("leaderboard.csv")
    if runs is None or means is None:
        return
    wrong = [text for row in runs.to_dict("records") for text in _wrong(published, row)]
    if wrong:
        yield f"runs.csv differs from {FILE} in {len(wrong)} value(s), first in {wrong[0]}"
    stale = list(_stale(runs, means))
    if stale:
        yield f"leaderboard.csv differs from runs.csv in {len(stale)} mean(s), first in {stale[0]}"


def _wrong(published: Published, row: dict[Any, Any]) -> Iterator[str]:
    """Yield where a row of ``runs.csv`` is not what is on record."""
    place, method, seed = row["dataset"], row["method"], row["seed"]
    task = published.tasks.get((place, method), {})
    part = published.record(place, method, "best.json").get("part", "default")
    tested = published.record(place, method, part, f"{seed}.json").get("test", {})
    recorded = {key: task.get(key) for key in KEYS} | tested
    for name in (*KEYS, *(set(row) - set(RUNS))):
        printed = None if pd.isna(row[name]) else row[name]
        if printed != recorded.get(name):
            yield f"{name} of {method} on {place}, replicate {seed}"


def _stale(runs: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Yield the means that are not those of the replicates."""
    groups = dict(iter(runs.groupby(["dataset", "method"])))
    for row in means.to_dict("records"):
        values = groups.get((row["dataset"], row["method"]), runs.head(0)).get(row["metric"])
        if values is None or not math.isclose(values.mean(), row["mean"], rel_tol=1e-5):
            yield f"{row['metric']} of {row['method']} on {row['dataset']}"
