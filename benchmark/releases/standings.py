"""What a release froze of each leaderboard, and what moved in it until the next release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd
from packaging.version import Version
from pydantic import BaseModel, ConfigDict

from benchmark.files import fingerprint
from benchmark.releases.tables import Published

FOLDER = Path("results/releases")
CAUSES = {
    "code": "its code changed",
    "data": "the data changed",
    "protocol": "the protocol changed",
    "environment": "libraries or device changed",
}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Standing(_Model):
    """A method in a setting: its result, and hashes of all that the result depends on."""

    title: str
    mean: float
    rank: float | None
    code: str
    data: str
    protocol: str
    environment: str


class SettingStandings(_Model):
    """The methods of a setting by file name, ranked by a metric."""

    metric: str
    methods: dict[str, Standing]


class Release(_Model):
    """A release: its leaderboards by title and setting, and the SHA-256 of published files."""

    version: str
    date: str
    tables: dict[str, dict[str, SettingStandings]]
    files: dict[str, str]

    def text(self) -> str:
        """Return it as it is committed."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def latest() -> Release | None:
    """Return the newest release that is on file: so the source alone is enough, without Git."""
    known = {Version(path.stem): path for path in FOLDER.glob("*.json")}
    if not known:
        return None
    return Release.model_validate_json(known[max(known)].read_text(encoding="utf-8"))


def standings(published: Published) -> dict[str, SettingStandings]:
    """Return what to freeze of a leaderboard, by setting; nothing of other tables."""
    means = published.table("leaderboard.csv")
    if means is None:
        return {}
    return {
        str(setting): standing
        for setting, rows in means.groupby("dataset", sort=False)
        if (standing := _standings(published, str(setting), rows)) is not None
    }


def _standings(published: Published, setting: str, rows: pd.DataFrame) -> SettingStandings | None:
    headline = published.workspace.params.leaderboard.headline
    metric = next((name for name in headline if (rows["metric"] == name).any()), None)
    if metric is None:
        return None
    methods = {}
    for row in rows[rows["metric"] == metric].to_dict("records"):
        task = published.tasks[setting, row["method"]]
        budget = task["protocol"], row["trials"], row["replicates"]
        where = task["versions"], task["python"], task["device"]
        methods[row["method"]] = Standing(
            title=row["title"],
            mean=row["mean"],
            rank=None if pd.isna(row["rank"]) else row["rank"],
            code=task["code"],
            data=task["data"],
            protocol=_hash(budget),
            environment=_hash(where),
        )
    return SettingStandings(metric=metric, methods=methods)


def _hash(parts: Iterable[object]) -> str:
    return fingerprint(json.dumps(part, sort_keys=True) for part in parts)


def moves(before: Release, after: Release) -> Iterator[str]:
    """Yield a sentence per method that entered, left or moved, and what moved it."""
    for table, settings in after.tables.items():
        if table not in before.tables:
            yield f"{table} is new."
            continue
        earlier = before.tables[table]
        for setting, new in settings.items():
            where = f"{table}, {setting}"
            if (old := earlier.get(setting)) is None:
                yield f"{where} is new."
                continue
            if old.metric != new.metric:
                yield f"{where}: methods are ranked by {new.metric} instead of {old.metric}."
            yield from (f"{where}: {text}." for text in _moved(old, new))
        yield from (
            f"{table}, {setting} is gone." for setting in earlier if setting not in settings
        )
    yield from (f"{table} is gone." for table in before.tables if table not in after.tables)


def _moved(old: SettingStandings, new: SettingStandings) -> Iterator[str]:
    for method, now in new.methods.items():
        was = old.methods.get(method)
        if was is None:
            yield f"{now.title} is new" + ("" if now.rank is None else f", at rank {now.rank:g}")
        elif (was.rank, was.mean) != (now.rank, now.mean):
            yield f"{now.title} {_way(was, now)}; {_cause(was, now)}"
    for method, was in old.methods.items():
        if method not in new.methods:
            yield f"{was.title} is no longer in the table"


def _way(was: Standing, now: Standing) -> str:
    means = f"({was.mean:.4f} to {now.mean:.4f})"
    if was.rank is None or now.rank is None:
        return f"changes {means}"
    if was.rank == now.rank:
        return f"stays at rank {now.rank:g} {means}"
    return f"moves from rank {was.rank:g} to {now.rank:g} {means}"


def _cause(was: Standing, now: Standing) -> str:
    if was.mean == now.mean:
        return "its result is the same, others moved"
    causes = [words for name, words in CAUSES.items() if getattr(was, name) != getattr(now, name)]
    return " and ".join(causes) or "its fits were made again"
