"""Logs published since 2025: their options and rules, what is left out, and bad values named."""

from __future__ import annotations

import zipfile
from collections import Counter
from functools import partial
from pathlib import Path, PureWindowsPath

import polars as pl
import pytest
from helpers.layouts import cascade, criteo_private_ad, kuailive, mac, tencent_gr
from helpers.raw_logs import layout, load, same

from benchmark.data.dataset import DataError
from benchmark.data.fetching.download import fetch
from benchmark.data.preprocess import preprocess
from benchmark.files import read_json


def prepared(name: str, tmp_path: Path) -> dict[str, int]:
    """Preprocess a raw folder; return how many rows each rule left out."""
    dataset = load(name)()
    preprocess(dataset, name, tmp_path / "raw", tmp_path / "ready", verified=False)
    dropped: dict[str, int] = read_json(tmp_path / "ready" / "report.json")["dropped"]
    return dropped


def rate(table: pl.DataFrame) -> float:
    """Return the share of the clicks that convert."""
    known = table["conversion"].drop_nulls()
    return float(known.sum()) / len(known)


def test_gifts_count_within_another_window_and_without_histories(tmp_path: Path) -> None:
    kuailive.write(tmp_path)
    table = same(
        load("kuailive")(window_days=3, history=0),
        tmp_path,
        partial(kuailive.read, days=3, length=0),
    )
    short = same(load("kuailive")(window_days=0.01), tmp_path, partial(kuailive.read, days=0.01))
    assert rate(table) > rate(short)


def test_what_is_no_impression_of_a_room_is_counted_by_rule(tmp_path: Path) -> None:
    kuailive.write(tmp_path / "raw")
    rows = kuailive.impressions(tmp_path / "raw")
    lost = Counter(row["lost"] for row in rows if "lost" in row)
    unled = "{} in a room that its user had not entered within the window before"
    assert min(lost.values()) > 3
    assert prepared("kuailive", tmp_path) == {
        "impression of a room at the same time as another one of it to the same user": lost[
            "twice"
        ],
        "impression whose window the end of the log cuts off": lost["cut off"],
        **{unled.format(kind): lost[kind] for kind in ("comment", "like", "gift")},
    }


def test_what_a_visit_to_a_room_led_to_is_no_feature(tmp_path: Path) -> None:
    kuailive.write(tmp_path)
    before = load("kuailive")().table(tmp_path).collect()
    for kind, place in (("click", 4), ("gift", 4), ("room", 5)):
        path = tmp_path / "KuaiLive" / f"{kind}.csv"
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        cells = [line.split(",") for line in lines]
        changed = [",".join([*row[:place], "77", *row[place + 1 :]]) for row in cells]
        path.write_text("\n".join([head, *changed]) + "\n", encoding="utf-8")
    assert load("kuailive")().table(tmp_path).collect().equals(before)


@pytest.mark.parametrize(
    ("file", "column", "value", "says"),
    [
        ("gift", 4, "0", "gift_price must be an integer from 1 up"),
        ("negative", 3, "-1", "timestamp must be an integer from 0 up"),
        ("click", 1, "", "live_id must be an integer from 0 up"),
        ("like", 0, "me", "user_id is 'me'; it must be a whole number"),
        ("room", 4, "1746374400", "start_timestamp must be milliseconds since 1970, or none"),
        ("room", 0, "May", "p_date is 'May'; it must be a whole number"),
    ],
)
def test_an_event_in_a_room_that_cannot_be_is_shown(
    tmp_path: Path, file: str, column: int, value: str, says: str
) -> None:
    kuailive.write(tmp_path / "raw")
    path = tmp_path / "raw" / "KuaiLive" / f"{file}.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[2].split(",")
    lines[2] = ",".join([*cells[:column], value, *cells[column + 1 :]])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"{file}\.csv, line 3: .*{says}"):
        prepared("kuailive", tmp_path)


def test_a_log_of_rooms_in_seconds_is_refused(tmp_path: Path) -> None:
    kuailive.write(tmp_path / "raw")
    for kind in ("click", "negative", "comment", "like", "gift"):
        path = tmp_path / "raw" / "KuaiLive" / f"{kind}.csv"
        head, *lines = path.read_text(encoding="utf-8").splitlines()
        cells = [line.split(",") for line in lines]
        seconds = [",".join([*row[:3], row[3][:-3], *row[4:]]) for row in cells]
        path.write_text("\n".join([head, *seconds]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"KuaiLive .*: times must be milliseconds since 1970, but"):
        prepared("kuailive", tmp_path)


@pytest.mark.parametrize("name", ["criteo_private_ad", "tencent_gr", "cascade"])
def test_a_zip_of_another_system_is_read_as_its_content(name: str, tmp_path: Path) -> None:
    source, manual = tmp_path / "source", tmp_path / "manual"
    layout(name).write(source)
    manual.mkdir()
    with zipfile.ZipFile(manual / "archive.zip", "w") as archive:
        for path in filter(Path.is_file, source.rglob("*")):
            inside = path.relative_to(source)
            member = zipfile.ZipInfo("x")
            member.filename = str(PureWindowsPath("Export", inside))  # ZipInfo() mends backslashes
            archive.writestr(member, path.read_bytes())
            archive.writestr(f"__MACOSX/Export/{inside.parent}/._{path.name}", b"no data")
    dataset = load(name)
    fetch(name, dataset().sources, tmp_path / "raw", manual, tmp_path / "lock.json")
    direct = dataset().table(source).collect()
    assert dataset().table(tmp_path / "raw").collect().sort(pl.all()).equals(direct.sort(pl.all()))


def test_ids_of_another_type_are_shown_with_their_file(tmp_path: Path) -> None:
    tencent_gr.write(tmp_path / "tencent")
    ads = tmp_path / "tencent" / "item_feat" / "0.parquet"
    pl.read_parquet(ads).with_columns(pl.col("item_id").cast(pl.String)).write_parquet(ads)
    with pytest.raises(DataError, match=r"0\.parquet: item_id is String; it must be an integer"):
        load("tencent_gr")().table(tmp_path / "tencent")
    mac.write(tmp_path / "mac")
    clicks = next((tmp_path / "mac").rglob("test.parquet"))
    pl.read_parquet(clicks).with_columns(ad_feat1=1.5).write_parquet(clicks)
    with pytest.raises(DataError, match=r"test\.parquet: ad_feat1 is Float64, but String in .*-"):
        load("mac")().table(tmp_path / "mac")


@pytest.mark.parametrize(
    ("option", "column"), [("landed", "is_click_landed"), ("visited", "is_visit")]
)
def test_a_click_may_be_one_that_landed(tmp_path: Path, option: str, column: str) -> None:
    criteo_private_ad.write(tmp_path)
    dataset = load("criteo_private_ad")(click=option)
    fewer = same(dataset, tmp_path, partial(criteo_private_ad.read, click=column))
    every = same(load("criteo_private_ad")(), tmp_path, criteo_private_ad.read)
    assert 0 < fewer["click"].sum() < every["click"].sum()


def test_sales_without_a_click_are_counted_and_no_day_twice(tmp_path: Path) -> None:
    criteo_private_ad.write(tmp_path / "raw")
    files = (tmp_path / "raw").rglob("part-0000[12]*.parquet")
    rows = [row for path in files for row in pl.read_parquet(path).to_dicts()]
    lost = sum(not row["is_clicked"] and bool(row["nb_sales"]) for row in rows)
    assert prepared("criteo_private_ad", tmp_path) == {"sale without a click": lost}
    schema = read_json(tmp_path / "ready" / "schema.json")
    assert sum(schema["rows"].values()) == len(rows) - lost


@pytest.mark.parametrize(
    ("name", "column", "value", "says"),
    [
        ("criteo_private_ad", "is_clicked", 2, "row 1: is_clicked must be 0 or 1; it is 2"),
        ("criteo_private_ad", "is_visit", None, "row 1: is_visit must be 0 or 1; it is None"),
        ("criteo_private_ad", "nb_sales", -1, "nb_sales must be missing or a number from 0 up"),
        ("criteo_private_ad", "features_browser_bits_constrained_3", 7, "it must be a floating"),
        ("mac", "linear", 1.5, r"row 1: linear must lie in \[0, 1\]; it is 1.5"),
        ("mac", "last", None, r"row 1: last must lie in \[0, 1\]; it is None"),
    ],
)
def test_a_value_of_a_parquet_file_that_cannot_be_is_shown(
    tmp_path: Path, name: str, column: str, value: float | None, says: str
) -> None:
    {"criteo_private_ad": criteo_private_ad, "mac": mac}[name].write(tmp_path / "raw")
    path = max((tmp_path / "raw").rglob("*-00001-1-*.parquet"), default=None)
    path = path or tmp_path / "raw" / "train" / "train-01.parquet"
    rows = pl.read_parquet(path)
    kind = rows.schema[column] if value is None else None
    rows.with_columns(pl.lit(value, kind).alias(column)).write_parquet(path)
    with pytest.raises(DataError, match=rf"{path.name}.*{says}"):
        prepared(name, tmp_path)


def test_banners_need_their_folders_of_days_and_enough_of_them(tmp_path: Path) -> None:
    criteo_private_ad.write(tmp_path / "few")
    for path in (tmp_path / "few").rglob("*.parquet"):
        if path.parent.name not in ("day_int=1", "day_int=10"):
            path.unlink()
    with pytest.raises(DataError, match="holds files of 2 days"):
        load("criteo_private_ad")().table(tmp_path / "few")
    path = next((tmp_path / "few").rglob("*00001-1-*.parquet"))
    path.rename(tmp_path / "few" / path.name)
    with pytest.raises(DataError, match="must lie in one of the folders day_int=1"):
        load("criteo_private_ad")().table(tmp_path / "few")


@pytest.mark.parametrize("rule", ["first", "last", "mta", "linear"])
def test_each_attribution_is_a_label_of_the_same_clicks(tmp_path: Path, rule: str) -> None:
    mac.write(tmp_path)
    dataset = load("mac")(attribution=rule, history=3)
    table = same(dataset, tmp_path, partial(mac.read, rule=rule, length=3))
    last = load("mac")().table(tmp_path).collect()
    assert table["conversion"].equals(last["conversion"]) == (rule == "last")


def test_a_refund_takes_a_conversion_back_and_needs_its_own_window(tmp_path: Path) -> None:
    cascade.write(tmp_path)
    dataset = load("cascade")(conversion="kept payment")
    table = same(dataset, tmp_path, partial(cascade.read, refund_days=7))
    paid = same(load("cascade")(), tmp_path, cascade.read)
    assert 0 < rate(table) < rate(paid)
    assert "click_time" not in dataset.table(tmp_path).collect_schema()


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (0, "-5", "click_time must be seconds since 1970"),
        (0, "1746028800000", "click_time must be seconds since 1970"),
        (1, "[soon]", "pay_times must be empty or a list of seconds"),
        (1, "[1746028800000, 1746028801000]", "pay_times must be empty or a list of seconds"),
        (2, "[-1746028800000]", "refund_times must be empty or a list of seconds"),
        (2, "1746028800", "refund_times must be empty or a list of seconds"),
    ],
)
def test_a_payment_that_cannot_be_is_shown(
    tmp_path: Path, column: int, value: str, says: str
) -> None:
    cascade.write(tmp_path / "raw")
    path = tmp_path / "raw" / "part-1.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[6].split("\t")
    lines[6] = "\t".join([*cells[:column], value, *cells[column + 1 :]])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"part-1\.txt, line 7: .*{says}"):
        prepared("cascade", tmp_path)


def test_an_ad_seen_at_a_time_in_milliseconds_is_refused(tmp_path: Path) -> None:
    tencent_gr.write(tmp_path / "raw")
    path = tmp_path / "raw" / "seq" / "1.parquet"
    late = {"item_id": 1, "action_type": 1, "timestamp": 1_740_000_000_000}
    rows = [pl.read_parquet(path), pl.DataFrame([{"user_id": 99, "seq": [late]}])]
    pl.concat(rows).write_parquet(path)
    with pytest.raises(DataError, match=r"user 99 has .*; timestamp must be seconds since 1970"):
        prepared("tencent_gr", tmp_path)


def test_an_action_on_an_ad_that_cannot_be_is_shown(tmp_path: Path) -> None:
    tencent_gr.write(tmp_path / "raw")
    path = tmp_path / "raw" / "seq" / "1.parquet"
    odd = {"user_id": 99, "seq": [{"item_id": 1, "action_type": 3, "timestamp": 5}]}
    pl.concat([pl.read_parquet(path), pl.DataFrame([odd])]).write_parquet(path)
    with pytest.raises(DataError, match=r"user 99 has .*; action_type must be 0, 1 or 2"):
        prepared("tencent_gr", tmp_path)
