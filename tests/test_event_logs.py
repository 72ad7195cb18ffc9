"""Logs of events become clicks: what all of them keep, count and refuse, whatever the log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers.event_logs import DAY, KEY, Event, acts, clicks, dropped, same_clicks
from helpers.layouts import coveo, otto, rees46, taobao
from helpers.raw_logs import Row, layout, load

from benchmark.data.dataset import kept
from benchmark.data.preprocess import preprocess
from benchmark.data.reading import event_log
from benchmark.data.reading.event_log import EventLog
from benchmark.errors import ConfigError

NAMES = ("retailrocket", "rees46", "taobao", "yoochoose", "otto", "tmall", "merrec")


# --- what all of them do


@pytest.mark.parametrize("name", NAMES)
def test_hash_partitions_change_nothing_but_the_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(name).write(tmp_path)
    whole = load(name)().table(tmp_path)
    monkeypatch.setattr(event_log, "PART_BYTES", 1000)
    cut = load(name)().table(tmp_path)
    assert kept(cut).collect()[KEY].to_dicts() != kept(whole).collect()[KEY].to_dicts()
    assert kept(cut).collect().sort(KEY).equals(kept(whole).collect().sort(KEY))
    assert dropped(cut) == dropped(whole)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ({}, 1),
        ({"a.csv": 1 << 24}, 2),
        ({"a.csv.gz": 1 << 24}, 7),
        ({"a.tar.gz": 1 << 24, "a/b.csv": 1 << 25}, 4),
        ({"a.csv": 1 << 33}, 256),
    ],
)
def test_partitions_are_bounded_in_bytes_of_text_and_in_number(
    sizes: dict[str, int], parts: int, tmp_path: Path
) -> None:
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)  # a sparse file, of no room on the disk
    assert event_log.partitions(tmp_path) == parts


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_left_out_is_counted(name: str, tmp_path: Path) -> None:
    """Every event is a row, repeats one, is the doing of one, or is counted by its rule."""
    layout(name).write(tmp_path)
    log = list(_events(name, tmp_path))
    counts = dropped(load(name)().table(tmp_path))
    distinct = [event for number, event in enumerate(log) if event not in log[:number]]
    assert counts["exact duplicate of another event"] == len(log) - len(distinct) > 0
    buys = sum(event["conversion"] for event in distinct)
    assert 0 < counts["conversion outside the windows of all rows"] < buys
    assert counts["click whose window the end of the log cuts off"] > 0


def _events(name: str, folder: Path) -> Iterator[Row]:
    log = layout(name).events(next(folder.glob("*train.jsonl")) if name == "otto" else folder)
    for event in log:
        if name != "taobao" or taobao.FIRST <= event["time"] < taobao.END:
            yield event


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_later_changes_no_feature(name: str, tmp_path: Path) -> None:
    """Cut the log after some click: what was known of the earlier ones stays."""
    dataset = load(name)()
    layout(name).write(tmp_path / "raw")
    events = dataset.events(tmp_path / "raw").collect()  # type: ignore[attr-defined]
    if dataset.period:  # type: ignore[attr-defined]
        events = events.filter(pl.col("time").is_between(*dataset.period, "left"))
    cut = events["time"].sort()[len(events) * 3 // 4]
    tables = []
    for log in (events, events.filter(pl.col("time") <= cut)):
        dataset.events = lambda _, log=log: log.lazy()  # type: ignore[attr-defined]
        tables.append(kept(dataset.table(tmp_path / "raw")).collect())
    features = [*dataset.categorical, *dataset.numeric, *dataset.sequences, *dataset.stages[1:]]
    columns = list(dict.fromkeys([*KEY, *features]))
    whole, early = (table.select(columns).sort(KEY) for table in tables)
    assert 20 < len(early) < len(whole)
    assert whole.join(early.select(KEY), on=KEY, how="semi").equals(early)


@pytest.mark.parametrize("option", [{"window_days": 0}, {"history": -1}, {"window_days": "7"}])
@pytest.mark.parametrize("name", NAMES)
def test_bad_options_are_refused(name: str, option: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=rf"options\.{name}\.{next(iter(option))} is .*; it must be "
    ):
        load(name)(**option)


def test_histories_can_be_left_out(tmp_path: Path) -> None:
    otto.write(tmp_path)
    dataset = load("otto")(history=0)
    assert not dataset.sequences
    assert "recent_item_id" not in dataset.table(tmp_path).collect_schema()


# --- any log of events


class Anything(EventLog):
    """A log that a test gives, with all labels."""

    title = "Anything"
    citation = licence = claims = ""
    stages = ("click", "micro", "macro", "conversion")
    context = ("category",)
    measured = ("price",)

    def __init__(self, log: list[Event], **options: Any) -> None:
        super().__init__(**options)
        self.log = log

    def events(self, raw: Path) -> pl.LazyFrame:
        flags = dict.fromkeys(("micro", "macro", "conversion"), pl.Int8)
        return pl.LazyFrame(self.log, schema_overrides=flags)


def anything(seed: int, unit: int) -> list[Event]:
    """Return a log of hand, in which many things happen at once."""
    kinds = ("view", "detail", "cart", "uncart", "buy")
    return [
        {
            "who": f"user {act.who}", "item": f"item {act.item % 9}", "time": act.time,
            "click": act.kind == "view", "micro": int(act.kind == "detail"),
            "macro": {"cart": 1, "uncart": -1}.get(act.kind, 0),
            "conversion": int(act.kind == "buy"),
            "category": f"kind {act.item % 9 % 3}" if act.item % 9 else None,
            "price": act.item % 9 / 4 if act.item % 9 > 1 else None,
        }
        for act in acts(seed, kinds, days=40, start=1_600_000_000_000, unit=unit)
    ]  # fmt: skip


@pytest.mark.parametrize("unit", [1, DAY // 2])
@pytest.mark.parametrize("seed", range(100, 106))
def test_any_log_is_read_as_by_the_slow_reader(
    seed: int, unit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, days = anything(seed, unit), (0.5, 7, 15)[seed % 3]
    (tmp_path / "file").write_bytes(b"0" * 1000)
    monkeypatch.setattr(event_log, "PART_BYTES", 300)
    names = {"context": ("category",), "measured": ("price",)}
    same_clicks(
        Anything(log, window_days=days),
        tmp_path,
        lambda _: clicks(log, ("micro", "macro", "conversion"), window_days=days, **names),
    )


class Counted(Anything):
    """A log whose readings are counted."""

    min_count = 1
    reads = 0

    def events(self, raw: Path) -> pl.LazyFrame:
        def counted(rows: pl.DataFrame) -> pl.DataFrame:
            Counted.reads += 1
            return rows

        return super().events(raw).map_batches(counted, streamable=False)


def test_a_log_that_was_read_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def processed(folder: str) -> str:
        dataset, out = Counted(anything(3, 1)), tmp_path / folder
        return preprocess(dataset, "x", tmp_path / "raw", out, verified=True).fingerprint

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Counted, "reads", 0)
    whole = processed("whole/x")
    assert Counted.reads == 1
    for where in ("reading.event_log._dropped", "checks.check"):
        with monkeypatch.context() as patch:
            patch.setattr(f"benchmark.data.{where}", killed)
            with pytest.raises(KeyboardInterrupt):
                processed("killed/x")
        assert Counted.reads == 2
    assert processed("killed/x") == whole
    assert Counted.reads == 2


def test_the_number_of_cores_changes_no_byte(tmp_path: Path) -> None:
    rees46.write(tmp_path / "raw")
    code = (
        "import sys; from pathlib import Path; from helpers.raw_logs import load;"
        "from benchmark.data.preprocess import preprocess; folder = Path(sys.argv[1]);"
        "print(preprocess(load('rees46')(), 'x', folder / 'raw', folder / 'x',"
        " verified=False).fingerprint)"
    )
    paths = os.pathsep.join(sys.path)
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True,
            env={**os.environ, "POLARS_MAX_THREADS": cores, "PYTHONPATH": paths}, text=True,
        ).stdout
        for cores in ("1", "3")
    }  # fmt: skip
    assert len(found) == 1


def test_searches_are_cut_into_sessions_without_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coveo.write(tmp_path)
    kind = load("coveo")
    whole = kind().table(tmp_path)
    monkeypatch.setattr(sys.modules[kind.__module__], "PART_BYTES", 1000)
    cut = kind().table(tmp_path)
    assert dropped(cut) == dropped(whole)
    rows, same_rows = (kept(table).collect() for table in (whole, cut))
    assert not rows.equals(same_rows)
    assert rows.sort("group", "place").equals(same_rows.sort("group", "place"))
