"""Inputs that gave wrong numbers without a word: each kind of them, with what is right."""

from __future__ import annotations

import csv
import gzip
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from helpers.event_logs import dropped
from helpers.layouts import aliccp, criteo_attribution, criteo_conversion, rees46, trivago
from helpers.raw_logs import layout, load
from helpers.seals import seal

from benchmark.data import atomic_files
from benchmark.data.dataset import DataError, Dataset, kept
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.span import Span, span
from benchmark.metrics import ranking
from benchmark.metrics.discrimination import gauc
from benchmark.metrics.ordering import NO_GROUP
from benchmark.metrics.undefined import UndefinedError
from benchmark.schema import SPLITS, Schema
from benchmark.training.trainer import Data, read_labels


def tables(processed: Path) -> list[pl.DataFrame]:
    return [pl.read_parquet((processed / f"{split}.parquet").read_bytes()) for split in SPLITS]


# --- paths


@pytest.mark.parametrize("name", ["bench[12]", "a*b?", "my cvr [v2] %41 {x}", "month=1"])
def test_a_path_is_no_pattern_wherever_splits_are_written_and_read(
    tmp_path: Path, name: str
) -> None:
    """Another project, whose name the pattern would match, lies beside."""
    for folder, rows in ((tmp_path / "bench1", 2000), (tmp_path / name, 3000)):
        dataset = load("oracle_funnel")(rows=rows)
        preprocess(dataset, "x", folder / "raw", folder / "x", verified=True)
    data = Data.read(tmp_path / name / "x", torch.device("cpu"))
    assert {split: data.schema.rows[split] for split in SPLITS} == {
        "train": len(data.train), "valid": len(data.valid.table), "test": len(data.test.table)
    }  # fmt: skip
    assert sum(data.schema.rows.values()) == 3000
    assert len(data.test.labels.oracle_cvr) == len(data.test.table)  # type: ignore[arg-type]
    atomic_files.export_recbole(tmp_path / name / "x", tmp_path / name / "atomic")
    rees46.write(tmp_path / name / "rees46")
    assert kept(load("rees46")().table(tmp_path / name / "rees46")).collect().height > 50


@pytest.mark.parametrize("split", SPLITS)
def test_splits_that_were_changed_after_preprocessing_are_noticed_where_they_are_read(
    processed: Path, tmp_path: Path, split: str
) -> None:
    for path in processed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    Data.read(tmp_path, torch.device("cpu"))
    path = tmp_path / f"{split}.parquet"
    whole = path.read_bytes()
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"the splits in .* edited or damaged since; run `pyt"):
            Data.read(tmp_path, torch.device("cpu"))
        with pytest.raises(ValueError, match="edited or damaged since"):
            atomic_files.export_recbole(tmp_path, tmp_path / "atomic")
    path.write_bytes(whole)
    Data.read(tmp_path, torch.device("cpu"))
    pl.read_parquet(whole).head(10).write_parquet(path)
    seal(tmp_path)
    Schema.read(tmp_path).check_splits(tmp_path)


# --- groups


def test_rows_without_a_group_belong_to_none() -> None:
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 400).astype(float), rng.random(400)
    group = np.where(rng.random(400) < 0.1, NO_GROUP, rng.integers(-20, 20, 400))
    known = group != NO_GROUP
    assert 0 < (~known).sum() < 400
    rows = (label[known], score[known], group[known])
    assert gauc(label, score, group) == gauc(*rows)
    lists, own = ranking.Lists.ranked(label, score, group), ranking.Lists.ranked(*rows)
    for measure in (ranking.dcg, ranking.ndcg, ranking.hits, ranking.recall):
        assert measure(lists, 3) == measure(own, 3)
    for function in (gauc, ranking.Lists.ranked):
        with pytest.raises(UndefinedError, match="no row belongs to a group"):
            function(label, score, np.full(400, NO_GROUP))


def test_users_that_a_log_does_not_tell_are_no_group_of_the_metrics(tmp_path: Path) -> None:
    aliccp.write(tmp_path / "raw")
    schema = preprocess(
        load("aliccp")(), "aliccp", tmp_path / "raw", tmp_path / "x", verified=False
    )
    raw = kept(load("aliccp")().table(tmp_path / "raw")).filter(split="test").collect()
    labels = read_labels(tmp_path / "x", "test", schema)
    assert labels.group is not None
    assert (labels.group == NO_GROUP).tolist() == raw["101"].is_null().to_list()
    assert 0 < (labels.group == NO_GROUP).sum() < len(labels.group)
    assert {*labels.group} - {NO_GROUP} == {*range(1, raw["101"].n_unique())}


@pytest.mark.parametrize("name", ["aliccp", "criteo_search", "criteo_attribution"])
def test_where_a_log_does_not_tell_the_user_the_group_is_missing(name: str, tmp_path: Path) -> None:
    user = {"aliccp": "101", "criteo_search": "user_id", "criteo_attribution": "who"}[name]
    layout(name).write(tmp_path / "raw")
    table = kept(load(name)().table(tmp_path / "raw")).collect()
    assert table["group"].is_null().equals(table[user].is_null())
    assert table["group"].null_count() > 0 or name == "criteo_attribution"


# --- times


def test_a_few_wild_times_are_outside_of_a_log() -> None:
    log = pl.LazyFrame({"time": [*range(1000, 2000), 5]})
    assert span(log, 10) == Span(1000, 1999)
    assert span(log, 2000) == Span(5, 1999)  # a silence no longer than the gap
    assert span(pl.LazyFrame({"time": [*range(1000, 2000), 2050]}), 10) == Span(1000, 2050)
    assert span(pl.LazyFrame({"time": [*range(1000, 2000), 9999, 4, -(10**15)]}), 10) == Span(
        1000, 1999
    )
    many = [*range(1000, 2000), *range(9000, 9020)]
    assert span(pl.LazyFrame({"time": many}), 10) == Span(1000, 9019)  # two of a hundred
    assert span(pl.LazyFrame({"time": [1, 2, 3, 10**12]}), 10) == Span(1, 10**12)  # too few to tell
    assert span(pl.LazyFrame({"time": []}, {"time": pl.Int64}), 10) is None
    assert span(pl.LazyFrame({"time": [7, None]}), 10) == Span(7, 7)


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        (Span(1_571_000_000_000, 1_572_000_000_000), "times must be seconds since 1970"),
        (Span(1_571_000_000, 1_572_000_000, 1000), "times must be milliseconds since 1970"),
        (Span(0, 1_572_000_000_000, 1000), "those of the log are 0 to 1572000000000"),
        (Span(0, 7_776_000_000, dated=False), "times must be seconds, but those of the log"),
    ],
)
def test_times_in_another_unit_are_refused_for_what_they_would_mean(whole: Span, says: str) -> None:
    with pytest.raises(DataError, match=f"^Log: .*{says}"):
        whole.check_unit("Log")
    first, second = (1_571_000_000, 1) if whole.dated else (0, 1)
    Span(first, first + 7_776_000, second, whole.dated).check_unit("Log")


@pytest.mark.parametrize("name", ["otto", "criteo_conversion", "criteo_attribution"])
def test_a_log_in_another_unit_is_not_read_as_one_of_other_years(name: str, tmp_path: Path) -> None:
    layout(name).write(tmp_path / "raw")
    for path in filter(Path.is_file, (tmp_path / "raw").rglob("*")):
        packed = path.suffix == ".gz"
        text = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).decode()
        if name.startswith("criteo"):
            text = "\n".join(map(_in_milliseconds, text.splitlines())) + "\n"
        else:
            text = re.sub(r"\b(1\d{9})\d{3}\b", r"\1", text)
        path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    with pytest.raises(DataError, match=": times must be "):
        kept(load(name)().table(tmp_path / "raw")).collect()


def _in_milliseconds(line: str) -> str:
    """Multiply the times of a line of Criteo's, its first cell and that of its conversion."""
    cells = line.split("\t")
    for place in (0, 4 if len(cells) > 20 else 1):
        if cells[place].isdigit() and cells[place] != "0":
            cells[place] += "000"
    return "\t".join(cells)


def month(wild: str = "") -> str:
    rng = random.Random(0)
    lines = [rees46.HEADER]
    for day in range(1, 32):
        for hour in range(8, 18):
            user, item = rng.randint(1, 40), rng.randint(1, 30)
            lines.append(f"2019-10-{day:02} {hour:02}:00:00 UTC,view,{item},1,a,b,1.0,{user},s")
            if rng.random() < 0.3 and day < 29:
                moment = f"2019-10-{day + 3:02} {hour:02}:00:00 UTC"
                lines.append(f"{moment},purchase,{item},1,a,b,1.0,{user},s")
    return "\n".join([*lines, *([wild] if wild else [])]) + "\n"


@pytest.mark.parametrize("when", ["2099-01-01", "1970-01-01", "2019-12-31", "9999-12-31"])
def test_one_wild_time_moves_neither_end_of_a_log(tmp_path: Path, when: str) -> None:
    dataset = load("rees46")(shop="multi_category", months=["2019-Oct"])
    (tmp_path / "2019-Oct.csv").write_text(month())
    whole = dataset.table(tmp_path)
    rows, counts = kept(whole).collect(), dropped(whole)
    (tmp_path / "2019-Oct.csv").write_text(month(f"{when} 00:00:00 UTC,view,1,1,a,b,1.0,1,s"))
    table = dataset.table(tmp_path)
    assert kept(table).collect().equals(rows)
    rule = (
        "event far before or after all others, which are from 2019-10-01 08:00:00 to 2019-10-31 "
        "17:00:00"
    )
    assert dropped(table) == counts | {rule: 1}


def test_one_wild_time_moves_no_end_of_the_other_logs_in_time(tmp_path: Path) -> None:
    for name, file, wild in (
        ("criteo_attribution", criteo_attribution, lambda cells: ["9999999999", *cells[1:]]),
        ("criteo_conversion", criteo_conversion, lambda cells: ["9999999999", "", *cells[2:]]),
        ("trivago", trivago, None),
    ):
        raw = tmp_path / name
        file.write(raw)
        before = load(name)().table(raw)
        rows, counts = kept(before).collect(), dropped(before)
        _add(name, raw, wild)
        after = load(name)().table(raw)
        found, left = kept(after).collect(), dropped(after)
        assert (
            found["split"]
            .value_counts()
            .sort("split")
            .equals(rows["split"].value_counts().sort("split"))
        )
        (rule,) = {*left} - {*counts}
        assert rule.startswith("event far before or after all others, which are from ")
        assert left == counts | {rule: 1}


def _add(name: str, raw: Path, wild: Any) -> None:
    """Append the last line again, at a time long after the log."""
    if name == "trivago":
        path = next(raw.rglob("train.csv"))
        lines = path.read_text().splitlines()
        header = lines[0].split(",")
        cells = lines[-1].split(",")
        cells[header.index("timestamp")] = "4070908800"
        cells[header.index("session_id")] = "wild"
        path.write_text("\n".join([*lines, ",".join(cells)]) + "\n")
        return
    path = next(path for path in raw.rglob("*") if path.is_file())
    packed = path.name.endswith(".gz")
    text = gzip.decompress(path.read_bytes()).decode() if packed else path.read_text()
    lines = text.splitlines()
    text = "\n".join([*lines, "\t".join(wild(lines[-1].split("\t")))]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def test_a_log_that_is_cut_off_everywhere_says_why_and_what_to_do(tmp_path: Path) -> None:
    lines = [
        f"2019-10-01 00:{minute:02}:00 UTC,view,{minute},1,a,b,1.0,{minute % 7},s"
        for minute in range(60)
    ]
    (tmp_path / "raw").mkdir()
    text = "\n".join([rees46.HEADER, *lines, lines[0]]) + "\n"
    (tmp_path / "raw" / "2019-Oct.csv").write_text(text)
    dataset = load("rees46")(shop="multi_category", months=["2019-Oct"])
    with pytest.raises(DataError) as error:
        preprocess(dataset, "x", tmp_path / "raw", tmp_path / "x", verified=False)
    assert str(error.value) == (
        "REES46: no row is left, since the log ends before the window in which conversions count "
        "is over for any of them: it spans 59 minutes, from 2019-10-01 00:00:00 to 2019-10-01 "
        "00:59:00, and the window is 7 days (60 × click whose window the end of the log cuts off, "
        "1 × exact duplicate of another event); lower the option window_days, get more of the log, "
        "or see that its times are in the unit of its layout"
    )


# --- duplicates: events that differ in one raw column are no duplicates

EVENTS = {
    "tmall": ("user_log_format1.csv", "1,10,5,7,9,0901,0", {
        "user_id": "2", "item_id": "11", "cat_id": "6", "seller_id": "8", "brand_id": "3",
        "time_stamp": "0902", "action_type": "3",
    }),
    "jdata2016": ("JData_Action_201602.csv", "1.0,101,2016-02-01 00:00:00,14,6,8,7", {
        "user_id": "2.0", "sku_id": "102", "time": "2016-02-01 00:00:01", "model_id": "216",
        "type": "2", "cate": "9", "brand": "5",
    }),
    "rees46": ("2019-Oct.csv", "2019-10-01 00:00:00 UTC,cart,1,1,a,b,1.0,1,s", {
        "event_time": "2019-10-01 00:00:01 UTC", "event_type": "remove_from_cart",
        "product_id": "2", "category_id": "2", "category_code": "c", "brand": "d", "price": "2.0",
        "user_id": "2", "user_session": "t",
    }),
    "taobao": ("UserBehavior.csv", "1,2,3,cart,1511600000", {
        "who": "2", "item": "3", "category": "4", "behaviour": "fav", "time": "1511600001",
    }),
    "retailrocket": ("events.csv", "1433221332117,257597,transaction,355908,4", {
        "timestamp": "1433221332118", "visitorid": "2", "itemid": "3", "transactionid": "5",
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name, (*_, cells) in EVENTS.items() for column in cells]
)
def test_events_that_differ_in_one_raw_column_are_no_duplicates(
    name: str, column: str, tmp_path: Path
) -> None:
    file, line, cells = EVENTS[name]
    raw = tmp_path / "raw"
    layout(name).write(raw)
    for path in raw.rglob("JData_Action_*.csv"):
        path.rename(raw / file)
    path = next(raw.rglob(file), raw / file)
    header = {"rees46": rees46.HEADER, "taobao": ",".join(cells)}.get(name)
    header = header or path.read_text().splitlines()[0]
    other = line.split(",")
    other[header.split(",").index(column)] = cells[column]
    lines = [header, line, ",".join(other), line][name == "taobao" :]
    path.write_text("\n".join(lines) + "\n")
    options: dict[str, dict[str, Any]] = {
        "rees46": {"shop": "multi_category", "months": ["2019-Oct"]},
        "jdata2016": {"micro_modules": [14]},
    }
    events = load(name)(**options.get(name, {})).events(raw).collect()  # type: ignore[attr-defined]
    assert len(events) == 3
    assert events.n_unique() == 2


def test_searches_that_differ_in_their_query_are_no_duplicates(tmp_path: Path) -> None:
    layout("coveo").write(tmp_path)
    before = dropped(load("coveo")().table(tmp_path)).get("exact duplicate of another search", 0)
    path = next(tmp_path.rglob("search_train.csv"))
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    place = header.index("query_vector")
    other = [*rows[0][:place], "[7, 7]", *rows[0][place + 1 :]]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows, other, other])
    after = dropped(load("coveo")().table(tmp_path))["exact duplicate of another search"]
    assert after == before + 1


# --- numbers


class Tiny(Dataset):
    """Rows with one number, which is a sentinel at some place."""

    title = "Tiny"
    cite = licence = claims = ""
    citation = ""
    stages = ("impression", "click", "conversion")
    categorical = ("user",)
    numeric = ("price",)

    def __init__(self, split: str, number: float, spread: float = 1.0) -> None:
        super().__init__()
        self.split, self.number, self.spread = split, number, spread

    def table(self, raw: Path) -> pl.LazyFrame:
        rng, rows = np.random.default_rng(0), 90
        click = rng.integers(0, 2, rows)
        frame = pl.LazyFrame(
            {
                "split": np.repeat(["train", "valid", "test"], 30),
                "user": rng.integers(0, 9, rows),
                "price": self.spread * rng.normal(size=rows),
                "click": click.astype(np.int8),
            }
        ).with_row_index("n")
        place = (pl.col("split") == self.split) & (pl.col("n") % 30 == 3)
        return frame.with_columns(
            conversion=pl.when(pl.col("click") == 1).then((pl.col("n") % 2).cast(pl.Int8)),
            price=pl.when(place).then(self.number).otherwise("price"),
        )


@pytest.mark.parametrize("number", [1.7976931348623157e308, -3.4e38, 9.3e18])
@pytest.mark.parametrize("split", SPLITS)
def test_a_sentinel_in_a_number_is_refused_before_it_drowns_the_others(
    tmp_path: Path, split: str, number: float
) -> None:
    with pytest.raises(DataError, match=r"^Tiny: price must be missing where it is beyond 2\^53"):
        preprocess(Tiny(split, number), "tiny", tmp_path, tmp_path / "x", verified=True)
    assert not (tmp_path / "x").exists()


def test_numbers_are_checked_after_they_are_scaled(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^Tiny: price has a number in test that is not finite"):
        preprocess(Tiny("test", 1e15, 1e-30), "tiny", tmp_path, tmp_path / "x", verified=True)
    preprocess(Tiny("test", 1e15), "tiny", tmp_path, tmp_path / "x", verified=True)
    train, _, test = tables(tmp_path / "x")
    assert train["price"].n_unique() == 30
    assert test["price"].is_finite().all()
