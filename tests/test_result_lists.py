"""Logs of result lists: what is kept, dropped and refused, by hand and in real samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from helpers.layouts import diginetica, expedia, jdsearch, trivago
from helpers.raw_logs import layout, load, same

from benchmark.data.dataset import DataError, kept
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.readers import locate_read_errors
from benchmark.files import read_json

LOGS = ("expedia", "diginetica", "trivago", "jdsearch")


def table(name: str, raw: Path, **options: object) -> pl.DataFrame:
    return kept(load(name)(**options).table(raw)).collect()


def changed(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    return path


def set_cell(line: int, column: str, value: str, separator: str) -> Callable[..., list[str]]:
    """Return a change of one cell; line 1 is the header."""

    def change(lines: list[str]) -> list[str]:
        cells = lines[line - 1].split(separator)
        cells[lines[0].split(separator).index(column)] = value
        return [*lines[: line - 1], separator.join(cells), *lines[line:]]

    return change


def again(line: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines, lines[line - 1]]


def replaced(old: str, new: str) -> Callable[[list[str]], list[str]]:
    return lambda lines: "\n".join(lines).replace(old, new, 1).split("\n")


def with_more_prices(lines: list[str]) -> list[str]:
    return [f"{line}|1" if "clickout" in line else line for line in lines]


BAD = [
    ("expedia", "train.csv", set_cell(6, "click_bool", "2", ","), "line 6: .*must be 0 or 1"),
    ("expedia", "train.csv", set_cell(6, "price_usd", "cheap", ","), "line 6: .*'cheap'.*a number"),
    ("expedia", "train.csv", set_cell(6, "price_usd", "-1", ","), "line 6: price_usd is -1"),
    ("expedia", "train.csv", set_cell(6, "date_time", "1 May", ","), "line 6: .*YYYY-MM-DD"),
    ("expedia", "train.csv", set_cell(1, "booking_bool", "x", ","), "line 1: .*lacks booking_bool"),
    ("expedia", "train.csv", again(6), r"search \d+ lists a hotel twice"),
    ("expedia", "train.csv", lambda _: [], "is empty"),
    ("expedia", "train.csv", lambda lines: [*lines[:9], lines[9][:40]], "last.*cut off"),
    ("diginetica", "train-queries.csv", set_cell(6, "items", "1,x", ";"), "line 6: items is '1,x'"),
    ("diginetica", "train-queries.csv", set_cell(6, "is.test", "?", ";"), "TRUE or FALSE"),
    ("diginetica", "train-queries.csv", again(6), r"line \d+: queryId \d+ is in line 6 already"),
    ("diginetica", "train-clicks.csv", set_cell(5, "itemId", "NA", ";"), "line 5: .*be missing"),
    ("diginetica", "train-purchases.csv", set_cell(3, "timeframe", "x", ";"), "line 3: .*'x'"),
    ("diginetica", "products.csv", again(2), r"line 30: itemId \d+ is in line 2 already"),
    ("trivago", "train.csv", set_cell(6, "action_type", "sleep", ","), "line 6: .*'sleep'"),
    ("trivago", "train.csv", set_cell(6, "timestamp", "-1", ","), "line 6: timestamp is -1"),
    ("trivago", "train.csv", set_cell(6, "timestamp", "1541037460000", ","), "be seconds since 19"),
    ("trivago", "train.csv", with_more_prices, "as many of these as of those"),
    ("trivago", "item_metadata.csv", again(3), "line 31: item_id 1 is in line 3 already"),
    ("jdsearch", "user_behavior_data.txt", replaced("0.0", "4.0"), "line 2: .*0.0, 1.0, 2.0 or 3"),
    ("jdsearch", "user_behavior_data.txt", replaced("_0.0", ""), "line 2: .*one per candidate"),
    ("jdsearch", "user_behavior_data.txt", replaced("\t0_", "\t"), r"line \d+: .*one more than"),
    ("jdsearch", "product_meta_data.txt", again(3), "line 39: wid 2 is in line 3 already"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "change", "says"), BAD)
def test_bad_input_is_one_sentence(
    tmp_path: Path, name: str, file: str, change: Callable[[list[str]], list[str]], says: str
) -> None:
    layout(name).write(tmp_path / "raw")
    path = changed(tmp_path / "raw" / file, change)
    with pytest.raises(DataError, match=says) as error, locate_read_errors(name):
        table(name, tmp_path / "raw")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", LOGS)
def test_text_in_another_encoding_is_one_sentence(tmp_path: Path, name: str) -> None:
    layout(name).write(tmp_path / "raw")
    path = max((tmp_path / "raw").iterdir(), key=lambda path: path.stat().st_size)
    first, second, *rest = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, second, rest[0][:2] + b"\xff" + rest[0][2:], *rest[1:]]))
    with pytest.raises(DataError, match=f"{path.name}, line 3: byte .* is not UTF-8"):
        preprocess(load(name)(), name, tmp_path / "raw", tmp_path / "processed", verified=False)


def dropped(name: str, raw: Path, processed: Path) -> dict[str, int]:
    preprocess(load(name)(), name, raw, processed, verified=False)
    counts: dict[str, int] = read_json(processed / "report.json")["dropped"]
    return counts


# --- lists in random order


def test_a_random_search_is_test_only_and_logged_ones_follow_each_other(tmp_path: Path) -> None:
    expedia.write(tmp_path / "raw")
    rows = table("expedia", tmp_path / "raw").with_columns(
        at=pl.col("date_time").str.to_datetime(), random=pl.col("policy") == "random"
    )
    assert set(rows.filter("random")["split"]) == {"test"}
    logged = rows.filter(~pl.col("random"))
    ends = logged.group_by("split").agg(first=pl.col("at").min(), last=pl.col("at").max())
    times = {split: (first, last) for split, first, last in ends.rows()}
    assert times["train"][1] < times["valid"][0] < times["valid"][1] < times["test"][0]
    assert rows.filter("random")["at"].min() < times["train"][1]  # from the whole period


def test_the_position_may_be_left_out_of_the_features() -> None:
    assert "position" in load("expedia")().categorical
    assert "position" not in load("expedia")(position=False).categorical


def test_a_booking_without_a_click_is_dropped_and_counted(tmp_path: Path) -> None:
    expedia.write(tmp_path / "raw")
    path = tmp_path / "raw" / "train.csv"
    at = next(n for n, line in enumerate(path.read_text().split("\n")) if line.endswith(",1"))
    before = len(table("expedia", tmp_path / "raw"))
    changed(path, set_cell(at + 1, "click_bool", "0", ","))
    assert len(table("expedia", tmp_path / "raw")) == before - 1
    assert dropped("expedia", tmp_path / "raw", tmp_path / "processed") == {
        "booking without a click": 1
    }


def test_a_search_has_one_order(tmp_path: Path) -> None:
    expedia.write(tmp_path / "raw")
    path = tmp_path / "raw" / "train.csv"
    other = {"0": "1", "1": "0"}[path.read_text().split("\n")[2].split(",")[26]]
    changed(path, set_cell(3, "random_bool", other, ","))
    with pytest.raises(DataError, match=r"search \d+ has a random and a logged order"):
        table("expedia", tmp_path / "raw")


# --- clicks and purchases joined to lists


def write_shop(folder: Path, **tables: list[str]) -> Path:
    """Write the six tables, those that are not given with nothing but a header."""
    folder.mkdir(parents=True)
    for name, header in diginetica.HEADERS.items():
        lines = [header, *tables.get(name.replace("-", "_"), [])]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_purchase_counts_for_the_last_click_before_it_in_its_session(tmp_path: Path) -> None:
    def query(number: int, session: int, when: int, test: str = "FALSE") -> str:
        return f"{number};{session};NA;{when};9;2016-05-0{session};NA;7;1,2;{test}"

    raw = write_shop(
        tmp_path / "raw",
        train_queries=[query(1, 1, 0), query(2, 1, 50), query(3, 2, 0), query(4, 3, 0, "TRUE")],
        train_clicks=["1;10;1", "2;60;1", "2;65;1", "1;70;2", "3;10;2", "3;11;9", "4;5;1", "9;5;1"],
        train_purchases=[
            "1;NA;80;2016-05-01;1;1",  # for query 2, which it follows, not for query 1
            "1;NA;69;2016-05-01;1;2",  # before the click on product 2
            "2;NA;20;2016-05-02;1;1",  # of a product that was not clicked on there
            "2;NA;20;2016-05-02;1;9",  # of a product that the list lacks
            "3;NA;20;2016-05-03;1;1",  # in a session whose outcomes are withheld
        ],
        train_item_views=["1;NA;2;10;2016-05-01", "1;NA;1;50;2016-05-01", "2;NA;1;1;2016-05-02"],
    )
    rows = table("diginetica", raw)
    found = rows.select("group", "item_id", "click", "conversion", "recent_items").rows()
    assert found == [
        (1, 1, 1, 0, []), (1, 2, 1, 0, []),
        (2, 1, 1, 1, [2]), (2, 2, 0, None, [2]),
        (3, 1, 0, None, []), (3, 2, 1, 0, []),
    ]  # fmt: skip
    whole = load("diginetica")().table(raw).collect()["dropped"].drop_nulls()
    assert Counter(whole) == {
        "query of a session with withheld outcomes": 1,
        "purchase of a session with withheld outcomes": 1,
        "click on a query that is not logged": 1,
        "click on a product that its list lacks": 1,
        "purchase that follows no click on a list in its session": 3,
    }


def test_the_last_two_weeks_are_valid_and_test(tmp_path: Path) -> None:
    def query(day: int) -> str:
        return f"{day};{day};NA;0;9;2016-05-{day:02};NA;7;1;FALSE"

    raw = write_shop(tmp_path / "raw", train_queries=[query(day) for day in range(1, 31)])
    splits = table("diginetica", raw)["split"].to_list()
    assert splits == ["train"] * 16 + ["valid"] * 7 + ["test"] * 7


# --- what a user deals with in a list


def write_actions(folder: Path, *actions: str) -> Path:
    folder.mkdir()
    lines = [trivago.HEADER]
    for step, action in enumerate(actions, 1):
        kind, reference, *lists = action.split(";")
        shown, prices = lists or ("", "")
        place = f"AU,Rome,mobile,,{shown},{prices}"
        lines.append(f"U,S,{1541030400 + step},{step},{kind},{reference},{place}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "item_metadata.csv").write_text("item_id,properties\n1,4 Star|WiFi\n")
    return folder


def test_interactions_count_from_the_last_change_of_the_list_on(tmp_path: Path) -> None:
    raw = write_actions(
        tmp_path / "raw",
        "interaction item image;1",
        "filter selection;WiFi",
        "interaction item deals;2",
        "clickout item;3;1|2|3;50|60|70",
        "interaction item info;1",
        "clickout item;1;1|2|3;50|60|70",
        "clickout item;9;1|2|3;50|60|70",
    )
    rows = table("trivago", raw)
    found = rows.select("item_id", "click", "conversion", "dealt_before", "recent_items").rows()
    assert found == [
        (1, 0, None, 1, [1]), (2, 1, 0, 0, [1]), (3, 1, 1, 0, [1]),
        (1, 1, 1, 1, [1, 2, 3]), (2, 0, None, 1, [1, 2, 3]), (3, 0, None, 1, [1, 2, 3]),
    ]  # fmt: skip
    assert rows["item_stars"].to_list() == ["4", None, None] * 2
    whole = load("trivago")().table(raw).collect()["dropped"].drop_nulls()
    assert Counter(whole) == {"list without the hotel clicked out to": 3}


# --- the furthest stage of a candidate


def test_a_table_without_a_header_is_read_as_one_with_it(tmp_path: Path) -> None:
    for header in (True, False):
        jdsearch.write(tmp_path / str(header), header=header)
    assert table("jdsearch", tmp_path / "True").equals(table("jdsearch", tmp_path / "False"))


def test_the_order_of_the_file_which_tells_the_label_is_not_kept(tmp_path: Path) -> None:
    jdsearch.write(tmp_path / "raw")
    rows = table("jdsearch", tmp_path / "raw")
    assert all(group["item_id"].is_sorted() for group in rows.partition_by("group"))


def test_a_repeated_candidate_is_dropped_and_counted(tmp_path: Path) -> None:
    jdsearch.write(tmp_path / "raw")
    rows = len(table("jdsearch", tmp_path / "raw"))
    path = tmp_path / "raw" / "user_behavior_data.txt"
    query, shown, labels, *rest = path.read_text().split("\n")[1].split("\t")
    double = "\t".join([query, f"{shown}_{shown.split('_')[0]}", f"{labels}_0.0", *rest])
    changed(path, lambda lines: [lines[0], double, *lines[2:]])
    assert len(table("jdsearch", tmp_path / "raw")) == rows
    assert dropped("jdsearch", tmp_path / "raw", tmp_path / "processed") == {
        "repeated candidate": 1
    }


# --- real samples


def test_real_searches_are_counted_as_at_their_source(real: Path, tmp_path: Path) -> None:
    sample = real / "expedia_icdm2013" / "training_subset.csv"
    (tmp_path / "train.csv").symlink_to(sample)
    rows = table("expedia", tmp_path)
    assert (len(rows), rows["click"].sum(), rows["conversion"].sum()) == (1000, 43, 27)
    drawn = rows.filter(policy="random")
    assert (len(drawn), drawn["click"].sum(), drawn["conversion"].sum()) == (335, 13, 2)
    assert (rows["group"].n_unique(), drawn["group"].n_unique()) == (40, 13)
    assert dict(rows.group_by("split").agg(pl.col("group").n_unique()).rows()) == {
        "train": 21, "valid": 3, "test": 13 + 3,
    }  # fmt: skip


def test_real_click_outs_are_counted_as_at_their_source(real: Path, tmp_path: Path) -> None:
    sample = real / "trivago_recsys19_sample" / "sub_train.csv"
    (tmp_path / "train.csv").symlink_to(sample)
    (tmp_path / "item_metadata.csv").write_text("item_id,properties\n5173628,4 Star|WiFi\n")
    rows = same(load("trivago")(), tmp_path, trivago.read)
    assert (len(rows), rows["group"].n_unique()) == (36_668, 1606)
    assert rows["conversion"].sum() == 1606
    assert set(rows["split"]) == {"train", "valid", "test"}


def test_hidden_click_outs_are_refused_as_labels(real: Path, tmp_path: Path) -> None:
    (tmp_path / "train.csv").symlink_to(real / "trivago_recsys19_sample" / "sub_test.csv")
    (tmp_path / "item_metadata.csv").write_text("item_id,properties\n5173628,4 Star|WiFi\n")
    rows = table("trivago", tmp_path)
    assert rows["group"].n_unique() == rows["conversion"].sum() == 281  # 260 of 541 are hidden


def test_real_candidates_are_counted_as_at_their_source(real: Path) -> None:
    raw = real / "jdsearch_sample"
    rows = same(load("jdsearch")(), raw, jdsearch.read)
    assert (len(rows), rows["group"].n_unique(), rows["click"].sum()) == (262, 3, 5)
    assert rows["macro"].sum() == rows["conversion"].sum() == 0
    assert rows["log_history"].exp().sum() == pytest.approx(
        sum((count + 1) * shown for count, shown in ((182, 90), (46, 89), (2, 83)))
    )
    assert rows["cate_id_1"].is_not_null().any()


def test_real_purchases_are_joined_to_lists_made_of_real_views(real: Path, tmp_path: Path) -> None:
    """The sample lacks queries and clicks: each real view becomes a click on a list of its own."""
    sample, raw = real / "diginetica_partial", tmp_path / "raw"
    header, *views = (sample / "sample_train-item-views.csv").read_text().split()
    assert header == "session_id;user_id;item_id;timeframe;eventdate"
    bought = (sample / "train-purchases.csv").read_text().split()[1:]
    keys = [(line.split(";")[0], line.split(";")[5]) for line in bought]
    assert len(bought) == 18_025
    assert [len(set(ids)) for ids in zip(*keys, strict=True)] == [12_630, 11_244]
    queries, clicks = [], []
    for number, view in enumerate(views):
        session, user, item, when, day = view.split(";")
        queries.append(f"{number};{session};{user};{when};9;{day};NA;7;{item};FALSE")
        clicks.append(f"{number};{when};{item}")
    write_shop(
        raw, train_queries=queries, train_clicks=clicks, train_item_views=views,
        train_purchases=bought,
        product_categories=(sample / "product-categories.csv").read_text().split()[1:],
    )  # fmt: skip
    rows = table("diginetica", raw)
    # The source counts line ends, and the last line has none.
    assert len(rows) == rows["click"].sum() == 12_390 + 1
    sessions = {view.split(";")[0] for view in views}
    assert (len(sessions), len(sessions & {key[0] for key in keys})) == (2986, 138)
    assert rows["item_category"].null_count() == 0
    first = {}
    for view in views:
        session, _, item, when, _ = view.split(";")
        first[session, item] = min(int(when), first.get((session, item), int(when)))
    times = [int(line.split(";")[2]) for line in bought]
    joined = [key for key, time in zip(keys, times, strict=True) if first.get(key, 1e12) <= time]
    assert rows["conversion"].sum() == len(set(joined))
    counts = Counter(load("diginetica")().table(raw).collect()["dropped"].drop_nulls())
    assert counts == {
        "purchase that follows no click on a list in its session": 18_025 - len(joined)
    }
    assert len(joined) > 50
