"""What the three Criteo logs, and Tenrec beside them, make of odd rows, and refuse."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path

import polars as pl
import pytest
from helpers.layouts import criteo_attribution, criteo_conversion, criteo_search, tenrec
from helpers.raw_logs import load, same

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.data.reading import history
from benchmark.data.reading.history import with_clicked_before

DAY = 86_400


@pytest.mark.parametrize("options", [{"window_days": None}, {"window_days": 2, "history": 3}])
def test_another_window_makes_other_conversions(tmp_path: Path, options: dict[str, int]) -> None:
    raw = tmp_path / "criteo_attribution"
    criteo_attribution.write(raw)
    days, length = options.get("window_days"), options.get("history", 10)
    table = same(
        load("criteo_attribution")(**options),
        raw,
        lambda folder: criteo_attribution.read(folder, days, length),
    )
    assert ("click_time" in table.columns) == (days is not None)
    assert table["conversion"].sum() > 3


def test_an_unpacked_file_is_read_too(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    criteo_attribution.write(raw)
    path = raw / criteo_attribution.FILE
    tables = [load("criteo_attribution")().table(raw).collect()]
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
    path.unlink()
    tables.append(load("criteo_attribution")().table(raw).collect())
    assert tables[0].equals(tables[1])


def banner(*values: int) -> list[str]:
    time, click, sale, attributed, place, clicks = values
    row = dict.fromkeys(criteo_attribution.HEADER.split(), "-1")
    row |= {"timestamp": str(time), "uid": "7", "campaign": "1", "click": str(click)}
    row |= {"conversion": str(int(sale >= 0)), "conversion_timestamp": str(sale)}
    row |= {"attribution": str(attributed), "click_pos": str(place), "click_nb": str(clicks)}
    return list(row.values())


def test_only_the_last_attributed_click_converts_and_only_within_the_window(
    tmp_path: Path,
) -> None:
    sale = 9 * DAY
    rows = [
        banner(0, 1, sale, 1, 0, 3),  # the first of three clicks
        banner(DAY, 0, sale, 1, -1, -1),  # seen, not clicked
        banner(2 * DAY, 1, sale, 1, 1, 3),
        banner(3 * DAY, 1, sale, 1, 2, 3),  # the last one
        banner(3 * DAY + 1, 1, sale + DAY, 0, 0, 1),  # won by another advertiser
        banner(4 * DAY, 1, 12 * DAY, 1, 0, 1),  # after the window
        banner(5 * DAY, 1, -1, 0, -1, -1),
        banner(30 * DAY, 1, 30 * DAY, 1, 0, 1),  # its own window outlasts the log
    ]
    write_banners(tmp_path, rows)
    table = load("criteo_attribution")().table(tmp_path).collect()
    assert table["conversion"].to_list() == [0, None, 0, 1, 0, 0, 0, 1]
    assert table["conversion_delay"].drop_nulls().to_list()[0] == 6 * DAY
    assert table["dropped"].null_count() == len(rows) - 1
    assert table["dropped"][-1] == "impression whose window the end of the log cuts off"
    assert table["clicked_campaigns"].list.len().to_list() == [0, 1, 1, 2, 3, 4, 5, 6]


def write_banners(folder: Path, rows: list[list[str]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / criteo_attribution.FILE, "wt", encoding="utf-8") as file:
        for row in [criteo_attribution.HEADER.split(), *rows]:
            file.write("\t".join(row) + "\n")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("conversion_timestamp", "3", "conversion_timestamp must not be before timestamp"),
        ("conversion_timestamp", "-1", "conversion_timestamp must be -1 if and only if conversion"),
        ("conversion", "0", "conversion_timestamp must be -1 if and only if conversion is 0"),
        ("click", "2", "click must be 0 or 1"),
        ("timestamp", "-7", "timestamp must be an integer from 0 up"),
        ("time_since_last_click", "-2", "time_since_last_click must be -1 or from 0 up"),
        ("timestamp", "noon", "'noon'"),
    ],
)
def test_a_banner_that_cannot_be_is_shown(
    tmp_path: Path, column: str, value: str, says: str
) -> None:
    rows = [banner(DAY, 1, 2 * DAY, 1, 0, 1) for _ in range(4)]
    rows[2][criteo_attribution.HEADER.split().index(column)] = value
    write_banners(tmp_path / "raw", rows)
    with pytest.raises(DataError, match=rf"\.tsv\.gz, line 4.*{re.escape(says)}"):
        preprocess(
            load("criteo_attribution")(),
            "x",
            tmp_path / "raw",
            tmp_path / "processed",
            verified=False,
        )


def change(folder: Path, line: int, column: int, value: str) -> None:
    """Change one cell of the search log, lines counted from 1."""
    path = next(folder.rglob(criteo_search.FILE))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    rows[line - 1][column] = value
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (0, "3", "Sale must be 0 or 1"),
        (2, "-60", "time_delay_for_conversion must be -1 or seconds from 0 up"),
        (3, "-5", "click_timestamp must be seconds from 0 up, 0 if unknown"),
        (3, "1596439471000", "click_timestamp must be seconds from 0 up, 0 if unknown"),
        (4, "-3", "nb_clicks_1week must be -1 or from 0 up"),
        (3, "today", "'today'"),
    ],
)
def test_a_click_that_cannot_be_is_shown(
    tmp_path: Path, column: int, value: str, says: str
) -> None:
    criteo_search.write(tmp_path / "raw")
    change(tmp_path / "raw", 300, column, value)
    with pytest.raises(DataError, match=rf"CriteoSearchData, line 300.*{re.escape(says)}"):
        preprocess(
            load("criteo_search")(), "x", tmp_path / "raw", tmp_path / "processed", verified=False
        )


def test_clicks_that_are_left_out_are_counted(tmp_path: Path) -> None:
    criteo_search.write(tmp_path / "raw")
    path = next((tmp_path / "raw").rglob(criteo_search.FILE))
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    timeless = sum(row[3] == "0" for row in rows)
    undated = sum(row[0] == "1" and row[2] == "-1" and row[3] != "0" for row in rows)
    preprocess(
        load("criteo_search")(), "x", tmp_path / "raw", tmp_path / "processed", verified=False
    )
    report = json.loads((tmp_path / "processed" / "report.json").read_text())
    assert timeless > 2
    assert undated > 2
    assert report["dropped"] == {
        "click without a time": timeless, "sale without a delay": undated
    }  # fmt: skip


def test_the_price_and_the_amount_of_a_sale_are_no_features(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    criteo_search.write(raw)
    tables = [load("criteo_search")().table(raw).collect()]
    for line in (1, 200, 400):
        change(raw, line, 1, "55.5")
        change(raw, line, 5, "55.5")
    tables.append(load("criteo_search")().table(raw).collect())
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("days", [None, 2, 29.5])
def test_a_conversion_after_its_window_is_none(tmp_path: Path, days: float | None) -> None:
    criteo_conversion.write(tmp_path)
    dataset = load("criteo_conversion")(window_days=days)
    table = same(dataset, tmp_path, lambda raw: criteo_conversion.read(raw, days))
    whole = same(load("criteo_conversion")(), tmp_path, criteo_conversion.read)
    assert ("click_time" in table.columns) == (days is not None)
    assert (table["conversion"].mean() > whole["conversion"].mean()) == (days is None)


def test_clicks_are_dropped_where_conversions_stop_with_them(tmp_path: Path) -> None:
    """As in a copy that ends with its last click, which nobody waited for."""
    raw = tmp_path / "raw"
    criteo_conversion.write(raw)
    path = next(raw.rglob(criteo_conversion.FILE))
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    last = int(rows[-1][0])
    known = [[a, b if b and int(b) <= last else "", *rest] for a, b, *rest in rows]
    path.write_text("\n".join("\t".join(row) for row in known) + "\n", encoding="utf-8")
    cut = sum(int(row[0]) + 7 * DAY > last for row in rows)
    dataset = load("criteo_conversion")(window_days=7)
    preprocess(dataset, "x", raw, tmp_path / "processed", verified=False)
    report = json.loads((tmp_path / "processed" / "report.json").read_text())
    assert report["dropped"] == {"click whose window the end of the log cuts off": cut}
    with pytest.raises(DataError, match="must be longer than the attribution window"):
        preprocess(load("criteo_conversion")(), "x", raw, tmp_path / "processed", verified=False)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (0, "-1", "click_time must be an integer from 0 up"),
        (0, "", "click_time must be an integer from 0 up"),
        (1, "0", "conversion_time must be empty or not before click_time"),
        (1, "1.5", "conversion_time is '1.5'; it must be a whole number"),
        (4, "many", "integer_3 is 'many'; it must be a whole number"),
    ],
)
def test_a_delay_that_cannot_be_is_shown(
    tmp_path: Path, column: int, value: str, says: str
) -> None:
    criteo_conversion.write(tmp_path / "raw")
    path = next((tmp_path / "raw").rglob(criteo_conversion.FILE))
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    rows[199][column] = value
    path.write_text("\n".join("\t".join(row) for row in rows) + "\n", encoding="utf-8")
    dataset = load("criteo_conversion")()
    with pytest.raises(DataError, match=rf"data\.txt, line 200: .*{re.escape(says)}"):
        preprocess(dataset, "x", tmp_path / "raw", tmp_path / "processed", verified=False)


def test_any_reaction_can_stand_in_for_a_conversion(tmp_path: Path) -> None:
    tenrec.write(tmp_path / "tenrec", file="ctr_data_1M.csv")
    titles = set()
    for label in ("like", "share", "follow"):
        dataset = load("tenrec")(file="ctr_data_1M.csv", conversion=label)
        table = same(dataset, tmp_path / "tenrec", lambda raw, label=label: tenrec.read(raw, label))
        assert table["conversion"].sum() > 20
        titles.add(dataset.title)
    assert len(titles) == 3
    users = table.group_by("group").agg(pl.col("split").n_unique())
    assert users["split"].max() == 1


@pytest.mark.parametrize(("column", "value"), [("click", "2"), ("like", "-1"), ("share", "yes")])
def test_a_reaction_that_cannot_be_is_shown(tmp_path: Path, column: str, value: str) -> None:
    tenrec.write(tmp_path / "raw")
    path = next((tmp_path / "raw").rglob("*.csv"))
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[9].split(",")
    cells[tenrec.HEADER.split(",").index(column)] = value
    path.write_text("\n".join([*lines[:9], ",".join(cells), *lines[10:]]), encoding="utf-8")
    with pytest.raises(DataError, match=rf"QK-video\.csv, line 10.*({column} must be 0 or 1|yes)"):
        preprocess(load("tenrec")(), "x", tmp_path / "raw", tmp_path / "processed", verified=False)


def test_histories_are_the_same_however_many_partitions_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "rows"
    raw.write_bytes(bytes(70))
    users = ["a", "b", None, "a", "a", "c", None, "b", "a"]
    rows = pl.LazyFrame(
        {"who": users, "time": [0, 0, 1, 1, 1, 2, 3, 3, 9], "click": [1, 0, 1, 1, 1, 1, 1, 1, 0]}
    ).with_columns(item=pl.format("item {}", pl.int_range(pl.len())))
    histories = {"clicked": ("item", 2)}
    expected = [[], [], [], ["item 0"], ["item 0"], [], [], [], ["item 3", "item 4"]]
    for part in (1000, 10):
        monkeypatch.setattr(history, "PART_BYTES", part)
        table = with_clicked_before(rows, histories, raw, tmp_path / "scratch").collect()
        assert table.sort("item")["clicked"].to_list() == expected
