"""What single logs of events mean and can get wrong, by hand and as their real samples do."""

from __future__ import annotations

import gzip
import json
import re
from math import log1p
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers.event_logs import dropped, same_clicks
from helpers.layouts import otto, rees46
from helpers.raw_logs import layout, load, same

from benchmark.data.dataset import DataError, kept
from benchmark.data.preprocess import preprocess
from benchmark.errors import ConfigError


def prepare(name: str, folder: Path, **options: Any) -> None:
    preprocess(load(name)(**options), name, folder / name, folder / "processed", verified=False)


# --- what they mean


def test_months_of_a_shop_are_read_from_as_many_files(tmp_path: Path) -> None:
    months = ["2019-Oct", "2019-Dec"]
    rees46.write(tmp_path, ("2019-Oct.csv", "2019-Dec.csv.gz"))
    dataset = load("rees46")(shop="multi_category", months=months)
    same(dataset, tmp_path, rees46.read)
    assert [source.file for source in dataset.sources] == ["2019-Oct.csv.gz", "2019-Dec.csv.gz"]
    assert len(load("rees46")(shop="cosmetics").sources) == 5
    with pytest.raises(DataError, match=r"holds 0 files named 2019-Nov\.csv"):
        load("rees46")(shop="cosmetics", months=["2019-Nov"]).table(tmp_path)


@pytest.mark.parametrize("months", [[], ["2019-Dec", "2019-Oct"], ["2020-Apr"], ["2019-Oct"] * 2])
def test_other_months_are_refused(months: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"rees46\.months is .* a list of some of 2019-Oct, 2019-N"
    ):
        load("rees46")(shop="cosmetics", months=months)


COVEO = {
    "search_train": """\
session_id_hash,query_vector,clicked_skus_hash,product_skus_hash,server_timestamp_epoch_ms
s,,"['a', 'x']","['a', 'b']",1551729001000
s,,['a'],"['b', 'a']",1551729005000
s,,,,1551729006000
""",
    "browsing_train": """\
session_id_hash,event_type,product_action,product_sku_hash,server_timestamp_epoch_ms,hashed_url
s,event_product,purchase,a,1551729007000,u
s,event_product,add,a,1551729002000,u
s,event_product,detail,b,1551729004000,u
s,event_product,add,a,1551729000500,u
s,pageview,,,1551729000000,u
s,event_product,remove,a,1551729008000,u
t,event_product,purchase,a,1551729007000,u
""",
    "sku_to_content": "product_sku_hash,category_hash,price_bucket\na,c,1.0\n",
}


def test_an_action_belongs_to_the_last_search_that_led_to_its_product(tmp_path: Path) -> None:
    for name, text in COVEO.items():
        (tmp_path / f"{name}.csv").write_text(text)
    table = load("coveo")().table(tmp_path)
    rows = kept(table).sort("group", "place").collect()
    assert rows.select("group", "item_id", "click", "macro", "conversion").rows() == [
        (0, "a", 1, 1, 0), (0, "b", 0, None, None), (1, "b", 0, None, None), (1, "a", 1, 0, 1),
    ]  # fmt: skip
    assert rows["recent_items"].to_list() == [[], [], ["b"], ["b"]]
    assert rows["log_adds"].to_list() == pytest.approx([log1p(n) for n in (1, 1, 2, 2)])
    assert rows["log_seconds_in_session"].to_list() == pytest.approx(
        [log1p(n) for n in (1, 1, 5, 5)]
    )
    assert dropped(table) == {
        "click on a product that its list lacks": 1,
        "search whose results are not logged": 1,
        "add of a product not clicked in a search before": 1,
        "purchase of a product not clicked in a search before": 1,
    }


# --- bad input


DAMAGE = [
    ("retailrocket", "events.csv", ",view,", ",look,", "event must be one of view, addtocart"),
    ("retailrocket", "events.csv", ",addtocart,", ",transaction,", "transactionid must be given"),
    ("retailrocket", "events.csv", "itemid", "sku", "line 1: the header lacks itemid"),
    (
        "retailrocket",
        "item_properties_part2.csv",
        "categoryid,",
        "categoryid,x",
        "value of a categoryid",
    ),
    ("retailrocket", "item_properties_part1.csv", "\n14", "\n", "be milliseconds since 1970"),
    ("taobao", "UserBehavior.csv", ",buy,", ",sell,", "behaviour must be one of pv, buy, cart"),
    ("taobao", "UserBehavior.csv", ",pv,15", ",pv,x15", "time is 'x15"),
    ("yoochoose", "yoochoose-buys.dat", "Z,", ",", "moment must be like 2014-04-07T"),
    ("otto", "otto-recsys-train.jsonl", '"carts"', '"likes"', "type must be one of clicks, carts"),
    ("coveo", "browsing_train.csv", ",add,", ",buy,", "product_action must be empty or one of"),
    ("coveo", "search_train.csv", ",155", ",", "server_timestamp_epoch_ms must be milliseconds"),
    ("coveo", "search_train.csv", "['e", "[e", "_skus_hash must be empty or a list like"),
    ("coveo", "sku_to_content.csv", "\ne01,", "\ne00,", "product_sku_hash e00 is in line 2"),
    ("tmall", "user_log_format1.csv", ",0\n", ",7\n", "action_type must be 0, 1, 2 or 3"),
    ("tmall", "user_log_format1.csv", ",1001,", ",1301,", "time_stamp must be a month and a day"),
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: f"{damage[0]}: {damage[-1]}")
def test_damage_is_shown_in_one_sentence(damage: tuple[str, ...], tmp_path: Path) -> None:
    name, file, old, new, says = damage
    layout(name).write(tmp_path / name)
    path = next((tmp_path / name).rglob(file))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=says) as error:
        prepare(name, tmp_path)
    assert re.search(rf"{re.escape(file)}, line \d+: ", str(error.value))
    assert not (tmp_path / "processed").exists()


@pytest.mark.parametrize(
    ("name", "file", "text"),
    [
        ("retailrocket", "events.csv", "timestamp,visitorid,event,itemid,transactionid\n"),
        ("taobao", "UserBehavior.csv", "1,2,3,pv,1400000000\n1,2,3,buy,1400000001\n"),
    ],
)
def test_a_log_without_usable_events_is_refused(
    name: str, file: str, text: str, tmp_path: Path
) -> None:
    layout(name).write(tmp_path / name)
    (tmp_path / name / file).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"the files in .*{name} hold no event at a time that"):
        prepare(name, tmp_path)


def test_a_truncated_month_and_an_empty_one_are_refused(tmp_path: Path) -> None:
    rees46.write(tmp_path / "rees46")
    path = tmp_path / "rees46" / "electronics-events.csv.gz"
    for content in (path.read_bytes()[:-50], gzip.compress(b"")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=path.name):
            preprocess(
                load("rees46")(), "x", tmp_path / "rees46", tmp_path / "processed", verified=False
            )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (pl.lit("item_hate").alias("event_id"), r"row 1: event_id 'item_hate' is not one of item_"),
        (pl.lit(3).alias("stime"), "stime is Int32; it must be a time in UTC"),
        (pl.lit(None, pl.Int64).alias("user_id"), "an event lacks its user, item or time"),
        (None, "lacks the columns price; it has user_id, "),
    ],
)
def test_a_damaged_shard_is_refused(change: pl.Expr | None, says: str, tmp_path: Path) -> None:
    layout("merrec").write(tmp_path / "merrec")
    (path,) = (tmp_path / "merrec").iterdir()
    shard = pl.read_parquet(path)
    damaged = shard.drop("price") if change is None else shard.with_columns(change)
    damaged.write_parquet(path)
    with pytest.raises(DataError, match=says):
        prepare("merrec", tmp_path)


def test_shards_of_several_months_are_read_together(tmp_path: Path) -> None:
    shards = ("20230501/0", "20230601/12")
    dataset = load("merrec")(shards=shards)
    layout("merrec").write(tmp_path, tuple(source.file for source in dataset.sources))
    same(dataset, tmp_path, layout("merrec").read)
    assert dataset.sources[1].url.endswith("/resolve/main/20230601/000000000012.parquet")
    for wrong in ([], ["20230501/0"] * 2, ["20230401/0"], ["20230501/x"], [0]):
        with pytest.raises(
            ConfigError, match=r"shards.* is .* it must be a list of different|text"
        ):
            load("merrec")(shards=wrong)


def test_an_event_without_a_user_is_refused(tmp_path: Path) -> None:
    rees46.write(tmp_path / "rees46", ("2019-Oct.csv",))
    path = tmp_path / "rees46" / "2019-Oct.csv"
    path.write_text(re.sub(r",\d+,s\d+\n", ",,\n", path.read_text(), count=1))
    with pytest.raises(DataError, match=r"2019-Oct.csv, line 2: .*user_id must be given"):
        prepare("rees46", tmp_path, shop="cosmetics", months=["2019-Oct"])


# --- real samples


def test_a_real_month_is_counted_as_at_its_source(real: Path, tmp_path: Path) -> None:
    (tmp_path / "2019-Oct.csv").symlink_to(real / "rees46_oct2019_sample" / "2019-Oct-sample.csv")
    minutes = 2 / 24 / 60
    dataset = load("rees46")(shop="multi_category", months=["2019-Oct"], window_days=minutes)
    events = dataset.events(tmp_path).collect()  # type: ignore[attr-defined]
    assert len(events) == 1000
    assert events.select(pl.col("click", "conversion", "macro").sum()).row(0) == (987, 10, 3)
    same_clicks(dataset, tmp_path, lambda raw: rees46.read(raw, minutes))


def test_real_sessions_are_counted_as_at_their_source(real: Path, tmp_path: Path) -> None:
    sample = real / "otto_sample" / "train.jsonl"
    (tmp_path / "train.jsonl").symlink_to(sample)
    dataset = load("otto")()
    events = dataset.events(tmp_path).collect()  # type: ignore[attr-defined]
    assert events["who"].n_unique() == 20
    assert events.select(pl.col("click", "macro", "conversion").sum()).row(0) == (800, 52, 10)
    assert len(events) == sum(
        len(json.loads(line)["events"]) for line in sample.read_text().splitlines()
    )
    same_clicks(dataset, tmp_path, otto.read)
